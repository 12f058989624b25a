"""What could stand where the cursor is: a pure function of the text before it and of what the session knows.

Settings, their types and choices come from the catalog's schemas, submodules and arguments from the model's own
checkpoint, and names from the session. Where the cursor stands is found in `cursor`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aquatint.catalog import schedulers
from aquatint.catalog.arguments import scriptable
from aquatint.catalog.checkpoints import (
    BUILTIN_PREFIX,
    Checkpoint,
    CheckpointError,
    builtin_pipelines,
    cached_repositories,
)
from aquatint.catalog.model_types import type_names
from aquatint.catalog.models import COMPARE, GENERATE, GRID, MODEL, PART, SAVE, UPSCALE
from aquatint.catalog.pipelines import pipeline
from aquatint.catalog.quantizer_backends import backend, backends
from aquatint.catalog.settings import Schema, Setting
from aquatint.interface.repl.commands import COMMANDS
from aquatint.interface.repl.cursor import Cursor, Frame, cursor
from aquatint.interface.repl.topics import topics
from aquatint.language.evaluate import Interpreter
from aquatint.language.values import Model, Quantizer
from aquatint.syntax.grammar import keywords

FILES_LIMIT = 200
"""Entries of a folder that are proposed."""

_OF_STATEMENTS = ("let", "param", "quantizer", "model", "upscaler", "weighter", "override", "for", "if", "print",
                  "assert", "def", "task", "include", "generate", "upscale", "compare", "grid", "save")  # fmt: skip
_VERBS = {"generate": GENERATE, "grid": GRID, "upscale": UPSCALE, "compare": COMPARE, "save": SAVE}


@dataclass(frozen=True, slots=True)
class Completions:
    """What could stand there, sorted, for the last `length` characters before the cursor."""

    length: int
    texts: tuple[str, ...]


def completions(text: str, known: Interpreter) -> Completions:
    """Return what could stand at the end of `text`, the part before the cursor."""
    if text.lstrip().startswith(":"):
        return _of_command(text.lstrip()[1:], known)
    found = cursor(text)
    if found is None:
        return Completions(0, ())
    return _beginning(found.word, _proposed(found, known))


def _beginning(word: str, texts: Iterable[str]) -> Completions:
    return Completions(len(word), tuple(sorted({text for text in texts if text.startswith(word) and text != word})))


def _of_command(line: str, known: Interpreter) -> Completions:
    name, space, rest = line.partition(" ")
    if not space:
        return _beginning(name, (command.name for command in COMMANDS))
    match name:
        case "help":
            return _beginning(rest, topics())
        case "drop":
            return _beginning(rest, _named(known, Model))
        case "run" | "save":
            return _beginning(rest, _files(rest))
        case "plan":
            return completions(rest, known)
    return Completions(0, ())


def _proposed(at: Cursor, known: Interpreter) -> Iterable[str]:
    frame = at.frames[-1]
    if frame.kind == "block":
        if at.setting is not None:
            return _values(at, known)
        return [] if at.head or at.in_string else _settings(at.frames, known)
    if at.in_string:
        return _files(at.word)
    if at.head[-1:] and at.head[-1][0] == "DOT":
        value = known.find(at.head[-2][1]) if len(at.head) > 1 else None
        return value.members() if isinstance(value, Model) else []
    if at.head[-1:] and at.head[-1][1] == "generate":
        return _named(known, Model)
    words = _OF_STATEMENTS if frame.kind == "statements" and not at.head else (
        set(keywords()) - set(_OF_STATEMENTS) | set(_VERBS) | {"for", "if"}
    )  # fmt: skip
    return [*words, *known.names()]


def _settings(frames: tuple[Frame, ...], known: Interpreter) -> list[str]:
    frame = frames[-1]
    names = [name for name in _names(frames, known) if name not in frame.written]
    return sorted(names)


def _names(frames: tuple[Frame, ...], known: Interpreter) -> Iterator[str]:
    """Yield the settings, arguments and submodules that the innermost block takes."""
    checkpoint = _checkpoint(frames, known)
    schema = _schema(frames, known)
    if schema is not None:
        yield from schema.names()
    frame = frames[-1]
    if schema is MODEL:
        yield "defaults"
        yield from () if checkpoint is None else checkpoint.parts
    if frame.noun in ("generate", "defaults") and checkpoint is not None:
        info = pipeline(checkpoint.pipeline)
        yield from () if info is None else scriptable(info)
    if frame.noun == "quantizer":
        yield "backend"


def _schema(frames: tuple[Frame, ...], known: Interpreter) -> Schema | None:
    frame = frames[-1]
    if frame.noun in _VERBS:
        return _VERBS[frame.noun]
    if frame.noun == "model":
        return MODEL
    value = known.find(frame.of) if frame.of else None
    if frame.noun == "with" and isinstance(value, Model):
        return MODEL
    if frame.noun in ("quantizer", "with"):
        name = value.backend if isinstance(value, Quantizer) else frame.written.get("backend", "")
        found = backend(name)
        return None if found is None else found.schema
    if frame.noun == "defaults":
        return None
    return PART if len(frames) > 1 and frames[-2].kind == "block" else None


def _checkpoint(frames: tuple[Frame, ...], known: Interpreter) -> Checkpoint | None:
    """Return the checkpoint of the model that the innermost blocks are of, None if there is none that can be read."""
    frame = frames[-2] if frames[-1].noun == "defaults" and len(frames) > 1 else frames[-1]
    value = known.find(frame.of) if frame.of else None
    given = {} if not isinstance(value, Model) else {name: each.value for name, each in value.settings.items()}
    given |= frame.written if frame.noun in ("model", "with") else {}
    source = given.get("source")
    if not isinstance(source, str):
        return None
    try:
        return known.world.checkpoint(source, given.get("revision"), given.get("subfolder") or "")
    except CheckpointError:
        return None


def _values(at: Cursor, known: Interpreter) -> Iterable[str]:
    schema = _schema(at.frames, known)
    name = at.setting or ""
    if at.frames[-1].noun == "quantizer" and name == "backend":
        return [each.name for each in backends()]
    setting = None if schema is None else schema.find(name)
    if at.in_string:
        match name:
            case "source":
                builtin = (BUILTIN_PREFIX + each for each in builtin_pipelines())
                return [*builtin, *cached_repositories(), *_files(at.word)]
            case "type":
                return type_names()
            case "scheduler":
                return schedulers.names()
        return _choices(setting) or _files(at.word)
    if setting is not None and setting.type == "quantizer":
        return [*_named(known, Quantizer), "none"]
    if setting is not None and setting.type == "bool":
        return ["true", "false"]
    return _choices(setting) or [*known.names(), "true", "false", "none"]


def _choices(setting: Setting | None) -> list[str]:
    return [] if setting is None else [choice for choice in setting.choices if isinstance(choice, str)]


def _named(known: Interpreter, kind: type) -> list[str]:
    return [name for name in known.own_names() if isinstance(known.find(name), kind)]


def _files(typed: str) -> list[str]:
    """Return the paths that begin with `typed`; folders end with a slash."""
    folder, _ = os.path.split(typed)
    found: list[str] = []
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            for entry in entries:
                path = os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "")
                if path.startswith(typed) and (not entry.name.startswith(".") or typed.endswith(entry.name[:1])):
                    found.append(path)
                if len(found) == FILES_LIMIT:
                    break
    except OSError:
        return []
    return found
