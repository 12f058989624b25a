"""`expand`: all the texts that a text with choices in it comes to, or some that are drawn.

The form of such texts is in `patterns`. Here are the files that wildcards are read from, the order of the texts, what
decides a draw, and the limits. A draw depends on its seed, its number and the place of the choice, on nothing that was
drawn before: one more text, or a change of another choice, leaves it as it is.
"""

from __future__ import annotations

import hashlib
import posixpath
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import accumulate, combinations
from typing import Any, Protocol

from aquatint.diagnostics import did_you_mean
from aquatint.language.disk import under
from aquatint.language.outside import Outside, OutsideProblem
from aquatint.language.patterns import (
    ALL_OF_THEM,
    DEPTH_LIMIT,
    Choice,
    Option,
    Pattern,
    PatternProblem,
    Wildcard,
    lone_wildcard,
    parse_line,
    parse_pattern,
    too_few,
    without_never,
)
from aquatint.language.values import ITEM_LIMIT, Builtin, type_name
from aquatint.plan.keys import digest
from aquatint.source import Source, Span

TEXT_LIMIT = 10_000
"""Texts that one `expand` makes."""

STEP_LIMIT = 1_000_000
"""Steps of one `expand`: one for each piece of a text, and one for each 16 characters."""

FOLDER = "wildcards"
"""Where the wildcards' files are, unless a script says otherwise."""

_WILD = frozenset("*?[")
_TRIES = 20  # draws for each option of a choice of several, before what is left is drawn from
_STEPS_OF_A_DRAW = 8
_STEPS_OF_A_MARK = 5  # of a brace, a bar and so on, while a text is read


@dataclass(frozen=True, slots=True)
class ExpansionMistake:
    """What is wrong with `length` characters at `offset` of the text that is expanded, or at `span` of a file."""

    code: str
    message: str
    offset: int
    length: int
    help: str | None = None
    span: Span | None = None


class ExpansionMistakes(Exception):
    """A text can't be expanded, for all these reasons."""

    def __init__(self, mistakes: list[ExpansionMistake]) -> None:
        super().__init__()
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a wildcard, what is wrong with it, and where it is if that is a file."""

    option: Option
    problems: tuple[PatternProblem, ...]
    offset: int = 0
    source: Source | None = None

    def span(self, offset: int, length: int) -> Span | None:
        start = self.offset + offset
        return None if self.source is None else Span(self.source, start, start + length)


@dataclass(frozen=True, slots=True)
class _List:
    """The lines of a wildcard, those of them that may be chosen, and how deep choices lie in them.

    `depth` is None if they have mistakes or wildcards in them, and have to be looked into.
    """

    lines: tuple[_Line, ...]
    options: tuple[Option, ...]
    depth: int | None


def _list(lines: tuple[_Line, ...]) -> _List:
    depths = [_plain_depth(line.option.parts) if not line.problems else None for line in lines]
    known = [depth for depth in depths if depth is not None]
    depth = max(known, default=0) if len(known) == len(depths) else None
    return _List(lines, without_never(tuple(line.option for line in lines)), depth)


def _plain_depth(parts: Pattern) -> int | None:
    """Return how deep choices lie in each other in `parts`, None if there is a wildcard in them."""
    deepest = 0
    for part in parts:
        if isinstance(part, Wildcard):
            return None
        if isinstance(part, Choice):
            for option in part.options:
                depth = _plain_depth(option.parts)
                if depth is None:
                    return None
                deepest = max(deepest, depth + 1)
    return deepest


def _expand(
    outside: Outside,
    folder: str,
    plan_seed: Callable[[], int],
    text: Any,
    wildcards: Any = FOLDER,
    count: Any = None,
    seed: Any = None,
) -> tuple[str, ...]:
    if not isinstance(text, str):
        raise ValueError(f"takes a text, not {type_name(text)}")
    if count is not None and not (_is_whole(count) and 1 <= count <= TEXT_LIMIT):
        raise ValueError(f"takes as `count` a whole number from 1 to {TEXT_LIMIT:,}")
    if seed is not None and not (_is_whole(seed) and seed >= 0):
        raise ValueError("takes as `seed` a whole number from 0")
    if seed is not None and count is None:
        raise ValueError("draws nothing without `count`, and needs no `seed` then")
    outside.work += _reading(text)
    parts, problems = parse_pattern(text)
    mistakes = [
        ExpansionMistake("bad-expansion", each.message, each.offset, each.length, each.help) for each in problems
    ]
    known = _Wildcards(_lists_of(outside, folder, wildcards), mistakes)
    known.find(parts, len(text))
    outside.work += known.steps
    if mistakes:
        raise ExpansionMistakes(mistakes)
    texts = _Texts(known.options)
    try:
        if count is None:
            return tuple(texts.every(parts))
        chosen = plan_seed() if seed is None else seed
        keys = (bytes.fromhex(digest(["expand", chosen, number])) for number in range(count))
        return tuple(texts.drawn(parts, key) for key in keys)
    except _TooMuch as problem:
        raise ExpansionMistakes([ExpansionMistake("too-large", str(problem), 0, len(text), problem.help)]) from None
    finally:
        outside.work += texts.steps


EXPAND = Builtin(
    "expand", f'(text, wildcards = "{FOLDER}", count = none, seed = none)', _expand, outside=True, drawn=True
)


class _Lists(Protocol):
    """Where the lines of wildcards come from: lists of lines, each known by a key."""

    def keys(self, name: str) -> Iterator[str]:
        """Yield the keys of the lists that the wildcard `name` stands for, in order. Raises `OutsideProblem`."""

    def lines(self, key: str) -> _List:
        """Return the lines of a list. Raises `OutsideProblem`, as a `missing-file` if there is none."""

    def unknown(self, name: str) -> tuple[str, str]:
        """Return what there isn't, for a wildcard that stands for no list, and a way out."""


