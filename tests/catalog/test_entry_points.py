"""Backends that other packages bring by an entry point, and those that can't be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RECORD = """
from aquatint.catalog.backend import Backend
from aquatint.catalog.settings import Schema, Setting
schema = Schema("extra", (Setting("level", "str", "How much.", default="some", choices=("some", "more")),))
def made(name="extra", aliases=()):
    return Backend(name=name, aliases=aliases, help="Adds.", schema=schema, package="{package}", distribution="Extra",
                   install="pip install Extra", engine="nowhere", label=lambda options: options["level"])
good, other, alias = made(), made("other"), made(aliases=("sdnq",))
"""


def planned(folder: Path, entry: str, script: str, package: str = "json") -> str:
    """Return what `aquatint check` says of `script` where a package with `entry` is installed in `folder`."""
    info = folder / "extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[aquatint.quantizers]\n{entry}\n")
    (folder / "extra.py").write_text(RECORD.replace("{package}", package))
    (folder / "broken.py").write_text("import no_such_module\n")
    (folder / "s.aqt").write_text(script)
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", "check", "s.aqt"], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    return done.stdout + done.stderr


def test_one_that_is_sound_is_known_by_its_name_and_its_choices(tmp_path: Path) -> None:
    script = (
        'quantizer q { backend: extra, level: more }\nassert [q.label, q.uri] == ["extra more", "extra;level=more"]'
    )
    assert planned(tmp_path, "extra = extra:good", script) == "s.aqt: no mistakes found\n"


def test_one_whose_library_is_missing_says_how_to_install_it(tmp_path: Path) -> None:
    said = planned(tmp_path, "extra = extra:good", "quantizer q { backend: extra }", package="no_such_library")
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
        ("extra = extra:alias", "`extra:alias` takes the name `sdnq`, which another backend has"),
    ],
)
def test_one_that_is_not_says_why_where_it_is_asked_for(tmp_path: Path, entry: str, reason: str) -> None:
    said = planned(tmp_path, entry, 'quantizer q { backend: "extra" }')
    assert said.splitlines()[0] == f"error[unknown-backend]: the quantization backend `extra` can't be used: {reason}"


def test_one_that_is_not_keeps_nothing_else_from_working(tmp_path: Path) -> None:
    said = planned(tmp_path, "extra = broken:good", "quantizer q { backend: sdnq }")
    assert said == "s.aqt: no mistakes found\n"
