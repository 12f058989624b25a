"""Writes the tables of number types in `docs/quantization/sdnq.md` from the catalog; options are in `--quantizer-help`.

Run it after a change there: `python scripts/make_quantizer_docs.py`. A test holds the page against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from aquatint.catalog import sdnq_types

PAGE = Path(__file__).parents[1] / "docs" / "quantization" / "sdnq.md"
_MARKED = re.compile(r"(<!-- made: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """Return the page `text` with its marked parts written anew."""
    made = {
        "types": _types(),
        "refused": _refused(),
    }
    return _MARKED.sub(lambda found: f"{found[1]}{made[found['name']]}\n{found[3]}", text)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _types() -> str:
    rows = (
        (str(bits), ", ".join(f"`{name}`" for name in names.split() if name not in sdnq_types.REFUSED))
        for bits, names in sdnq_types.FAMILIES.items()
        if any(name not in sdnq_types.REFUSED for name in names.split())
    )
    return _table(("bits", "types"), rows)


def _refused() -> str:
    rows = (
        (f"`{name}`", each.reason, f"{each.error:.2g}", f"`{each.instead}`", f"{each.instead_error:.1e}")
        for name, each in sdnq_types.REFUSED.items()
    )
    return _table(("type", "why", "error", "instead", "its error"), rows)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
