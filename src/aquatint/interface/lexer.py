"""Colours for scripts, in the interactive session and in the built pages. The keywords are those of the grammar."""

from __future__ import annotations

from typing import Any, ClassVar

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from aquatint.syntax.grammar import keywords


class AquatintLexer(RegexLexer):
    """Tells apart what a reader wants to see apart; what is a mistake is the parser's business."""

    name = "Aquatint"
    aliases: ClassVar[list[str]] = ["aquatint", "aqt"]
    filenames: ClassVar[list[str]] = ["*.aqt"]
    tokens: ClassVar[dict[str, list[Any]]] = {
        "root": [
            (r"\s+", Whitespace),
            (r"#.*$", Comment.Single),
            (r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"""', String),
            (r'"(?:[^"\\\n]|\\.)*"', String),
            (r"'[^'\n]*'", String),
            (r"(\w+)(\s*)(:)", bygroups(Name.Attribute, Whitespace, Punctuation)),  # type: ignore[no-untyped-call]
            (words(keywords(), prefix=r"\b", suffix=r"\b"), Keyword),
            (r"\d+x\d+\b|\d+(?:\.\d+)?(?:[KMGT]iB|[kMGT]B|B)\b", Number),
            (r"\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?", Number),
            (r"\w+", Name),
            (r"[{}()\[\],;]", Punctuation),
            (r"[^\s\w]", Operator),
        ]
    }
