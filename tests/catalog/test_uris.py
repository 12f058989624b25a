"""The one-line form of settings: what is quoted in it, and what it stands for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.catalog.prompt_plugins import KINDS, prompt_plugin, read_prompt_uri
from aquatint.catalog.settings import Schema, Setting
from aquatint.catalog.uris import parts, read_options, text_of

TEXT = Setting("system", "str", "Any text.")
SCHEMA = Schema("made", (TEXT, Setting("seed", "int", "A number."), Setting("cleanup", "names", "Names.")))

few = settings(max_examples=200, deadline=None, derandomize=True, database=None)
written = st.text("ab;='\"\\ ,n", max_size=12) | st.text(max_size=12) | st.just("none")


@few
@given(written, st.integers())
def test_any_text_can_be_a_value(text: str, seed: int) -> None:
    uri = f"made;system={text_of(TEXT, text)};seed={seed}"
    read = read_options(parts(uri)[1:], SCHEMA)
    assert (read.values, read.errors) == ({"system": text, "seed": seed}, ())
    offset, length = read.value_places["system"]
    assert uri[offset : offset + length] == text_of(TEXT, text) or not text


@few
@given(st.lists(written, max_size=3))
def test_any_names_can_be_a_value(names: list[str]) -> None:
    setting = SCHEMA.settings[2]
    read = read_options(parts(f"made;cleanup={text_of(setting, names)}")[1:], SCHEMA)
    assert (read.values, read.errors) == ({"cleanup": names}, ())


@few
@given(st.text("magicprompt;=\"'\\ -_", max_size=30), st.booleans())
def test_any_text_is_read_or_has_mistakes_in_it(text: str, behind: bool) -> None:
    uri = f"magicprompt;{text}" if behind else text
    for kind in KINDS:
        plugin, read = read_prompt_uri(kind, uri)
        assert plugin is not None or read.errors
        for error in read.errors:
            assert 0 <= error.offset <= error.offset + error.length <= max(1, len(uri) + 1), error
        for offset, length in (*read.places.values(), *read.value_places.values()):
            assert 0 <= offset <= offset + length <= len(uri) + 1


def test_a_quantizer_stands_in_quotes() -> None:
    uri = "magicprompt; quantizer = 'sdnq;type=int8' ;variations=2;"
    plugin, read = read_prompt_uri("upscaler", uri)
    assert plugin == prompt_plugin("upscaler", "magicprompt")
    assert (read.values, read.errors) == ({"quantizer": "sdnq;type=int8", "variations": 2}, ())
    offset, length = read.value_places["quantizer"]
    assert uri[offset : offset + length] == "'sdnq;type=int8'"
