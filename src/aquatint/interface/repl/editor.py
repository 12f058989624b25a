"""The editor of the interactive session: prompt_toolkit with this language's colours, completions and mistakes.

A text is handed over when it is whole, or when an empty line ends it. What is proposed is found in
`completion`, and what is wrong in `foresight`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_searching
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from aquatint.interface.colour import colours
from aquatint.interface.lexer import AquatintLexer
from aquatint.interface.repl.completion import completions
from aquatint.interface.repl.foresight import Mistake, mistakes
from aquatint.interface.session import Session
from aquatint.source import Source
from aquatint.syntax.parser import parse

INDENT = "    "

PAUSE = 0.1
"""Seconds without a key after which what was typed is looked at."""


class Editor:
    """Reads the texts of `session`; what was typed is kept in the file `history`, if that can be written."""

    def __init__(self, session: Session, history: Path | None) -> None:
        self._session = session
        self._found: list[Mistake] = []
        self.prompt: PromptSession[str] = PromptSession(
            multiline=True, prompt_continuation="...> ", history=_history(history), enable_history_search=True,
            completer=_Completer(session), complete_while_typing=False, lexer=PygmentsLexer(AquatintLexer),
            key_bindings=_keys(), bottom_toolbar=self.toolbar,
            input_processors=[_Underlined(lambda: self._found)], style=Style([("mistake", "underline")]),
            color_depth=None if colours(sys.stdout) else ColorDepth.DEPTH_1_BIT,
        )  # fmt: skip
        self.prompt.default_buffer.on_text_changed += self._begin_to_look

    def read(self, prompt: str) -> str:
        """Return the next text. Raises `EOFError` and `KeyboardInterrupt`."""
        return self.prompt.prompt(prompt)

    def toolbar(self) -> str | None:
        """Return the first mistake in what was typed, None if none is known of yet."""
        return self._found[0].text if self._found else None

    def _begin_to_look(self, buffer: Buffer) -> None:
        self._found = []
        self.prompt.app.create_background_task(self._look(buffer.document))

    async def _look(self, document: Document) -> None:
        """Find what is wrong with what was typed, in a thread of its own, unless more is typed meanwhile."""
        buffer = self.prompt.default_buffer
        await asyncio.sleep(PAUSE)
        if buffer.document != document:
            return
        found = await asyncio.to_thread(mistakes, document.text, self._session, document.cursor_position)
        if buffer.document.text == document.text:
            self._found = found
            self.prompt.app.invalidate()


class _Underlined(Processor):
    """Underlines what `found` returns."""

    def __init__(self, found: Callable[[], list[Mistake]]) -> None:
        self._found = found

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        line, document = transformation_input.lineno, transformation_input.document
        fragments = explode_text_fragments(transformation_input.fragments)
        for mistake in self._found():
            first, begin = document.translate_index_to_position(mistake.start)
            last, end = document.translate_index_to_position(mistake.end)
            if not first <= line <= last:
                continue
            begin, end = begin if line == first else 0, end if line == last else len(fragments)
            for at in range(begin, min(max(end, begin + 1), len(fragments))):
                style, character, *_ = fragments[at]
                fragments[at] = (f"{style} class:mistake", character)
        return Transformation(fragments)


def is_whole(text: str) -> bool:
    """Return whether Enter at the end of `text` ends it, and doesn't begin another line."""
    command = text.lstrip()
    if command.startswith(":"):
        name, _, text = command.partition(" ")
        if name != ":plan":
            return True
    ended = "\n" in text and not text.rpartition("\n")[2].strip()
    return ended or not parse(Source("<repl>", text)).incomplete


def indentation(text: str) -> str:
    """Return what the line after `text` begins with: the indentation of its last line, and more after a bracket."""
    line = text.rpartition("\n")[2]
    opens = line.rstrip().endswith(("{", "(", "["))
    return line[: len(line) - len(line.lstrip())] + (INDENT if opens else "")


class _Completer(Completer):
    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        found = completions(document.text_before_cursor, self._session.interpreter)
        for text in found.texts:
            yield Completion(text, start_position=-found.length)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    def enter(event: KeyPressEvent) -> Any:
        buffer = event.current_buffer
        # What a search has found is one line as it was typed, wherever the cursor stands in it.
        is_inside = "\n" in buffer.text and buffer.document.text_after_cursor.strip()
        if is_inside or not is_whole(buffer.text):
            buffer.insert_text("\n" + indentation(buffer.document.text_before_cursor))
        else:
            buffer.validate_and_handle()

    def close(event: KeyPressEvent) -> Any:
        buffer = event.current_buffer
        before = buffer.document.current_line_before_cursor
        if before.endswith(INDENT) and not before.strip():
            buffer.delete_before_cursor(len(INDENT))
        buffer.insert_text(event.data)

    keys.add("enter", filter=~is_searching)(enter)  # a search ends with it
    for bracket in "})]":
        keys.add(bracket)(close)
    return keys


def _history(file: Path | None) -> History:
    if file is None:
        return InMemoryHistory()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(file)
