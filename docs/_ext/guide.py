"""What Sphinx has to know of these pages beside Markdown: commands' output, contents, and the kinds of blocks.

The pages are made to be read on a code host too, so nothing in them is Sphinx's own markup.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import command_output
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from aquatint.interface.lexer import AquatintLexer

CONTENTS = ("index", "quantization/index", "decisions/README")
"""Pages with a table of contents: the pages that items of their lists begin with, in that order."""

_ITEM = re.compile(r"^- \[[^]]+\]\(([\w./-]+)\.md\)", re.MULTILINE)
_LINK_UPWARD = re.compile(r"\[(?P<text>[^]]+)\]\((?P<target>\.\./[\w./-]+)(?:#[\w-]+)?\)")
_log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything of this module with Sphinx."""
    for kind in ("aquatint", "format"):
        app.add_lexer(kind, AquatintLexer)
    for kind in ("plan", "steps", "printed", "errors", "file", "picture"):
        app.add_lexer(kind, TextLexer)
    app.connect("env-get-outdated", _pages_to_read)
    app.connect("source-read", _run_commands)
    app.connect("source-read", _add_contents)
    app.connect("source-read", _name_files_outside)
    return {"parallel_read_safe": False}


def _pages_to_read(app: Sphinx, env: BuildEnvironment, *_changes: set[str]) -> list[str]:
    """Name the pages that show commands: what these write may have changed while the page has not."""
    return [
        name for name in env.found_docs if command_output.has_commands(env.doc2path(name).read_text(encoding="utf-8"))
    ]


def _run_commands(app: Sphinx, name: str, source: list[str]) -> None:
    """Put what the commands of a page write into it; fail the build where one fails or the page said otherwise."""
    done = command_output.filled(source[0])
    for fault in (*done.failures, *(f"{each}; `make docs-update` writes the page anew" for each in done.stale)):
        _log.warning(fault, location=name)
        # Without `-W` a warning is only mentioned.
        app.statuscode = 1
    source[0] = command_output.without_directives(done.text)


def _add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Give a page of contents the table of contents that Sphinx asks for, made of the page's own lists."""
    if name in CONTENTS:
        linked = dict.fromkeys(_ITEM.findall(source[0]))
        here = PurePosixPath(name).parent
        pages = [page for page in linked if ".." not in page and (here / page).as_posix() in app.env.found_docs]
        source[0] += "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"


def _name_files_outside(app: Sphinx, name: str, source: list[str]) -> None:
    """Turn links to files of the repository that are no pages into their names: the built pages stand alone."""
    page = app.env.doc2path(name)

    def named(found: re.Match[str]) -> str:
        file = (page.parent / found["target"]).resolve()
        if file.is_relative_to(app.srcdir):
            return found[0]
        path = file.relative_to(app.srcdir.parent).as_posix()
        return f"{found['text']} (`{path}` in the repository)"

    source[0] = _LINK_UPWARD.sub(named, source[0])
