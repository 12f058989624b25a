"""The editor of the interactive session: prompt_toolkit with this language's colours, completions and mistakes.

A text is handed over when it is whole, or when an empty line ends it. What is proposed is found in `completion`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import ColorDepth

from aquatint.interface.colour import colours
from aquatint.interface.lexer import AquatintLexer
from aquatint.interface.progress import printable
from aquatint.interface.repl.completion import completions
from aquatint.interface.session import Session
from aquatint.source import Source
from aquatint.syntax.parser import parse

INDENT = "    "


class Editor:
    """Reads the texts of `session`; what was typed is kept in the file `history`, if that can be written."""

    def __init__(self, session: Session, history: Path | None) -> None:
        self._prompt: PromptSession[str] = PromptSession(
            multiline=True, prompt_continuation="...> ", history=_history(history), enable_history_search=True,
            completer=_Completer(session), complete_while_typing=False, lexer=PygmentsLexer(AquatintLexer),
            key_bindings=_keys(), bottom_toolbar=self._mistake,
            color_depth=None if colours(sys.stdout) else ColorDepth.DEPTH_1_BIT,
        )  # fmt: skip

    def read(self, prompt: str) -> str:
        """Return the next text. Raises `EOFError` and `KeyboardInterrupt`."""
        return self._prompt.prompt(prompt)

    def _mistake(self) -> str | None:
        return mistake(self._prompt.default_buffer.text)


def mistake(text: str) -> str | None:
    """Return the first mistake in the form of `text`, None if there is none but that it isn't finished."""
    if text.lstrip().startswith(":"):
        return None
    parsed = parse(Source("<repl>", text))
    if parsed.incomplete or not parsed.diagnostics.has_errors:
        return None
    first = next(iter(parsed.diagnostics))
    place = f"{first.span.line}:{first.span.column}: " if first.span else ""
    return printable(f"{place}{first.message}" + (f"; {first.help}" if first.help else ""))


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
        if buffer.document.text_after_cursor.strip() or not is_whole(buffer.text):
            buffer.insert_text("\n" + indentation(buffer.document.text_before_cursor))
        else:
            buffer.validate_and_handle()

    def close(event: KeyPressEvent) -> Any:
        buffer = event.current_buffer
        before = buffer.document.current_line_before_cursor
        if before.endswith(INDENT) and not before.strip():
            buffer.delete_before_cursor(len(INDENT))
        buffer.insert_text(event.data)

    keys.add("enter")(enter)
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
