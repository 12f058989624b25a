"""From the text of a data file to a value of the language: JSON, YAML, TOML and CSV.

Knows nothing of where texts come from. YAML is read by the core schema of YAML 1.2 into plain values alone: `no` and
`2024-01-01` are strings, and no tag makes an object.
"""

from __future__ import annotations

import csv
import datetime
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

from aquatint.language.operators import INTEGER_BITS
from aquatint.language.values import ITEM_LIMIT
from aquatint.source import Source, Span

DEPTH_LIMIT = 100
"""How deep lists and maps of a file may lie in each other."""

YAML_LIMIT = 4 << 20
"""Characters of a YAML file, which takes many times as long to read as the others."""


class FormatProblem(Exception):
    """A text is not what it should be; `span` is where, if that is known."""

    def __init__(self, message: str, span: Span | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.span = span


def read_json(source: Source) -> Any:
    """Return the value that `source` holds as JSON. Raises `FormatProblem`."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) < len(found):
            names = [name for name, _ in found]
            twice = next(name for name in names if names.count(name) > 1)
            raise FormatProblem(f'the key "{twice}" is twice in one map')
        return made

    def constant(name: str) -> Any:
        raise FormatProblem(f"`{name}` is no number of JSON")

    if source.text.count(",") > ITEM_LIMIT:
        _limit_items(re.sub(r'"(?:[^"\\]|\\.)*+"', "", source.text).count(","))
    try:
        return _value(json.loads(source.text, object_pairs_hook=pairs, parse_constant=constant, parse_int=_integer))
    except json.JSONDecodeError as error:
        words = (said for begin, said in _JSON_FAULTS.items() if error.msg.startswith(begin))
        raise FormatProblem(next(words, "this is no JSON"), _at(source, error.pos)) from None
    except RecursionError:
        raise _too_deep() from None


_JSON_FAULTS = {
    "Expecting value": "a value is missing here",
    "Expecting property name": "a key in double quotes is missing here",
    "Expecting ','": "a comma or a closing bracket is missing here",
    "Expecting ':'": "a colon is missing here",
    "Unterminated string": "this string is never closed",
    "Extra data": "there is more behind the value",
    "Invalid control character": "a string can't hold this character as it is",
    "Invalid \\": "there is no such escape",
    "Illegal trailing comma": "there is nothing behind this comma",
}


def read_toml(source: Source) -> Any:
    """Return the map that `source` holds as TOML. Raises `FormatProblem`."""
    try:
        return _value(tomllib.loads(source.text))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+), column (\d+)", str(error))
        offset = source.line_starts()[int(found[1]) - 1] + int(found[2]) - 1 if found else len(source.text)
        raise FormatProblem("this is no TOML", _at(source, offset)) from None
    except (RecursionError, ValueError):
        raise FormatProblem("this holds something too deep or too large") from None


def read_csv(source: Source, delimiter: str = ",") -> tuple[Mapping[str, str], ...]:
    """Return a map for each row of `source`, by the names in its first. Raises `FormatProblem`."""
    made: list[Mapping[str, str]] = []
    reader = csv.reader(source.text.splitlines(keepends=True), strict=True, delimiter=delimiter)
    start = 1
    try:
        header = next((row for row in reader if row), None)
        if header is None:
            return ()
        for number, name in enumerate(header):
            if not name.strip() or name in header[:number]:
                fault = "a column has no name" if not name.strip() else f'two columns are called "{name}"'
                raise FormatProblem(fault, _line(source, reader.line_num))
        start = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                fault = f"this row has {len(row)} of the header's {len(header)} fields"
                raise FormatProblem(fault, _line(source, start))
            if row:
                made.append(MappingProxyType(dict(zip(header, row, strict=True))))
                _limit_items(len(made) * len(header))
            start = reader.line_num + 1
    except csv.Error as error:
        fault = "a field is too long" if "limit" in str(error) else "the quotes in this row don't pair"
        raise FormatProblem(fault, _line(source, start)) from None
    return tuple(made)


def read_yaml(source: Source) -> Any:
    """Return the value that `source` holds as YAML, `none` if it is empty. Raises `FormatProblem`."""
    # Imported here: most plans read none.
    import yaml

    if len(source.text) > YAML_LIMIT:
        raise FormatProblem(f"it is larger than {YAML_LIMIT >> 20} MiB: write it as JSON")
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        return _Yaml(source, yaml.parse(source.text, Loader=loader)).document()
    except yaml.MarkedYAMLError as error:
        said = f"{error.problem} {error.context}"
        words = (reason for begin, reason in _YAML_FAULTS.items() if begin in said)
        mark = error.problem_mark or error.context_mark
        raise FormatProblem(next(words, "this is no YAML"), _mark(source, mark)) from None
    except yaml.reader.ReaderError as error:
        raise FormatProblem("a character can't stand in YAML", _at(source, error.position)) from None
    except RecursionError:
        raise _too_deep() from None


_YAML_FAULTS = {
    "mapping values are not allowed": "a `:` can't stand here: put the text around it in quotes",
    "cannot start any token": "this character can't begin a value: use spaces to indent, and quotes around text",
    "could not find expected ':'": "a `:` is missing",
    "did not find expected key": "this line's indentation is not that of the lines above it",
    "quoted scalar": "this string is never closed",
    "flow sequence": "a comma or a closing bracket is missing here",
    "flow mapping": "a comma or a closing bracket is missing here",
}

_YAML_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    (re.compile(r"[-+]?[0-9]+"), lambda text: _integer(text)),
    (re.compile(r"0o[0-7]+"), lambda text: _integer(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: _integer(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
)
"""The core schema's scalars that are no strings: https://yaml.org/spec/1.2.2/#103-core-schema"""


class _Yaml:
    """Makes a value of a YAML parser's events, so that nothing is made of what may not be there."""

    def __init__(self, source: Source, events: Iterator[Any]) -> None:
        self.source = source
        # An alias makes nothing new: how much it stands for is for whoever counts what the value weighs.
        self.events = islice(events, ITEM_LIMIT)
        self.anchors: dict[str, Any] = {}

    def document(self) -> Any:
        made, documents = None, 0
        for event in self.events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise self._problem("a second document begins here: write one", event)
                made = self._value(next(self.events), 0)
            elif kind == "StreamEndEvent":
                return made
        raise FormatProblem(_TOO_MANY)

    def _value(self, event: Any, depth: int) -> Any:
        if depth > DEPTH_LIMIT:
            raise self._problem(_too_deep().message, event)
        kind = type(event).__name__
        if kind == "AliasEvent":
            if event.anchor not in self.anchors:
                raise self._problem(f"`*{event.anchor}` stands for nothing that comes before it", event)
            return self.anchors[event.anchor]
        if getattr(event, "tag", None) not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._problem("tags are not read", event)
        made: Any
        match kind:
            case "ScalarEvent":
                made = self._scalar(event)
            case "SequenceStartEvent":
                made = tuple(self._value(each, depth + 1) for each in self._until("SequenceEndEvent"))
            case _:
                made = self._map(depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = made
        return made

    def _map(self, depth: int) -> Any:
        made: dict[Any, Any] = {}
        for event in self._until("MappingEndEvent"):
            key = self._value(event, depth + 1)
            if not isinstance(key, str | int | float) or isinstance(key, bool):
                raise self._problem("a key is a string or a number: put it in quotes", event)
            if key == "<<":
                raise self._problem("merge keys are not read: write the map out", event)
            if key in made:
                raise self._problem(f'the key "{key}" is twice in one map', event)
            made[key] = self._value(self._next(), depth + 1)
        return MappingProxyType(made)

    def _until(self, end: str) -> Iterator[Any]:
        while type(event := self._next()).__name__ != end:
            yield event

    def _next(self) -> Any:
        event = next(self.events, None)
        if event is None:
            raise FormatProblem(_TOO_MANY)
        return event

    def _scalar(self, event: Any) -> Any:
        if not event.implicit[0]:
            return event.value
        for pattern, number in _YAML_NUMBERS:
            if pattern.fullmatch(event.value):
                try:
                    return _finite(number(event.value))
                except FormatProblem as problem:
                    raise self._problem(problem.message, event) from None
        return event.value

    def _problem(self, message: str, event: Any) -> FormatProblem:
        return FormatProblem(message, _mark(self.source, event.start_mark))


_TOO_MANY = f"it holds more than {ITEM_LIMIT:,} items"


def _limit_items(count: int) -> None:
    if count > ITEM_LIMIT:
        raise FormatProblem(_TOO_MANY)


def _too_deep() -> FormatProblem:
    return FormatProblem(f"lists and maps lie more than {DEPTH_LIMIT} deep in each other")


def _value(raw: Any, depth: int = 0) -> Any:
    """Return what a library has read as a value of the language."""
    if depth > DEPTH_LIMIT:
        raise _too_deep()
    match raw:
        case str():
            if re.search("[\ud800-\udfff]", raw):
                raise FormatProblem("a string has half of a character that takes two escapes")
        case int() | float():
            return _finite(raw)
        case list():
            return tuple(_value(item, depth + 1) for item in raw)
        case dict():
            return MappingProxyType({_value(key): _value(item, depth + 1) for key, item in raw.items()})
        case datetime.date() | datetime.time():
            return raw.isoformat()
    return raw


def _integer(text: str, base: int = 10) -> int:
    if len(text) > 400:  # more digits than a number can have; Python would refuse some thousands of them
        raise FormatProblem("a number is too large")
    return int(text, base)


def _finite(number: Any) -> Any:
    if isinstance(number, float) and not math.isfinite(number):
        raise FormatProblem("a number is too large, or none")
    if isinstance(number, int) and number.bit_length() > INTEGER_BITS:
        raise FormatProblem("a number is too large")
    return number


def _at(source: Source, offset: int) -> Span:
    offset = min(offset, len(source.text))
    return Span(source, offset, offset + 1)


def _line(source: Source, number: int) -> Span:
    number = min(number, len(source.line_starts()))
    start = source.line_starts()[number - 1]
    return Span(source, start, start + max(1, len(source.line(number))))


def _mark(source: Source, mark: Any) -> Span:
    starts = source.line_starts()
    return _at(source, starts[min(mark.line, len(starts) - 1)] + mark.column)
