"""The table of compatibility is whole, every answer says how it is known, and the page shows it."""

from __future__ import annotations

import importlib.util
import re
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from aquatint.catalog import compatibility, quantizers
from aquatint.catalog.compatibility import Cell
from aquatint.catalog.hardware import DEVICES, NOTES, Note, notes
from aquatint.catalog.models import OFFLOADS
from aquatint.catalog.settings import Setting
from support.quantizer_kinds import KINDS

ROOT = Path(__file__).parents[2]
TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
}
CELLS = [
    compatibility.cell(kind.name, feature.name)
    for kind, feature in product(compatibility.kinds(), compatibility.features())
]


def test_every_pair_has_an_answer() -> None:
    assert len(CELLS) == len(compatibility.kinds()) * len(compatibility.features())


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.kind}-{cell.feature}")
def test_an_answer_says_how_it_is_known_and_why(cell: Cell) -> None:
    assert cell.answer in ("works", "caveat", "refused")
    assert cell.tried or cell.documented
    assert set(cell.tried) <= TESTS
    assert all(address.startswith("https://") for address in cell.documented)
    assert (cell.text is None) == (cell.answer == "works")
    assert (cell.help is None) == (cell.answer != "refused")
    for told in (cell.text, cell.help):
        assert told is None or (not told.endswith(".") and not told[0].isupper())


def test_what_a_model_asks_for_is_in_the_table() -> None:
    known = {feature.name for feature in compatibility.features()}
    assert {f"offload-{way}" for way in OFFLOADS} | {f"device-{device}" for device in DEVICES} <= known


@pytest.mark.parametrize("kind", compatibility.kinds(), ids=lambda kind: kind.name)
def test_the_quantizer_that_is_tried_is_of_its_kind(kind: compatibility.Kind) -> None:
    uri = KINDS[kind.name]
    if uri is None:
        assert kind.name == compatibility.UNQUANTIZED
        return
    backend, options = quantizers.parse_uri(uri)
    assert compatibility.kinds_of(backend, quantizers.canonical(backend, options))[-1] == kind


def test_a_quantizer_of_two_kinds_is_refused_what_one_of_them_is() -> None:
    options = quantizers.canonical("sdnq", {"use_svd": True, "use_quantized_matmul": True})
    assert [kind.name for kind in compatibility.kinds_of("sdnq", options)] == ["sdnq", "sdnq-matmul", "sdnq-svd"]
    refused = compatibility.refusal("lora-fuse", "sdnq", options)
    assert refused == compatibility.cell("sdnq", "lora-fuse")


def test_nothing_is_known_against_another_packages_backend() -> None:
    assert compatibility.kinds_of("quanto", {}) == ()
    assert compatibility.refusal("offload-sequential", "quanto", {}) is None


@pytest.mark.parametrize("note", NOTES, ids=lambda note: f"{note.backend}-{note.setting}-{'-'.join(note.devices)}")
def test_a_note_is_about_options_that_there_are(note: Note) -> None:
    backend = quantizers.backend(note.backend)
    assert backend is not None
    assert set(note.devices) <= set(DEVICES)
    assert note.source in TESTS or note.source.startswith("https://")
    for name, values in ((note.setting, note.values), *note.also):
        setting = backend.schema.find(name)
        assert isinstance(setting, Setting)
        for value in values:
            assert setting.problem(value) is None
            # Options reach a note in their one form.
            assert quantizers.canonical(note.backend, {name: value}).get(name, value) == value


def test_notes_are_for_a_kind_of_device() -> None:
    options = quantizers.canonical("sdnq", {"weights_dtype": "fp8"})
    assert [note.setting for note in notes("sdnq", options, "mps:0")] == ["weights_dtype"]
    assert notes("sdnq", options, "cuda:1") == ()


def test_the_page_is_current() -> None:
    page = ROOT / "docs" / "quantization" / "compatibility.md"
    text = page.read_text(encoding="utf-8")
    assert script().updated(text) == text, "run scripts/make_compatibility_page.py"


def script() -> ModuleType:
    file = ROOT / "scripts" / "make_compatibility_page.py"
    spec = importlib.util.spec_from_file_location("make_compatibility_page", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
