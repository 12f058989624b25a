"""Settings that hold for every test, and the order in which the tests run: cheap ones first."""

import os
from pathlib import Path

# Before anything imports torch or huggingface_hub, which read these once. Two OpenMP threads on a busy machine of two
# cores spend their time waiting for each other; and no test may depend on a hub or on what is in somebody's cache.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
# What one test has quantized is not to come to another from a store; the tests of the store have their own.
os.environ["AQUATINT_STORE"] = "off"
os.environ["AQUATINT_DOWNLOADS"] = str(Path(__file__).parent / "no-such-downloads")
os.environ["HF_HUB_CACHE"] = str(Path(__file__).parent / "no-such-hub-cache")

import pytest

from support import folders

# These import torch: a mistake in the language shows before they start.
LATE_FOLDERS = ("engine", "interface", "shapes")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let cases be written anew."""
    parser.addoption("--update-cases", action="store_true", help="write what the cases expect anew, from what is")


@pytest.fixture(scope="session")
def update_cases(pytestconfig: pytest.Config) -> bool:
    """Whether cases are to be written anew."""
    return bool(pytestconfig.getoption("--update-cases"))


@pytest.fixture(scope="session")
def _models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planning")
    folders.write_models(folder / "models")
    folders.write_hub(folder / "hub")
    return folder


@pytest.fixture
def models(_models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, for planning: it has the checkpoints of `support.folders` in `models`, and a hub's cache."""
    from huggingface_hub import constants

    monkeypatch.chdir(_models_folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(_models_folder / "hub"))
    return _models_folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that load models after those that don't, and slow ones last."""
    here = Path(__file__).parent

    def lateness(item: pytest.Item) -> int:
        folder = item.path.relative_to(here).parts[0] if item.path.is_relative_to(here) else ""
        return 2 if item.get_closest_marker("slow") else int(folder in LATE_FOLDERS)

    items.sort(key=lateness)