class _Folder:
    """The wildcards of a folder: a file `NAME.txt` for each, in folders below it or not."""

    def __init__(self, outside: Outside, folder: str) -> None:
        self._outside = outside
        self._folder = folder

    def keys(self, name: str) -> Iterator[str]:
        if not _WILD & set(name):
            yield posixpath.join(self._folder, name + ".txt")
        else:
            pattern = f"{name}/*.txt" if name.endswith("**") else f"{name}.txt"
            yield from (posixpath.join(self._folder, each) for each in self._matching(pattern))

    def lines(self, key: str) -> _List:
        is_new = f"file {key}" not in self._outside.inputs
        text = self._outside.text(key).text
        if len(text) > ITEM_LIMIT:
            raise OutsideProblem("too-large", f"`{key}` has more than {ITEM_LIMIT:,} characters")
        if is_new:
            self._outside.work += _reading(text)
        return self._outside.value(key, _lines_in)  # type: ignore[no-any-return]

    def unknown(self, name: str) -> tuple[str, str]:
        known = [each.removesuffix(".txt") for each in self._matching("**/*.txt")]
        help = did_you_mean(name, known, "wildcards") if known else f"`{self._folder}` holds no files `NAME.txt`"
        return f"`{posixpath.join(self._folder, name)}.txt`", help

    def _matching(self, pattern: str) -> tuple[str, ...]:
        return self._outside.matching(pattern, self._folder)


class _Words:
    """The wildcards of a map: each is a list of texts, or a map of such lists, whose names follow after `/`."""

    def __init__(self, given: Mapping[Any, Any]) -> None:
        self._given = dict(_flat("", given, 0))

    def keys(self, name: str) -> Iterator[str]:
        if not _WILD & set(name):
            yield name
        else:
            pattern = f"{name}/*" if name.endswith("**") else name
            yield from (each for each in sorted(self._given) if _matches(each, pattern))

    def lines(self, key: str) -> _List:
        if key not in self._given:
            raise OutsideProblem("missing-file", "")
        return _list(tuple(_Line(*parse_line(text)) for text in self._given[key]))

    def unknown(self, name: str) -> tuple[str, str]:
        return f"`{name}` in `wildcards`", did_you_mean(name, self._given, "wildcards")


def _reading(text: str) -> int:
    """Return how many steps it takes to read `text`."""
    return _STEPS_OF_A_MARK * sum(map(text.count, ("{", "|", "__", "\n")))


