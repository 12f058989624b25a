"""The editor of the interactive session, with keys from a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from aquatint.interface.progress import Mode, reporter
from aquatint.interface.repl.editor import Editor, indentation, is_whole
from aquatint.interface.session import Session
from aquatint.language.world import World
from support.fake_engine import FakeEngine


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("let x = 1", True),
        ("let x = [1,", False),
        ("for s in 1..2 {\n    print s", False),
        ("for s in 1..2 {\n    print s\n}", True),
        ("let x = [1,\n", True),
        (":models", True),
        (":plan for s in 1..2 {", False),
    ],
)
def test_a_text_is_whole_when_nothing_is_open(text: str, whole: bool) -> None:
    assert is_whole(text) == whole


def test_lines_in_brackets_are_indented() -> None:
    assert indentation("for s in 1..2 {") == "    "
    assert indentation("for s in 1..2 {\n    print s") == "    "


def test_a_mistake_shows_while_one_types_and_goes_when_it_is_mended(tmp_path: Path) -> None:
    session = Session(World(), reporter(Mode.QUIET, io.StringIO(), io.StringIO()), FakeEngine, keep=True)
    shown: list[str] = []
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        editor = Editor(session, tmp_path / "history")

        def see(screen: object) -> None:
            """Note the toolbar, and type on once it has what is awaited."""
            toolbar = editor.toolbar() or ""
            if shown[-1:] != [toolbar]:
                shown.append(toolbar)
                if toolbar:
                    keys.send_text("\x7f" * len("wrong") + "1\r")

        editor.prompt.app.after_render += see
        keys.send_text("let x = wrong")
        assert editor.read("aqt> ") == "let x = 1"
    assert shown == ["", "1:9: there is no `wrong` here; text is written in quotes", ""]


def test_what_is_searched_for_in_the_history_is_run_by_two_enters(tmp_path: Path) -> None:
    session = Session(World(), reporter(Mode.QUIET, io.StringIO(), io.StringIO()), FakeEngine, keep=True)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        editor = Editor(session, tmp_path / "history")
        for line in ("let from_a = 3", "let other = 4"):
            keys.send_text(f"{line}\r")
            assert editor.read("aqt> ") == line
        keys.send_text("\x12from\r\r")  # Ctrl-R; one Enter ends the search, one the line
        assert editor.read("aqt> ") == "let from_a = 3"


def test_keys_become_texts_and_are_there_the_next_time(tmp_path: Path) -> None:
    session = Session(World(), reporter(Mode.QUIET, io.StringIO(), io.StringIO()), FakeEngine, keep=True)
    history = tmp_path / "state" / "history"
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        editor = Editor(session, history)
        keys.send_text("for s in 1..2 {\rprint s\r}\r")
        assert editor.read("aqt> ") == "for s in 1..2 {\n    print s\n}"
        keys.send_text(":models\r")
        assert editor.read("aqt> ") == ":models"
        keys.send_text("\x04")
        with pytest.raises(EOFError):
            editor.read("aqt> ")
        keys.send_text("for\x1b[A\r")
        assert Editor(session, history).read("aqt> ").startswith("for s in 1..2")
