"""`aquatint fmt`: writes scripts in their canonical form, which `syntax.formatting` makes. Imports no torch."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from aquatint.interface.collection import without_collection
from aquatint.interface.exits import DONE, FAILED, WRONG, Refusal
from aquatint.interface.script_file import read_script, write_script

if TYPE_CHECKING:
    from aquatint.source import Source


_EPILOG = """\
examples:
    aquatint fmt pictures.aqt
    aquatint fmt --check *.aqt
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "fmt", help="write scripts in their one canonical form",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument(
        "files", nargs="*", metavar="FILE",
        help="the scripts, rewritten in place; `-`, or none, is from standard input to standard output",
    )  # fmt: skip
    command.add_argument(
        "--check", action="store_true", help="write nothing; name the files that would change, and exit with 1"
    )
    command.add_argument("--diff", action="store_true", help="write nothing; show what would change")
    return command


def run(options: argparse.Namespace) -> int:
    """Format the scripts `options.files`, all of them or, if one has mistakes, none; return the exit code."""
    from aquatint.interface.report import write_diagnostics
    from aquatint.syntax.formatting import formatted
    from aquatint.syntax.parser import parse

    if not options.files and sys.stdin.isatty():
        raise Refusal("bad-command-line", "no file is named", "name scripts, or `-` for standard input")
    names = dict.fromkeys(options.files or ["-"])
    sources = [read_script(name, no_stdin=options.no_stdin, commands=options.commands) for name in names]
    with without_collection():
        parses = [parse(source) for source in sources]
        if any(parsed.diagnostics.has_errors for parsed in parses):
            write_diagnostics((item for parsed in parses for item in parsed.diagnostics), sys.stderr)
            return WRONG
        # All before the first is written.
        texts = [formatted(parsed.script) for parsed in parses]
    changed = False
    for name, source, text in zip(names, sources, texts, strict=True):
        changed = changed or text != source.text
        if options.diff:
            sys.stdout.write(_difference(source, text))
        if text != source.text and options.check:
            sys.stderr.write(f"{source.name}: not in canonical form\n")
        if options.diff or options.check:
            continue
        if name == "-":
            sys.stdout.write(text)
        elif text != source.text:
            write_script(name, text)
            sys.stdout.write(f"{name}: formatted\n")
    return FAILED if options.check and changed else DONE


def _difference(source: Source, text: str) -> str:
    """Return how `text` differs from `source`, as `patch -p0` takes it."""
    from difflib import unified_diff

    # Not `splitlines`, which takes more than line feeds for line ends.
    before, after = ([line + "\n" for line in body.split("\n")] for body in (source.text, text))
    for lines in (before, after):
        # What follows the last line feed is a line only if there is something.
        last = lines.pop().removesuffix("\n")
        lines += [f"{last}\n\\ No newline at end of file\n"] if last else []
    return "".join(unified_diff(before, after, source.name, source.name))
