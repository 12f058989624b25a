"""The page about events is what their records say, and so is the schema that the program writes."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from aquatint.interface.cli import main
from aquatint.runtime import event_schema, events

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_events_page", ROOT / "scripts" / "make_events_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    made = script()
    page = made.PAGE.read_text(encoding="utf-8")
    assert made.updated(page) == page, "make docs-update"


def test_the_page_has_every_event_and_every_field_with_its_meaning() -> None:
    page = script().PAGE.read_text(encoding="utf-8")
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    for kind in set(kinds) - {events.Event}:
        section = page.partition(f"\n### `{kind.__struct_config__.tag}`\n")[2].partition("\n### ")[0]
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
        assert [row[0].strip("|` ") for row in rows] == list(kind.__struct_fields__), kind
        assert [row for row in rows if len(row[2].strip("| ")) < 5] == [], kind
        assert (kind.__doc__ or "").splitlines()[0] in section


def test_the_command_writes_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written == event_schema.json_schema()
    assert written["discriminator"]["mapping"].keys() == {
        str(kind.__struct_config__.tag) for kind in event_schema.kinds()
    }
    assert str(events.SCHEMA) in written["title"]


def test_the_schema_is_of_the_lines_that_are_written() -> None:
    told = events.LoadFinished("l1", "k", "unet", 1, 2, 3, 0.5)
    record = event_schema.json_schema()["$defs"]["LoadFinished"]
    assert list(msgspec.to_builtins(told)) == list(record["properties"])
    assert record["properties"]["event"] == {"enum": ["load_finished"]}
    assert events.RunStarted(1, 1, 1).schema == events.EngineStarting("cpu").schema == events.SCHEMA
