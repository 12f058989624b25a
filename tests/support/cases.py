"""Cases in Markdown: a script in an ```aquatint block, and blocks of what it must come to.

The info string of a script's block takes what it is for and options of the command line:

    ```aquatint                      it plans without errors, unless an `errors` block follows
    ```aquatint error                it has errors
    ```aquatint fragment             it is a part of a script and only has to parse
    ```aquatint loose                it plans, and shows what may be written beside the canonical form
    ```aquatint --set steps=8 --device cuda --plan-seed 7 --name flux.aqt
    ```aquatint --lacks cuda:1       the computer that it plans for is known not to have a device
    ```aquatint --lint               it is a whole script, of which warnings are wanted

Blocks of files may precede it; they are in its folder, and nothing else is:

    ```file prompts/a.txt
    ```picture photos/a.png 64x48
    ```tensors a.safetensors 1x4x8x8      zeros, called `latents`

The blocks that may follow, up to the next script or heading, are whole outputs:

    ```plan       what `aquatint plan` writes
    ```steps      the same without loads, releases, reuse, memory and totals
    ```printed    the texts of `print`
    ```errors     every diagnostic
    ```tokens     what `aquatint dump --stage tokens` writes
    ```ast        what `aquatint dump --stage ast` writes; such a script may have errors
    ```format     the canonical form


    ```why        what `aquatint plan --why` writes, for each `--why` of the script's block

`pytest --update-cases` writes them anew.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import io
import math
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aquatint.catalog.tensor_files import Tensor, packed
from aquatint.diagnostics import Diagnostics
from aquatint.diagnostics import render as render_diagnostic
from aquatint.interface.parameter_files import parameters_of
from aquatint.interface.warning_options import Review
from aquatint.language.disk import Entry
from aquatint.language.evaluate import Evaluation, Interpreter
from aquatint.language.why import Statement, UnknownPlace, why
from aquatint.language.world import Given, Hardware, Memory, World
from aquatint.plan.render import render as render_plan
from aquatint.plan.steps import Print
from aquatint.plan.texts import shown
from aquatint.source import Source
from aquatint.syntax.dump import tokens_text, tree_text
from aquatint.syntax.formatting import formatted
from aquatint.syntax.layout import lay_out
from aquatint.syntax.parser import parse
from aquatint.syntax.tokens import byte_count

KINDS = ("plan", "steps", "printed", "errors", "tokens", "ast", "format", "why")

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<info>.*)$")
_HEADING = re.compile(r"^#+ +(.*?) *#*$")
# The bundled checkpoint is trained anew now and then; how large its files are is no matter of the language.
_BUILTIN = "from builtin:"
_SIZE = re.compile(r"[\d.]+ (?:B|[KMG]iB)\b")
INCLUDED = Path(__file__).parents[1] / "spec" / "included"
"""Where cases find the files that they include."""

_HIDDEN_LINES = ("plan of ", "load ", "memory ", "release ", "  reuse ")


@dataclass(frozen=True, slots=True)
class Fenced:
    """A fenced block: its info string, its text, and the lines that the text takes (`first` to before `end`)."""

    info: str
    text: str
    first: int
    end: int
    indent: str

    @property
    def kind(self) -> str:
        return self.info.split()[0] if self.info.split() else ""


@dataclass(frozen=True, slots=True)
class Case:
    """One script and what it must come to; `number` counts the scripts of its file."""

    file: Path
    number: int
    heading: str
    script: Fenced
    expected: tuple[Fenced, ...]
    purpose: str = ""
    options: argparse.Namespace = field(default_factory=argparse.Namespace)
    files: Mapping[str, str | bytes] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.file.name}::{self.heading or self.number}"


def read_cases(file: Path) -> list[Case]:
    """Return the cases that a Markdown file holds, in order."""
    heading, script, expected = "", None, []
    files: dict[str, str | bytes] = {}
    cases: list[Case] = []

    def close() -> None:
        if script is not None:
            purpose, options = _options(script.info)
            cases.append(Case(file, len(cases), script_heading, script, tuple(expected), purpose, options, dict(files)))

    script_heading = ""
    for item in _items(file.read_text(encoding="utf-8").splitlines()):
        if isinstance(item, str):
            close()
            script, heading, files = None, item, {}
        elif item.kind == "file":
            files[item.info.split()[1]] = item.text
        elif item.kind == "picture":
            _, name, size = item.info.split()
            files[name] = _picture(*map(int, size.split("x")))
        elif item.kind == "tensors":
            _, name, shape = item.info.split()
            files[name] = _tensors(tuple(map(int, shape.split("x"))))
        elif item.kind == "aquatint":
            close()
            script, expected = item, []
            taken = sum(case.heading.partition(" #")[0] == heading for case in cases)
            script_heading = f"{heading} #{taken + 1}" if taken else heading
        elif item.kind in KINDS and script is not None:
            expected.append(item)
    close()
    return cases


def _tensors(shape: tuple[int, ...]) -> bytes:
    """Return a safetensors file of zeros that are called `latents`."""
    return packed({"latents": Tensor("F32", shape, bytes(4 * math.prod(shape)))}, {})


def _picture(width: int, height: int) -> bytes:
    """Return a PNG file of grey pixels."""
    from PIL import Image

    Image.new("L", (width, height), 128).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def fenced(file: Path) -> list[Fenced]:
    """Return every fenced block of a Markdown file, in order."""
    return [item for item in _items(file.read_text(encoding="utf-8").splitlines()) if isinstance(item, Fenced)]


def _items(lines: list[str]) -> Iterator[str | Fenced]:
    """Yield the headings and the fenced blocks of a Markdown text."""
    index = 0
    while index < len(lines):
        if opened := _FENCE.match(lines[index]):
            close = re.compile(rf"^ *{opened['fence'][0]}{{{len(opened['fence'])},}} *$")
            end = next((n for n in range(index + 1, len(lines)) if close.match(lines[n])), len(lines))
            inside = [line.removeprefix(opened["indent"]) for line in lines[index + 1 : end]]
            yield Fenced(opened["info"].strip(), "".join(line + "\n" for line in inside), index + 1, end,
                         opened["indent"])  # fmt: skip
            index = end
        elif heading := _HEADING.match(lines[index]):
            yield heading[1]
        index += 1


def _sized(text: str) -> tuple[str, Memory]:
    """Return the device, empty for the plan's own, and what may be taken of it, as `--memory` says it."""
    device, _, size = text.rpartition("=")
    return device, Memory(byte_count(size))


