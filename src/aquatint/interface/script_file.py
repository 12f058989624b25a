"""Reads the script that a command line names, a file or standard input, and writes it back.

Says of a file that isn't there or isn't text what the matter is; what the text means is the parser's business.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from aquatint.diagnostics import nearest
from aquatint.interface.exits import Refusal
from aquatint.source import Source

SOURCE_LIMIT = 16 << 20
"""Bytes of a script: more than that is no script."""


def read_script(name: str, *, no_stdin: bool = False, commands: Sequence[str] = ()) -> Source:
    """Return the script called `name`; `-` is standard input, which `no_stdin` forbids. Raises `Refusal`.

    `commands` are proposed for a name that looks like a misplaced command.
    """
    if name == "-" and no_stdin:
        raise Refusal("bad-command-line", "`--no-stdin` forbids reading the script from standard input",
                      "name a file instead of `-`")  # fmt: skip
    try:
        body = sys.stdin.buffer.read(SOURCE_LIMIT + 1) if name == "-" else _read_file(name)
    except OSError as error:
        raise Refusal("missing-file", f"can't read `{name}`: {_reason(error)}", _near_file(name, commands)) from None
    if len(body) > SOURCE_LIMIT:
        raise Refusal("missing-file", f"`{name}` is larger than {SOURCE_LIMIT >> 20} MiB: not a script")
    try:
        return Source("<stdin>" if name == "-" else name, body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise Refusal("not-utf-8", f"`{name}` is not text in UTF-8 (line {line})", "save it as UTF-8") from None


def write_script(name: str, text: str) -> None:
    """Put `text` into the file `name`, at once or not at all; it keeps its mode. Raises `Refusal`."""
    # Through a link: what it points to is the script.
    place = os.path.realpath(name)
    temporary = os.path.join(os.path.dirname(place), f".aquatint-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            os.chmod(temporary, os.stat(place).st_mode)
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, place)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise Refusal("unwritable-file", f"can't write `{name}`: {_reason(error)}") from None


def _read_file(name: str) -> bytes:
    with open(name, "rb") as stream:
        return stream.read(SOURCE_LIMIT + 1)


def _near_file(name: str, commands: Sequence[str]) -> str | None:
    folder = Path(name).parent
    if not folder.is_dir():
        return f"there is no folder `{folder}`"
    near = nearest(Path(name).name, [file.name for file in folder.iterdir()])
    if near is not None and near != Path(name).name:
        return f"did you mean `{folder / near}`?"
    return f"commands are {', '.join(commands)}" if commands and "." not in name and "/" not in name else None


def _reason(error: OSError) -> str:
    reason = error.strerror or "no reason given"
    return reason[:1].lower() + reason[1:]
