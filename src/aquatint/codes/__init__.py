"""The registry of diagnostic codes: what each means and what to do about it, with a wrong and a right example.

Each code is a Markdown file of its name, in the folder of its group; adding one is adding a file. What reports
diagnostics doesn't read this; the interface, the documentation and the tests do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import cast

from aquatint.diagnostics import Severity

GROUPS = {
    "text": "Text",
    "names": "Names and functions",
    "values": "Values",
    "files": "Files",
    "settings": "Settings of blocks",
    "quantizers": "Quantizers",
    "models": "Models and checkpoints",
    "outputs": "Outputs",
    "pictures": "Pictures and their records",
    "effect": "What has no effect",
    "program": "The program",
}
"""The folders of this package and what they hold, in the order in which they are shown."""

_HEADING = re.compile(
    r"# (?P<severities>error|warning|error or warning|warning or error)\[(?P<name>[a-z0-9-]+)\]: (?P<title>.+)\n\n"
)


@dataclass(frozen=True, slots=True)
class Code:
    """One code; `text` is all below its heading, in Markdown, and `group` one of `GROUPS`.

    `severities` has what it can be, first what it mostly is.
    """

    name: str
    severities: tuple[Severity, ...]
    title: str
    text: str
    group: str


def codes() -> tuple[Code, ...]:
    """Return every code, by group and name. Raises ValueError for an entry that is not of the form."""
    folder = files(__name__)
    return tuple(
        _read(file.name.removesuffix(".md"), group, file.read_text(encoding="utf-8"))
        for group in GROUPS
        for file in sorted(folder.joinpath(group).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".md")
    )


def _read(name: str, group: str, entry: str) -> Code:
    heading = _HEADING.match(entry)
    if heading is None or heading["name"] != name:
        raise ValueError(f"{group}/{name}.md must begin with `# error[{name}]: a title` and an empty line")
    severities = cast("tuple[Severity, ...]", tuple(heading["severities"].split(" or ")))
    return Code(name, severities, heading["title"], entry[heading.end() :], group)
