"""What is told of a text that is still being typed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from aquatint.interface.progress import Mode, reporter
from aquatint.interface.repl.foresight import Mistake, mistakes
from aquatint.interface.session import Session
from aquatint.language.world import World
from aquatint.source import Source
from support.fake_engine import FakeEngine


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.chdir(tmp_path)
    made = Session(World(), reporter(Mode.QUIET, io.StringIO(), io.StringIO()), FakeEngine, keep=True)
    for text in ('model shapes { source: "builtin:shapes" }', "quantizer q8 { backend: sdnq, weights_dtype: int8 }"):
        assert made.feed(Source("<repl>", text)).plan is not None
    return made


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # The word at the cursor may become a right one.
        ("pri", []),
        ("generate sha", []),
        ("generate shapes { prompt: sha", []),
        ("let y = shap", []),
        ("let y = foo", ["1:9: there is no `foo` here; text is written in quotes; names here: `q8`, `shapes`"]),
        ("prnt 1", ["1:1: `prnt` begins no statement; did you mean `print`?"]),
        ("generate shpes {", ["1:10: there is no `shpes` here; did you mean `shapes`?"]),
        ('generate shapes { prompt: "a", sed: 1, ',
         ["1:32: `generate` with a `StableDiffusionPipeline` has no setting `sed`; did you mean `seed`?"]),
        # In the middle of a value, too, and in a block that isn't closed.
        ('generate shapes { sed: 1, prompt: ',
         ["1:19: `generate` with a `StableDiffusionPipeline` has no setting `sed`; did you mean `seed`?"]),
        ('model m { source: "builtin:shapes", unte {',
         ["1:37: model `m` has no submodule `unte`; did you mean `unet`?"]),
        ('model m { source: "builtin:shapes", unet { quantiser: q8, # my own',
         ["1:44: submodule `unet` has no setting `quantiser`; did you mean `quantizer`?"]),
        ("generate shapes {\n  seed: [,\n", []),
        # Nothing is lacking that may still come.
        ("generate shapes { seed: 1, ", []),
        ("quantizer q { weights_dtype: int8, ", []),
        ("generate shapes { seed: 1 }",
         ["1:1: this `generate` has no `prompt`; write `prompt: ...` in its block"]),
        ("let x = [1,", []),
        ("let x =", []),
        # Commands.
        (":modles", []),
        (":plan generate shapes { sed: 1 ",
         ["1:25: `generate` with a `StableDiffusionPipeline` has no setting `sed`; did you mean `seed`?"]),
        # Of a long loop only the beginning is looked at.
        ('for s in 1..999999 { generate shapes { prompt: "{{ s }}" } }', []),
        ("", []),
    ],
)  # fmt: skip
def test_mistakes_are_told_that_more_text_does_not_mend(session: Session, text: str, told: list[str]) -> None:
    before = session.interpreter.own_names()
    assert [each.text for each in mistakes(text, session)] == told
    assert session.interpreter.own_names() == before and not session.done[2:] and not list(Path().iterdir())


def test_the_place_is_that_of_the_word(session: Session) -> None:
    text = ":plan generate shapes {\n  sedd: 1\n}"
    (found,) = mistakes(text, session)
    assert text[found.start : found.end] == "sedd" and found.text.startswith("2:3: ")


def test_a_word_that_the_cursor_has_left_is_wrong(session: Session) -> None:
    text = "generate sha { prompt: 1 }"
    assert [(each.start, each.end) for each in mistakes(text, session, len("generate sha"))] == []
    assert mistakes(text, session) == [Mistake(9, 12, "1:10: there is no `sha` here; did you mean `shapes`?")]
