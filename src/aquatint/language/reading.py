"""The functions that see the outside: files and the environment. Each is given the plan's `Outside`.

Paths are relative to the folder of the script that names them.
"""

from __future__ import annotations

import posixpath
from typing import Any

from aquatint.language import formats
from aquatint.language.disk import under
from aquatint.language.expanding import EXPAND
from aquatint.language.outside import Outside, OutsideProblem
from aquatint.language.values import ITEM_LIMIT, Builtin, type_name

_REQUIRED = object()


def _glob(outside: Outside, folder: str, pattern: Any) -> Any:
    if not isinstance(pattern, str):
        raise ValueError(f"takes a pattern such as `prompts/*.txt`, not {type_name(pattern)}")
    return outside.matching(posixpath.expanduser(pattern), folder)


def _env(outside: Outside, folder: str, name: Any, default: Any = _REQUIRED) -> Any:
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise ValueError("takes the name of a variable of the environment")
    value = outside.variable(name)
    if value is not None:
        return value
    if default is _REQUIRED:
        raise OutsideProblem("missing-variable", f"the variable `{name}` of the environment is not set",
                             f'set it, or say what to take instead: `env("{name}", "...")`')  # fmt: skip
    return default


def _read_text(outside: Outside, folder: str, file: Any) -> str:
    path = _path(folder, file)
    text = outside.text(path).text
    if len(text) > ITEM_LIMIT:
        raise OutsideProblem("too-large", f"`{path}` has more than {ITEM_LIMIT:,} characters")
    return text


def _read_lines(outside: Outside, folder: str, file: Any) -> tuple[str, ...]:
    lines = outside.text(_path(folder, file)).text.split("\n")
    # The end of the last line begins no other.
    return tuple(lines[:-1] if lines[-1] == "" else lines)


def _read_json(outside: Outside, folder: str, file: Any) -> Any:
    return outside.value(_path(folder, file), formats.read_json)


def _read_yaml(outside: Outside, folder: str, file: Any) -> Any:
    return outside.value(_path(folder, file), formats.read_yaml)


def _read_csv(outside: Outside, folder: str, file: Any, delimiter: Any = ",") -> Any:
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError("takes one character as `delimiter`")
    return outside.value(_path(folder, file), formats.read_csv, delimiter)


def _path(folder: str, file: Any) -> str:
    if not isinstance(file, str) or not file.strip():
        raise ValueError(f"takes the path of a file, not {type_name(file) if file != '' else 'an empty string'}")
    return posixpath.normpath(under(folder, file))


READERS = (
    Builtin("glob", "(pattern)", _glob, outside=True),
    Builtin("env", "(name, default)", _env, outside=True),
    Builtin("read_text", "(file)", _read_text, outside=True),
    Builtin("read_lines", "(file)", _read_lines, outside=True),
    Builtin("read_json", "(file)", _read_json, outside=True),
    Builtin("read_yaml", "(file)", _read_yaml, outside=True),
    Builtin("read_csv", '(file, delimiter = ",")', _read_csv, outside=True),
    EXPAND,
)
