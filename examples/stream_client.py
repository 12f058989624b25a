"""Drives Aquatint as a server: sends statements to one process, in which models stay loaded, and shows what it answers.

python examples/stream_client.py
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

Line = dict[str, Any]

PROMPTS = ("a red circle on a white background", "a blue square on a black background")


class Server:
    """A process of `aquatint run - --stream`. As a context it ends in order: what was sent is done first."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "aquatint", "run", "-", "--stream", *options]
        # Two pipes of bytes: the text layer would translate line ends.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self.exit_code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._input.close()
        for _ in self._output:  # what it still says, lest it waits for a reader
            pass
        self.exit_code = self._process.wait()

    def lines(self, statement: str) -> Iterator[Line]:
        """Send one whole statement and yield what is said of it, up to and with its `done`."""
        self._input.write(statement.encode() + b"\n")
        self._input.flush()
        for line in self._output:
            told: Line = json.loads(line)
            yield told
            if told["event"] == "done":
                return
        raise ConnectionError("the server has ended")


def main() -> int:
    """Make two pictures with one model, and a mistake between them."""
    model = 'model shapes { source: "builtin:shapes", defaults { num_inference_steps: 4 } }'
    first, second = (f'generate shapes {{ prompt: "{prompt}", seed: 1 }}' for prompt in PROMPTS)
    with Server() as server:
        for statement in (model, first, "generate circles { seed: 1 }", second):
            for told in server.lines(statement):
                match told:
                    case {"event": "diagnostic"}:
                        print(f"{told['file']}:{told['line']}: {told['severity']}: {told['message']}")
                    case {"event": "image_written", "path": str(path)}:
                        print(f"{told['statement']}: wrote {path}")
                    case {"event": "done"}:
                        print(f"{told['statement']}: {'done' if told['ok'] else 'not done'}")
                    case _:
                        pass
    return server.exit_code or 0


if __name__ == "__main__":
    raise SystemExit(main())
