"""What a person, a log file and a program see of a run."""

from __future__ import annotations

import functools
import io
import json
import math
import operator
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aquatint.interface.progress import Mode, duration, printable, printable_text, reporter
from aquatint.plan.render import sized
from aquatint.plan.steps import Plan, Print
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    FetchFinished,
    FetchProgress,
    FetchStarted,
    GenerateStarted,
    ImageWritten,
    Measured,
    Printed,
    PromptsRewritten,
    RewriteStarted,
    RunFinished,
    RunStarted,
    StatementFailed,
    Warned,
)
from aquatint.runtime.executor import Executor, Options
from support.fake_engine import FakeEngine
from support.plans import generate, grid, load, place, release, save, simple_plan


class Terminal(io.StringIO):
    """A text stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(
    plan: Plan, mode: Mode, folder: Path, engine: FakeEngine | None = None, *, terminal: bool = False
) -> tuple[str, str]:
    """Run `plan` and return what went to the output stream and to the error stream."""
    out, err = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
    with reporter(mode, out, err) as report:
        Executor(engine or FakeEngine(), report, Options(output_dir=folder, clock=lambda: 0.0)).run(plan)
    return tuple(stream.getvalue().replace(str(folder) + "/", "") for stream in (out, err))  # type: ignore[return-value]


def test_saved_models_are_told(tmp_path: Path) -> None:
    plan = simple_plan(load("u"), load("v"), save("k1", "p", "m"), save("k2", "q", "n", ["vae"]))
    engine = FakeEngine(save_faults={"q": EngineError("the library gave up")})
    for mode, terminal in ((Mode.PLAIN, False), (Mode.LIVE, True)):
        folder = tmp_path / mode
        _, err = shown(plan, mode, folder, engine, terminal=terminal)
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
        size = sized(sum(file.stat().st_size for file in (folder / "m").rglob("*") if file.is_file()))
        assert f"saved m  {size}  0.0 s" in lines
        assert "error: the library gave up" in lines
        assert "1 of 2 models saved in 0.0 s: 2 loads (1 quantized), 1 reuse, 0 releases, 1 failure" in lines


def eventful_plan() -> Plan:
    return simple_plan(
        load("u"), load("v"),
        generate("g1", "p", ["1.png", "2.png"]), Print("t1", "half way", place(2)),
        load("w"), generate("g3", "q", ["3.png", "4.png"]), release("w"),
        grid("s1", "sheet.png", [("g1", 0), ("g3", 1)]),
    )  # fmt: skip


def faulty_engine() -> FakeEngine:
    return FakeEngine(image_faults={3: EngineError("the picture is all black", "use `upcast_vae: true`")})


PLAIN = """\
loaded unet  UNet2DConditionModel  sdnq int8  4.3 MiB  76 of 83 layers quantized  0.0 s
loaded vae  UNet2DConditionModel  4.3 MiB  0.0 s
wrote 1.png  seed 1  0.0 s
wrote 2.png  seed 2  0.0 s
loaded unet  UNet2DConditionModel  4.3 MiB  0.0 s
wrote 3.png  seed 1  0.0 s
error: the picture is all black
 --> shapes.aqt:3:1
  = help: use `upcast_vae: true`
  = written before: 3.png
released unet
warning: 1 of 2 pictures of this sheet were not made
wrote sheet.png  sheet of 2 pictures
model   quantizer  images  loads  per image  weights
shapes  q8              3      3      0.0 s  8.6 MiB
3 of 4 images in 0.0 s: 3 loads (1 quantized), 1 reuse, 1 release, 1 failure
1 failure:
  shapes.aqt:3:1  the picture is all black
