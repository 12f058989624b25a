"""Output of commands in the pages: what a line `@COMMAND_OUTPUT[aquatint ...]` asks for, run anew and compared.

The line stands in a comment, above the block that holds the command and what it wrote:

    <!-- @COMMAND_OUTPUT[aquatint check wrong.aqt] exits 2 -->
    ```console
    $ aquatint check wrong.aqt
    ...
    ```

Without `exits` the command has to end with 0. A page is a session: its commands run in order, in one empty folder that
holds the page's scripts with a name (```aquatint --name wrong.aqt). `guide.py` puts this into the build.

`python docs/_ext/command_output.py` writes the blocks of all pages anew, or of those that it is given.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COLUMNS = 100
"""How wide the commands take their terminal to be."""

_PATIENCE = 120
"""Seconds after which a command is taken to hang."""

_DIRECTIVE = re.compile(
    r"^(?P<line>(?:<!-- )?@COMMAND_OUTPUT\[(?P<command>.+)\](?: exits (?P<code>\d+))?(?: -->)?)\n"
    r"(?:\n?(?P<fence>`{3,})console\n(?P<block>\$ (?:.*\n)*?)(?P=fence)$)?",
    re.MULTILINE,
)
_FENCED = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<info>.*)\n(?P<text>(?:.*\n)*?)(?P=fence) *$", re.MULTILINE)
# What differs from run to run and from machine to machine, and says nothing about whether the page is right.
_TIME = re.compile(r"\b\d+(?:\.\d+)? (?:ms|s)\b|\b\d+(?:\.\d+)? [KMG]iB (?=of the process.* measured$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Filled:
    """A page whose commands were run.

    `text` has their output in place. `failures` are commands that can't stay as they are: not aquatint's, or with
    another exit code than the page says. `stale` are commands that wrote something else than the page showed.
    """

    text: str
    failures: tuple[str, ...]
    stale: tuple[str, ...]


def pages_with_commands(folder: Path) -> list[Path]:
    """Return the Markdown pages below `folder` that show what commands write, sorted."""
    return [page for page in sorted(folder.rglob("*.md")) if has_commands(page.read_text(encoding="utf-8"))]


def has_commands(text: str) -> bool:
    """Return whether a page shows what a command writes."""
    return next(_directives(text), None) is not None


def filled(text: str) -> Filled:
    """Run the commands of a page, in order, and return it with what they write.

    A block that differs in nothing but times and measured memory stays as it is, so that writing a page anew changes
    what has changed.
    """
    pieces, failures, stale = [], [], []
    end = 0
    with tempfile.TemporaryDirectory(prefix="aquatint-page-") as name:
        folder = Path(name).resolve()
        for script, content in _scripts(text):
            (folder / script).write_text(content, encoding="utf-8")
        for found in _directives(text):
            command, expected, shown = found["command"], int(found["code"] or 0), found["block"] or ""
            pieces.append(text[end : found.start()])
            end = found.end()
            try:
                block, code = _run(command, folder)
            except (ValueError, subprocess.TimeoutExpired) as error:
                block, code = f"{error}\n", -1
            if code != expected:
                failures.append(f"`{command}` ended with exit code {code} instead of {expected}:\n{block}")
                pieces.append(found[0])
                continue
            if _TIME.sub("TIME", block) == _TIME.sub("TIME", shown):
                block = shown
            else:
                stale.append(f"`{command}` writes something else than the page shows")
            fence = "`" * max(3, 1 + max(map(len, re.findall("`{3,}", block)), default=0))
            after = "" if found["block"] else "\n"
            pieces.append(f"{found['line']}\n{fence}console\n{block}{fence}{after}")
    return Filled("".join(pieces) + text[end:], tuple(failures), tuple(stale))


def without_directives(text: str) -> str:
    """Return a page for readers: with the blocks, without the lines that ask for them."""
    pieces, end = [], 0
    for found in _directives(text):
        pieces.append(text[end : found.start()])
        end = found.end("line") + 1
    return "".join(pieces) + text[end:]


def _directives(text: str) -> Iterator[re.Match[str]]:
    """Yield the directives of a page; one inside a fenced block is an example of one."""
    blocks = [found.span() for found in _FENCED.finditer(text)]
    for found in _DIRECTIVE.finditer(text):
        if not any(start < found.start() < end for start, end in blocks):
            yield found


def _scripts(text: str) -> Iterator[tuple[str, str]]:
    for found in _FENCED.finditer(text):
        kind, *options = shlex.split(found["info"]) or [""]
        if kind == "aquatint" and "--name" in options:
            yield options[options.index("--name") + 1], found["text"]


def _run(command: str, folder: Path) -> tuple[str, int]:
    """Return what a terminal shows of `command`, as a page has it, and its exit code.

    Raises ValueError if it isn't one of aquatint's, and `subprocess.TimeoutExpired`.
    """
    program, *arguments = shlex.split(command)
    if program != "aquatint":
        raise ValueError("only aquatint is run here")
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", *arguments],
        cwd=folder, env=_environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", timeout=_PATIENCE, check=False,
    )  # fmt: skip
    output = done.stdout.replace(str(folder), "~")
    written = "".join(line.rstrip() + "\n" for line in output.splitlines())
    return f"$ {_wrapped(command)}\n{written}", done.returncode


def _environment(folder: Path) -> dict[str, str]:
    """Return the few variables that a command sees: nothing of the machine shows in what it writes."""
    names = ("PATH", "PYTHONPATH", "SYSTEMROOT", "TMPDIR")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return kept | {
        "COLUMNS": str(COLUMNS), "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8", "HOME": str(folder),
        "AQUATINT_STORE": str(folder / ".cache/aquatint/store"), "HF_HUB_CACHE": str(folder / ".cache/huggingface/hub"),
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip


def _wrapped(command: str) -> str:
    """Return `command` over as many lines as it needs, broken in front of options."""
    lines, rest = [], command
    while len(rest) > COLUMNS - 2:
        breaks = [found.start() for found in re.finditer(r" (?=--)", rest[: COLUMNS - 4]) if found.start() > 0]
        if not breaks or not rest[: breaks[-1]].strip():
            break
        lines.append(rest[: breaks[-1]])
        rest = "   " + rest[breaks[-1] :]
    return " \\\n".join([*lines, rest])


def main(names: list[str]) -> int:
    """Write the blocks of the pages called `names` anew, of all pages without any; return the exit code."""
    failed = False
    for page in [Path(name) for name in names] or pages_with_commands(Path(__file__).parents[1]):
        text = page.read_text(encoding="utf-8")
        done = filled(text)
        for failure in done.failures:
            failed = True
            print(f"{page}: {failure}", file=sys.stderr)
        if done.text != text:
            page.write_text(done.text, encoding="utf-8")
            print(f"wrote {page}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
