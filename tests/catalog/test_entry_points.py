"""Backends and prompt plugins are found by entry points: this program's own, those of other packages, and those that
can't be used.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from aquatint.catalog.prompt_plugins import GROUPS, KINDS, prompt_plugins
from aquatint.catalog.quantizer_backends import GROUP, backends

ROOT = Path(__file__).parents[2]

RECORD = """
from aquatint.catalog.backend import Backend
from aquatint.catalog.settings import Schema, Setting
schema = Schema("extra", (Setting("level", "str", "How much.", default="some", choices=("some", "more")),))
def made(name="extra", aliases=()):
    return Backend(name=name, aliases=aliases, help="Adds.", schema=schema, package="{package}", distribution="Extra",
                   install="pip install Extra", engine="nowhere", label=lambda options: options["level"])
good, other, alias, bnb = made(), made("other"), made(aliases=("sdnq",)), made("bnb")
"""

WEIGHTER = """
from aquatint.catalog.prompt_plugins import PromptPlugin
from aquatint.catalog.settings import Schema
a1111 = PromptPlugin("weighter", "a1111", "Weights.", Schema("a1111", ()))
blend = PromptPlugin("weighter", "blend", "Blends.", Schema("blend", ()))
"""


def package(folder: Path, name: str, points: str) -> None:
    """Install a package called `name` that has the entry points `points`, of which nothing else is there."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


def checked(folder: Path, script: str) -> str:
    """Return what `aquatint check` says of `script` where what is in `folder` is installed."""
    (folder / "s.aqt").write_text(script)
    path = os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", "check", "s.aqt"], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    return done.stdout + done.stderr


def planned(folder: Path, entry: str, script: str, package_name: str = "json") -> str:
    """Return what `aquatint check` says of `script` where a package with `entry` is installed in `folder`."""
    package(folder, "extra", f"[aquatint.quantizers]\n{entry}\n")
    (folder / "extra.py").write_text(RECORD.replace("{package}", package_name))
    (folder / "broken.py").write_text("import no_such_module\n")
    return checked(folder, script)


def test_the_programs_own_are_what_it_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    found = {GROUP: [each.name for each in backends()]}
    found |= {GROUPS[kind]: [each.name for each in prompt_plugins(kind)] for kind in KINDS}
    assert found == {group: sorted(declared[group]) for group in found}


@pytest.mark.parametrize(
    ("points", "script", "said"),
    [
        (
            {"extra": "[aquatint.quantizers]\nbnb = extra:bnb\n"}, "quantizer q { backend: bnb }",
            "error[unknown-backend]: the quantization backend `bnb` can't be used: 2 packages claim that name: "
            "`aquatint.catalog.bnb:BNB` of aquatint, `extra:bnb` of extra 1.0",
        ),
        (
            {"mine": "[aquatint.weighters]\na1111 = weights:a1111\n"}, "weighter w { plugin: a1111 }",
            "error[unknown-plugin]: the weighter plugin `a1111` can't be used: 2 packages claim that name: "
            "`aquatint.catalog.a1111:A1111` of aquatint, `weights:a1111` of mine 1.0",
        ),
        (
            {name: "[aquatint.weighters]\nblend = weights:blend\n" for name in ("mine", "yours", "theirs")},
            'model m { source: "builtin:shapes" }\ngenerate m { prompt: "a", seed: 1, weighter: "blend" }',
            "error[unknown-plugin]: the weighter plugin `blend` can't be used: 3 packages claim that name: "
            "`weights:blend` of mine 1.0, `weights:blend` of theirs 1.0, `weights:blend` of yours 1.0",
        ),
    ],
)  # fmt: skip
def test_a_name_that_two_packages_claim_is_neithers(
    tmp_path: Path, points: dict[str, str], script: str, said: str
) -> None:
    for name, written in points.items():
        package(tmp_path, name, written)
    (tmp_path / "extra.py").write_text(RECORD.replace("{package}", "json"))
    (tmp_path / "weights.py").write_text(WEIGHTER)
    lines = checked(tmp_path, script).splitlines()
    assert (lines[0], lines[-3]) == (said, "  = help: uninstall all but one of them")
    # Other names of the same group are as they were.
    assert checked(tmp_path, "quantizer q { backend: sdnq }\nweighter w { plugin: compel }") == (
        "s.aqt: no mistakes found\n"
    )


def test_one_that_is_sound_is_known_by_its_name_and_its_choices(tmp_path: Path) -> None:
    script = (
        'quantizer q { backend: extra, level: more }\nassert [q.label, q.uri] == ["extra more", "extra;level=more"]'
    )
    assert planned(tmp_path, "extra = extra:good", script) == "s.aqt: no mistakes found\n"


def test_one_whose_library_is_missing_says_how_to_install_it(tmp_path: Path) -> None:
    said = planned(tmp_path, "extra = extra:good", "quantizer q { backend: extra }", package_name="no_such_library")
    assert said == (
        "error[backend-not-installed]: the quantization backend `extra` needs `Extra`, which is not installed\n"
        " --> s.aqt:1:24\n"
        "  |\n"
        "1 | quantizer q { backend: extra }\n"
        "  |                        ^^^^^\n"
        "  = help: install it: `pip install Extra`\n\n"
        "1 error; nothing was loaded or written\n"
    )


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("extra = broken:good", "`broken:good` can't be imported: No module named 'no_such_module'"),
        ("extra = extra:schema", "`extra:schema` is a Schema and no `aquatint.catalog.backend.Backend`"),
        ("extra = extra:other", "`extra:other` calls itself `other`"),
        ("extra = extra:alias", "`extra:alias` takes the name `sdnq`, which another quantization backend has"),
    ],
)
def test_one_that_is_not_says_why_where_it_is_asked_for(tmp_path: Path, entry: str, reason: str) -> None:
    said = planned(tmp_path, entry, 'quantizer q { backend: "extra" }')
    assert said.splitlines()[0] == f"error[unknown-backend]: the quantization backend `extra` can't be used: {reason}"


def test_one_that_is_not_keeps_nothing_else_from_working(tmp_path: Path) -> None:
    said = planned(tmp_path, "extra = broken:good", "quantizer q { backend: sdnq }")
    assert said == "s.aqt: no mistakes found\n"
