"""`--quantizer-help`: the backends that there are, and all their options, without torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aquatint.catalog.backend import Backend, Constraint
from aquatint.catalog.quantizer_backends import backends
from aquatint.catalog.settings import Schema, Setting
from aquatint.interface.cli import main
from aquatint.interface.quantizer_help import NARROWEST, WIDEST, documentation, listing

WIDE = tuple(f"level{number}" for number in range(26))
MADE = Backend(
    name="made",
    aliases=("made_up",),
    help="Made for a test. It quantizes nothing.",
    schema=Schema("made", (
        Setting("bits", "int", "The width.", default=8, choices=(8, 4), aliases=("n_bits",)),
        Setting("quant_level", "str", "How much.", choices=WIDE),
        Setting("other_level", "str", "How much of the others.", default="level1", choices=WIDE),
        Setting("rank", "int", "How many there are, at a length that goes over the end of the line that it is on.",
                default=32, minimum=1, maximum=64),
        Setting("loss", "float", "How much is lost.", minimum=0),
        Setting("fast", "bool", "Whether it is fast.", default=False),
        Setting("skip", "names", "What stays."),
        Setting("by_module", "map", "What is different where."),
        Setting("note", "str", "Any text.", default=""),
    )),
    package="json",
    distribution="made-package",
    install="pip install made-package",
    engine="nowhere",
    label=lambda options: "made",
    constraints=(
        Constraint(("rank",), (("fast", (True,)), ("bits", (4,)))),
        Constraint(("loss",), (("quant_level", WIDE[1:]),), "can't be used"),
        Constraint(("skip",), (("quant_level", WIDE[:13]), ("fast", (True,))), "is a mistake", "take less"),
        Constraint(("note",), (("quant_level", WIDE[:13]), ("fast", (True,)))),
    ),
    check=lambda setting, name, value, where: iter(()),
)  # fmt: skip

DOCUMENTATION = """\
made, also made_up
    Made for a test. It quantizes nothing.

    package made-package, installed

Options of a URI, as in `made;bits=8`. A block of a script has `: ` for `=`; `_`
and `-` are the same in both.

  bits=8 | 4
      default 8; also n-bits
      The width.

  quant-level=NAME
      default none
      How much.
      Names: level0, level1, level2, level3, level4, level5, level6, level7,
      level8, level9, level10, level11, level12, level13, level14, level15,
      level16, level17, level18, level19, level20, level21, level22, level23,
      level24, level25.

  other-level=a value of quant-level
      default level1
      How much of the others.

  rank=N from 1 up to 64
      default 32
      How many there are, at a length that goes over the end of the line that it
      is on.
      Needs fast=true or bits=4; otherwise it has no effect.

  loss=X from 0
      default none
      How much is lost.
      Needs another quant-level than level0; otherwise it can't be used.

  fast=true | false
      default false
      Whether it is fast.

  skip=NAME,NAME,...
      default none
      What stays.
      With some values of quant-level it is a mistake: take less.

  by-module=JSON
      default none
      What is different where.

  note=NAME
      default ""
      Any text.
      Needs a quant-level of its kind or fast=true; otherwise it has no effect.
"""


def test_the_documentation_of_a_backend() -> None:
    assert documentation(MADE, 80) == DOCUMENTATION


@pytest.mark.parametrize("made", backends(), ids=lambda each: each.name)
def test_every_option_is_there_with_its_names_and_its_help(made: Backend) -> None:
    text = documentation(made, 80)
    words = " ".join(text.split())
    entries = dict(re.findall(r"^  ([\w-]+)=(.*(?:\n      .*)*)", text, re.MULTILINE))
    assert list(entries) == [setting.name.replace("_", "-") for setting in made.schema.settings]
    for setting in made.schema.settings:
        entry = " ".join(entries[setting.name.replace("_", "-")].split())
        assert " ".join(setting.help.split()) in entry
        assert all(alias.replace("_", "-") in entry for alias in setting.aliases)
        assert all(re.search(rf"(?<!\w){re.escape(str(choice))}(?!\w)", words) for choice in setting.choices)
    assert " ".join(made.help.split()) in words


@pytest.mark.parametrize("width", [10, NARROWEST, 80, WIDEST, 400])
@pytest.mark.parametrize("made", backends(), ids=lambda each: each.name)
def test_lines_fit(made: Backend, width: int) -> None:
    limit = max(NARROWEST, min(width, WIDEST))
    lines = [*documentation(made, width).splitlines(), *listing(width).splitlines()]
    assert max(map(len, lines)) <= limit
    assert max(map(len, lines)) > limit - 25  # the width is used


def test_the_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main(["--no-stdin", "--quantizer-help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == listing(80)
    assert [line.split()[0].rstrip(",") for line in listing(80).splitlines() if re.match(r"  \w", line)] == [
        each.name for each in backends()
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["--quantizer-help", "bnb", "sdnq"], ["--no-stdin", "--quantizer-help", "bitsandbytes", "sdnq", "bnb"],
        ["--quantizer_help", "bnb", "sdnq"], ["run", "no-such.aqt", "--quantizer-help", "bnb", "sdnq"],
        ["generate", "--quantizer-help", "bnb", "sdnq", "--no-stdin"], ["--quantizer-help=bnb"],
    ],
)  # fmt: skip
def test_where_it_may_stand(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    first, second = (documentation(each, 80) for each in backends()[:2])
    assert capsys.readouterr().out == (first if "=" in words[0] else f"{first}\n\n{second}")


def test_backends_that_there_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--quantizer-help", "bnb", "sdnk", "bitsandbyte"])
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "error[unknown-backend]: there is no quantization backend `sdnk`\n  help: did you mean `sdnq`?\n"
        "error[unknown-backend]: there is no quantization backend `bitsandbyte`\n  help: did you mean `bitsandbytes`?\n"
    )


def test_it_imports_none_of_the_libraries() -> None:
    code = (
        "import sys, json\nfrom aquatint.interface.cli import main\n"
        "try:\n    main(['--quantizer-help', 'bnb', 'sdnq'])\n"
        "finally:\n    print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "diffusers", "transformers", "bitsandbytes", "accelerate", "sdnq", "numpy", "lark", "jinja2"}
    assert heavy & set(json.loads(done.stderr)) == set()


RECORD = """
from aquatint.catalog.backend import Backend
from aquatint.catalog.settings import Schema, Setting
schema = Schema("extra", (Setting("level", "str", "How much.", default="some", choices=("some", "more")),))
good = Backend(name="extra", aliases=(), help="Adds.", schema=schema, package="no_such_library", distribution="Extra",
               install="pip install Extra", engine="nowhere", label=lambda options: options["level"])
"""


def test_backends_of_other_packages(tmp_path: Path) -> None:
    info = tmp_path / "extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aquatint.quantizers]\nextra = extra:good\nworse = extra:missing\n")
    (tmp_path / "extra.py").write_text(RECORD)

    def said(*names: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "aquatint", "--quantizer-help", *names], capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "100"}, check=True,
        ).stdout  # fmt: skip

    lines = said().splitlines()
    assert "  extra                   Adds. Not installed: pip install Extra" in lines
    worse = "  worse                   can't be used: `extra:missing` can't be imported"
    assert any(line.startswith(worse) for line in lines)
    assert said("extra") == (
        "extra\n    Adds.\n\n    package Extra, not installed: pip install Extra\n\n"
        "Options of a URI, as in `extra;level=some`. A block of a script has `: ` for `=`; `_` and `-` are\n"
        "the same in both.\n\n  level=some | more\n      default some\n      How much.\n"
    )
