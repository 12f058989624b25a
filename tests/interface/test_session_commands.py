"""The commands of the interactive session, without a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from aquatint.interface.exits import Refusal
from aquatint.interface.progress import Mode, reporter
from aquatint.interface.repl.commands import answer
from aquatint.interface.session import Session
from aquatint.language.world import World
from aquatint.plan.fingerprints import planned
from aquatint.plan.steps import Generate
from aquatint.runtime.executor import Options
from aquatint.source import Source
from support.fake_engine import FakeEngine

MODEL = 'model m { source: "builtin:shapes", defaults { num_inference_steps: 2, prompt: "a star" } }'


class Still:
    """A clock that stands still."""

    def __call__(self) -> float:
        return 5.0


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Session:
    import io

    monkeypatch.chdir(tmp_path)
    options = Options(output_dir=tmp_path, clock=Still())
    return Session(World(), reporter(Mode.QUIET, io.StringIO(), io.StringIO()), FakeEngine, options, keep=True)


def fed(session: Session, *texts: str) -> None:
    for text in texts:
        outcome = session.feed(Source("<repl>", text))
        assert outcome.plan is not None and not (outcome.finished and outcome.finished.failed), outcome


def refused(session: Session, line: str) -> tuple[str, str | None]:
    with pytest.raises(Refusal) as caught:
        answer(session, line)
    return str(caught.value), caught.value.help


def test_what_is_no_command_is_refused(session: Session) -> None:
    assert refused(session, ":modles") == ("there is no command `:modles`", "did you mean `:models`?")
    assert refused(session, ":drop") == ("this is no `:drop`", "write `:drop MODEL`")
    assert refused(session, ":undo it") == ("this is no `:undo`", "write `:undo`")
    assert refused(session, ":undo") == ("there is nothing to take back", None)
    assert refused(session, ":drop m") == ("there is no model `m`", None)
    assert refused(session, ":time") == ("nothing was run yet", "`:time` tells of the statement before it")


def test_help_has_the_commands_the_blocks_the_backends_and_the_codes(session: Session) -> None:
    assert ":undo              take back the names of the last statement; files stay\n" in answer(session, ":help").text
    assert answer(session, ":help :drop").text == ":drop MODEL\n    release the components of a model\n"
    assert answer(session, ":help grid").text.startswith("settings of grid:\n\n    images\n        Results or images")
    assert "package sdnq" in answer(session, ":help sdnq").text
    assert answer(session, ":help not-a-list").text.startswith("error[not-a-list]: a loop through")


def test_a_plan_is_shown_and_nothing_done(session: Session, tmp_path: Path) -> None:
    fed(session, MODEL)
    line = ':plan generate m { prompt: "a star" }'
    text = answer(session, line).text
    assert text.splitlines()[-1].startswith("1 image, 5 loads (0 quantized), 0 reuses, 0 releases")
    assert answer(session, line).text == text
    assert answer(session, ":models").text == "nothing is loaded\n" and not list(tmp_path.iterdir())
    fed(session, 'generate m { prompt: "a star" }')
    assert [file.name for file in tmp_path.iterdir()][0] in text  # noqa: RUF015


def test_a_model_is_dropped_and_loaded_again(session: Session) -> None:
    fed(session, MODEL, "generate m { seed: 1 }")
    before = answer(session, ":models").text
    assert before.splitlines()[-1].endswith("loaded 0.0 s ago") and len(before.splitlines()) == 5
    assert len(answer(session, ":drop m").text.splitlines()) == 5
    assert answer(session, ":drop m").text == "nothing of `m` is loaded\n"
    assert answer(session, ":memory").text.splitlines()[0] == "components  0 B in 0 components"
    fed(session, "generate m { seed: 2 }")
    assert len(answer(session, ":models").text.splitlines()) == 5


def test_undo_takes_back_names_and_says_that_files_stay(session: Session) -> None:
    fed(session, MODEL, "let x = 1", "let x = 2", "let r = generate m { seed: 1 }")
    assert answer(session, ":undo").text == (
        "took back `let r = generate m { seed: 1 }`\nthe files that it wrote stay\n"
    )
    assert answer(session, ":names").text == "m\nx\n"
    assert answer(session, ":undo").text == "took back `let x = 2`\n"
    assert session.interpreter.find("x") == 1


def test_a_statement_that_fails_binds_nothing(session: Session, tmp_path: Path) -> None:
    fed(session, MODEL)
    (tmp_path / "taken").write_text("a file where a folder is wanted")
    outcome = session.feed(Source("<repl>", 'let r = generate m { seed: 1, output: "taken/a.png" }'))
    assert outcome.finished is not None and outcome.finished.failed == 1
    assert session.interpreter.own_names() == ["m"] and len(session.done) == 1


def test_a_saved_session_makes_the_same_files(session: Session, tmp_path: Path) -> None:
    fed(
        session, 'model m { source: "builtin:shapes" }', MODEL,
        'let r = generate m { prompt: "a star", images: 2 }', "let wrong = 3",
        'for s in 1..2 { generate m { prompt: "a circle", seed: s } }', 'grid { output: "all.png" }',
    )  # fmt: skip
    wanted = {file.path: file.fingerprint for each in session.done for file in planned(each.plan)}
    seed = session.done[2].plan.steps[-1].outputs[0].seed  # type: ignore[union-attr]
    assert answer(session, ":save s.aqt").text == "wrote s.aqt: 5 texts, 5 files\n"
    script = (tmp_path / "s.aqt").read_text()
    assert script == (
        f'{MODEL}\nlet r = generate m {{ seed: {seed}, prompt: "a star", images: 2 }}\nlet wrong = 3\n'
        'for s in 1..2 { generate m { prompt: "a circle", seed: s } }\ngrid { output: "all.png" }\n'
    )
    again = Session(World(), session.reporter, FakeEngine, session.options).check(Source("s.aqt", script))
    assert again.plan is not None
    made = {file.path: file.fingerprint for file in planned(again.plan)}
    assert made.keys() == wanted.keys() and all(made[path] == wanted[path] for path in wanted if path != "all.png")
    assert refused(session, ":save s.aqt") == (
        "can't write `s.aqt`: file exists",
        "nothing that is there is written over: give another name, or remove the file first",
    )


def test_a_session_that_no_script_repeats_is_refused(session: Session) -> None:
    fed(session, MODEL, 'for p in ["a", "b"] { generate m { prompt: p, output: "{{ p }}.png" } }')
    message, help = refused(session, ":save s.aqt")
    assert message.startswith("a script would make another `a.png`") and help == "give the statement a `seed`"


def test_settings_are_listed_and_hold_from_then_on(session: Session, tmp_path: Path) -> None:
    listed = answer(session, ":set").text
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["preview", "off"], ["columns", "40"], ["pictures", "4"], ["plan_seed", "0"], ["memory", "any"],
        ["existing", "number"],
    ]  # fmt: skip
    fed(session, MODEL, 'generate m { output: "a.png" }')
    assert answer(session, ":set plan-seed 7").text == (
        "plan_seed  7  what seeds are drawn with: a whole number that isn't negative\n"
    )
    answer(session, ":set existing overwrite")
    answer(session, ":set memory = 1GiB")
    fed(session, 'generate m { output: "a.png" }')
    drawn = [step.outputs[0].seed for each in session.done for step in each.plan.steps if isinstance(step, Generate)]
    assert drawn[0] != drawn[1] and [file.name for file in tmp_path.iterdir()] == ["a.png"]
    assert session.world.memory is not None and session.world.memory.limit == 1 << 30
    assert session.options.room == (1 << 30) - session.world.memory.program
    answer(session, ":set memory any")
    assert session.world.memory is None and session.options.room is None


def test_a_setting_that_is_none_or_a_value_that_it_cannot_have_is_refused(session: Session) -> None:
    assert refused(session, ":set exsting skip") == ("there is no setting `exsting`", "did you mean `existing`?")
    assert refused(session, ":set plan_seed -1") == (
        "`plan_seed` can't be `-1`", "it is a whole number that isn't negative",
    )  # fmt: skip
    assert refused(session, ":set preview ascii") == (
        "`preview` can't be `ascii`", "it is auto, kitty, iterm2, sixel, blocks or off",
    )  # fmt: skip
    assert refused(session, ":set memory much")[0] == "`memory` can't be `much`"
