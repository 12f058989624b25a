"""What to say when a token can't stand where it is: the likely mistake, else what could have stood there."""

from __future__ import annotations

import re
from typing import Literal

from aquatint.diagnostics import Diagnostics, nearest
from aquatint.source import Span
from aquatint.syntax.tokens import BYTE_UNITS, Tok

_STATEMENT_WORDS = (
    "let", "param", "quantizer", "model", "upscaler", "weighter", "override", "for", "if", "print", "assert", "def",
    "task", "include", "generate", "upscale", "compare", "grid", "save",
)  # fmt: skip
# Words that other languages begin such statements with.
_FOREIGN = {"var": "let", "const": "let", "set": "let", "import": "include", "foreach": "for", "while": "for",
            "function": "def", "fn": "def", "echo": "print", "elif": "else if", "elseif": "else if"}  # fmt: skip
_SHOWN = {
    "NAME": "a name", "STRING": "a string", "LBRACE": "`{`", "COLON": "`:`", "ASSIGN": "`=`", "RBRACE": "`}`",
    "RPAR": "`)`", "RSQB": "`]`", "COMMA": "`,`", "IN": "`in`", "ELSE": "`else`", "LPAR": "`(`",
    "SEP": "the end of the line", "$END": "the end of the line",
}  # fmt: skip
# What the block of a verb can't do without.
_BLOCKS = {"GENERATE": 'prompt: "..."', "UPSCALE": 'prompts: ["..."]', "SAVE": 'to: "folder"',
           "COMPARE": "", "GRID": 'output: "sheet.png"'}  # fmt: skip
_UNITS = {unit.lower(): unit for unit in BYTE_UNITS}
_QUOTES = "\"'"
_LONGEST = 60
"""Characters of a statement that is written out again in a proposal."""
_VALUE = "a value was expected: a number, a string, a name, `[`, `{` or `(`"

Context = Literal["statements", "settings"]
"""What stands between the braces around a token, or in the whole script."""


def report_unexpected(
    token: Tok, item: list[Tok], expected: set[str], context: Context, diagnostics: Diagnostics
) -> None:
    """Report `token`, which came after the tokens `item` of the smallest statement or setting that it stands in.

    `expected` are the kinds of token that could have come.
    """
    ended = token.type in ("$END", "SEP")
    before = item[-1] if item else None
    span = before.span if ended and before else token.span
    first = item[0] if item else token
    alone = len(item) == 1 and first.type == "NAME"

    def report(code: str, message: str, place: Span, help: str) -> None:
        diagnostics.error(code, message, place, help=help)

    if context == "statements" and first.type == "NAME" and first.text in _FOREIGN:
        report("unknown-keyword", f"`{first.text}` begins no statement", first.span, f"write `{_FOREIGN[first.text]}`")
    elif context == "statements" and alone and token.type == "ASSIGN":
        # `letx = 3` has lost a space.
        name = first.text.removeprefix("let") or first.text
        report("unknown-keyword", f"`{first.text} = ...` binds nothing", first.span, f"write `let {name} = ...`")
    elif context == "statements" and alone and (token.type in ("NAME", "LBRACE", "STRING", "INT", "STEP")):
        word = nearest(first.text, _STATEMENT_WORDS)
        help = f"did you mean `{word}`?" if word else "statements begin with " + ", ".join(_STATEMENT_WORDS)
        report("unknown-keyword", f"`{first.text}` begins no statement", first.span, help)
    elif (number := _number(before, token)) is not None:
        report("syntax", f"`{token.text}` can't stand here", token.span, f"write `{number}`")
    elif not item and token.text in ("//", "/"):
        report("syntax", f"`{token.text}` begins no statement", token.span, "a comment begins with `#`")
    elif context == "settings" and not item and token.type == "STRING":
        report(
            "syntax", "a setting's name stands without quotes", token.span, f"write `{token.text.strip(_QUOTES)}: ...`"
        )
    elif context == "settings" and len(item) == 1 and token.type == "MINUS":
        report("syntax", "names have no `-`", token.span, "write `_`")
    elif context == "settings" and len(item) == 1 and token.type == "DOT":
        help = f"settings of a part stand in its block: `{first.text} {{ ... }}`"
        report("syntax", f"`{first.text}` has no value", first.span, help)
    elif context == "settings" and len(item) == 3 and item[1].type == "COLON" and _is_text(item[2], token):
        report("syntax", f"`{token.text}` can't stand here", token.span, 'text is written in quotes: `"..."`')
    elif token.type == "COLON" and "LBRACE" in expected and "INT" not in expected:
        report("syntax", "`:` begins no block", token.span, "write `{` for it, and `}` at the end of the block")
    elif first.type == "OVERRIDE" and len(item) == 2 and token.type == "DOT":
        help = f"write `override {item[1].text} {{ part {{ ... }} }}`; what an included file binds needs a `let` first"
        report("syntax", "`override` takes a name alone", token.span, help)
    elif context == "settings" and len(item) == 1 and "COLON" in expected:
        if token.type == "ASSIGN":
            report("syntax", "a setting is written with `:`, not `=`", token.span, f"write `{first.text}: ...`")
        else:
            help = f"write `{first.text}: ...`, or `{first.text} {{ ... }}` for a part"
            report("syntax", f"`{first.text}` has no value", first.span, help)
    elif token.text in ("elif", "elseif") and "ELSE" in expected:
        report("syntax", f"`{token.text}` can't stand here", token.span, "write `else if`")
    elif first.type in ("GENERATE", "UPSCALE", "SAVE") and len(item) > 1 and item[1].type == "LBRACE" and ended:
        report("syntax", f"`{first.text}` doesn't say with what", first.span, "write its name before `{`")
    elif before is not None and before.type == "COMMA" and before.span.line < token.span.line:
        report("syntax", "nothing stands after `,`", before.span, "write a value there, or take the comma out")
    elif before is not None and before.type == "ASSIGN" and ended:
        report("syntax", "nothing stands after `=`", before.span, "write a value there")
    elif token.type == "ASSIGN" and "EQUAL" in expected:
        report("syntax", "`=` binds a name; it does not compare", token.span, "write `==`")
    elif token.type == "WITH" and "LBRACE" in expected:
        report("syntax", "`with` can't stand here", token.span, "put brackets around it: `(... with { ... })`")
    elif "NAME" in expected and "INT" not in expected and token.text.isidentifier():
        help = f"call it `{token.text}_` or something else"
        report("reserved-word", f"`{token.text}` is a keyword and can't be a name", token.span, help)
    elif ended and "LBRACE" in expected and "INT" not in expected:
        verb = next((part for part in reversed(item) if part.type in _BLOCKS), None)
        if verb is None or _goes_on(token, "{"):
            report("syntax", "the line ends where `{` was expected", span, "put `{` on the same line")
        else:
            written = Span(verb.span.source, verb.span.start, span.end).text
            if verb.type == "COMPARE" and written.split() == ["compare", "{", "}"]:
                written = "compare a, b"
            elif verb.type != "COMPARE" and written.removeprefix(verb.text).lstrip().startswith("{"):
                written = f"{verb.text} NAME"  # what was meant for its block stands where the name would
            help = f"write `{written if len(written) <= _LONGEST else '...'} {{ {_BLOCKS[verb.type]} }}`"
            report("syntax", f"this `{verb.text}` has no block", span, help.replace("{  }", "{ }"))
    elif ended:
        report("syntax", "the line ends too early", span, _expectation(expected, context))
    else:
        report("syntax", f"`{token.text}` can't stand here", token.span, _expectation(expected, context))


