"""`aquatint script`: writes the script that makes a picture again. Imports no torch, and asks for no model."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from aquatint.interface.exits import DONE, WRONG
from aquatint.interface.picture_script import add_picture_options, script_of
from aquatint.interface.planning_options import report

_EPILOG = """\
example:
    aquatint script out/circle.png > circle.aqt
    aquatint script out/circle.png --set seed=2 --set unet.quantizer=none | aquatint run -
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "script", help="write the script that makes a picture again, from what its file says", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_picture_options(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Write the script of the picture `options.image`; return the exit code."""
    from aquatint.diagnostics import Diagnostics

    diagnostics = Diagnostics()
    made = script_of(options, diagnostics)
    if diagnostics.has_errors:
        report(diagnostics, options)
        return WRONG
    sys.stdout.write(made.text)
    return DONE
