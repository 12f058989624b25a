"""Pictures of scripts with nothing but a `source` are those of plain diffusers programs, and `docs/parity.md` says so.

`--update-cases` compares more than a run of all tests has time for, and writes the page's cells of what was compared.
"""

from __future__ import annotations

import inspect
import json
import wave
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import load_file

from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.runtime.engine import Engine
from aquatint.runtime.events import Event, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.media_files import read_clip, read_tensors
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine import parity_beside, plain
from engine.parity import (
    CASES,
    CLIP,
    CLIP_MASK,
    EMBEDS,
    EQUAL,
    HINT,
    KINDS,
    NO_EMBEDS,
    NOISE,
    QUANTIZED,
    QUICK,
    SIDE,
    STEPS,
    Case,
    Picture,
    Tensor,
    pairs,
)  # fmt: skip
from support import parity_page
from support.tiny.texts import WIDTH
from support.torchvision_beside import Beside

Tiny = Callable[[str], Path]
PROMPT, SEED = "a red cat", 7
SLOW = pytest.mark.slow


class Both:
    """Makes the pictures of both ways; parts are loaded once for all cases of a checkpoint and a kind of quantizer."""

    def __init__(self, engine: Engine, folder: Tiny, work: Path, pairs: list[tuple[Case, str]]) -> None:
        self.engine = engine
        self.pairs = pairs
        self.folder = folder
        self.work = work
        _draw_pictures(work)
        _draw_tensors(work)
        self.scripted = cache(self._scripted)
        # The last one only: these are whole models.
        self.assembled = lru_cache(1)(
            lambda name, kind, skipped: plain.assembled(folder(name), dict.fromkeys(QUANTIZED, kind), skipped)
        )

    def _scripted(self, checkpoint: str, kind: str) -> dict[str, bytes | str]:
        """Return what one script with the statements of a checkpoint comes to by class: pixels, or what was said."""
        cases = [case for case, of_case in self.pairs if (case.checkpoint, of_case) == (checkpoint, kind)]
        uri = KINDS[kind]
        if uri is not None and (skipped := cases[0].skipped):
            uri += f";modules-to-not-convert={','.join(skipped)}"
        quantizer = "" if uri is None else f', quantizer: "{uri}"'
        lines = [f'model m {{ source: "{self.folder(checkpoint)}"{quantizer} }}', *map(self.statement, cases)]
        parsed = parse(Source("parity.aqt", "\n".join(lines)))
        evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
        assert evaluation.plan is not None, [each.message for each in evaluation.diagnostics]
        assert {each.class_name for each in evaluation.plan.pipelines.values()} == {case.class_name for case in cases}
        events: list[Event] = []
        out = self.work / f"{checkpoint}-{kind}"
        Executor(self.engine, events.append, Options(output_dir=out)).run(evaluation.plan)
        said = "; ".join(event.message for event in events if isinstance(event, StatementFailed))
        files = {case.class_name: out / f"{case.class_name}.{case.suffix}" for case in cases}
        return {name: _in_file(file) if file.exists() else said for name, file in files.items()}

    def statement(self, case: Case) -> str:
        """Return the statement of a case, as a script has it."""
        usual = {"prompt": f'"{PROMPT}"', "seed": SEED, "num_inference_steps": STEPS, "size": f"{SIDE}x{SIDE}"}
        given = {name: value for name, value in usual.items() if name not in case.lacks}
        given |= {name: self._written(value) for name, value in case.call.items()}
        given["output"] = f'"{case.class_name}.{case.suffix}"'
        return f"generate m {{ {', '.join(f'{name}: {value}' for name, value in given.items())} }}"

    def _written(self, value: Any) -> str:
        match value:
            case Picture() | Tensor():
                return f'"{self.work / value}"'
            case str():
                return json.dumps(value)
            case None:
                return "none"
            case list():
                return f"[{', '.join(map(self._written, value))}]"
            case bool():
                return str(value).lower()
            case _:
                return str(value)

    def _opened(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._opened(item) for item in value]
        return Image.open(self.work / value).convert("RGB") if isinstance(value, Picture) else value

    def plainly(self, case: Case, kind: str, seed: int = SEED) -> bytes | str:
        """Return the pixels of a case's class, made of the plain program's parts and called, or what it raised."""
        import diffusers
        import torch

        try:
            assembled = self.assembled(case.checkpoint, kind, case.skipped)
            made = getattr(diffusers, case.class_name)
            taken = inspect.signature(made.__init__).parameters
            options = {"requires_safety_checker": False} if "requires_safety_checker" in taken else {}
            own = assembled.config.items()
            options |= {name: value for name, value in own if name in taken and name not in assembled.components}
            parts = {**assembled.components, **options}
            taken_parts = {name: part for name, part in parts.items() if name in taken}
            # Not a second one of a class: some change their parts when they are made.
            pipeline = assembled if type(assembled) is made else made(**taken_parts)
            pipeline.set_progress_bar_config(disable=True)
            taken = inspect.signature(made.__call__).parameters
            form = {"safetensors": "pt", "wav": "np"}.get(case.suffix, "pil")
            usual = {"prompt": PROMPT, "width": SIDE, "height": SIDE, "num_inference_steps": STEPS, "output_type": form}
            call = {name: self._live(value) for name, value in case.call.items()}
            arguments = {name: usual[name] for name in usual if name in taken} | call
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)  # a few draw from this one as well
                made = pipeline(**arguments, generator=torch.Generator("cpu").manual_seed(seed))
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        match case.suffix:
            case "png":
                first = made[0][0]  # what it is called differs
                return _pixels(first[0] if isinstance(first, list) else first)
            case "safetensors":
                found = {name: each for name, each in made.items() if isinstance(each, torch.Tensor)}
                return b"".join(each.contiguous().numpy().tobytes() for _, each in sorted(found.items()))
            case "wav":
                return _samples(made.audios[0])
        return b"".join(map(_pixels, made.images if "images" in made else made[0][0]))

    def _live(self, value: Any) -> Any:
        """Return an argument as a plain program has it."""
        match value:
            case Picture():
                return Image.open(self.work / value).convert("RGB")
            case Tensor():
                return next(iter(load_file(self.work / value).values()))
            case list():
                return [self._live(each) for each in value]
        return value


