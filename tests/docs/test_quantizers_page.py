"""The tables of `docs/quantizers.md` are those that `scripts/make_quantizer_docs.py` makes of the schemas."""

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
    page = (ROOT / "docs" / "quantizers.md").read_text(encoding="utf-8")
    assert script().updated(page) == page, "run scripts/make_quantizer_docs.py"


def test_the_page_has_every_option() -> None:
    from aquatint.catalog.quantizer_backends import backends

    page = (ROOT / "docs" / "quantizers.md").read_text(encoding="utf-8")
    missing = [name for each in backends() for name in each.schema.all_names() if f"`{name}`" not in page]
    assert missing == []
