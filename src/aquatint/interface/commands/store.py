"""`aquatint store`: shows, checks and cleans the folders that keep quantized components and embeddings. No torch."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import aquatint
from aquatint.interface.exits import DONE, FAILED, Refusal
from aquatint.interface.store_options import add_embeddings_options, add_store_options, embeddings_of, store_of

if TYPE_CHECKING:
    from aquatint.runtime.store import Entry, Manifest, Store, Swept

_ACTIONS = {
    "list": "what is in the store: the last used first",
    "verify": "read every byte and say what is damaged; the exit code is 1 if anything is",
    "gc": "remove what no run can use any more: over the budget, of other versions, damaged, left by killed runs",
    "clear": "remove everything",
}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and what it can do."""
    command: argparse.ArgumentParser = commands.add_parser(
        "store", help="list, verify or clean what is kept of quantized components, or of prompts"
    )
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, help in _ACTIONS.items():
        action = actions.add_parser(name, help=help)
        add_store_options(action)
        action.add_argument("--embeddings", action="store_true", help="the kept embeddings instead of the components")
        add_embeddings_options(action)
        action.add_argument("--json", action="store_true", help="write it as one line of JSON")
    return command


def run(options: argparse.Namespace) -> int:
    """Do what `options.action` says; return the exit code."""
    store = embeddings_of(options, keep=True) if options.embeddings else store_of(options)
    kind = "embedding" if options.embeddings else "component"
    if store is None:
        raise Refusal("no-store", "there is no store: it is off, or this system can't lock files", "give `--store DIR`")
    try:
        match options.action:
            case "list":
                return _list(store, options.json)
            case "verify":
                return _verify(store, kind, options.json)
            case "gc":
                return _removed(store, kind, store.collect(_unusable(store)), options.json)
            case _:
                return _removed(store, kind, store.collect(lambda entry: "cleared"), options.json)
    except OSError as error:
        from aquatint.runtime.failures import reason

        raise Refusal("no-store", f"can't use the store in `{store.folder}`: {reason(error)}") from None


def _list(store: Store, as_json: bool) -> int:
    entries = store.entries()
    if as_json:
        return _write_json(store, {"entries": [_data(entry) for entry in entries]})
    _write_table(entries)
    _write(_summary(store))
    return DONE


def _verify(store: Store, kind: str, as_json: bool) -> int:
    entries = store.entries()
    damages = {entry.address: _damage(store, entry) for entry in entries}
    damaged = [entry for entry in entries if damages[entry.address] is not None]
    if as_json:
        found = [_data(entry) | {"damage": damages[entry.address]} for entry in entries]
        _write_json(store, {"entries": found, "damaged": len(damaged)})
    else:
        from aquatint.interface.progress import number

        for entry in damaged:
            _write(f"{_name(entry)} is damaged: {damages[entry.address]}")
        if damaged:
            _write(f"{len(damaged)} of {number(len(entries), kind)} damaged; `aquatint store gc` removes them")
        else:
            _write(f"{number(len(entries), kind)}, all as they were written")
    return FAILED if damaged else DONE


def _damage(store: Store, entry: Entry) -> str | None:
    from aquatint.runtime.store import Damaged

    try:
        with store.reading(entry.address) as reading:
            if reading is not None:  # else it was removed meanwhile
                reading.look_over(whole=True)
    except Damaged as damage:
        return str(damage)
    return None


def _unusable(store: Store) -> Callable[[Entry], str | None]:
    """Return what says why no run that starts now would take an entry, None if one may."""
    # Read before, since nobody can write while entries are removed.
    damages = [(entry.manifest, _damage(store, entry)) for entry in store.entries()]

    def reason(entry: Entry) -> str | None:
        damage = entry.damage or next((why for read, why in damages if why and read == entry.manifest), None)
        return f"damaged: {damage}" if damage else None if entry.manifest is None else _other_version(entry.manifest)

    return reason


def _other_version(manifest: Manifest) -> str | None:
    engine = manifest.about.engine
    versions = engine.get("versions")
    made = {**versions} if isinstance(versions, dict) else {}
    now = {package: _version(package) for package in made} | {"aquatint": aquatint.__version__}
    for package, version in sorted((made | {"aquatint": engine.get("aquatint")}).items()):
        if now[package] != version:
            return f"made with {package} {version}, and now there is {now[package] or 'none'}"
    return None


def _version(package: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _removed(store: Store, kind: str, swept: Swept, as_json: bool) -> int:
    if as_json:
        found = [_data(entry) | {"reason": reason} for entry, reason in swept.entries]
        return _write_json(store, {"removed": found, "leftovers": swept.leftovers})
    from aquatint.interface.progress import number
    from aquatint.plan.render import sized

    for entry, reason in swept.entries:
        _write(f"removed {_name(entry)}: {reason}")
    if swept.leftovers:
        _write(f"removed {number(swept.leftovers, 'unfinished component')}")
    freed = sum(entry.bytes for entry, _ in swept.entries)
    _write(f"{number(len(swept.entries), kind)} removed, {sized(freed)}; {_summary(store)}")
    return DONE


def _name(entry: Entry) -> str:
    about = None if entry.manifest is None else entry.manifest.about
    return entry.address if about is None else f"`{about.role}` of `{about.source}` ({about.quantizer}, {about.dtype})"


def _summary(store: Store) -> str:
    from aquatint.plan.render import sized

    held = sum(entry.bytes for entry in store.entries())
    return f"{sized(held)} of {sized(store.budget)} used in {store.folder}"


def _data(entry: Entry) -> dict[str, Any]:
    from aquatint.runtime.store.manifest import to_json

    about: Mapping[str, Any] = {} if entry.manifest is None else to_json(entry.manifest)["about"]
    return {"address": entry.address, "bytes": entry.bytes, "used": entry.used, "damage": entry.damage, **{
        name: about.get(name) for name in ("role", "class_name", "source", "subfolder", "dtype", "quantizer")
    }}  # fmt: skip


def _write_json(store: Store, found: Mapping[str, Any]) -> int:
    held = sum(entry.bytes for entry in store.entries())
    whole = {"folder": str(store.folder), "budget": store.budget, "bytes": held, **found}
    _write(json.dumps(whole, separators=(",", ":")))
    return DONE


def _write_table(entries: Sequence[Entry]) -> None:
    from aquatint.plan.render import sized

    rows = [("role", "class", "source", "dtype", "quantizer", "size", "last used")]
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        if entry.manifest is None:
            rows.append(("?", "", entry.address[:12], "", f"damaged: {entry.damage}", sized(entry.bytes), used))
        else:
            about = entry.manifest.about
            rows.append(
                (about.role, about.class_name, about.source, about.dtype, about.quantizer, sized(entry.bytes), used)
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows if entries else ():
        _write("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _write(line: str) -> None:
    from aquatint.interface.progress import printable

    sys.stdout.write(printable(line) + "\n")
