"""Writes `docs/diagnostics.md` from the registry of codes; `make docs-update` calls it."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from aquatint.codes import GROUPS, Code, codes

PAGE = Path(__file__).parents[1] / "docs" / "diagnostics.md"

_HEAD = """\
# Diagnostics

<!-- Made by `make docs-update` from src/aquatint/codes. -->

Every mistake that the program reports has a code, in brackets behind `error` or `warning`. Codes stay the same over
versions; messages may get better. `aquatint explain CODE` shows what is here on a terminal, `aquatint explain` alone
lists the codes, and `aquatint check --json` reports mistakes [for editors](running.md#check).

With an error there is no plan, so that nothing is loaded or written; with warnings there is one. The scripts on this
page, and what is shown under them, are run by the tests. Those that name `models/...` use the tests' checkpoints.
"""


# The name of a file is in its block's information, which readers of the page don't see.
_FILE = re.compile(r"^(```file (\S+))$", re.MULTILINE)


def page() -> str:
    """Return the page: a list of all codes, then each with its explanation and examples."""
    groups = [(GROUPS[group], list(members)) for group, members in groupby(codes(), key=lambda code: code.group)]
    contents = "\n".join(_contents(title, members) for title, members in groups)
    sections = "\n".join(f"## {title}\n\n" + "\n".join(map(_section, members)) for title, members in groups)
    return f"{_HEAD}\n{contents}\n{sections}"


def _contents(title: str, members: list[Code]) -> str:
    rows = "".join(f"| [`{code.name}`](#{code.name}) | {code.title}{_warning(code)} |\n" for code in members)
    return f"| {title} | |\n|---|---|\n{rows}"


def _warning(code: Code) -> str:
    return " (warning)" if code.severities[0] == "warning" else ""


def _section(code: Code) -> str:
    text = _FILE.sub(r"`\2`:\n\n\1", code.text)
    return f"### `{code.name}`\n\n**{' or '.join(code.severities)}:** {code.title}\n\n{text}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
