"""Texts with choices in them, `a {red|blue} square`, `{2$$a|b|c}`, `__colours__`: their form, as a tree.

It is the form that dynamic prompts have elsewhere. What a tree comes to, and where the lines of a wildcard are from, is
for `expanding` to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

DEPTH_LIMIT = 50
"""How deep choices lie in each other."""

SEPARATOR = ", "
"""What stands between the options of a choice of several, unless it says otherwise."""

_MARK = re.compile(r"\\[\\{}|$_:#]|\$?\{|[|}]|__")
_COUNT = re.compile(r"\s*(?:(?P<only>\d{1,6})|(?P<least>\d{0,6})-(?P<most>\d{0,6}))\s*\$\$")
_SEPARATOR = re.compile(r"((?:\\.|[^\\{}|$]|\$(?!\$))*)\$\$", re.DOTALL)
_NO_COUNT = re.compile(r"([^\\{}|$]*)\$\$")
_WEIGHT = re.compile(r"(\s*)(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})::")
_WILDCARD = re.compile(r"__((?!_)(?:(?!__)[\w.*?\[\]/!-])+)__")
_BEGUN = re.compile(r"__[^\W_][\w./*?-]*")
_ESCAPED = re.compile(r"\\([\\{}|$_:#])")


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`__name__`: one of the lines that are called so. `offset` and `length` are its place in the text."""

    name: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Option:
    """One of a choice, or a line of a wildcard, and how often it is drawn beside the others: never if that is 0."""

    parts: Pattern
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """`{...}`: from `least` to `most` of its options, as many as there are for None, with `separator` between them.

    `offset` and `length` are its place in the text.
    """

    options: tuple[Option, ...]
    offset: int
    length: int
    least: int = 1
    most: int | None = 1
    separator: str = SEPARATOR


Pattern = tuple[str | Choice | Wildcard, ...]
"""What stands one after another in a text."""


@dataclass(frozen=True, slots=True)
class PatternProblem:
    """What is wrong with `length` characters at `offset` of a text."""

    message: str
    offset: int
    length: int
    help: str | None = None


def parse_pattern(text: str) -> tuple[Pattern, tuple[PatternProblem, ...]]:
    """Return the tree of `text`, and every mistake in it. Never raises."""
    reading = _Reading(text)
    return reading.read(0), tuple(reading.problems)


def parse_line(text: str) -> tuple[Option, tuple[PatternProblem, ...]]:
    """Return a line of a wildcard, which may begin with a weight, and every mistake in it. Never raises."""
    reading = _Reading(text)
    weight = _WEIGHT.match(text)
    parts = reading.read(weight.end() if weight else 0)
    return Option(parts, float(weight[2]) if weight else 1.0), tuple(reading.problems)


def without_never(options: tuple[Option, ...]) -> tuple[Option, ...]:
    """Return those of `options` that may be chosen."""
    return tuple(option for option in options if option.weight > 0)


@dataclass(slots=True)
class _Open:
    """A choice whose end hasn't been read; the text itself is the outermost."""

    choice: Choice
    options: list[Option] = field(default_factory=list)
    parts: list[str | Choice | Wildcard] = field(default_factory=list)
    weight: float = 1.0

    def add(self, text: str) -> None:
        if text and self.parts and isinstance(last := self.parts[-1], str):
            self.parts[-1] = last + text
        elif text:
            self.parts.append(text)

    def end_option(self) -> None:
        self.options.append(Option(tuple(self.parts), self.weight))
        self.parts, self.weight = [], 1.0


