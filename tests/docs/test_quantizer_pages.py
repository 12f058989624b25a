"""The tables of number types in the page about sdnq are those that `scripts/make_quantizer_docs.py` makes."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_quantizer_docs", ROOT / "scripts" / "make_quantizer_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    made = script()
    page = made.PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- made: ") == 2
    assert made.updated(page) == page, "run scripts/make_quantizer_docs.py"