def _options(info: str) -> tuple[str, argparse.Namespace]:
    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False)
    parser.add_argument("purpose", nargs="?", default="", choices=["", "plan", "error", "fragment", "loose"])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--params", action="append", default=[])
    parser.add_argument("--plan-seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=1)
    parser.add_argument("--memory", type=_sized, action="append", default=[])
    parser.add_argument("--lacks", action="append", default=[])
    parser.add_argument("--order", default="least")
    parser.add_argument("--name", default="script.aqt")
    parser.add_argument("--lint", action="store_true")
    parser.add_argument("--why", action="append", default=[])
    options = parser.parse_args(shlex.split(info)[1:])
    return options.purpose, options


def options_of(line: str) -> argparse.Namespace:
    """Return the options of a script's block from a line of them."""
    return _options("aquatint " + line)[1]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Files by their paths, for worlds of tests: a `Files`."""

    files: Mapping[str, str | bytes]

    def read(self, path: str, limit: int) -> bytes:
        if any(name.startswith(f"{path}/") for name in self.files):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file or directory")
        body = self.files[path]
        return (body.encode() if isinstance(body, str) else body)[:limit]

    def entries(self, folder: str, limit: int) -> list[Entry]:
        begin = f"{posixpath.normpath(folder)}/" if folder else ""
        below = [name.removeprefix(begin).partition("/") for name in self.files if name.startswith(begin)]
        if not below:
            raise FileNotFoundError(errno.ENOENT, "no such file or directory")
        return sorted({Entry(name, "folder" if slash else "file") for name, slash, _ in below})[:limit]


def evaluate(
    text: str, options: argparse.Namespace, files: Mapping[str, str | bytes] | None = None,
    told: list[Statement] | None = None,
) -> Evaluation:  # fmt: skip
    """Return what `text` comes to in a session of its own, with a device that is the same everywhere.

    `told` gets the statements that become steps.
    """
    shelf = Shelf(files or {})
    given: dict[str, str | Given] = {}
    for name in options.params:
        given |= parameters_of(name, shelf)
    world = World(
        device=options.device, plan_seed=options.plan_seed,
        parameters=given | dict(given.split("=", 1) for given in options.set),
        limit=options.limit,
        order=options.order,
        memory=dict(options.memory).get(""), memory_beside=dict(options.memory).get,
        lacks_device=lambda device: device in options.lacks,
        script=lambda name: (INCLUDED / name).read_bytes(),
        files=shelf, environment={"STYLE": "ink"}, folder="/work", output_folder="/work",
        hardware=lambda device: Hardware("a processor", 16 << 30) if device == "cpu" else Hardware(device, None),
    )  # fmt: skip
    parsed = parse(Source(options.name, text))
    evaluation = Interpreter(world).evaluate(parsed.script, parsed.diagnostics, told=told)
    return Review()(parsed.script, evaluation) if options.lint else evaluation


def errors(evaluation: Evaluation) -> str:
    """Return every diagnostic as the program writes it."""
    return "\n".join(render_diagnostic(item) + "\n" for item in evaluation.diagnostics)


def output(case: Case, kind: str, evaluation: Evaluation) -> str:
    """Return what the block of `kind` must hold."""
    plan = evaluation.plan
    match kind:
        case "why":
            told: list[Statement] = []
            evaluate(case.script.text, case.options, case.files, told)
            return "\n".join(_answer(asked, told) for asked in case.options.why)
        case "errors":
            return errors(evaluation)
        case "ast":
            return tree_text(parse(Source("script.aqt", case.script.text)).script.statements)
        case "tokens":
            return tokens_text(lay_out(Source("script.aqt", case.script.text), Diagnostics()).tokens)
        case "format":
            return canonical(case) or ""
    if plan is None:
        return ""
    match kind:
        case "plan":
            return render_plan(plan)
        case "printed":
            return "".join(shown(step.text) + "\n" for step in plan.steps if isinstance(step, Print))
        case "steps":
            lines = render_plan(plan).splitlines()[1:-1]
            return "".join(line + "\n" for line in lines if line and not line.startswith(_HIDDEN_LINES))
    raise ValueError(kind)


def canonical(case: Case) -> str | None:
    """Return the canonical form of the script of `case`, or None if it can't be read."""
    parsed = parse(Source("script.aqt", case.script.text))
    return None if parsed.diagnostics.has_errors else formatted(parsed.script)


def _answer(asked: str, told: list[Statement]) -> str:
    try:
        return why(asked, told)
    except UnknownPlace as unknown:
        return f"{unknown}\n  help: {unknown.help}\n"


def difference(actual: str, expected: str) -> str:
    """Return the lines in which two outputs differ."""
    lines = difflib.unified_diff(expected.splitlines(), actual.splitlines(), "expected", "actual", lineterm="", n=4)
    return "\n".join(lines)


def same(one: str, other: str) -> bool:
    """Return whether two outputs are equal but for the sizes of the bundled checkpoint's files."""
    return _comparable(one) == _comparable(other)


def _comparable(text: str) -> str:
    text = text.rstrip("\n")
    return _SIZE.sub("SIZE", text) if _BUILTIN in text else text


def update(case: Case, outputs: dict[str, str]) -> None:
    """Write `outputs` into the blocks that follow the script of `case`; a case without any gets one."""
    # Read anew: the cases before this one in the file may have grown.
    case = read_cases(case.file)[case.number]
    lines = case.file.read_text(encoding="utf-8").splitlines()
    for block in reversed(case.expected):
        if not same(block.text, outputs[block.kind]):
            made = outputs[block.kind].splitlines()
            lines[block.first : block.end] = [(block.indent + line).rstrip() for line in made]
    if not case.expected:
        (kind, text), *_ = outputs.items()
        lines[case.script.end + 1 : case.script.end + 1] = ["", f"```{kind}", *text.splitlines(), "```"]
    case.file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rewrite(case: Case, text: str) -> None:
    """Write `text` in place of the script of `case`."""
    script = read_cases(case.file)[case.number].script
    lines = case.file.read_text(encoding="utf-8").splitlines()
    lines[script.first : script.end] = [(script.indent + line).rstrip() for line in text.splitlines()]
    case.file.write_text("\n".join(lines) + "\n", encoding="utf-8")
