"""Source texts and places in them: offsets in, lines and columns out.

Holds no opinion on what the text means; messages about it are in `diagnostics`.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

import msgspec


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A text and the name that messages give it; `first_line` is what its first line is counted as.

    Two sources are equal only if they are the same object: the lines of a REPL are many texts of one name.
    """

    name: str
    text: str
    first_line: int = 1
    _line_starts: list[int] = field(default_factory=list, repr=False)

    @property
    def folder(self) -> str:
        """The folder that names in the text start at; `""`, the working folder, for a `<text>` of no file."""
        return "" if self.name.startswith("<") else posixpath.dirname(self.name)

    def line_starts(self) -> list[int]:
        """Return the offset of each line's first character, in order."""
        if not self._line_starts:
            lengths = (len(line) + 1 for line in self.text.split("\n")[:-1])
            self._line_starts.extend(accumulate(lengths, initial=0))
        return self._line_starts

    def position(self, offset: int) -> tuple[int, int]:
        """Return the line of `offset`, counted from `first_line`, and its column, from 1, in characters."""
        starts = self.line_starts()
        line = bisect_right(starts, offset) - 1
        return line + self.first_line, offset - starts[line] + 1

    def line(self, number: int) -> str:
        """Return line `number`, counted from `first_line`, without its line end."""
        start = self.line_starts()[number - self.first_line]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")


class Span(msgspec.Struct, frozen=True, gc=False):
    """The characters from `start` up to but without `end` of a source."""

    source: Source
    start: int
    end: int

    def to(self, other: Span) -> Span:
        """Return the span from this one's start to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def brief(self, most: int) -> str:
        """Return the text, or `...` if it has more than `most` characters or goes over a line."""
        return self.text if len(self.text) <= most and "\n" not in self.text else "..."

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"
