"""What the pages show of commands is what these write, and a page where it isn't fails the build."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("command_output", DOCS / "_ext" / "command_output.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["command_output"] = module
    spec.loader.exec_module(module)
    return module


command_output = loaded()
# Pages that show runs draw pictures.
PAGES = [
    pytest.param(page, marks=pytest.mark.slow) if "@COMMAND_OUTPUT[aquatint run " in page.read_text("utf-8") else page
    for page in command_output.pages_with_commands(DOCS)
]

SHOWN = """\
# A page

```aquatint --name one.aqt
print 1 + 1
```

<!-- @COMMAND_OUTPUT[aquatint check one.aqt] -->
```console
$ aquatint check one.aqt
one.aqt: no mistakes found
```

That was all.
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_a_page_shows_what_its_commands_write(page: Path) -> None:
    done = command_output.filled(page.read_text(encoding="utf-8"))
    assert done.failures == ()
    assert done.stale == (), "make docs-update"


def test_the_codes_that_the_guide_explains_are_those_of_the_program() -> None:
    page = (DOCS / "quantization" / "wrong-input.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.partition("## The codes")[2].splitlines() if line.startswith("| `")]
    explained = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    program = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    assert len(explained) > 10
    assert {code for code in explained if f'"{code}"' not in program} == set()


def test_a_page_that_is_right_stays_as_it_is() -> None:
    assert command_output.filled(SHOWN) == command_output.Filled(SHOWN, (), ())


@pytest.mark.parametrize(
    "line", ["<!-- @COMMAND_OUTPUT[aquatint check one.aqt] -->", "@COMMAND_OUTPUT[aquatint check one.aqt]"]
)
def test_a_line_without_output_gets_it(line: str) -> None:
    before, _, after = SHOWN.partition("<!-- @COMMAND_OUTPUT[aquatint check one.aqt] -->\n")
    shown, _, after = after.partition("```\n")
    done = command_output.filled(f"{before}{line}\n{after}")
    assert done.text == f"{before}{line}\n{shown}```\n{after}"
    assert done.stale == ("`aquatint check one.aqt` writes something else than the page shows",)
    assert done.failures == ()


def test_readers_do_not_see_the_line() -> None:
    line = "@COMMAND_OUTPUT[aquatint check one.aqt]\n"
    assert command_output.without_directives(SHOWN) == SHOWN.replace(f"<!-- {line[:-1]} -->\n", "")
    assert command_output.without_directives(f"a\n\n{line}") == "a\n\n"


def test_a_line_in_a_block_is_an_example() -> None:
    page = f"~~~markdown\n{SHOWN}~~~\n"
    assert not command_output.has_commands(page)
    assert command_output.without_directives(page) == page


def test_output_that_has_changed_is_stale() -> None:
    old = SHOWN.replace("no mistakes found", "all is well")
    done = command_output.filled(old)
    assert done.stale == ("`aquatint check one.aqt` writes something else than the page shows",)
    assert done.text == SHOWN


def test_times_may_differ() -> None:
    page = SHOWN.replace("print 1 + 1", 'print "2.7 s"').replace("aquatint check", "aquatint run")
    page = page.replace("one.aqt: no mistakes found", "1.4 s")
    assert command_output.filled(page) == command_output.Filled(page, (), ())


@pytest.mark.parametrize(
    ("command", "exits", "failure"),
    [
        ("aquatint check two.aqt", "", "ended with exit code 2 instead of 0"),
        ("aquatint check one.aqt", " exits 2", "ended with exit code 0 instead of 2"),
        ("aquatint check one.aqt && true", "", "ended with exit code 2 instead of 0"),
        ("cat one.aqt", "", "only aquatint is run here"),
    ],
)
def test_a_command_that_fails_is_one_failure_and_changes_nothing(command: str, exits: str, failure: str) -> None:
    page = SHOWN.replace("[aquatint check one.aqt]", f"[{command}]{exits}")
    done = command_output.filled(page)
    assert len(done.failures) == 1
    assert done.failures[0].startswith(f"`{command}`")
    assert failure in done.failures[0]
    assert done.text == page


def test_an_exit_code_may_be_asked_for() -> None:
    done = command_output.filled("<!-- @COMMAND_OUTPUT[aquatint check none.aqt] exits 2 -->\n")
    assert done.failures == ()
    assert "$ aquatint check none.aqt\nerror[missing-file]: " in done.text


def test_the_folder_of_a_page_does_not_show() -> None:
    page = SHOWN.replace("print 1 + 1", 'model m { source: "~/twoo.aqt" }')
    page = page.replace("--name one.aqt", "--name two.aqt").replace("check one.aqt] -->", "check two.aqt] exits 2 -->")
    assert "there are no folders in `~` here" in command_output.filled(page).text


def test_a_long_command_is_broken_before_its_options() -> None:
    command = "aquatint check --set " + "a" * 60 + "=1 --set " + "b" * 60 + "=2 one.aqt"
    (shown,) = command_output.filled(f"<!-- @COMMAND_OUTPUT[{command}] exits 2 -->\n").text.split("```console\n")[1:]
    first, second, *_ = shown.splitlines()
    assert first == "$ aquatint check --set " + "a" * 60 + "=1 \\"
    assert second == "    --set " + "b" * 60 + "=2 one.aqt"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [("", "", 0), ("no mistakes found", "all is well", 1), ("check one.aqt]", "check two.aqt]", 1)],
    ids=["right", "stale", "failing"],
)
def test_the_build_fails_with_its_pages(tmp_path: Path, old: str, new: str, code: int) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.md").write_text(SHOWN.replace(old, new), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", str(DOCS), "pages", "built"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert ("index.md: WARNING: `aquatint check" in done.stderr) == bool(code)
    if not code:
        built = (tmp_path / "built" / "index.html").read_text(encoding="utf-8")
        assert "one.aqt: no mistakes found" in built
        assert "COMMAND_OUTPUT" not in built
