"""Saved models: plain diffusers programs make the same pictures with them, and so does this one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from aquatint.catalog import checkpoints
from aquatint.runtime.engine import Engine, EngineError, Form
from engine import plain_saved
from support.scenes import component, everywhere, load, paint, scene

Tiny = Callable[[str], Path]

URIS = {
    "none": None,
    "bnb8": "bnb",
    "nf4": "bnb;bits=4;bits4-quant-type=nf4;bits4-use-double-quant=true",
    "int8": "sdnq;type=int8;quant-conv=true",
    "uint4": "sdnq;type=uint4;quant-conv=true",
    "svd": "sdnq;type=uint4;use-svd=true;svd-rank=8",
}
FAMILIES = ("sd", "sdxl", "flux")


@pytest.fixture(scope="module")
def saved(engine: Engine, folder: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Every family with every quantizer on its denoiser and text encoders, saved."""
    root = tmp_path_factory.mktemp("saved")
    made = {}
    for name in FAMILIES:
        for kind, uri in URIS.items():
            source = folder(name)
            drawn = scene(source, everywhere(source, uri) if uri else None)
            target = root / f"{name}-{kind}"
            target.mkdir()
            engine.save(drawn.pipeline, load(engine, drawn), target, Form())
            made[name, kind] = target
    return made


@pytest.fixture(scope="module")
def elsewhere(saved: dict[tuple[str, str], Path]) -> dict[tuple[str, str], str]:
    """The hashes of the pictures that a plain program makes with what was saved, in a process of its own."""
    done = subprocess.run(
        [sys.executable, plain_saved.__file__, *map(str, saved.values())],
        env=os.environ | {"PYTHONHASHSEED": "17"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(saved, done.stdout.split(), strict=True))


@pytest.mark.parametrize("kind", URIS)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_pixels_elsewhere_and_here(
    engine: Engine,
    folder: Tiny,
    saved: dict[tuple[str, str], Path],
    elsewhere: dict[tuple[str, str], str],
    name: str,
    kind: str,
) -> None:
    source, uri = folder(name), URIS[kind]
    first = paint(engine, scene(source, everywhere(source, uri) if uri else None))
    assert elsewhere[name, kind] == hashlib.sha256(first).hexdigest()
    before = engine.counters.quantizations
    assert paint(engine, scene(saved[name, kind])) == first
    assert engine.counters.quantizations == before


@pytest.mark.parametrize("kind", ["bnb8", "nf4", "int8", "svd"])
def test_what_was_made_with_a_model_leaves_no_trace_in_its_files(
    engine: Engine, folder: Tiny, saved: dict[tuple[str, str], Path], tmp_path: Path, kind: str
) -> None:
    source = folder("flux")
    drawn = scene(source, everywhere(source, URIS[kind] or ""))
    parts = load(engine, drawn)
    pipeline = engine.assemble(drawn.pipeline, parts)
    first = engine.generate(pipeline, drawn.generation, lambda done, total: None).tobytes()
    engine.save(drawn.pipeline, parts, tmp_path, Form())
    assert content(tmp_path) == content(saved["flux", kind])
    assert engine.generate(pipeline, drawn.generation, lambda done, total: None).tobytes() == first


def test_nothing_of_this_machine_is_written(saved: dict[tuple[str, str], Path], folder: Tiny) -> None:
    for (name, _), made in saved.items():
        texts = [file.read_text(encoding="utf-8") for file in made.rglob("*.json")]
        assert [text for text in texts if str(folder(name).parent) in text or "_name_or_path" in text] == []


def test_the_index_is_that_of_diffusers(saved: dict[tuple[str, str], Path], folder: Tiny) -> None:
    for (name, _), made in saved.items():
        index, original = (json.loads((each / "model_index.json").read_text()) for each in (made, folder(name)))
        assert index == original


def test_some_parts_under_other_names(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    source = folder("flux")
    drawn = scene(source, everywhere(source, "sdnq;type=int8"))
    parts = {role: part for role, part in load(engine, drawn).items() if role in ("transformer", "text_encoder_2")}
    form = Form(roles=["transformer", "text_encoder_2"], variant="int8", max_shard_size=200_000)
    engine.save(drawn.pipeline, parts, tmp_path, form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text_encoder_2", "transformer"]
    for role in parts:
        files = checkpoints.weight_files(tmp_path, role, "int8")
        assert len(files) > 2
        made, again = drawn.components[role], component(source, role, source=str(tmp_path), variant="int8")
        assert made is not None
        loaded = engine.load(again)
        assert (loaded.bytes, loaded.quantized_layers) == (parts[role].bytes, parts[role].quantized_layers)  # type: ignore[union-attr]
    mixed = replace(drawn, components=drawn.components | {
        role: component(source, role, source=str(tmp_path), variant="int8", key=f"saved {role}") for role in parts
    })  # fmt: skip
    keys = {role: part and part.key for role, part in mixed.components.items()}
    assert paint(engine, replace(mixed, pipeline=msgspec.structs.replace(drawn.pipeline, parts=keys))) == paint(
        engine, drawn
    )


def test_a_library_that_fails_is_an_engine_error(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    source = folder("sd")
    drawn = scene(source)
    (tmp_path / "unet").write_text("a file")
    with pytest.raises(EngineError, match="can't save `unet`"):
        engine.save(drawn.pipeline, load(engine, drawn), tmp_path, Form())


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` by its name there."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
