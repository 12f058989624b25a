"""What to say of a name that stands for nothing, and where in a string it is written."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from itertools import islice

from aquatint.diagnostics import FILTER_LIMIT, Diagnostics, misspelt, nearest
from aquatint.language.scope import UNKNOWN, Scope
from aquatint.language.values import Builtin
from aquatint.source import Span
from aquatint.syntax import nodes as n

_SUBMODULE = re.compile(r"unet|vae|transformer(_\d)?|text_encoder(_\d)?|tokenizer(_\d)?|controlnet(_\d)?|image_encoder")
_FOREIGN = {"True": "true", "False": "false", "None": "none", "null": "none", "nil": "none"}


def report_unknown_name(
    name: str, span: Span, scope: Scope, diagnostics: Diagnostics, below: Span | None = None
) -> None:
    """Report that `name` is not visible in `scope`; `below` is where the same block binds it later."""
    if diagnostics.is_full:
        return
    # Of more, a few would say little, and finding them takes long.
    visible = set(islice(scope.visible(), FILTER_LIMIT + 1))
    if below is not None:
        help = f"it is bound only in line {below.line}"
    elif name in _FOREIGN:
        help = f"did you mean `{_FOREIGN[name]}`?"
    elif _SUBMODULE.fullmatch(name):
        help = f'names of submodules are text: write `"{name}"`'
    elif (near := _nearest(name, visible, scope)) is not None:
        help = f"did you mean `{near}`?"
    else:
        help, own = "text is written in quotes", []
        if len(visible) <= FILTER_LIMIT:
            own = sorted(known for known in visible if (found := scope.find(known)) and found.span is not None)
        if own:
            help += "; names here: " + ", ".join(f"`{known}`" for known in own[:8]) + (", ..." if len(own) > 8 else "")
    diagnostics.error("unknown-name", f"there is no `{name}` here", span, help=help)


def _nearest(name: str, visible: AbstractSet[str], scope: Scope) -> str | None:
    if len(visible) <= FILTER_LIMIT:
        return nearest(name, visible)
    # There are more, and to gather them for each mistake would take longer than anything else.
    return next((each for each in misspelt(name) if scope.find(each) is not None), None)


def report_reserved_name(name: n.Word, scope: Scope, diagnostics: Diagnostics) -> None:
    """Report `name`, which is to be bound in `scope`, if it is one of the language's own."""
    found = scope.find(name.text)
    if found is not None and found.span is None and found.value is not UNKNOWN:
        kind = "function" if isinstance(found.value, Builtin) else "constant"
        diagnostics.error("reserved-name", f"`{name.text}` is a {kind} of the language", name.span,
                          help=f"call it `my_{name.text}` or so")  # fmt: skip


def within(span: Span, text: str, offset: int, length: int) -> Span:
    """Return the place of a part of a string's `text`, if `span` is that string, written without escapes."""
    if span.text[:1] in "\"'" and span.text[1:-1] == text:
        start = span.start + 1 + offset
        return Span(span.source, start, min(start + length, span.end))
    return span


def inside(span: Span, word: str | None) -> Span:
    """Return the place of `word` in the text of `span`, or `span` if it isn't there."""
    if word:
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", span.text)
        if found:
            return Span(span.source, span.start + found.start(), span.start + found.end())
    return span