"""


def test_plain_lines(tmp_path: Path) -> None:
    assert shown(eventful_plan(), Mode.PLAIN, tmp_path, faulty_engine()) == ("half way\n", PLAIN)


def test_auto_is_plain_where_there_is_no_terminal(tmp_path: Path) -> None:
    assert shown(eventful_plan(), Mode.AUTO, tmp_path, faulty_engine()) == ("half way\n", PLAIN)


def test_auto_is_plain_on_a_dumb_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out, err = shown(eventful_plan(), Mode.AUTO, tmp_path, faulty_engine(), terminal=True)
    assert (out, err) == ("half way\n", PLAIN)


def test_quiet_shows_failures_alone(tmp_path: Path) -> None:
    failure = "".join(line + "\n" for line in PLAIN.splitlines()[6:10])
    assert shown(eventful_plan(), Mode.QUIET, tmp_path, faulty_engine()) == ("", failure)
    assert shown(eventful_plan(), Mode.QUIET, tmp_path / "again") == ("", "")


def test_json_is_every_event_on_a_line(tmp_path: Path) -> None:
    events: list[Event] = []
    out, err = io.StringIO(), io.StringIO()
    report = reporter(Mode.JSON, out, err)

    def both(event: Event) -> None:
        events.append(event)
        report(event)

    Executor(faulty_engine(), both, Options(output_dir=tmp_path)).run(eventful_plan())
    decoder = msgspec.json.Decoder(functools.reduce(operator.or_, Event.__subclasses__()))
    assert [decoder.decode(line) for line in out.getvalue().splitlines()] == events
    assert err.getvalue() == ""


def test_json_can_say_any_name() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    reporter(Mode.JSON, out, io.StringIO())(ImageWritten("g1", "\udcff é\n.png", 1, 0.5))
    out.seek(0)
    assert json.loads(out.read())["path"] == "\udcff é\n.png"


def test_json_has_no_infinity() -> None:
    out = io.StringIO()
    reporter(Mode.JSON, out, io.StringIO())(Measured("c1", "seed 1", {"psnr": math.inf, "mse": 0.0}))
    assert json.loads(out.getvalue(), parse_constant=pytest.fail)["values"] == {"psnr": "inf", "mse": 0.0}


def test_the_live_display_leaves_the_plain_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    out, err = shown(eventful_plan(), Mode.AUTO, tmp_path, faulty_engine(), terminal=True)
    assert out == "half way\n"
    assert "\x1b[" in err
    assert "\x1b[?25h" in err, "the cursor is shown again"
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err).replace("\r", "\n")
    log = iter(text.splitlines())
    for line in PLAIN.splitlines():
        assert any(found.strip() == line.strip() for found in log), line


def test_the_live_display_ends_with_its_context() -> None:
    out, err = Terminal(), Terminal()
    with pytest.raises(ZeroDivisionError), reporter(Mode.LIVE, out, err) as report:
        report(RunStarted(2, 1, 1))
        report(GenerateStarted("g1", "shapes", {}, 1, "a [bold]circle[/]", 1, 1))
        report(DenoiseStep("g1", 1, 3))
        raise ZeroDivisionError
    assert "\x1b[?25h" in err.getvalue()


def test_a_run_that_only_prints_has_no_summary() -> None:
    for mode in (Mode.PLAIN, Mode.LIVE):
        out, err = Terminal(), Terminal()
        with reporter(mode, out, err) as report:
            Executor(FakeEngine(), report).run(simple_plan(Print("t1", "hello", place(1))))
        assert (out.getvalue(), err.getvalue()) == ("hello\n", "")


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    _, err = shown(simple_plan(), Mode.PLAIN, tmp_path, FakeEngine(image_faults={1: KeyboardInterrupt()}))
    assert err.splitlines()[-2:] == [
        "1 of 2 images in 0.0 s: 2 loads (1 quantized), 0 reuses, 0 releases",
        "interrupted: 1 of 2 outputs done; run again to go on",
    ]


def test_strings_are_counted_at_the_end() -> None:
    def last(started: RunStarted, end: RunFinished) -> str:
        out, err = io.StringIO(), io.StringIO()
        with reporter(Mode.PLAIN, out, err) as report:
            for event in (started, end):
                report(event)
        return err.getvalue()

    done = "rewritten in 1.0 s: 2 loads (0 quantized), 0 reuses, 0 releases\n"
    alone = RunFinished(0, 2, 0, 0, 0, 0, 0, [], False, 1.0, {}, strings=1)
    assert last(RunStarted(2, 0, 2, strings=1), alone) == f"1 string {done}"
    both = RunFinished(2, 2, 0, 0, 0, 0, 0, ["a.png", "b.png"], False, 1.0, {}, strings=6)
    assert last(RunStarted(3, 2, 2, strings=6), both) == f"2 images, 6 strings {done}"


EVIL = "a\x1b[31mb\x07\r\x9bc\u202ed\n"

EVIL_EVENTS: list[Event] = [
    RunStarted(2, 1, 1),
    GenerateStarted("g1", EVIL, {}, 1, EVIL, 1, 1),
    DenoiseStep("g1", 1, 2),
    ImageWritten("g1", EVIL, 1, 0.1),
    Printed("t1", EVIL),
    Warned("g1", EVIL),
    RewriteStarted("u1", EVIL, 1),
    PromptsRewritten("u1", EVIL, [EVIL], [EVIL], 0.1),
    StatementFailed("g1", EVIL, EVIL, EVIL, [EVIL]),
    RunFinished(1, 0, 0, 0, 0, 1, 0, [EVIL], False, 0.1, {}),
]


@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.QUIET, Mode.LIVE, Mode.JSON])
def test_control_characters_of_a_script_reach_no_terminal(mode: Mode) -> None:
    out, err = Terminal(), Terminal()
    with reporter(mode, out, err) as report:
        for event in EVIL_EVENTS:
            report(event)
    for stream in (out, err):
        text = stream.getvalue()
        assert "\x1b[31mb" not in text
        assert not set(text) & set("\x07\x9b\u202e")
        if mode is not Mode.LIVE:
            assert not set(text) & set("\x1b\r")


def test_markup_in_names_is_shown_as_it_stands() -> None:
    err = Terminal()
    with reporter(Mode.LIVE, Terminal(), err) as report:
        report(ImageWritten("g1", "[bold]x[/bold].png", 1, 0.1))
    assert "[bold]x[/bold].png" in err.getvalue()


def test_a_stream_of_poor_encoding_shows_escapes() -> None:
    err = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    reporter(Mode.PLAIN, io.StringIO(), err)(Warned("g1", "größer"))
    err.seek(0)
    assert err.read() == "warning: gr\\xf6\\xdfer\n"


@given(st.text())
def test_printable_text_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert printable_text(text).replace("\n", "").replace("\t", "").isprintable()
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (4_718_592, "4.5 MiB"), (3 * 2**30, "3.0 GiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert sized(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rich_is_imported_only_to_draw_on_a_terminal() -> None:
    code = """