def _matches(name: str, pattern: str) -> bool:
    """Return whether `pattern` stands for `name` as it would for that of a file."""
    names, patterns = name.split("/"), pattern.split("/")

    @cache
    def fits(at: int, of: int) -> bool:
        if of == len(patterns):
            return at == len(names)
        if patterns[of] == "**":
            return fits(at, of + 1) or (at < len(names) and fits(at + 1, of))
        return at < len(names) and fnmatchcase(names[at], patterns[of]) and fits(at + 1, of + 1)

    return fits(0, 0)


def _lists_of(outside: Outside, folder: str, wildcards: Any) -> _Lists:
    if isinstance(wildcards, Mapping):
        return _Words(wildcards)
    if not isinstance(wildcards, str) or not wildcards.strip():
        what = "an empty string" if wildcards == "" else type_name(wildcards)
        raise ValueError(f"takes as `wildcards` a folder, or a map of lists, not {what}")
    return _Folder(outside, posixpath.normpath(under(folder, wildcards)))


def _flat(before: str, given: Mapping[Any, Any], depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, value in given.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and depth < DEPTH_LIMIT:
            yield from _flat(f"{name}/", value, depth + 1)
        elif isinstance(value, tuple) and all(isinstance(item, str) for item in value):
            yield name, value
        else:
            raise ValueError(f"takes for the wildcard `{name}` a list of strings")


def _lines_in(source: Source) -> _List:
    """Return the lines of a wildcard's file: without the spaces around them, empty ones, and comments."""
    found, offset = [], 0
    for line in source.text.split("\n"):
        text = line.strip()
        if text and not text.startswith("#"):
            found.append(_Line(*parse_line(text), offset + len(line) - len(line.lstrip()), source))
        offset += len(line) + 1
    return _list(tuple(found))


class _Wildcards:
    """What the wildcards of a text and of their lines stand for: `options`, by name. Adds to `mistakes`."""

    def __init__(self, lists: _Lists, mistakes: list[ExpansionMistake]) -> None:
        self.options: dict[str, tuple[Option, ...]] = {}
        self.steps = 0
        self._lists = lists
        self._mistakes = mistakes
        self._depths: dict[str, int] = {}  # of lists of lines, by key
        self._deepest: dict[str, int] = {}  # of wildcards, by name
        self._way: list[str] = []  # the keys of the lists that are being looked into
        self._at: Wildcard | None = None  # the one of the text itself that led there

    def find(self, parts: Pattern, length: int) -> None:
        """Look for all the wildcards of a text of `length` characters."""
        if self._depth(parts, None) > DEPTH_LIMIT:
            self._mistakes.append(ExpansionMistake("bad-expansion", _TOO_DEEP, 0, length, _FLATTEN))

    def _depth(self, parts: Pattern, line: _Line | None) -> int:
        """Return how deep choices lie in each other in `parts`, which are of the text itself or of `line`."""
        deepest = 0
        for part in parts:
            if isinstance(part, Choice):
                below = max((self._depth(option.parts, line) for option in part.options), default=0)
                deepest = max(deepest, 1 + below)
                wildcard = lone_wildcard(part)
                if wildcard is not None and (there := self.options.get(wildcard.name)) and len(there) < part.least:
                    message = too_few(part, len(there))
                    self._mistake("bad-expansion", message, part.offset, part.length, ALL_OF_THEM, line)
            elif isinstance(part, Wildcard):
                if line is None:
                    self._at = part
                deepest = max(deepest, 1 + self._wildcard(part, line))
        return deepest

    def _wildcard(self, part: Wildcard, line: _Line | None) -> int:
        """Find what a wildcard stands for, and return how deep choices lie in that."""
        if self.options.get(part.name):
            return self._deepest[part.name]
        deepest, options = 0, tuple[Option, ...]()
        try:
            if ".." in part.name.split("/") or part.name.startswith("/"):
                raise OutsideProblem("unknown-wildcard", f"the wildcard `{part.name}` leads out of its folder",
                                     "say the other folder: `wildcards=\"...\"`")  # fmt: skip
            keys = list(self._lists.keys(part.name))
            for key in keys:
                deepest = max(deepest, self._list(key, part, line))
                options += self._lists.lines(key).options
            if not keys:
                raise OutsideProblem("missing-file", "")
        except OutsideProblem as problem:
            if problem.code == "missing-file":
                where, help = self._lists.unknown(part.name)
                self._mistake("unknown-wildcard", f"there is no wildcard `{part.name}`: no {where}", part.offset,
                              part.length, help, line)  # fmt: skip
            else:
                self._mistake(problem.code, problem.message, part.offset, part.length, problem.help, line)
            return deepest
        self._deepest[part.name] = deepest
        self.options[part.name] = options
        if not self.options[part.name]:
            self._mistake("empty-wildcard", f"the wildcard `{part.name}` has no lines", part.offset, part.length,
                          "a line that is empty, begins with `#` or has the weight 0 isn't counted", line)  # fmt: skip
        return deepest

    def _list(self, key: str, part: Wildcard, line: _Line | None) -> int:
        """Look into a list of lines, unless that has been done, and return how deep choices lie in it."""
        if key in self._way:
            raise OutsideProblem("wildcard-cycle", f"the wildcard `{part.name}` would contain itself",
                                 "take it out of its own lines")  # fmt: skip
        if len(self._way) > DEPTH_LIMIT:
            raise OutsideProblem("bad-expansion", _TOO_DEEP, _FLATTEN)
        lines = self._lists.lines(key)
        if key not in self._depths and lines.depth is not None:
            self._depths[key] = lines.depth
        elif key not in self._depths:
            self._way.append(key)
            self.steps += len(lines.lines)
            deepest = 0
            try:
                for each in lines.lines:
                    for problem in each.problems:
                        self._mistake("bad-expansion", problem.message, problem.offset, problem.length, problem.help,
                                      each)  # fmt: skip
                    deepest = max(deepest, self._depth(each.option.parts, each))
            finally:
                self._way.pop()
            self._depths[key] = deepest
        if self._depths[key] > DEPTH_LIMIT:
            raise OutsideProblem("bad-expansion", _TOO_DEEP, _FLATTEN)
        return self._depths[key]

    def _mistake(self, code: str, message: str, offset: int, length: int, help: str | None, line: _Line | None) -> None:
        """Add a mistake of a line of a wildcard, or of the text itself."""
        if line is None:
            self._mistakes.append(ExpansionMistake(code, message, offset, length, help))
            return
        span = line.span(offset, length)
        if span is None:
            message = f"{message} (in a line of `{self._way[-1]}`)"
        at = self._at
        assert at is not None
        self._mistakes.append(ExpansionMistake(code, message, at.offset, at.length, help, span))


_TOO_DEEP = f"choices lie more than {DEPTH_LIMIT} deep in each other, with those of the wildcards"
_FLATTEN = "write out some of the wildcards that stand in lines of others"


class _TooMuch(Exception):
    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.help = help


class _Texts:
    """What patterns come to, given the options that wildcards stand for. Raises `_TooMuch` beyond the limits."""

    def __init__(self, wildcards: Mapping[str, tuple[Option, ...]]) -> None:
        self.steps = 0
        self._wildcards = wildcards
        self._known: dict[str, list[str]] = {}
        self._sums: dict[int, list[float]] = {}

    def every(self, parts: Pattern) -> list[str]:
        """Return each text once. Of two choices the first changes slowest, and of options the first comes first."""
        texts = [""]
        for part in parts:
            if isinstance(part, str):
                texts = self._counted([text + part for text in texts])
            else:
                texts = self._paired(texts, self._each(part), "")
        return self._counted(list(dict.fromkeys(texts)))

    def _each(self, part: Choice | Wildcard) -> list[str]:
        if isinstance(part, Wildcard):
            if part.name not in self._known:
                self._known[part.name] = self._of_one(self._wildcards[part.name])
            return self._known[part.name]
        options, least, most = self._choice(part)
        if least == most == 1:
            return self._of_one(options)
        found: list[str] = []
        each = [self.every(option.parts) for option in options]
        for count in range(least, most + 1):
            for chosen in combinations(each, count):
                texts = chosen[0] if chosen else [""]
                for more in chosen[1:]:
                    texts = self._paired(texts, more, part.separator)
                found += texts
                self._counted(found, len(texts))
        return list(dict.fromkeys(found))

    def _of_one(self, options: tuple[Option, ...]) -> list[str]:
        found: dict[str, None] = {}
        for option in options:
            found |= dict.fromkeys(self.every(option.parts))
            self._counted(list(found), 0)
        return list(found)

    def _paired(self, firsts: list[str], seconds: list[str], separator: str) -> list[str]:
        self._within(len(firsts) * len(seconds))
        return self._counted([f"{first}{separator}{second}" for first in firsts for second in seconds])

    def _counted(self, texts: list[str], new: int | None = None) -> list[str]:
        """Count the last `new` of `texts` as work, all of them by default."""
        self._within(len(texts))
        last = texts if new is None else texts[len(texts) - new :]
        self._spend(len(last) + sum(map(len, last)) // 16)
        return texts

    def _within(self, count: int) -> None:
        # What each part comes to is at least one text: what is too much so far stays too much.
        if count > TEXT_LIMIT:
            raise _TooMuch(f"this comes to more than {TEXT_LIMIT:,} texts", "draw some of them: `count=100`")

    def drawn(self, parts: Pattern, key: bytes) -> str:
        """Return a text; `key` is of its seed, its number, and where in the whole text `parts` stand."""
        texts: list[str] = []
        for number, part in enumerate(parts):
            if isinstance(part, str):
                texts.append(part)
            else:
                texts.append(self._drawn(part, _below(key, number)))
        self._spend(len(texts) + sum(map(len, texts)) // 16)
        return "".join(texts)

    def _drawn(self, part: Choice | Wildcard, key: bytes) -> str:
        if isinstance(part, Wildcard):
            options, least, most, separator = self._wildcards[part.name], 1, 1, ""
        else:
            (options, least, most), separator = self._choice(part), part.separator
        count = least if least == most else least + int(self._chance(_below(key, -1)) * (most - least + 1))
        chosen = self._chosen(options, count, _below(key, -2))
        return separator.join(self.drawn(options[index].parts, _below(key, index)) for index in chosen)

    def _chosen(self, options: tuple[Option, ...], count: int, key: bytes) -> list[int]:
        """Return the indices of `count` options, in order, each drawn by its weight among those that are left."""
        if id(options) not in self._sums:
            self._sums[id(options)] = list(accumulate(option.weight for option in options))
            self._spend(len(options) // 16)
        sums = self._sums[id(options)]
        chosen: dict[int, None] = {}
        left: list[int] = []
        for number in range((_TRIES + 1) * count):
            if len(chosen) == count:
                break
            chance = self._chance(_below(key, number))
            if number < _TRIES * count:
                # To draw among all until it is another one is to draw among those that are left.
                index = min(bisect(sums, chance * sums[-1]), len(options) - 1)
            else:
                left = [index for index in left or range(len(options)) if index not in chosen]
                self._spend(len(left))
                among = list(accumulate(options[index].weight for index in left))
                index = left[min(bisect(among, chance * among[-1]), len(left) - 1)]
            chosen[index] = None
        return sorted(chosen)

    def _choice(self, choice: Choice) -> tuple[tuple[Option, ...], int, int]:
        """Return the options of a choice, and how few and how many of them are chosen."""
        wildcard = lone_wildcard(choice)
        options = choice.options if wildcard is None else self._wildcards[wildcard.name]
        most = len(options) if choice.most is None else min(choice.most, len(options))
        return options, min(choice.least, most), most

    def _chance(self, key: bytes) -> float:
        """Return a number from 0 up to but without 1."""
        self._spend(_STEPS_OF_A_DRAW)
        return int.from_bytes(key[:6]) / 2**48

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > STEP_LIMIT:
            raise _TooMuch("the texts that this comes to are too long", "make less of it at once")


def _below(key: bytes, number: int) -> bytes:
    """Return the key of a part of what `key` is of, by its number there."""
    return hashlib.blake2b(key + number.to_bytes(8, signed=True), digest_size=16).digest()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
