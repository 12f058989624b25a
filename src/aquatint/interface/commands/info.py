"""`aquatint info`: shows how pictures were made, from what their files say. Imports no torch, and reads no pixel."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

from aquatint.interface.exits import DONE, WRONG, Refusal

if TYPE_CHECKING:
    from aquatint.diagnostics import Diagnostic
    from aquatint.interface.picture import Picture

_EPILOG = """\
example:
    aquatint info out/circle.png
    aquatint info --json out/*.png | jq .record.seed
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "info", help="show how pictures were made: model, settings, seed, quantizers, versions",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture, a video, a safetensors file, or the file with its record"
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write a line of JSON for each, with the whole record")
    form.add_argument(
        "--parameters", action="store_true", help="write the text in the form of A1111's web UI alone, to paste there"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Show the pictures `options.images`; return the exit code."""
    from aquatint.diagnostics import Diagnostic

    code, shown = DONE, 0
    for name in options.images:
        try:
            text = _told(name, options)
        except Refusal as refusal:
            # The others are shown all the same.
            _report(Diagnostic(refusal.code, str(refusal), help=refusal.help), options.json)
            code = WRONG
            continue
        sys.stdout.write(("\n" if shown and not (options.json or options.parameters) else "") + text)
        shown += 1
    return code


def _report(diagnostic: Diagnostic, as_json: bool) -> None:
    from aquatint.interface.report import write_diagnostic, write_json_diagnostics

    if as_json:
        write_json_diagnostics([diagnostic], sys.stdout)
    else:
        write_diagnostic(diagnostic, sys.stderr)


def _told(name: str, options: argparse.Namespace) -> str:
    from aquatint.interface.picture import image_of, read_picture

    picture = read_picture(name)
    if options.json:
        return json.dumps(_as_json(picture), separators=(",", ":")) + "\n"
    if options.parameters:
        if picture.texts.parameters is None:
            help = "`aquatint info` without `--parameters` shows its record"
            raise Refusal("no-record", f"`{name}` has no text in A1111's form", help)
        from aquatint.interface.progress import printable_text

        text = picture.texts.parameters.rstrip("\n")
        return (printable_text(text) if sys.stdout.isatty() else text) + "\n"
    from aquatint.interface.picture_report import lines_of
    from aquatint.runtime.record import KINDS

    is_image = picture.record is not None and picture.record["kind"] in KINDS
    lines = lines_of(picture, image_of(picture) if is_image else None, shutil.get_terminal_size().columns)
    return "".join(f"{line}\n" for line in lines)


def _as_json(picture: Picture) -> dict[str, Any]:
    texts = picture.texts
    return {
        "file": picture.name, "format": texts.form, "size": texts.size, "record": picture.record,
        "beside": picture.is_beside, "parameters": texts.parameters, "comfyui": texts.has_workflow,
    }  # fmt: skip
