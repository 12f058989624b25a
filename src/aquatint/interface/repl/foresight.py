"""What is wrong with a text that is still being typed: its form, and what it would mean in the session.

A text that isn't finished is read as if its open brackets were closed here; what it lacks only because it isn't
finished is no mistake yet, nor is a word at the cursor that may become a right one. Nothing is changed or run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from aquatint.diagnostics import Diagnostic
from aquatint.interface.collection import without_collection
from aquatint.interface.fetching import beside_lacks
from aquatint.interface.progress import printable
from aquatint.interface.repl.completion import completions
from aquatint.interface.session import Session
from aquatint.source import Source
from aquatint.syntax.grammar import lex
from aquatint.syntax.parser import Parse, parse

SHARE = 0.002
"""The part of a script's usual steps and images that a text is looked at for, so that it is looked at in no time."""

_NAME = "<repl>"
_CLOSERS = {"LBRACE": "}", "LPAR": ")", "LSQB": "]"}
_QUOTES = {"OPEN_STRING": '"', "OPEN_RAW_STRING": "'", "OPEN_LONG_STRING": '"""'}
_ENDS = ("NEWLINE", "SEMICOLON", "COMMA", *_CLOSERS)
# What more text may put right.
_NOT_YET = ("missing-setting", "contradicting-settings", "empty-grid", "not-quantizable", "bad-call")
# What is so because only a part is looked at, or is told when it runs.
_NOT_HERE = ("too-large", "too-little-memory")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong with a text: characters `start` to `end` of it, and what is said of them."""

    start: int
    end: int
    text: str


def mistakes(text: str, session: Session, cursor: int | None = None) -> list[Mistake]:
    """Return what is wrong with `text` if it were the next of `session`, in order.

    `cursor` is the offset where one types, the end if it isn't given.
    """
    at = len(text) if cursor is None else cursor
    begin = 0
    if text.lstrip().startswith(":"):
        command, _, rest = text.partition(" ")
        if command.strip() != ":plan":
            return []
        begin = len(text) - len(rest)
    with without_collection():
        found = sorted(_found(text[begin:], session), key=lambda each: each.start)
    return [
        replace(each, text=f"{_place(text, each.start)}: {each.text}")
        for each in (Mistake(begin + each.start, begin + each.end, each.text) for each in found)
        if not (each.start < at <= each.end and _is_going_on(text[:at], session))
    ]


def _place(text: str, offset: int) -> str:
    line, column = Source(_NAME, text).position(offset)
    return f"{line}:{column}"


def _is_going_on(text: str, session: Session) -> bool:
    """Return whether the word at the end of `text` may be the beginning of a right one."""
    last = list(lex(text))[-1:]
    return bool(last and last[0][0] in _QUOTES) or bool(completions(text, session.interpreter).texts)


def _found(text: str, session: Session) -> Iterator[Mistake]:
    parsed = parse(Source(_NAME, text))
    unfinished = parsed.incomplete
    if unfinished:
        closed = next((read for read in map(_read, _closed(text)) if not read.diagnostics.has_errors), None)
        if closed is None:
            return
        parsed = closed
    for each in parsed.diagnostics.items if parsed.diagnostics.has_errors else _meant(parsed, session):
        if each.severity != "error" or each.span is None or each.code in _NOT_HERE:
            continue
        if (unfinished and each.code in _NOT_YET) or each.span.source.name != _NAME or each.span.start >= len(text):
            continue
        said = each.message + (f"; {each.help}" if each.help else "")
        yield Mistake(each.span.start, min(each.span.end, len(text)), printable(said))


def _read(text: str) -> Parse:
    return parse(Source(_NAME, text))


def _meant(parsed: Parse, session: Session) -> list[Diagnostic]:
    evaluation = session.foresee(parsed, SHARE)
    # What can be fetched is no mistake.
    return evaluation.diagnostics.items if session.fetch is None else beside_lacks(evaluation)


def _closed(text: str) -> Iterator[str]:
    """Yield `text` with its brackets closed: as it is, and without the item that is being written."""
    tokens = list(lex(text))
    end = tokens[-1][2] if tokens else 0
    quote = _QUOTES.get(tokens[-1][0], "") if tokens and end == len(text) else ""
    yield text + quote + _brackets(tokens)
    last = next((number for number in reversed(range(len(tokens))) if tokens[number][0] in _ENDS), None)
    if last is not None:
        # A comma may stand behind the last item.
        yield text[: tokens[last][2]] + _brackets(tokens[: last + 1])


def _brackets(tokens: list[tuple[str, int, int]]) -> str:
    """Return what closes the brackets that `tokens` leave open."""
    waiting: list[str] = []
    for kind, _, _ in tokens:
        if kind in _CLOSERS:
            waiting.append(_CLOSERS[kind])
        elif kind in ("RBRACE", "RPAR", "RSQB") and waiting:
            waiting.pop()
    # On a line of its own, for a comment may be the last.
    return "\n" + "".join(reversed(waiting)) if waiting else ""
