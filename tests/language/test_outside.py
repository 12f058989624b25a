"""What scripts read: limits, files that are none, inputs of the plan, and what is looked at once or not at all."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aquatint.language import formats, outside
from aquatint.language.disk import Entry
from aquatint.language.evaluate import Evaluation, Interpreter
from aquatint.language.world import Files, Hardware, World
from aquatint.plan.steps import Print, plan_from_json, plan_to_json
from aquatint.source import Source
from aquatint.syntax.parser import parse
from support import cases


@dataclass(frozen=True)
class Watched(cases.Shelf):
    """A shelf that says what was asked of it."""

    asked: list[str] = field(default_factory=list)

    def read(self, path: str, limit: int) -> bytes:
        self.asked.append(path)
        return super().read(path, limit)

    def entries(self, folder: str, limit: int) -> list[Entry]:
        self.asked.append(f"{folder}/")
        return super().entries(folder, limit)


def evaluated(text: str, files: Mapping[str, str | bytes] | Files | None = None, **world: object) -> Evaluation:
    parsed = parse(Source("script.aqt", text))
    found = cases.Shelf(files or {}) if files is None or isinstance(files, Mapping) else files
    made = World(**{"files": found, "environment": {}, **world})  # type: ignore[arg-type]
    return Interpreter(made).evaluate(parsed.script, parsed.diagnostics)


def printed(evaluation: Evaluation) -> str:
    assert evaluation.plan is not None, cases.errors(evaluation)
    return "\n".join(step.text for step in evaluation.plan.steps if isinstance(step, Print))


def inputs(evaluation: Evaluation) -> dict[str, str]:
    assert evaluation.plan is not None, cases.errors(evaluation)
    return {name: value for name, value in evaluation.plan.inputs.items() if name != "script"}


def reason(evaluation: Evaluation) -> str:
    """Return the code and the message of the one mistake that there is."""
    [item] = evaluation.diagnostics
    return f"{item.code}: {item.message}"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_what_was_seen_is_an_input_of_the_plan() -> None:
    script = """
        print read_text("a/b.txt"), glob("a/*"), env("SET"), env("UNSET", ""), device.name
        print read_text("a/./b.txt")
    """
    made = evaluated(
        script, {"a/b.txt": "x", "a/c.txt": "y"}, environment={"SET": "1", "OTHER": "2"},
        hardware=lambda device: Hardware("thing", 5),
    )  # fmt: skip
    assert inputs(made) == {
        "file a/b.txt": sha("x"), "glob a/*": sha("a/b.txt\na/c.txt\n"), "env SET": "1", "env UNSET is not set": "",
        "device.name": "thing", "device.memory": "5",
    }  # fmt: skip
    assert made.plan is not None
    assert plan_from_json(plan_to_json(made.plan)) == made.plan


def test_what_is_not_used_is_not_looked_at() -> None:
    def fail(device: str) -> Hardware:
        raise AssertionError(device)

    assert inputs(evaluated('if false { print device.name, read_text("a"), env("A") }', hardware=fail)) == {}


def test_a_file_is_read_once() -> None:
    files = Watched({"a.json": "[1, 2]"})
    script = 'for i in 1..9 { print read_json("a.json"), read_text("./a.json"), read_yaml("a.json"), glob("*.json") }'
    assert evaluated(script, files=files).plan is not None
    assert files.asked == ["a.json", "/"]


def test_paths_are_ordinary_strings_in_a_plan() -> None:
    script = """
        model m { source: path("builtin:shapes"), defaults { prompt: path("a", "cat") } }
        generate m { seed: 1, output: path("out", "a.png"), negative_prompt: path("x") }
    """
    made = evaluated(script)
    assert made.plan is not None, cases.errors(made)
    assert plan_from_json(plan_to_json(made.plan)) == made.plan


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "pipe", "folder", "loop", "nothing", "secret", "n" * 300])
def test_what_is_no_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    reasons = {
        "/dev/zero": "unreadable-file: can't read `/dev/zero`: it is a device or a pipe, not a file",
        "/dev/null": "unreadable-file: can't read `/dev/null`: it is a device or a pipe, not a file",
        "pipe": "unreadable-file: can't read `pipe`: it is a device or a pipe, not a file",
        "folder": "unreadable-file: can't read `folder`: it is a folder",
        "loop": "unreadable-file: can't read `loop`: too many levels of symbolic links",
        "nothing": "missing-file: can't read `nothing`: no such file or directory",
        "secret": "unreadable-file: can't read `secret`: permission denied",
        "n" * 300: f"unreadable-file: can't read `{'n' * 300}`: file name too long",
    }
    if name == "secret" and os.geteuid() == 0:
        pytest.skip("root may read anything")
    parsed = parse(Source(str(tmp_path / "script.aqt"), f'print read_text("{name}")'))
    made = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert reason(made).replace(f"{tmp_path}/", "") == reasons[name]


def test_links_to_files_are_read_and_loops_of_folders_are_not_walked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("text")
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "link.txt").symlink_to("x.txt")
    os.mkfifo(tmp_path / "a" / "pipe.txt")
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("a name that is not text")
    script = 'print glob("**/*.txt"), read_text("a/link.txt"), glob("a/*/"), glob("a/up/*/x.txt")'
    parsed = parse(Source(str(tmp_path / "script.aqt"), script))
    made = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert printed(made) == '["a/link.txt", "a/x.txt"] text ["a/up"] ["a/up/a/x.txt"]'


def test_a_null_in_a_name() -> None:
    assert reason(evaluated('print read_text("a\\u{0}b")', files=World().files)).startswith(
        "unreadable-file: can't read"
    )


def test_limits_of_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "FILE_LIMIT", 1 << 20)
    monkeypatch.setattr(outside, "TOTAL_LIMIT", 3 << 20)
    monkeypatch.setattr(outside, "ENTRY_LIMIT", 3)
    files = {f"{number}.txt": "x" * 1_000_000 for number in range(5)} | {"large.txt": "x" * 2_000_000}
    assert (
        reason(evaluated('print len(read_text("large.txt"))', files)) == "too-large: `large.txt` is larger than 1 MiB"
    )
    assert printed(evaluated('print len(read_text("1.txt"))', files)) == "1000000"
    total = 'for i in 0..4 { print len(read_text("{{ i }}.txt")) }'
    assert reason(evaluated(total, files)) == "too-large: the script reads more than 3 MiB of files"
    assert reason(evaluated('print glob("*")', files)) == "too-large: the script's patterns look at more than 3 names"


HUNGRY = {
    "deep.json": "[" * 100_000,
    "deep-whole.json": "[" * 500 + "]" * 500,
    "deep.yaml": "[" * 100_000,
    "deep-block.yaml": "- " * 10_000 + "a",
    "wide.json": "[" + "0," * 1_000_001 + "0]",
    "wide-maps.json": "[" + "{}," * 1_000_001 + "0]",
    "digits.json": "9" * 5000,
    "digits.yaml": "9" * 5000,
    "large.yaml": "x" * (formats.YAML_LIMIT + 1),
    # Each of nine lists holds the one before it nine times.
    "laughs.yaml": "a0: &a0 [0, 0]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
    "wide.csv": "a,b\n" + "1,2\n" * 600_000,
    "field.csv": "a\n" + "x" * 200_000,
    "long.txt": "x" * 1_000_001,
}


@pytest.mark.parametrize("name", HUNGRY)
def test_a_hungry_file_is_refused(name: str) -> None:
    function = f"read_{name.rpartition('.')[2].replace('txt', 'text')}"
    made = evaluated(f'let x = {function}("{name}")\nprint len(x)', HUNGRY)
    assert made.plan is None
    assert {item.code for item in made.diagnostics} <= {"too-large", "malformed-file"}, cases.errors(made)


def test_bytes_that_are_no_text() -> None:
    made = evaluated('print read_lines("a.txt")', {"a.txt": b"\xef\xbb\xbfone\ntw\xffo\n"})
    assert (
        cases.errors(made)
        == """\
error[not-utf-8]: `a.txt` is not text in UTF-8
 --> script.aqt:1:18
  |
1 | print read_lines("a.txt")
  |                  ^^^^^^^
 ::: a.txt:2:3
  |
2 | tw\N{REPLACEMENT CHARACTER}o
  |   ^ here
"""
    )


def test_a_long_line_is_not_shown() -> None:
    made = evaluated('print read_json("a.json")', {"a.json": "[" + "1, " * 5000 + "x]"})
    assert reason(made) == (
        "malformed-file: can't make a value of `a.json`: a value is missing here (line 1, column 15002)"
    )


def test_ends_of_lines_and_marks_are_no_content() -> None:
    files = {"a.txt": b"\xef\xbb\xbfone\r\ntwo\rthree\x0bfour\n", "b.txt": "", "c.json": b"\xef\xbb\xbf[1]"}
    made = evaluated('print read_lines("a.txt"), read_lines("b.txt"), read_json("c.json")', files)
    assert printed(made) == '["one", "two", "three\x0bfour"] [] [1]'


def test_a_variable_that_is_no_text() -> None:
    made = evaluated('print env("A")', environment={"A": "\udcff"})
    assert reason(made) == "not-utf-8: the variable `A` of the environment is not text in UTF-8"
