"""A stream of statements: what is told of each, in which order, whatever comes in."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from aquatint.interface.cli import main
from aquatint.interface.progress import Mode, reporter
from aquatint.interface.session import Session
from aquatint.interface.stream import STATEMENT_LIMIT, serve, statements
from aquatint.language import evaluate
from aquatint.language.world import World
from aquatint.runtime import yielded
from aquatint.runtime.engine import EngineError
from aquatint.runtime.executor import Options
from aquatint.runtime.journal import Journal
from aquatint.runtime.outputs import OutputPolicy
from support.fake_engine import FakeEngine

MODEL = b'model m { source: "builtin:shapes", defaults { num_inference_steps: 2, prompt: "a star" } }\n'


def session(folder: Path, engine: FakeEngine | None = None) -> Session:
    """A session that paints, and writes below `folder`."""
    out = io.StringIO()
    options = Options(output_dir=folder, journal=Journal(folder), existing=OutputPolicy.RESUME)
    return Session(World(), reporter(Mode.JSON, out, out), lambda: engine or FakeEngine(), options, keep=True)


def served(folder: Path, stream: bytes, engine: FakeEngine | None = None) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the lines of a stream whose pictures are painted."""
    out = io.StringIO()
    code = serve(session(folder, engine), io.BytesIO(stream), out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def test_each_statement_is_told_of_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    stream = (
        b"\xef\xbb\xbflet x = 1\r\n\n# only a comment\n  print x; print 2\nprint y\n"
        b"print \xff {\nlet m = {\n\n  a: 1,\xfe\n"
        b"let x = [3,\n4]\nprint x,\n  5\nprint x +\nlet q = {\n  a: 1\n"
    )
    code, lines = served(tmp_path, stream)
    shown = {
        "accepted": ("place", "text"), "printed": ("text",), "diagnostic": ("line", "code", "message"), "done": ("ok",),
    }  # fmt: skip
    assert code == 1
    assert [
        (line["statement"], line["event"], *(line[name] for name in shown[line["event"]]))
        for line in lines
        if line["event"] in shown
    ] == [
        (1, "accepted", "<stdin>:1:1", "let x = 1"),
        (1, "done", True),
        (2, "accepted", "<stdin>:4:3", "print x; print 2"),
        (2, "printed", "1"),
        (2, "printed", "2"),
        (2, "done", True),
        (3, "accepted", "<stdin>:5:1", "print y"),
        (3, "diagnostic", 5, "unknown-name", "there is no `y` here"),
        (3, "done", False),
        (4, "accepted", "<stdin>:6:1", "print \N{REPLACEMENT CHARACTER} {"),
        (4, "diagnostic", 6, "not-utf-8", "this line is not text in UTF-8"),
        (4, "done", False),
        (5, "accepted", "<stdin>:7:1", "let m = {"),
        (5, "diagnostic", 9, "not-utf-8", "this line is not text in UTF-8"),
        (5, "done", False),
        (6, "accepted", "<stdin>:10:1", "let x = [3,"),
        (6, "done", True),
        (7, "accepted", "<stdin>:12:1", "print x,"),
        (7, "printed", "[3, 4] 5"),
        (7, "done", True),
        (8, "accepted", "<stdin>:14:1", "print x +"),
        (8, "diagnostic", 14, "syntax", "the line ends too early"),
        (8, "done", False),
        (9, "accepted", "<stdin>:15:1", "let q = {"),
        (9, "diagnostic", 15, "open-bracket", "`{` is never closed"),
        (9, "done", False),
    ]


def test_a_thousand_statements_some_of_them_wrong(tmp_path: Path) -> None:
    kinds = [b"let a%d = %d", b"print a%d", b"nonsense %d", b'generate m { seed: %d, output: "%d.png" }']
    stream = [MODEL, b"let a1 = 1\n"]
    for number in range(2, 1000):
        kind = kinds[3] if number % 50 == 0 else kinds[2] if number % 10 == 3 else kinds[0]
        stream.append(kind % ((number,) * kind.count(b"%d")) + b"\n")
    code, lines = served(tmp_path, b"".join(stream))
    done = [line for line in lines if line["event"] == "done"]
    assert code == 1
    assert [line["statement"] for line in lines if line["event"] == "accepted"] == list(range(1, 1001))
    assert [line["statement"] for line in done] == list(range(1, 1001))
    assert [line["statement"] for line in lines] == sorted(line["statement"] for line in lines)
    assert [line["statement"] for line in done if not line["ok"]] == [
        number + 1 for number in range(2, 1000) if number % 10 == 3
    ]
    assert [line["files"] for line in done if line["files"]] == [
        [str(tmp_path / f"{number}.png")] for number in range(50, 1000, 50)
    ]
    # The model was loaded for the first of its pictures alone.
    assert sum(line["event"] == "load_finished" for line in lines) == 5


def test_what_is_too_long_is_refused_and_the_next_line_read(tmp_path: Path) -> None:
    line = b"print 1 #" + b"x" * 3 * STATEMENT_LIMIT
    block = b"let m = [\n" + (b"  0," + b" " * 100_000 + b"\n") * 11
    code, lines = served(tmp_path, line + b"\nprint 2\n" + block + b"print 3\n")
    assert code == 1
    assert [(said["line"], said["code"]) for said in lines if said["event"] == "diagnostic"] == [
        (1, "too-large"), (14, "too-large"),
    ]  # fmt: skip
    assert [said["text"] for said in lines if said["event"] == "printed"] == ["2", "3"]


def test_a_block_that_is_never_closed_is_told_where_a_declaration_begins(tmp_path: Path) -> None:
    _, lines = served(tmp_path, b'model a {\n  source: "builtin:shapes"\n' + MODEL + b"print 1\n")
    told = [(line["statement"], line["event"]) for line in lines if line["event"] in ("diagnostic", "printed", "done")]
    assert told == [(1, "diagnostic"), (1, "done"), (2, "printed"), (2, "done")]


def test_a_statement_is_not_done_that_failed_or_lacks_a_file(tmp_path: Path) -> None:
    stream = (
        MODEL
        + b'let a = generate m { seed: 1, output: "a.png" }\n'
        + b'grid { images: a, output: "sheet.png" }\n'
        + b'generate m { seed: 2, output: "b.png" }\n'
    )
    code, lines = served(tmp_path, stream, FakeEngine(image_faults={0: EngineError("no")}))
    assert code == 1
    assert [line["ok"] for line in lines if line["event"] == "done"] == [True, False, False, True]


def test_any_bytes_end_in_order(tmp_path: Path) -> None:
    garbage = bytes(range(256)) * 4 + b'"""\n' + bytes(range(255, -1, -1)) + b'\x00\n}}}\n{"""'
    code, lines = served(tmp_path, garbage)
    assert code == 1
    assert lines[-1]["event"] == "done"
    assert {line["event"] for line in lines} == {"accepted", "diagnostic", "done"}


def test_statements_come_as_soon_as_they_are_whole() -> None:
    class Fed(io.BytesIO):
        asked = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.asked += 1
            return super().readline(size)

    stream = Fed(b"print 1\nlet x = [\n1]\nprint 2\n")
    assert [(stream.asked, parsed.script.source.text) for parsed in statements(stream)] == [
        (1, "print 1\n"), (3, "let x = [\n1]\n"), (4, "print 2\n"),
    ]  # fmt: skip


class Leaving(io.StringIO):
    """An output whose reader leaves after some lines."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.left = lines

    def write(self, text: str, /) -> int:
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError
        return super().write(text)


def test_a_reader_that_leaves_gets_the_picture_finished_and_nothing_more(tmp_path: Path) -> None:
    loop = b'for s in 1..3 { generate m { seed: s, output: "{{ s }}.png" } }\nprint 1\n'
    out = Leaving(1000)
    serve(session(tmp_path / "whole"), io.BytesIO(MODEL + loop), out)
    told = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    out = Leaving(told.index("denoise_step"))
    with pytest.raises(BrokenPipeError):
        serve(session(tmp_path / "left"), io.BytesIO(MODEL + loop), out)
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == told[: told.index("denoise_step")]
    assert [path.name for path in (tmp_path / "left").glob("*.png")] == ["1.png"]
    assert (tmp_path / "left" / "1.png").read_bytes() == (tmp_path / "whole" / "1.png").read_bytes()
    # What it made is in the journal: it isn't made again.
    _, lines = served(tmp_path / "left", MODEL + loop)
    assert [Path(line["path"]).name for line in lines if line["event"] == "image_written"] == ["2.png", "3.png"]


def test_an_interrupt_ends_the_statement_and_the_stream(tmp_path: Path) -> None:
    class Interrupting(io.StringIO):
        def write(self, text: str, /) -> int:
            if '"generate_started"' in text:
                raise KeyboardInterrupt
            return super().write(text)

    out = Interrupting()
    assert serve(session(tmp_path), io.BytesIO(MODEL + b'generate m { output: "a.png" }\nprint 1\n'), out) == 130
    last = [json.loads(line) for line in out.getvalue().splitlines()][-2:]
    assert (last[0]["event"], last[0]["interrupted"]) == ("run_finished", True)
    assert last[1] == {"event": "done", "statement": 2, "ok": False, "files": []}


def test_what_a_session_remembers_of_its_pictures_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "SESSION_IMAGES", 2)
    monkeypatch.setattr(yielded, "KEPT", 2)
    stream = b"".join(b'generate m { seed: %d, output: "%d.png" }\n' % (number, number) for number in range(1, 5))
    code, lines = served(tmp_path, MODEL + stream + b'grid { output: "sheet.png" }\n')
    assert code == 0
    assert [line["cells"] for line in lines if line["event"] == "grid_written"] == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.aqt"], "`--stream` reads standard input"),
        (["-", "--no-stdin"], "`--stream` and `--no-stdin` can't be together: statements come from standard input"),
        (["-", "--quiet"], "`--stream` and `--quiet` can't be together: it writes what becomes of each statement"),
        (["-", "--set", "n=1"], "`--stream` and `--set` can't be together: there is no script that has parameters"),
        (["-", "--fail-fast"], "`--stream` and `--fail-fast` can't be together: no mistake ends a stream"),
    ],
)
def test_what_makes_no_sense_in_a_stream_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--stream", *arguments]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["message"]) == ("bad-command-line", message)
