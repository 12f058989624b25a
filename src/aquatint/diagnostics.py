"""What a user is told about a script: a code, a place, what is wrong, and a way out.

Holds the `Diagnostic` value, the collection that phases add to, suggestions for near names, and the plain rendering.
Which mistakes exist is known by the phases that find them; colours are the interface's.
"""

from __future__ import annotations

import heapq
import string
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal
from unicodedata import combining, east_asian_width

from aquatint.source import Source, Span

Severity = Literal["error", "warning"]

REPORT_LIMIT = 1000
"""Mistakes after which none is reported: what has more is no script."""

LINE_LIMIT = 160
"""Characters that are shown of a source's line, around the place."""

TEXT_LIMIT = 1000
"""Characters that are shown of a message or a help."""

NAME_LIMIT = 200
"""Names up to which each is compared with a misspelt one, and characters of those."""

FILTER_LIMIT = 1000
"""Names up to which those that begin alike are compared; of more, only what differs in one letter is looked for."""

EDIT_LIMIT = 50
"""Characters of a name up to which all that differs in one letter is made: a hundred and more for each of them."""


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that a diagnostic speaks of."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake. `message` is lower case without a full stop and stands alone; only `help` proposes."""

    code: str
    message: str
    span: Span | None = None
    help: str | None = None
    labels: tuple[Label, ...] = ()
    severity: Severity = "error"
    label: str | None = None


