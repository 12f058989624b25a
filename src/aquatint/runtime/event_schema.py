"""The form of the events for programs that read them: as a JSON Schema, and as a page in Markdown.

Both are made from the records in `events`, so that neither can say anything else than what is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from aquatint.runtime.events import SCHEMA, Event

_REF = "#/$defs/"


def kinds() -> list[type[Event]]:
    """Return the kinds of events in the order in which `events` has them."""
    return Event.__subclasses__()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a line that `--json` writes of an event."""
    union = reduce(or_, kinds())
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"aquatint events, schema {SCHEMA}"}
    schema = msgspec.json.schema(union)
    # JSON has no infinity, which the PSNR of equal pictures is.
    schema["$defs"]["Measured"]["properties"]["values"]["additionalProperties"] = {"type": ["number", "string"]}
    statement = {"type": "integer", "minimum": 1, "description": "the number of its statement, with `--stream` alone"}
    return {**head, **schema, "properties": {"statement": statement}}


def markdown() -> str:
    """Return a section for each kind of event, and for each record inside one, with its fields."""
    records = json_schema()["$defs"]
    events = {kind.__name__: str(kind.__struct_config__.tag) for kind in kinds()}
    inside = [name for name in records if name not in events]
    return "\n".join(
        f"### `{events.get(name, name)}`\n\n{_about(records[name])}\n\n" + "".join(_rows(records[name]))
        for name in [*events, *inside]
    )


def _about(record: Mapping[str, Any]) -> str:
    return "\n".join(line.strip() for line in record["description"].splitlines())


def _rows(record: Mapping[str, Any]) -> Iterator[str]:
    yield "| field | type | |\n|---|---|---|\n"
    for name, field in record["properties"].items():
        if name != "event":
            yield f"| `{name}` | {_type(field)} | {_described(field)} |\n"


def _described(field: Mapping[str, Any]) -> str:
    return str(field.get("description", "")).replace("|", "\\|")


def _type(field: Mapping[str, Any]) -> str:
    """Return what a field may be, in JSON's words."""
    match field:
        case {"anyOf": choices}:
            return " or ".join(map(_type, choices))
        case {"enum": values}:
            return " or ".join("null" if value is None else f"`{value}`" for value in values)
        case {"$ref": str(ref)}:
            name = ref.removeprefix(_REF)
            return f"[{name}](#{name.lower()})"
        case {"type": "array", "items": items}:
            return f"array of {_type(items)}"
        case {"type": "object", "additionalProperties": dict(values)} if values:
            return f"object of {_type(values)}"
        case {"type": list(names)}:
            return " or ".join(names)
        case {"type": str(name)}:
            return name
        case _:
            return "any"
