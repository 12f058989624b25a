"""Writes the part of `docs/events.md` that describes each event, from their records; `make docs-update` calls it."""

from __future__ import annotations

from pathlib import Path

from aquatint.runtime.event_schema import markdown

PAGE = Path(__file__).parents[1] / "docs" / "events.md"

_MARK = "<!-- Made by `make docs-update` from src/aquatint/runtime/events.py. -->\n"


def updated(page: str) -> str:
    """Return `page` with what stands below the mark made anew."""
    head, mark, _ = page.partition(_MARK)
    if not mark:
        raise ValueError(f"{PAGE.name} has lost its mark")
    return f"{head}{mark}\n{markdown()}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
