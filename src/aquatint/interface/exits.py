"""How a command ends: its exit code, and the refusal of a command line that can't be carried out."""

from __future__ import annotations

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all done; a statement failed; the script or the command line is wrong; interrupted."""


class Refusal(Exception):
    """The command line names something that can't be used; `code` names the mistake, `help` says what to do."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.help = help