def _number(before: Tok | None, token: Tok) -> str | None:
    """Return how a number with the unit `token`, or a size, is written, if that is what is meant."""
    if before is None or before.type not in ("INT", "FLOAT") or token.type != "NAME":
        return None
    if token.text.lower() in _UNITS:
        return f"{before.text}{_UNITS[token.text.lower()]}"
    height = re.match(r"[xX]\s*([0-9]+)\b", token.span.source.text[token.span.start : token.span.start + 20])
    return f"{before.text}x{height[1]}" if height is not None and before.type == "INT" else None


def _is_text(value: Tok, token: Tok) -> bool:
    """Return whether `token` goes on with a text that is written without quotes and begins with the name `value`."""
    if value.type != "NAME" or value.span.line != token.span.line:
        return False
    if token.type == "COLON":
        return True
    # Before `:` or `{` it is the next setting, which a comma is missing before.
    following = token.span.source.text[token.span.end : token.span.end + 80].lstrip(" \t")
    return token.type == "NAME" and following[:1] not in (":", "{")


def _goes_on(end: Tok, mark: str) -> bool:
    """Return whether the first thing on the lines after `end` is `mark`."""
    text, place = end.span.source.text, end.span.start
    while place < len(text) and text[place].isspace():
        place += 1
    return text.startswith(mark, place)


def _expectation(expected: set[str], context: Context) -> str:
    if "INT" in expected:
        return _VALUE
    if "PLUS" in expected:
        end = "a comma or a new line before the next setting" if context == "settings" else "the end of the line"
        closing = next((_SHOWN[kind] for kind in ("RPAR", "RSQB", "LBRACE") if kind in expected), end)
        comma = " `,`" if "COMMA" in expected and closing in ("`)`", "`]`") else ""
        return f"expected here: an operator,{comma} or {closing}"
    kinds = dict.fromkeys(_SHOWN[kind] for kind in _SHOWN if kind in expected)
    return "expected here: " + " or ".join(kinds) if kinds else "nothing more can follow"
