"""Writes the tables of `docs/quantizers.md` from the schemas in `catalog/`: every option, with its default and limits.

Run it after a change there: `python scripts/make_quantizer_docs.py`. A test holds the page against it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aquatint.catalog import sdnq_types
from aquatint.catalog.quantizer_backends import Backend, backends
from aquatint.catalog.settings import Setting

PAGE = Path(__file__).parents[1] / "docs" / "quantizers.md"
_MARKED = re.compile(r"(<!-- made: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """Return the page `text` with its marked parts written anew."""
    made = {
        **{f"options-{each.name}": _options(each) for each in backends()},
        **{f"constraints-{each.name}": _constraints(each) for each in backends()},
        "types": _types(),
        "short-names": _short_names(),
        "refused": _refused(),
    }
    return _MARKED.sub(lambda found: f"{found[1]}{made[found['name']]}\n{found[3]}", text)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _options(backend: Backend) -> str:
    rows = (
        (f"`{setting.name}`{_aliases(setting)}", _values(setting), _value(setting.default), setting.help)
        for setting in backend.schema.settings
    )
    return _table(("option", "values", "unless set", ""), rows)


def _aliases(setting: Setting) -> str:
    return f", also {', '.join(f'`{name}`' for name in setting.aliases)}" if setting.aliases else ""


def _values(setting: Setting) -> str:
    if setting.choices == sdnq_types.NAMES:
        return "a [number type](#number-types)"
    if setting.choices:
        return ", ".join(_value(choice) for choice in setting.choices)
    kind = {
        "int": "whole number", "float": "number", "bool": "`true`, `false`", "str": "string",
        "names": "list of names", "map": "map", "any": "any value",
    }[setting.type]  # fmt: skip
    return kind if setting.minimum is None else f"{kind} from {setting.minimum:g}"


def _value(value: Any) -> str:
    return f"`{'none' if value is None else str(value).lower() if isinstance(value, bool) else value}`"


def _constraints(backend: Backend) -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for each in backend.constraints:
            settings = ", ".join(f"`{name}`" for name in each.settings)
            needs = " or ".join(_need(name, allowed) for name, allowed in each.needs)
            yield settings, needs, each.consequence

    return _table(("option", "needs", "otherwise it"), rows())


def _need(name: str, allowed: tuple[Any, ...]) -> str:
    if allowed == sdnq_types.UNSIGNED_INTEGERS:
        return f"an unsigned integer type as `{name}`"
    if len(allowed) > 3:
        missing = ", ".join(f"`{kind}`" for kind in sorted(set(sdnq_types.BITS) - set(allowed)))
        return f"`{name}` other than {missing}"
    return " or ".join(f"`{name}: {_value(value)[1:-1]}`" for value in allowed)


def _types() -> str:
    rows = (
        (str(bits), ", ".join(f"`{name}`" for name in names.split() if name not in sdnq_types.REFUSED))
        for bits, names in sdnq_types.FAMILIES.items()
        if any(name not in sdnq_types.REFUSED for name in names.split())
    )
    return _table(("bits", "types"), rows)


def _short_names() -> str:
    text = ", ".join(f"`{short}` is `{name}`" for short, name in sdnq_types.ALIASES.items())
    return "\n".join(textwrap.wrap(text + ".", 118, break_long_words=False, break_on_hyphens=False))


def _refused() -> str:
    rows = (
        (f"`{name}`", each.reason, f"{each.error:.2g}", f"`{each.instead}`", f"{each.instead_error:.1e}")
        for name, each in sdnq_types.REFUSED.items()
    )
    return _table(("type", "why", "error", "instead", "its error"), rows)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
