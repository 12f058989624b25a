"""Rules about the repository itself: what files may say, what is in the wheel, what an import costs."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import aquatint

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "aquatint"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# In pieces, so that this file doesn't hold what it looks for.
FOREIGN = re.compile(
    "|".join(
        [
            r"/(?:root|home)" r"/\w",
            r"/work" r"/(?:main|shared|\.)",
            r"/opt" r"/(?:wheels|pypi)",
            r"pypi" r"\.org",
            r"python" r"hosted\.org",
            r"registry\." r"npmjs",
            r"(?:deb|security)\." r"debian\.org",
        ]
    )
)


def tracked() -> list[Path]:
    """Return the files that git tracks or would add."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [file for name in done.stdout.split("\0") if name and (file := ROOT / name).is_file()]


def python_files() -> list[Path]:
    """Return the Python files of the package and of what stands beside it."""
    return [file for file in tracked() if file.suffix == ".py"]


def test_no_file_names_a_place_on_one_machine_or_a_package_registry() -> None:
    found = []
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{file.relative_to(ROOT)}: {match[0]}" for match in FOREIGN.finditer(text)]
    assert not found


def test_every_module_says_what_it_holds() -> None:
    silent = [
        str(file.relative_to(ROOT))
        for file in python_files()
        if (text := file.read_text(encoding="utf-8")).strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert not silent


def test_test_folders_have_no_init_file() -> None:
    # tests/ is on the path: a package tests/shapes would stand in the way of training/shapes.
    packages = {file.relative_to(ROOT / "tests").parts[0] for file in (ROOT / "tests").rglob("__init__.py")}
    assert packages <= {"support"}


@pytest.mark.parametrize("module", ["aquatint", "aquatint.interface.cli"])
def test_importing_is_light(module: str) -> None:
    heavy = ["torch", "diffusers", "transformers", "bitsandbytes", "accelerate", "sdnq", "numpy", "lark", "jinja2"]
    code = f"import sys, {module}; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_contributors_guide_has_every_package() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    packages = [folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()]
    assert [name for name in packages if f"`{name}/`" not in guide] == []


def test_every_dependency_has_its_licence_in_the_docs() -> None:
    extras = PROJECT["optional-dependencies"]
    required = [*PROJECT["dependencies"], *extras["sdnq"], *extras["repl"]]
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    names = [re.match(r"[\w-]+", line)[0] for line in required]  # type: ignore[index]
    assert [name for name in names if f"| {name} |" not in page] == []


def test_every_dependency_is_pinned_for_the_tests() -> None:
    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    pins = {normal(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    required = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    names = [normal(re.match(r"[\w-]+", line)[0]) for line in required]  # type: ignore[index]
    assert [name for name in names if name not in pins] == []


def test_the_page_for_man_is_that_of_this_program() -> None:
    # In a process of its own, where nothing else has changed the command line's parsers or the width of the terminal.
    code = (
        "import runpy; made = runpy.run_path('scripts/make_man_page.py'); "
        "print(made['PAGE'].read_text(encoding='utf-8') == made['man_page']())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "True\n", f"run `make docs-update`\n{done.stderr}"


def test_the_changelog_has_this_version() -> None:
    assert f"## {aquatint.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_wheel_holds_the_program_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    inside = {name.removeprefix("aquatint/") for name in names if name.startswith("aquatint/")}
    shared = f"aquatint-{aquatint.__version__}.data"
    assert {name.partition("/")[0] for name in names} == {"aquatint", shared, f"{shared[:-5]}.dist-info"}
    assert [name for name in names if name.startswith(shared)] == [f"{shared}/data/share/man/man1/aquatint.1"]
    assert {"py.typed", "grammar/aquatint.lark", "catalog/data/pipelines.json"} <= inside
    shipped = [file for file in tracked() if file.is_relative_to(PACKAGE)]
    assert {file.relative_to(PACKAGE).as_posix() for file in shipped} <= inside
    assert "checkpoints/shapes/model_index.json" in inside
    # Pygments finds the language in what is installed, not in this checkout.
    code = (
        "from pygments.lexers import get_lexer_by_name, get_lexer_for_filename as named; import inspect; "
        "kinds = {type(get_lexer_by_name('aquatint')), type(named('x.aqt'))}; print(*map(inspect.getfile, kinds))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "installed" / "aquatint" / "interface" / "lexer.py")], done.stderr
    # So does the program its own plugins, which in a checkout it reads from `pyproject.toml`.
    code = (
        "from aquatint.catalog.prompt_plugins import prompt_plugins as plugins; from aquatint.catalog import "
        "quantizer_backends as q; print(q.__file__, *(each.name for each in (*q.backends(), *plugins('upscaler'), "
        "*plugins('weighter'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    file = tmp_path / "installed" / "aquatint" / "catalog" / "quantizer_backends.py"
    assert done.stdout.split() == [str(file), "bnb", "sdnq", "magicprompt", "a1111", "compel", "llm4gen"], done.stderr