def compared(ours: bytes | str, theirs: bytes | str) -> str:
    """Return the cell of the page for what a script and a plain program came to."""
    match ours, theirs:
        case bytes(), bytes():
            return EQUAL if ours == theirs else "another picture"
        case str(), str():
            return f"fails for both: {theirs}"
        case str(), _:
            return f"fails for a script alone: {ours}"
        case _:
            return f"fails for a plain program alone: {theirs}"


def _in_file(file: Path) -> bytes:
    """Return the pixels of a picture's file, or of a video's, frame after frame, the samples of sound, or tensors."""
    match file.suffix:
        case ".png":
            return _pixels(Image.open(file))
        case ".safetensors":
            return b"".join(each.data for _, each in sorted(read_tensors(file).values.items()))
        case ".wav":
            with wave.open(str(file)) as sound:
                return sound.readframes(sound.getnframes())
    return b"".join(map(_pixels, read_clip(file).frames))


def _pixels(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def _samples(made: Any) -> bytes:
    """Return samples as files have them, rounded, those of one moment for every channel together."""
    loud = numpy.clip(numpy.atleast_2d(numpy.asarray(made, numpy.float32)), -1, 1) * 32767
    return numpy.rint(loud).astype("<i2").T.tobytes()


def _draw_pictures(folder: Path) -> None:
    Image.effect_mandelbrot((SIDE, SIDE), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(folder / "picture.png")
    mask = Image.new("L", (SIDE, SIDE))
    mask.paste(255, (0, 0, SIDE // 2, SIDE))
    mask.save(folder / "mask.png")
    drawn = numpy.random.default_rng(SEED)
    frames = drawn.random((1, 3, 5, SIDE, SIDE), numpy.float32)
    inside = numpy.zeros((1, 1, 5, SIDE, SIDE), numpy.float32)
    inside[..., : SIDE // 2] = 255
    noise = drawn.uniform(-1, 1, (1, 2, 200)).astype(numpy.float32)
    for name, values in {NOISE: noise, CLIP: frames, CLIP_MASK: inside}.items():
        save_file({"values": values}, folder / name)


def _draw_tensors(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    drawn = torch.Generator("cpu").manual_seed(SEED)
    shapes = {EMBEDS: (1, WIDTH), NO_EMBEDS: (1, WIDTH), HINT: (1, 3, SIDE, SIDE)}
    for name, shape in shapes.items():
        save_file({"x": torch.randn(shape, generator=drawn)}, folder / name)


@pytest.fixture(scope="module")
def both(engine: Engine, folder: Tiny, tmp_path_factory: pytest.TempPathFactory, update_cases: bool) -> Both:
    """Both ways of making pictures."""
    return Both(engine, folder, tmp_path_factory.mktemp("parity"), pairs(update_cases))


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, update_cases: bool) -> Iterator[Beside]:
    """Both ways in a process of their own, for the classes that need what isn't in this one."""
    process = Beside(parity_beside.There, tmp_path_factory.mktemp("beside"), update_cases)
    yield process
    process.close()


@pytest.fixture(scope="module")
def results(update_cases: bool) -> Iterator[dict[tuple[str, str], str]]:
    """What the comparisons came to, by class and kind; they are written to the page at the end, if they are to be."""
    found: dict[tuple[str, str], str] = {}
    yield found
    if update_cases:
        text = parity_page.PAGE.read_text(encoding="utf-8")
        parity_page.PAGE.write_text(parity_page.updated(text, parity_page.cells(text) | found), encoding="utf-8")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the cases to the test that takes them."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize(
            ("case", "kind"),
            [
                pytest.param(case, kind, id=f"{case.class_name}-{kind}", marks=[] if case.checkpoint == QUICK else SLOW)
                for case, kind in pairs(everything=metafunc.config.getoption("update_cases"))
            ],
        )


def test_pictures_are_those_of_a_plain_program(
    request: pytest.FixtureRequest, results: dict[tuple[str, str], str], update_cases: bool, case: Case, kind: str
) -> None:
    both = request.getfixturevalue("beside" if case.beside else "both")
    theirs = both.plainly(case.class_name if case.beside else case, kind)
    ours = both.scripted(case.checkpoint, kind)[case.class_name]
    cell = results[case.class_name, kind] = compared(ours, theirs)
    assert cell == EQUAL or cell.startswith("fails for both")
    if isinstance(ours, bytes):
        # Else they could be equal for another reason: a picture of one colour, or a quantizer that does nothing.
        assert len(set(ours)) > 32
        assert kind == "none" or ours != both.scripted(case.checkpoint, "none")[case.class_name]
    if not update_cases:
        assert parity_page.cells(parity_page.PAGE.read_text(encoding="utf-8")).get((case.class_name, kind)) == cell


def test_a_difference_is_noticed(both: Both) -> None:
    case = next(case for case in CASES if case.class_name == "FluxPipeline")
    ours = both.scripted(case.checkpoint, "none")[case.class_name]
    assert compared(ours, both.plainly(case, "none", seed=SEED + 1)) == "another picture"
    assert compared(ours, both.plainly(case, "nf4")) == "another picture"
    assert compared(ours, both.plainly(case, "none")) == EQUAL


def test_the_page_has_every_case(update_cases: bool) -> None:
    text = parity_page.PAGE.read_text(encoding="utf-8")
    assert parity_page.updated(text, parity_page.cells(text)) == text, "run this file with --update-cases"
    assert list(parity_page.cells(text)) == [(case.class_name, kind) for case in CASES for kind in KINDS]
    assert update_cases or parity_page.UNKNOWN not in parity_page.cells(text).values()
