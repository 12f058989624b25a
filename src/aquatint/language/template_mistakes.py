"""What to say of a template that Jinja can't read: the likely mistake, else what it found in its place.

What belongs to scripts alone (sizes, ranges, statements) is looked for first. Knows Jinja's messages, and not Jinja.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aquatint.language.views import TemplateProblem

TAGS = ("if", "for", "set", "with", "filter", "raw")
"""The tags that templates have."""

_VERBS = ("generate", "upscale", "compare")
_LINES = ("model", "quantizer", "upscaler", "weighter", "override", "assert", "include", "def", "task", "param",
          "grid", "save")  # fmt: skip
_MARKS = re.compile(r"\{\{-?|\{%-?|\{#|-?\}\}|-?%\}|#\}")
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_BYTES = re.compile(r"(?<![\w.])[0-9]+(?:\.[0-9]+)?(?:[KMGT]iB|[kMGT]?B)\b")
_SIZE = re.compile(r"(?<![\w.])[0-9]+x[0-9]+\b")
_RANGE = re.compile(r"(?:(\w+)[ ]?)?\.\.(?:[ ]?(\w+))?")
# A word and another value behind it, which is no operator of a template.
_WORD = re.compile(r"\s*([a-z]+)\s+(?!(?:if|in|is|and|or|not|else)\b)[\w\"'(\[{]|\s*(grid|let)\s*\{")
_COMPREHENSION = re.compile(r"\[[^\[\]]*\sfor\s")
_DERIVED = re.compile(r"\bwith\s*\{")
_FOREIGN = {"&&": "and", "||": "or", "!": "not"}
_KINDS = {"integer": "a number", "float": "a number", "string": "a string", "end of template": "the end of the string"}


def syntax_problem(message: str, text: str) -> TemplateProblem:
    """Return what is wrong with the template `text`, of which Jinja says `message`."""
    if found := re.search(r"innermost block that needs to be closed is '(\w+)'", message):
        return TemplateProblem(f"`{{% {found[1]} %}}` is never closed", f"add `{{% end{found[1]} %}}`", found[1])
    if found := re.match(r"Encountered unknown tag '(\w+)'", message):
        return _unknown_tag(found[1])
    if message in ("unexpected end of template, expected 'end of print statement'.", "unexpected 'end of template'"):
        return TemplateProblem("`{{` is never closed", "add `}}`")
    for inside, is_tag in _expressions(text):
        if (problem := _of_scripts(inside, is_tag)) is not None:
            return problem
    return _found(reason(message))


def reason(message: str) -> str:
    """Return the first line of what Jinja says as this program would write it."""
    line = (message.strip().splitlines() or [""])[0].rstrip(".")
    line = re.sub(r"'([^']*)'", r"`\1`", line or "it can't be rendered")
    line = line.replace("end of print statement", "}}").replace("end of statement block", "%}")
    return line[:1].lower() + line[1:]


def _unknown_tag(tag: str) -> TemplateProblem:
    if tag.startswith("end") or tag in ("else", "elif"):
        return TemplateProblem(f"`{{% {tag} %}}` ends nothing", "take it out", tag)
    help = "there is " + ", ".join(f"`{known}`" for known in TAGS)
    return TemplateProblem(
        f"there is no `{{% {tag} %}}`", "write `{% set name = ... %}`" if tag == "let" else help, tag
    )


def _expressions(text: str) -> Iterator[tuple[str, bool]]:
    """Yield what is between `{{` and `}}`, without what is in its strings, and, marked as a tag's, `{%` and `%}`."""
    opened: re.Match[str] | None = None
    for mark in _MARKS.finditer(text):
        if mark[0].startswith("{"):
            opened = opened or mark
        elif opened is not None:
            if opened[0] != "{#":
                yield _STRING.sub("''", text[opened.end() : mark.start()]), opened[0].startswith("{%")
            opened = None


