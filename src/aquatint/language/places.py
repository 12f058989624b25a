"""Places in a script, as the plan writes them."""

from __future__ import annotations

from aquatint.plan.steps import Place
from aquatint.source import Span


def place_of(span: Span) -> Place:
    """Return `span`'s start."""
    return Place(file=span.source.name, line=span.line, column=span.column)
