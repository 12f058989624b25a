"""Where the cursor stands in a text that isn't finished: in which block, before a setting's name or its value.

Reads tokens, not nodes: what one is typing can't be parsed yet. What could stand there is in `completion`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aquatint.syntax.grammar import lex

_NOUNS = ("QUANTIZER", "MODEL", "UPSCALER", "WEIGHTER")
_VERBS = ("GENERATE", "UPSCALE", "SAVE", "COMPARE", "GRID")
_SEPARATORS = ("NEWLINE", "SEMICOLON", "COMMA")
_OPENERS = ("LBRACE", "LPAR", "LSQB")
_CLOSERS = ("RBRACE", "RPAR", "RSQB")

Kind = Literal["statements", "block", "map", "brackets"]


@dataclass(slots=True)
class Frame:
    """What a bracket opened: `noun` is its keyword, or a submodule's name; `of` the name that it changes or uses.

    `written` has the settings before the cursor whose values are one word or string, by name.
    """

    kind: Kind
    noun: str = ""
    of: str | None = None
    written: dict[str, str] = field(default_factory=dict)
    head: list[tuple[str, str]] = field(default_factory=list)  # the tokens of the item or statement that is going on


@dataclass(frozen=True, slots=True)
class Cursor:
    """`word` is what is typed so far of a name or a string, `frames` the blocks around it, the outermost first.

    `setting` is the name whose value is being written, if one is.
    """

    word: str
    frames: tuple[Frame, ...]
    in_string: bool
    setting: str | None

    @property
    def head(self) -> list[tuple[str, str]]:
        """The kinds and texts of the tokens before the word, since its statement or item began."""
        return self.frames[-1].head


def cursor(text: str) -> Cursor | None:
    """Return where the end of `text` is; None inside of a comment."""
    tokens = [(kind, text[start:end], end) for kind, start, end in lex(text)]
    word, in_string = "", False
    if tokens and tokens[-1][2] == len(text):
        kind, last, _ = tokens[-1]
        if kind == "COMMENT":
            return None
        if kind in ("OPEN_STRING", "OPEN_RAW_STRING", "OPEN_LONG_STRING"):
            word, in_string = last.lstrip("\"'"), True
            tokens.pop()
        elif last.isidentifier():
            word = last
            tokens.pop()
    frames = [Frame("statements")]
    for kind, token, _ in tokens:
        _advance(frames, kind, token)
    head = frames[-1].head
    is_value = frames[-1].kind in ("block", "map") and len(head) > 1 and head[1][0] == "COLON"
    return Cursor(word, tuple(frames), in_string, head[0][1] if is_value else None)


def _advance(frames: list[Frame], kind: str, token: str) -> None:
    frame = frames[-1]
    if kind in _OPENERS:
        opened = _opened(frame) if kind == "LBRACE" else Frame("brackets")
        frame.head.append((kind, token))
        frames.append(opened)
    elif kind in _CLOSERS:
        if len(frames) > 1:
            frames.pop()
            frames[-1].head.append((kind, token))
            if kind == "RBRACE" and frames[-1].kind == "statements" and frames[-1].head[0][0] in ("FOR", "IF", "ELSE"):
                frames[-1].head.clear()
    elif kind in _SEPARATORS and (kind != "COMMA" or frame.kind != "statements") and frame.kind != "brackets":
        frame.head.clear()
    elif kind != "COMMENT" and kind != "NEWLINE":
        frame.head.append((kind, token))
        head = frame.head
        if frame.kind == "block" and len(head) == 3 and head[1][0] == "COLON":
            frame.written[head[0][1]] = token.strip("\"'")


def _opened(frame: Frame) -> Frame:
    """Return what a brace begins after the tokens of `frame.head`."""
    head = frame.head
    kinds = [kind for kind, _ in head]
    if frame.kind == "block" and len(head) == 1:
        return Frame("block", head[0][1])
    if kinds and kinds[-1] == "WITH":
        return Frame("block", "with", head[-2][1] if len(head) > 1 else None)
    if kinds and kinds[0] in _NOUNS and "ASSIGN" not in kinds:
        of = head[kinds.index("EXTENDS") + 1][1] if "EXTENDS" in kinds[:-1] else None
        return Frame("block", head[0][1], of)
    if kinds[:1] == ["OVERRIDE"]:
        return Frame("block", "with", head[1][1] if len(head) > 1 else None)
    verb = next((at for at in reversed(range(len(head))) if kinds[at] in _VERBS), None)
    if verb is not None and "COLON" not in kinds[verb:]:
        names = [text for kind, text in head[verb + 1 :] if kind == "NAME"]
        return Frame("block", head[verb][1], names[0] if names else None)
    if frame.kind == "statements" and kinds and kinds[0] in ("FOR", "IF", "ELSE", "TASK"):
        return Frame("statements")
    return Frame("map")
