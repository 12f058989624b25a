"""Colours for scripts in the built pages. The keywords are those of the grammar."""

from __future__ import annotations

import re
from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from aquatint.syntax.grammar import grammar_text

KEYWORDS = tuple(re.findall(r'^[A-Z]+: "([a-z]+)"$', grammar_text(), re.MULTILINE))


class AquatintLexer(RegexLexer):
    """Tells apart what a reader wants to see apart; what is a mistake is the parser's business."""

    name = "Aquatint"
    aliases: ClassVar[list[str]] = ["aquatint"]
    tokens: ClassVar[dict[str, list[object]]] = {
        "root": [
            (r"\s+", Whitespace),
            (r"#.*$", Comment.Single),
            (r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"""', String),
            (r'"(?:[^"\\\n]|\\.)*"', String),
            (r"'[^'\n]*'", String),
            (r"(\w+)(\s*)(:)", bygroups(Name.Attribute, Whitespace, Punctuation)),
            (words(KEYWORDS, prefix=r"\b", suffix=r"\b"), Keyword),
            (r"\d+x\d+\b|\d+(?:\.\d+)?(?:[KMGT]iB|[kMGT]B|B)\b", Number),
            (r"\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?", Number),
            (r"\w+", Name),
            (r"[{}()\[\],;]", Punctuation),
            (r"[^\s\w]", Operator),
        ]
    }
