"""`aquatint dump`: shows what a script is between its text and its run, for people who work on the language.

Imports no torch.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from aquatint.interface.commands.plan import show
from aquatint.interface.exits import DONE, WRONG, Refusal
from aquatint.interface.planning_options import add_planning_options, add_script_options
from aquatint.interface.script_file import read_script

_EPILOG = """\
examples:
    aquatint dump pictures.aqt --stage ast
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "dump", help="show a script's tokens, its syntax tree or its plan, to work on the language",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_script_options(command)
    command.add_argument(
        "--stage", choices=("tokens", "ast", "plan"), required=True,
        help="the tokens that the parser is fed, the syntax tree, or the plan as JSON",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="write tokens and tree as JSON, too")
    add_planning_options(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Show the script `options.file` at `options.stage`; return the exit code."""
    from aquatint.diagnostics import Diagnostics
    from aquatint.interface.report import write_diagnostics
    from aquatint.syntax import dump
    from aquatint.syntax.layout import lay_out
    from aquatint.syntax.parser import parse

    source = read_script(options.file, no_stdin=options.no_stdin, commands=options.commands)
    if options.stage == "plan":
        options.json = True
        return show(source, options)
    if options.stage == "tokens":
        diagnostics = Diagnostics()
        tokens = lay_out(source, diagnostics).tokens
        text = _json(dump.tokens_data(tokens)) if options.json else dump.tokens_text(tokens)
    else:
        parsed = parse(source)
        diagnostics, statements = parsed.diagnostics, parsed.script.statements
        try:
            text = _json(dump.tree_data(statements)) if options.json else dump.tree_text(statements)
        except RecursionError:
            raise Refusal("too-deep", "the tree is too deep for JSON", "leave `--json` out") from None
    # What could be read is shown although there are mistakes: they may be what is looked for.
    sys.stdout.write(text)
    write_diagnostics(diagnostics, sys.stderr)
    return WRONG if diagnostics.has_errors else DONE


def _json(data: list[Any]) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