def _of_scripts(inside: str, is_tag: bool) -> TemplateProblem | None:
    """Return what to say of the expression `inside`, or of the tag, if it has what only a script can say."""
    if found := _BYTES.search(inside):
        help = f"give it a name before: `let limit = {found[0]}`, and write `limit` here"
        return TemplateProblem(f"a template has no byte sizes such as `{found[0]}`", help, found[0])
    if found := _SIZE.search(inside):
        help = f"give it a name before: `let size_ = {found[0]}`, and write `size_` here"
        return TemplateProblem(f"a template has no sizes such as `{found[0]}`", help, found[0])
    if _COMPREHENSION.search(inside):
        help = "make the list before, with `let`, or go through it with `{% for ... %}`"
        return TemplateProblem("a template can't make a list with `for`", help, "for")
    if found := _RANGE.search(inside):
        last = found[2] or "last"
        after = str(int(last) + 1) if last.isdecimal() and len(last) < 19 else f"{last} + 1"
        help = f"write `range({found[1] or 'first'}, {after})`, which leaves its end out"
        return TemplateProblem("a template has no ranges such as `1..4`", help, found[0])
    if not is_tag and (found := _WORD.match(inside)) and (problem := _statement(found[1] or found[2])) is not None:
        return problem
    if _DERIVED.search(inside):
        help = "derive it before: `let other = ... with { ... }`"
        return TemplateProblem("a template can't derive anything with `with`", help, "with")
    for mark, word in _FOREIGN.items():
        if mark in inside.replace("!=", ""):
            return TemplateProblem(f"`{mark}` means nothing in a template", f"write `{word}`")
    if "?" in inside:
        return TemplateProblem("`?` means nothing in a template", "write `a if condition else b`")
    return None


def _statement(word: str) -> TemplateProblem | None:
    message = f"a template can't hold `{word}`"
    if word in _VERBS:
        help = f"give what it makes a name before: `let made = {word} ...`, and write `made` here"
        return TemplateProblem(message, help, word)
    if word == "let":
        return TemplateProblem(message, "write `let` before the string, or `{% set name = ... %}` in it", word)
    if word == "print":
        return TemplateProblem(message, "take `print` out: what stands in `{{ }}` is written", word)
    if word in ("for", "if"):
        help = f"write `{{% {word} ... %}}...{{% end{word} %}}`"
        return TemplateProblem(f"a template can't hold `{word}` in `{{{{ }}}}`", help, word)
    return TemplateProblem(message, "put it in a line of its own, before the string", word) if word in _LINES else None


def _found(told: str) -> TemplateProblem:
    """Return what to say by what Jinja has `told`, in this program's words where they are known."""
    help = "close each `{{` with `}}` and each `{%` with `%}`"
    if re.match(r"unexpected `[}%]\}`|expected an expression, got `[}%]\}`", told):
        return TemplateProblem("a value is missing at the end of what stands in `{{ }}`", "write it before `}}`")
    if found := re.match(r"unexpected char (?:`(.)`|\"(')\")", told):
        if found[1] in ('"', None):
            return TemplateProblem(
                "a string in this template is never closed", f"close it with `{found[1] or found[2]}`"
            )
        return TemplateProblem(f"`{found[1]}` means nothing in a template", "take it out, or put it in quotes")
    if found := re.match(r"expected token `(.+?)`, got `(.+?)`$", told):
        wanted, got = found[1], _KINDS.get(found[2], f"`{found[2]}`")
        if found[2] == "=":
            return TemplateProblem("`=` can't stand here in a template", "write `==` to compare")
        expected = f"an operator or `{wanted}`" if wanted in ("}}", "%}") else f"`{wanted}`"
        return TemplateProblem(f"{got} can't stand here in a template", f"expected here: {expected}")
    if found := re.match(r"unexpected `(.)`, expected `(.)`", told):
        return TemplateProblem(f"`{found[1]}` can't stand here in a template", f"expected here: `{found[2]}`")
    if found := re.match(r"unexpected `(.+)`$", told):
        help = help if found[1] == "}" else "a value was expected here"
        return TemplateProblem(f"`{found[1]}` can't stand here in a template", help)
    return TemplateProblem(f"not a template: {told}", help)
