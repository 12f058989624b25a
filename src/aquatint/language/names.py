"""What to say of a name that stands for nothing, and where in a string it is written."""

from __future__ import annotations

import re

from aquatint.diagnostics import Diagnostics, did_you_mean, nearest
from aquatint.language.builtins import LATER
from aquatint.language.scope import Scope
from aquatint.language.values import Builtin
from aquatint.source import Span
from aquatint.syntax import nodes as n

_FOREIGN = {"True": "true", "False": "false", "None": "none", "null": "none", "nil": "none"}


def report_unknown_name(name: str, span: Span, scope: Scope, diagnostics: Diagnostics) -> None:
    """Report that `name` is not visible in `scope`."""
    if name in LATER:
        diagnostics.error("not-supported-yet", f"`{name}` is not in this version of the language", span)
        return
    visible = set(scope.visible())
    if name in _FOREIGN:
        help = f"did you mean `{_FOREIGN[name]}`?"
    elif nearest(name, visible) is not None:
        help = did_you_mean(name, visible)
    else:
        own = sorted(known for known in visible if (found := scope.find(known)) and found.span is not None)
        help = "text is written in quotes"
        if own:
            help += "; names here: " + ", ".join(f"`{known}`" for known in own[:8]) + (", ..." if len(own) > 8 else "")
    diagnostics.error("unknown-name", f"there is no `{name}` here", span, help=help)


def report_reserved_name(name: n.Word, scope: Scope, diagnostics: Diagnostics) -> None:
    """Report `name`, which is to be bound in `scope`, if it is one of the language's own."""
    found = scope.find(name.text)
    if found is not None and found.span is None:
        kind = "function" if isinstance(found.value, Builtin) else "constant"
        diagnostics.error("reserved-name", f"`{name.text}` is a {kind} of the language", name.span,
                          help=f"call it `my_{name.text}` or so")  # fmt: skip


def inside(node: n.String, word: str | None) -> Span:
    """Return the place of `word` in a string's own text, or that of the string."""
    if word:
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", node.span.text)
        if found:
            return Span(node.span.source, node.span.start + found.start(), node.span.start + found.end())
    return node.span