import io, sys
from aquatint.interface.progress import Mode, reporter
from aquatint.runtime.events import RunStarted, Warned
for mode in (Mode.AUTO, Mode.PLAIN, Mode.QUIET, Mode.JSON):
    with reporter(mode, io.StringIO(), io.StringIO()) as report:
        report(RunStarted(1, 1, 1))
        report(Warned("a", "b"))
sys.exit("rich" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


FETCHED = """\
fetching a/b: 3.0 MiB in 2 files ...
fetched a/b  3.0 MiB  1 min 01 s
fetching c/d: 3.0 MiB in 1 file, 1.0 MiB are there ...
broken off: 1.0 MiB of 3.0 MiB have come and are kept; run again to go on
"""


def test_fetching_is_told() -> None:
    written = {}
    for mode in (Mode.PLAIN, Mode.QUIET, Mode.LIVE):
        err = Terminal()
        with reporter(mode, io.StringIO(), err) as report:
            report(FetchStarted("a/b", "0" * 40, 2, 3 << 20, 0))
            report(FetchProgress(1 << 20, 3 << 20))
            report(FetchFinished("a/b", "0" * 40, 3 << 20, 3 << 20, 61.0, failed=False, interrupted=False))
            report(FetchStarted("c/d", "0" * 40, 1, 3 << 20, 1 << 20))
            report(FetchFinished("c/d", "0" * 40, 1 << 20, 3 << 20, 2.0, failed=True, interrupted=False))
        written[mode] = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", err.getvalue())
    assert (written[Mode.PLAIN], written[Mode.QUIET]) == (FETCHED, "")
    # The bar is drawn between these.
    assert [line for line in FETCHED.splitlines() if line not in written[Mode.LIVE]] == []
    assert " 1.0/3.0 MiB " in written[Mode.LIVE]