@dataclass(slots=True)
class Diagnostics:
    """The diagnostics of one input, in the order in which they were found, each once."""

    items: list[Diagnostic] = field(default_factory=list)
    told: int = 0
    """How often something was added, also where it had been before."""
    _seen: set[tuple[str, str, int, int]] = field(default_factory=set, repr=False)
    _ways: list[Label] = field(default_factory=list, repr=False)
    _counts: dict[Severity, int] = field(default_factory=lambda: {"error": 0, "warning": 0}, repr=False)

    @contextmanager
    def through(self, way: Label) -> Iterator[None]:
        """Run the body, in which what is reported has been reached by way of a call or an include: `way` is shown."""
        self._ways.append(way)
        try:
            yield
        finally:
            self._ways.pop()

    @property
    def is_called(self) -> bool:
        """Whether what is reported now has been reached by way of a call or an include."""
        return bool(self._ways)

    def add(self, diagnostic: Diagnostic) -> None:
        """Add `diagnostic` unless the same code was reported at the same place: a loop body repeats its mistakes."""
        self.told += 1
        if self._ways:
            diagnostic = replace(diagnostic, labels=(*diagnostic.labels, self._ways[-1]))
        span = diagnostic.span
        mark = (diagnostic.code, diagnostic.message if span is None else span.source.name,
                -1 if span is None else span.start, -1 if span is None else span.end)  # fmt: skip
        # Each kind by itself: warnings must neither hide an error nor become one.
        count = self._counts[diagnostic.severity]
        if mark in self._seen or count > REPORT_LIMIT:
            return
        self._seen.add(mark)
        self._counts[diagnostic.severity] = count + 1
        if count == REPORT_LIMIT:
            message = f"more than {REPORT_LIMIT:,} mistakes: no others are reported"
            diagnostic = Diagnostic("too-many-errors", message, span, "is this a script?", (), diagnostic.severity)
        self.items.append(diagnostic)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        help: str | None = None,
        labels: tuple[Label, ...] = (),
        label: str | None = None,
    ) -> None:
        """Add an error."""
        self.add(Diagnostic(code, message, span, help, labels, "error", label))

    def warning(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        help: str | None = None,
        labels: tuple[Label, ...] = (),
    ) -> None:
        """Add a warning."""
        self.add(Diagnostic(code, message, span, help, labels, "warning"))

    def extend(self, others: Iterable[Diagnostic]) -> None:
        """Add each of `others`."""
        for other in others:
            self.add(other)

    @property
    def is_full(self) -> bool:
        """Whether no more errors will be reported."""
        return self._counts["error"] > REPORT_LIMIT

    @property
    def has_errors(self) -> bool:
        return any(item.severity == "error" for item in self.items)

    def any_within(self, span: Span) -> bool:
        """Return whether there is an error inside `span`."""
        places = (item.span for item in self.items if item.severity == "error")
        return any(p and p.source is span.source and span.start <= p.start and p.end <= span.end for p in places)

    def in_order(self) -> list[Diagnostic]:
        """Return the diagnostics in the order of the text, file by file; those without a place come first."""
        files: dict[Source, int] = {}
        for item in self.items:
            if item.span is not None:
                files.setdefault(item.span.source, len(files))
        return sorted(self.items, key=lambda item: (files[item.span.source], item.span.start) if item.span else (-1, 0))

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.in_order())

    def __len__(self) -> int:
        return len(self.items)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `name` is probably a misspelling of, if one is near."""
    pool: AbstractSet[str] = set(candidates)
    if len(pool) > FILTER_LIMIT:
        return next((each for each in misspelt(name) if each in pool), None)
    if len(pool) > NAME_LIMIT:
        # Comparing takes a millisecond for each few hundred. Few people misspell the first letter.
        pool = {each for each in pool if each[:1].lower() == name[:1].lower()}
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in sorted(pool, reverse=True)}
    plain = name.lower().replace("-", "_")
    if plain in folded:
        return folded[plain]
    if len(plain) > NAME_LIMIT:
        return None
    close = get_close_matches(plain, list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def misspelt(name: str) -> Iterator[str]:
    """Yield what differs from `name` in one letter: too many, missing, another, or in the place of its neighbour.

    Of a name of more than `EDIT_LIMIT` characters that would be too much, and it is nothing.
    """
    if len(name) > EDIT_LIMIT:
        return
    letters = sorted({*string.ascii_letters, *string.digits, "_", *name})
    for at in range(len(name) + 1):
        before, after = name[:at], name[at:]
        yield before + after[1:]
        yield before + after[1:2] + after[:1] + after[2:]
        for letter in letters:
            yield before + letter + after
            yield before + letter + after[1:]


def did_you_mean(name: str, candidates: Iterable[str], kind: str = "known names") -> str:
    """Return the help line for an unknown `name`: the near candidate, or the list of what there is."""
    pool = set(candidates)
    near = nearest(name, pool)
    if near is not None:
        return f"did you mean `{near}`?"
    if not pool:
        return f"there are no {kind} here"
    shown = ", ".join(f"`{candidate}`" for candidate in heapq.nsmallest(12, pool))
    return f"{kind}: {shown}" + (f" and {len(pool) - 12} more" if len(pool) > 12 else "")


Role = Literal["error", "warning", "message", "place", "second", "help", "source"]
"""What a piece of a rendered diagnostic is, for those who colour it; the severity marks what is wrong."""

Line = tuple[tuple[str, Role], ...]


def render(diagnostic: Diagnostic) -> str:
    """Return `diagnostic` as plain text: code, message, place, source line with carets, help."""
    return "\n".join("".join(text for text, _ in line) for line in rendered_lines(diagnostic))


def rendered_lines(diagnostic: Diagnostic) -> Iterator[Line]:
    """Yield the lines of `diagnostic`, each in pieces by what they are."""
    severity = diagnostic.severity
    yield (f"{severity}[{diagnostic.code}]", severity), (f": {_shown(diagnostic.message)}", "message")
    places = [] if diagnostic.span is None else [(diagnostic.span, diagnostic.label or "")]
    places += [(label.span, label.text) for label in diagnostic.labels]
    width = max((len(str(span.line)) for span, _ in places), default=1)
    margin = " " * width
    for number, (span, text) in enumerate(places):
        mark: Role = severity if number == 0 else "second"
        yield ((f"{margin}{'-->' if number == 0 else ':::'} {_shown(str(span))}", "place"),)
        yield ((f"{margin} |", "place"),)
        line, carets = _window(span)
        yield (f"{span.line:>{width}} | ", "place"), (_shown(line), "source")
        yield (f"{margin} | ", "place"), (f"{carets}{' ' + _shown(text) if text else ''}", mark)
    if diagnostic.help:
        yield (((f"{margin} = help: " if places else "  help: ") + _shown(diagnostic.help), "help"),)


def _shown(line: str) -> str:
    # Control characters in an untrusted script must not reach the terminal.
    line = line if len(line) <= TEXT_LIMIT else line[:TEXT_LIMIT] + "..."
    return "".join(c if c.isprintable() else (" " if c == "\t" else "\N{REPLACEMENT CHARACTER}") for c in line)


def _window(span: Span) -> tuple[str, str]:
    """Return the line in which `span` begins, or as much of a long one as fits around it, and the carets below it."""
    number, column = span.source.position(span.start)
    line = span.source.line(number)
    start, end = column - 1, min(len(line), column - 1 + max(1, span.end - span.start))
    first, last = 0, len(line)
    if last > LINE_LIMIT:
        first = max(0, min(start - LINE_LIMIT // 4, last - LINE_LIMIT))
        last = first + LINE_LIMIT
    before, after = "..." if first else "", "..." if last < len(line) else ""
    marked = line[start : min(end, last)]
    carets = " " * _columns(before + line[first:start]) + "^" * max(1, _columns(marked))
    return before + line[first:last] + after, carets


def _columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes: wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)
