"""From text to the tokens that the parser is fed: comments aside, newlines folded, brackets paired.

Whatever the text, the tokens that come out have paired brackets; what had to be mended for that is a diagnostic here,
so that the parser doesn't report it again.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import islice

from aquatint.diagnostics import Diagnostics, Label
from aquatint.source import Source, Span
from aquatint.syntax import nodes as n
from aquatint.syntax.grammar import lex
from aquatint.syntax.tokens import Tok, bad_escapes

NESTING_LIMIT = 100
"""Brackets in brackets; the tree's readers recurse."""
NUMBER_LIMIT = 40
"""Characters of a number."""

_CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_TEXT = {"LPAR": "(", "LSQB": "[", "LBRACE": "{", "RPAR": ")", "RSQB": "]", "RBRACE": "}"}
_STRINGS = {"OPEN_STRING": "STRING", "OPEN_LONG_STRING": "LONG_STRING", "OPEN_RAW_STRING": "RAW_STRING"}
_NUMBERS = frozenset({"INT", "FLOAT", "SIZE", "BYTES"})
_STRUCTURE = _TEXT.keys() | {"NEWLINE", "SEMICOLON", "ELSE"}
"""What decides where statements begin and end; all else is handed on as it is."""
_LOOKED_INTO = _STRINGS.keys() | _NUMBERS | {"COMMENT", "STRAY", "STRING", "LONG_STRING"}

# A line that begins so begins a statement: what was still open before it was left open by mistake.
_DECLARATIONS = frozenset({"QUANTIZER", "MODEL", "UPSCALER", "WEIGHTER", "LET", "PARAM", "OVERRIDE"})
_STATEMENTS = _DECLARATIONS | {"PRINT", "ASSERT", "DEF", "TASK", "INCLUDE"}
# After these a `{` begins a map or an attributes' block; after anything else in a `for` or `if` it begins the body.
_BEFORE_MAP = frozenset({
    "IN", "IF", "AND", "OR", "NOT", "WITH", "PLUS", "MINUS", "STAR", "SLASH", "FLOOR", "PERCENT", "POWER", "EQUAL",
    "UNEQUAL", "LESS", "LESS_EQUAL", "MORE", "MORE_EQUAL", "COMMA", "COLON", "ASSIGN", "DOTS", "FOR",
})  # fmt: skip


_END_OF_HYPHENED = re.compile(r"-[A-Za-z0-9_]+[ \t]*:")
_HYPHENED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)+(?=[ \t]*:)")

