"""What could stand where the cursor is: a pure function of the text before it and of what the session knows.

Settings, their types and choices come from the catalog's schemas, submodules and arguments from the model's own
checkpoint, and names from the session. Where the cursor stands is found in `cursor`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from aquatint.catalog import media, schedulers
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
from aquatint.catalog.prompt_plugins import KINDS, Kind, prompt_plugin, prompt_plugins
from aquatint.catalog.quantizer_backends import backend, backends
from aquatint.catalog.settings import Schema, Setting
from aquatint.catalog.uris import parts
from aquatint.interface.repl.commands import COMMANDS
from aquatint.interface.repl.cursor import Cursor, Frame, cursor
from aquatint.interface.repl.preferences import PREFERENCES
from aquatint.interface.repl.topics import topics
from aquatint.language.evaluate import Interpreter
from aquatint.language.values import Model, Prompter, Quantizer
from aquatint.syntax.grammar import keywords

FILES_LIMIT = 200
"""Entries of a folder that are proposed."""

_OF_STATEMENTS = ("let", "param", "quantizer", "model", "upscaler", "weighter", "override", "for", "if", "print",
                  "assert", "def", "task", "include", "generate", "upscale", "compare", "grid", "save")  # fmt: skip
_OF_PICTURES = ("generate", "defaults")
Noun = Literal["quantizer", "upscaler", "weighter", "scheduler"]
"""What has a URI that is completed."""
_NOUNS: tuple[Noun, ...] = ("quantizer", *KINDS)
"""Those of them that can be given a name."""
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
    if found.in_string and (noun := _noun_of_uri(found, known)) is not None:
        return _of_uri(noun, found.word)
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
        case "set":
            return _of_setting(rest)
        case "plan":
            return completions(rest, known)
    return Completions(0, ())


def _of_setting(rest: str) -> Completions:
    name, space, value = rest.partition(" ")
    if not space:
        return _beginning(name, (each.name for each in PREFERENCES))
    return _beginning(value, (choice for each in PREFERENCES if each.name == name for choice in each.choices))


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
    if at.head[-1:] and at.head[-1][1] == "upscale":
        return _prompters(known, "upscaler")
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
    info = None if checkpoint is None else pipeline(checkpoint.pipeline)
    if schema is not None:
        yield from schema.names() if schema is not GENERATE or info is None else media.settings_of(info)
    frame = frames[-1]
    if schema is MODEL:
        yield "defaults"
        yield from () if checkpoint is None else checkpoint.parts
    if frame.noun in ("generate", "defaults") and info is not None:
        yield from scriptable(info)
    if frame.noun == "quantizer":
        yield "backend"
    if frame.noun in KINDS:
        yield "plugin"


def _schema(frames: tuple[Frame, ...], known: Interpreter) -> Schema | None:
    frame = frames[-1]
    if frame.noun in _VERBS:
        return _VERBS[frame.noun]
    if frame.noun == "model":
        return MODEL
    value = known.find(frame.of) if frame.of else None
    if frame.noun == "with" and isinstance(value, Model):
        return MODEL
    if frame.noun in ("quantizer", "with") and not isinstance(value, Prompter):
        name = value.backend if isinstance(value, Quantizer) else frame.written.get("backend", "")
        found = backend(name)
        return None if found is None else found.schema
    if (kind := _kind(frame, known)) is not None:
        name = value.plugin.name if isinstance(value, Prompter) else frame.written.get("plugin", "")
        plugin = prompt_plugin(kind, name)
        return None if plugin is None else plugin.schema
    if frame.noun == "defaults":
        return None
    return PART if len(frames) > 1 and frames[-2].kind == "block" else None


def _kind(frame: Frame, known: Interpreter) -> Kind | None:
    """Return whether `frame` is a block of an upscaler or of a weighter, None if it is none of these."""
    value = known.find(frame.of) if frame.of else None
    if frame.noun == "with" and isinstance(value, Prompter):
        return value.plugin.kind
    return next((kind for kind in KINDS if kind == frame.noun), None)


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
    if (kind := _kind(at.frames[-1], known)) is not None and name == "plugin":
        return [each.name for each in prompt_plugins(kind)]
    setting = None if schema is None else schema.find(name)
    if at.in_string:
        match name:
            case "source":
                builtin = (BUILTIN_PREFIX + each for each in builtin_pipelines())
                return [*builtin, *cached_repositories(), *_files(at.word)]
            case "type":
                return type_names()
        return _choices(setting) or _files(at.word)
    if setting is not None and setting.type == "quantizer":
        return [*_named(known, Quantizer), "none"]
    if name == "weighter" and at.frames[-1].noun in _OF_PICTURES:
        return [*_prompters(known, "weighter"), "none"]
    if setting is not None and setting.type == "bool":
        return ["true", "false"]
    return _choices(setting) or [*known.names(), "true", "false", "none"]


def _choices(setting: Setting | None) -> list[str]:
    return [] if setting is None else [choice for choice in setting.choices if isinstance(choice, str)]


def _named(known: Interpreter, kind: type) -> list[str]:
    return [name for name in known.own_names() if isinstance(known.find(name), kind)]


def _prompters(known: Interpreter, kind: Kind) -> list[str]:
    named = ((name, known.find(name)) for name in _named(known, Prompter))
    return [name for name, value in named if isinstance(value, Prompter) and value.plugin.kind == kind]


def _noun_of_uri(at: Cursor, known: Interpreter) -> Noun | None:
    """Return what the string at the cursor is the URI of, None if it is none of these."""
    frame = at.frames[-1]
    noun: str | None = None
    if at.setting is None:
        kinds = [kind.lower() for kind, _ in at.head]
        noun = kinds[0] if kinds[-1:] == ["assign"] else "upscaler" if kinds[-1:] == ["upscale"] else None
    elif at.setting == "scheduler":
        return "scheduler"
    elif at.setting == "weighter" and frame.noun in _OF_PICTURES:
        return "weighter"
    elif frame.kind == "block" and (schema := _schema(at.frames, known)) is not None:
        setting = schema.find(at.setting)
        noun = setting.type if setting is not None else None
    name, begun, _ = at.word.partition(";")
    otherwise: Noun | None = "quantizer" if begun and backend(name.strip()) is not None else None
    return next((each for each in _NOUNS if each == noun), otherwise)


def _of_uri(noun: Noun, text: str) -> Completions:
    """Return what could stand at the end of a URI that begins with `text`."""
    (_, head), *options = parts(text)
    if not options:
        return _beginning(head, _names_of(noun))
    schema = _schema_of(noun, head)
    if schema is None:
        return Completions(0, ())
    name, equals, value = options[-1][1].partition("=")
    if not equals:
        written = {schema.find(part.partition("=")[0]) for _, part in options[:-1]}
        left = (setting.name for setting in schema.settings if setting not in written)
        # The hyphen is how URIs are written; who has begun with an underscore keeps it.
        between = "_" if "_" in name else "-"
        return _beginning(name, (f"{each.replace('_', between)}=" for each in left))
    setting = schema.find(name)
    if setting is not None and setting.type == "quantizer":
        return _of_uri("quantizer", value[1:]) if value[:1] in ("'", '"') else _beginning(value, _names_of("quantizer"))
    if setting is not None and setting.type == "bool":
        return _beginning(value, ["true", "false"])
    if setting is None or setting.type not in ("str", "int"):
        return Completions(0, ())
    return _beginning(value, [str(choice) for choice in setting.choices] or _files(value))


def _names_of(noun: Noun) -> list[str]:
    """Return what a URI can begin with."""
    if noun == "scheduler":
        return schedulers.names()
    return [each.name for each in (backends() if noun == "quantizer" else prompt_plugins(noun))]


def _schema_of(noun: Noun, name: str) -> Schema | None:
    """Return the options of what a URI begins with, None if there is nothing of that name."""
    if noun == "scheduler":
        known = name == "+" or name in schedulers.names()
        return schedulers.schema(name if name != "+" else "") if known else None
    found = backend(name) if noun == "quantizer" else prompt_plugin(noun, name)
    return None if found is None else found.schema


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