class _Reading:
    """The reading of one text; `problems` are the mistakes found so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[PatternProblem] = []

    def read(self, at: int) -> Pattern:
        """Return what stands in the text from offset `at` on."""
        stack = [_Open(Choice((), at, 0))]
        while (found := _MARK.search(self.text, at)) is not None:
            mark, innermost = found[0], stack[-1]
            innermost.add(self.text[at : found.start()])
            at = found.end()
            if mark.startswith("\\"):
                innermost.add(mark[1])
            elif mark == "__":
                at = self._wildcard(found.start(), innermost)
            elif mark.endswith("{"):
                if len(stack) > DEPTH_LIMIT:
                    self._problem(f"choices lie more than {DEPTH_LIMIT} deep in each other", found.start(), len(mark),
                                  "put some of them into a wildcard")  # fmt: skip
                    return ()
                if mark == "${":
                    self._problem("there are no variables `${...}`", found.start(), 2,
                                  "write `{{ name }}` for a name of the script, `\\$` for a dollar")  # fmt: skip
                stack.append(_Open(Choice((), found.end() - 1, 1)))
                at = self._weight(self._count(at, stack[-1]), stack[-1])
            elif len(stack) == 1:
                if mark == "}":
                    self._problem("there is no `{` for this `}`", found.start(), 1,
                                  "write `\\}` for a brace of the text")  # fmt: skip
                innermost.add(mark)
            elif mark == "|":
                innermost.end_option()
                at = self._weight(at, innermost)
            else:
                innermost.end_option()
                stack.pop()
                stack[-1].parts.append(self._closed(innermost, at))
        stack[-1].add(self.text[at:])
        while len(stack) > 1:
            unclosed = stack.pop()
            self._problem("there is no `}` for this `{`", unclosed.choice.offset, 1,
                          "close it, or write `\\{` for a brace of the text")  # fmt: skip
            # The wildcards in it are looked for all the same.
            unclosed.end_option()
            stack[-1].parts.append(replace(unclosed.choice, options=tuple(unclosed.options)))
        return tuple(stack[0].parts)

    def _wildcard(self, start: int, into: _Open) -> int:
        """Read what begins with `__` at `start`; return where it ends."""
        found = _WILDCARD.match(self.text, start)
        if found is not None:
            into.parts.append(Wildcard(found[1], start, found.end() - start))
            return found.end()
        if (begun := _BEGUN.match(self.text, start)) is not None:
            self._problem(f"there is no `__` after `{begun[0][:40]}`", start, begun.end() - start,
                          "end the wildcard's name, or write `\\_` for an underscore of the text")  # fmt: skip
        into.add("__")
        return start + 2

    def _count(self, at: int, into: _Open) -> int:
        """Read how many options are chosen, and what stands between them; return where that ends."""
        found = _COUNT.match(self.text, at)
        if found is None:
            if (other := _NO_COUNT.match(self.text, at)) is not None:
                what = f"`{other[1].strip()[:40]}` is no number of options" if other[1].strip() else (
                    "no number of options stands before `$$`"
                )  # fmt: skip
                self._problem(what, at, other.end() - at, "write `2$$`, `1-3$$`, or `\\$` for a dollar")
                return other.end()
            return at
        least = int(found["only"] or found["least"] or 1)
        most = int(found["only"] or found["most"]) if found["only"] or found["most"] else None
        if most is not None and least > most:
            self._problem(f"{least} is more than {most}", at, found.end() - at, f"write `{most}-{least}$$`")
            most = least
        separator = _SEPARATOR.match(self.text, found.end())
        between = SEPARATOR if separator is None else _ESCAPED.sub(r"\1", separator[1])
        into.choice = replace(into.choice, least=least, most=most, separator=between)
        return found.end() if separator is None else separator.end()

    def _weight(self, at: int, into: _Open) -> int:
        """Read the weight that the next option may begin with; return where that ends."""
        found = _WEIGHT.match(self.text, at)
        if found is None:
            return at
        into.weight = float(found[2])
        into.add(found[1])
        return found.end()

    def _closed(self, open: _Open, end: int) -> Choice:
        choice = replace(open.choice, options=without_never(tuple(open.options)), length=end - open.choice.offset)
        if not choice.options:
            self._problem("all of these have the weight 0", choice.offset, choice.length, "give one of them another")
        elif lone_wildcard(choice) is None and choice.least > len(choice.options):
            self._problem(too_few(choice, len(choice.options)), choice.offset, choice.length, ALL_OF_THEM)
        return choice

    def _problem(self, message: str, offset: int, length: int, help: str) -> None:
        self.problems.append(PatternProblem(message, offset, length, help))


ALL_OF_THEM = "none is chosen twice; write `-$$` for any number of them"


def too_few(choice: Choice, count: int) -> str:
    """Return what to say of a `choice` among `count` options, which are fewer than it takes."""
    return f"{choice.least} of {count} option{'s' * (count != 1)} can't be chosen"


def lone_wildcard(choice: Choice) -> Wildcard | None:
    """Return the wildcard that is all of `choice`: it chooses among the wildcard's lines."""
    match choice.options:
        case (Option(parts=(Wildcard() as wildcard,)),):
            return wildcard
    return None