_INSTEAD = {
    "\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{DOUBLE LOW-9 QUOTATION MARK}": '"', "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "`": "'", "&": "and", "|": "or", "!": "not", "\N{EN DASH}": "-",
    "\N{EM DASH}": "-", "\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "*", "\N{DIVISION SIGN}": "/",
    "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{NOT EQUAL TO}": "!=",
}  # fmt: skip
"""What to write for characters of other languages and of word processors."""

_LOOK_ALIKE = dict(zip(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03bf\u03bd"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
    "aeopcyxijsovABEKMHOPCTXABEZHIKMNOPTYX", strict=True,
))  # fmt: skip
"""Letters of the Cyrillic and the Greek alphabet -> those that they look like."""

_WORD = re.compile(r"\w+")

_AFTER_BAR = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_]{0,40})")


@dataclass(slots=True)
class Layout:
    """The tokens of a source, its comments, and whether it ends before something that it began."""

    tokens: list[Tok] = field(default_factory=list)
    comments: list[n.Comment] = field(default_factory=list)
    incomplete: bool = False
    left_out: list[int] = field(default_factory=list)

    def mended(self, tokens: list[Tok]) -> bool:
        """Return whether a bracket had to be put in among `tokens`, or left out among them or right after them."""
        place = bisect_left(self.left_out, tokens[0].span.start)
        if place < len(self.left_out):
            source, end = tokens[0].span.source, tokens[-1].span.end
            if not source.text[end : self.left_out[place]].strip(" \t"):
                return True
        return any(token.span.start == token.span.end and token.type in _TEXT for token in tokens)


@dataclass(slots=True)
class _Open:
    """An open bracket, or the whole script; `first` is the kind of the first token of the current statement."""

    token: Tok | None
    holds_statements: bool
    first: str = ""


def lay_out(source: Source, diagnostics: Diagnostics) -> Layout:
    """Return the layout of `source`; report what can't be read and what isn't paired."""
    layout = Layout()
    raw = _hyphened(source, _lex(source, layout, diagnostics))
    out = layout.tokens
    stack = [_Open(None, True)]
    # Where all brackets are paired, no line can show that one was left open: a comprehension's `for` may begin a line.
    is_paired = _is_paired(raw)
    for index, token in enumerate(raw):
        kind = token.type
        begins_line = index == 0 or raw[index - 1].type == "NEWLINE"
        if not is_paired and begins_line and _begins_statement(raw, index, stack[-1]):
            while not stack[-1].holds_statements:
                _mend(out, stack.pop(), token, diagnostics)
            _separate(out, stack[-1], token)
        if kind not in _STRUCTURE:
            stack[-1].first = stack[-1].first or kind
            out.append(token)
            continue
        if kind in ("NEWLINE", "SEMICOLON"):
            if kind == "SEMICOLON" or _is_brace(stack[-1]):
                _separate(out, stack[-1], token)
            continue
        if kind == "ELSE" and len(out) > 1 and (out[-2].type, out[-1].type) == ("RBRACE", "SEP"):
            out.pop()  # `else` may stand on the line after the `}`
            stack[-1].first = "IF"
        stack[-1].first = stack[-1].first or kind
        if kind == "LBRACE" and stack[-1].holds_statements and _last(out) == "IF" and not _begins_map(raw, index):
            diagnostics.error("syntax", "`if` has no condition", out[-1].span, help="write one before `{`")
            out.append(Tok("TRUE", "true", out[-1].span))
        if kind in _CLOSER:
            stack.append(_Open(token, kind == "LBRACE" and _opens_body(out, stack[-1])))
            if len(stack) > NESTING_LIMIT:
                diagnostics.error("too-deep", f"brackets are nested more than {NESTING_LIMIT} deep", token.span,
                                  help="name the inner parts with `let`")  # fmt: skip
                return Layout(comments=layout.comments)
        elif kind in _TEXT:
            if not any(_closes(kind, opened) for opened in stack):
                opened = stack[-1].token
                if kind == "RBRACE" or opened is None or opened.type == "LBRACE":
                    diagnostics.error(
                        "unmatched-bracket", f"`{token.text}` closes nothing", token.span, help="take it out"
                    )
                    layout.left_out.append(token.span.start)
                    continue
                token = _exchanged(token, opened, diagnostics)
                kind = token.type
            while not _closes(kind, stack[-1]):
                _mend(out, stack.pop(), token, diagnostics)
            stack.pop()
            if kind == "RBRACE" and out[-1].type == "SEP":
                out.pop()
        out.append(token)
    if out and out[-1].type == "SEP":
        out.pop()
    if len(stack) > 1:
        layout.incomplete = True
        opened = stack[-1].token
        assert opened is not None
        _report_open(opened, None, diagnostics)
        end = Tok("END", "", Span(source, len(source.text), len(source.text)))
        while len(stack) > 1:
            _mend(out, stack.pop(), end, Diagnostics())
    return layout


def balance(line: str) -> tuple[int, bool]:
    """Return how many brackets `line` opens more than it closes, and whether a keyword begins a statement there."""
    kinds = [kind for kind, _, _ in lex(line)]
    opened = sum((kind in _CLOSER) - (kind in _TEXT and kind not in _CLOSER) for kind in kinds)
    return opened, bool(kinds) and kinds[0] in _STATEMENTS


def _is_paired(tokens: list[Tok]) -> bool:
    stack: list[str] = []
    for token in tokens:
        if token.type in _CLOSER:
            stack.append(_CLOSER[token.type])
        elif token.type in _TEXT and (not stack or stack.pop() != token.type):
            return False
    return not stack


def _is_brace(opened: _Open) -> bool:
    return opened.token is None or opened.token.type == "LBRACE"


def _closes(kind: str, opened: _Open) -> bool:
    return opened.token is not None and _CLOSER[opened.token.type] == kind


def _opens_body(out: list[Tok], around: _Open) -> bool:
    """Return whether a `{` after the tokens `out` begins a body of statements rather than a map or attributes."""
    return around.holds_statements and around.first in ("FOR", "IF", "TASK") and _last(out) not in _BEFORE_MAP


def _last(out: list[Tok]) -> str:
    """Return the kind of the last of the tokens `out`, which is a name's where a keyword or `*` stands for one."""
    before = out[-2].type if len(out) > 1 else ""
    is_name = before == "DOT" or (before == "OVERRIDE" and out[-1].type == "STAR")
    return "NAME" if is_name else out[-1].type if out else ""


def _begins_map(raw: list[Tok], index: int) -> bool:
    """Return whether the `{` at `index` is followed by what only a map begins with."""
    kinds = (raw[place].type for place in range(index + 1, len(raw)))
    inside = list(islice((kind for kind in kinds if kind != "NEWLINE"), 2))
    return inside[:1] in (["RBRACE"], ["LPAR"]) or inside[1:2] == ["COLON"]


def _lex(source: Source, layout: Layout, diagnostics: Diagnostics) -> list[Tok]:
    tokens: list[Tok] = []
    text = source.text
    for kind, start, end in lex(text):
        token = Tok(kind, text[start:end], Span(source, start, end))
        if kind not in _LOOKED_INTO:
            tokens.append(token)
        elif kind == "COMMENT":
            layout.comments.append(n.Comment(token.span, token.text))
        elif kind == "STRAY":
            if not (tokens and tokens[-1].type == "STRAY" and tokens[-1].span.end == start):
                _report_stray(token, diagnostics)
            tokens.append(token)
        elif kind in _STRINGS:
            # Reported here, and then as good as closed, so that the parser goes on.
            quote = '"""' if kind == "OPEN_LONG_STRING" else token.text[0]
            begun = Span(source, start, start + len(quote)) if kind == "OPEN_LONG_STRING" else token.span
            diagnostics.error("open-string", "this string is never closed", begun, help=f"close it with `{quote}`")
            layout.incomplete = layout.incomplete or kind == "OPEN_LONG_STRING"
            tokens.append(Tok(_STRINGS[kind], quote + quote, token.span))
        else:
            if kind in ("STRING", "LONG_STRING") and "\\" in token.text:
                for span, escape in bad_escapes(token):
                    diagnostics.error(
                        "bad-escape",
                        f"`{escape}` is not an escape",
                        span,
                        help=r"write `\\` for a backslash, or a path with `/`; "
                        r"the escapes are `\n`, `\t`, `\"`, `\\`, `\u{...}`",
                    )
            if kind in _NUMBERS and len(token.text) > NUMBER_LIMIT:
                diagnostics.error("bad-number", f"a number of {len(token.text)} characters", token.span,
                                  help=f"numbers have at most {NUMBER_LIMIT} characters")  # fmt: skip
                token = Tok("INT", "0", token.span)
            tokens.append(token)
    return tokens


def _hyphened(source: Source, tokens: list[Tok]) -> list[Tok]:
    """Return `tokens` with the keys of blocks that are spelt as in URIs, `bits4-quant-type:`, as one name each."""
    if not _END_OF_HYPHENED.search(source.text):
        return tokens
    out: list[Tok] = []
    is_block: list[bool] = []
    end = 0
    for token in tokens:
        if token.span.start < end:
            continue
        kind, before = token.type, out[-1].type if out else ""
        if kind in _CLOSER:
            is_block.append(kind == "LBRACE" and _last(out) not in _BEFORE_MAP - {"WITH"} | {"LPAR", "LSQB"})
        elif kind in _TEXT:
            is_block[-1:] = []
        elif is_block and is_block[-1] and before in ("LBRACE", "COMMA", "NEWLINE", "SEMICOLON"):
            found = _HYPHENED.match(source.text, token.span.start)
            if found is not None:
                end = found.end()
                token = Tok("NAME", found[0], Span(source, token.span.start, end))
        out.append(token)
    return out


def _only_looks_alike(span: Span) -> bool:
    """Return whether the word that goes on at `span` has no other letters of other alphabets."""
    word = _WORD.match(span.source.text, span.start)
    return word is not None and all(letter.isascii() or letter in _LOOK_ALIKE for letter in word[0])


def _called(character: str) -> str:
    return f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character').lower()})"


def _report_stray(token: Tok, diagnostics: Diagnostics) -> None:
    help = "take it out, or put it in a string"
    if token.text == "|" and (name := _AFTER_BAR.match(token.span.source.text, token.span.end)):
        help = f'write `or`, or put a filter into a string: `"{{{{ ... | {name[1]} }}}}"`'
    elif token.text in _INSTEAD:
        help = f"write `{_INSTEAD[token.text]}`"
    elif token.text in _LOOK_ALIKE and _only_looks_alike(token.span):
        help = f"it is {_called(token.text)}, which only looks like `{_LOOK_ALIKE[token.text]}`: write that"
    elif token.text.isspace():
        help = f"it is {_called(token.text)}: write a blank, or a new line"
    elif not token.text.isascii() and (plain := unicodedata.normalize("NFKC", token.text)).isascii():
        help = f"it is {_called(token.text)}: write `{plain}`"
    elif token.text.isalpha():
        help = "names have the letters a to z, digits and `_`; text is written in quotes"
    elif token.text == "?":
        help = "write a choice as `a if condition else b`"
    elif not token.text.isprintable():
        help = f"take it out: it is {_called(token.text)}, which can't be seen"
    shown = token.text if token.text.isprintable() else f"U+{ord(token.text):04X}"
    diagnostics.error("stray-character", f"`{shown}` means nothing here", token.span, help=help)


def _begins_statement(raw: list[Tok], index: int, opened: _Open) -> bool:
    """Return whether the line of token `index` begins a statement although `opened`, which holds none, is open."""
    kinds = [token.type for token in raw[index : index + 3]]
    if kinds[0] in ("FOR", "IF") and not _is_brace(opened):
        return _has_body(raw, index)
    if opened.holds_statements or kinds[0] not in _STATEMENTS or len(kinds) < 3 or kinds[1] == "COLON":
        return False
    # In a block, `model { ... }` is a part and `model: x` an attribute, but a keyword and a name begin a statement.
    return not _is_brace(opened) or (kinds[1] in ("NAME", "STEP") and kinds[2] in ("LBRACE", "EXTENDS", "ASSIGN"))


def _exchanged(closing: Tok, opened: Tok, diagnostics: Diagnostics) -> Tok:
    """Return the token that should stand where `closing` does, and report that."""
    closer = _CLOSER[opened.type]
    diagnostics.error("unmatched-bracket", f"`{closing.text}` does not close `{opened.text}`", closing.span,
                      labels=(Label(opened.span, "opened here"),), help=f"write `{_TEXT[closer]}`")  # fmt: skip
    return Tok(closer, _TEXT[closer], closing.span)


def _has_body(raw: list[Tok], index: int) -> bool:
    """Return whether the line that begins at `index` opens braces that are no map's."""
    depth = 0
    for place in range(index, len(raw)):
        kind = raw[place].type
        if kind == "NEWLINE":
            return False
        if kind == "LBRACE" and depth == 0 and raw[place - 1].type not in _BEFORE_MAP:
            return True
        depth += (kind in _CLOSER) - (kind in _TEXT and kind not in _CLOSER)
    return False


def _mend(out: list[Tok], opened: _Open, at: Tok, diagnostics: Diagnostics) -> None:
    """Close `opened` before the token `at`, and report that the script doesn't."""
    assert opened.token is not None
    _report_open(opened.token, at, diagnostics)
    if out and out[-1].type == "SEP":
        out.pop()
    closer = _CLOSER[opened.token.type]
    out.append(Tok(closer, _TEXT[closer], Span(at.span.source, at.span.start, at.span.start)))


def _report_open(opened: Tok, closing: Tok | None, diagnostics: Diagnostics) -> None:
    labels = () if closing is None else (Label(closing.span, "it should be closed before this"),)
    diagnostics.error("open-bracket", f"`{opened.text}` is never closed", opened.span, labels=labels,
                      help=f"add `{_TEXT[_CLOSER[opened.type]]}`")  # fmt: skip


def _separate(out: list[Tok], around: _Open, at: Tok) -> None:
    # A separator after another, after `{` or after a comma separates nothing.
    if out and out[-1].type not in ("SEP", "LBRACE", "COMMA"):
        around.first = ""
        out.append(Tok("SEP", at.text if at.type == "SEMICOLON" else "", at.span))
