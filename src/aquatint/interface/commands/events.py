"""`aquatint events`: the form of what `run --json` writes, as a JSON Schema. Imports no torch."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from aquatint.interface.exits import DONE


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "events", help="write the JSON Schema of the lines that `run --json` writes"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Write the schema; return the exit code."""
    from aquatint.runtime.event_schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n")
    return DONE
