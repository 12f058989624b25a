"""What the pages show of runs is what runs write, but for what they measure. `pytest --update-cases` writes it anew."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from support.cases import read_cases

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "running.md", ROOT / "docs" / "tour.md"]

_RUN = re.compile(r"^```console\n\$ aquatint (run (?P<script>\w+\.aqt).*)\n(?P<shown>(?:.*\n)+?)```$", re.MULTILINE)
# What was measured: times, and the memory of the process.
_TIME = re.compile(r"\d+\.\d s\b|\d+\.\d [KMG]iB (?=of the process.* measured$)", re.MULTILINE)
_PARAMETERS = re.compile(r"(?:^    (?!\$).*\n)+(?<=aquatint \d\.\d\.\d\n)", re.MULTILINE)


def found_runs() -> list[tuple[Path, str, str, str]]:
    """Return page, command, script and output of every run that the pages show."""
    return [
        (page, *found.group(1, "script", "shown"))
        for page in PAGES
        for found in _RUN.finditer(page.read_text(encoding="utf-8"))
    ]


def scripts(page: Path) -> dict[str, str]:
    """Return the scripts of a page that have a name of their own, by name."""
    return {case.options.name: case.script.text for case in read_cases(page) if "--name" in case.script.info}


def aquatint(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command", "script", "shown"), found_runs())
def test_a_run_writes_what_the_page_shows(
    tmp_path: Path, page: Path, command: str, script: str, shown: str, update_cases: bool
) -> None:
    (tmp_path / script).write_text(scripts(page)[script], encoding="utf-8")
    (tmp_path / "blocked").touch()
    arguments = shlex.split(command)
    if "--resume" in arguments:
        aquatint(tmp_path, "run", "--quiet", script)
    written = aquatint(tmp_path, *arguments)
    if update_cases and _TIME.sub("T", written) != _TIME.sub("T", shown):
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(f"$ aquatint {command}\n{shown}", f"$ aquatint {command}\n{written}"), "utf-8")
    else:
        assert _TIME.sub("T", written) == _TIME.sub("T", shown)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "script"), [(PAGES[0], "circle.aqt"), (PAGES[1], "two.aqt")])
def test_a_picture_says_what_the_page_shows(tmp_path: Path, page: Path, script: str, update_cases: bool) -> None:
    (tmp_path / script).write_text(scripts(page)[script], encoding="utf-8")
    aquatint(tmp_path, "run", "--quiet", script)
    (picture,) = tmp_path.rglob("*.png")
    with Image.open(picture) as image:
        said = "".join(f"    {line}\n" for line in image.info["parameters"].split("\n"))
    text = page.read_text(encoding="utf-8")
    (shown,) = _PARAMETERS.findall(text)
    if update_cases:
        page.write_text(text.replace(shown, said), encoding="utf-8")
    else:
        assert said == shown
