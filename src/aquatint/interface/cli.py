"""The command line: which command, with which options, and the exit code that it ends with.

Imports little before it knows what to do: `--version` and `--help` answer at once, and planning imports no torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import aquatint

if TYPE_CHECKING:
    from aquatint.diagnostics import Diagnostics
    from aquatint.interface.session import Session
    from aquatint.language.world import World
    from aquatint.plan.steps import Plan
    from aquatint.runtime.engine import Engine
    from aquatint.runtime.events import RunFinished
    from aquatint.runtime.executor import Options
    from aquatint.source import Source

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all done; a statement failed; the script or the command line is wrong; interrupted."""

COMMANDS = ("run", "plan", "check", "repl")
SOURCE_LIMIT = 16 << 20
"""Bytes of a script: more than that is no script."""

_DESCRIPTION = "Runs scripts that make pictures with quantized diffusion models."
_EPILOG = """\
aquatint FILE            is `aquatint run FILE`
aquatint                 on a terminal is `aquatint repl`; otherwise it runs what comes in on standard input

exit codes: 0 done, 1 a statement failed, 2 the script or the command line is wrong, 130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in the words and with the exit code of the rest of the program."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        # An abbreviation that works today is ambiguous tomorrow.
        super().__init__(*arguments, **{"allow_abbrev": False, **named})

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"error[bad-command-line]: {message}\n  help: see `{self.prog} --help`\n")
        raise SystemExit(WRONG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--version"]:
        print(f"aquatint {aquatint.__version__}")
        return DONE
    try:
        options = _parser().parse_args(_with_command(given))
        return int(_COMMANDS[options.command](options))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left, as `head` does; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except _Refusal as refusal:
        sys.stderr.write(f"error[{refusal.code}]: {refusal}\n" + (f"  help: {refusal.help}\n" if refusal.help else ""))
        return WRONG
    except SystemExit:
        raise
    except Exception as error:
        return _bug(error)


class _Refusal(Exception):
    """The command line names something that can't be used."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.help = help


def _bug(error: Exception) -> int:
    if os.environ.get("AQUATINT_TRACEBACK"):
        raise error
    sys.stderr.write(
        f"error[internal]: a bug in aquatint: {type(error).__name__}: {error}\n"
        "  help: please report it with the script; AQUATINT_TRACEBACK=1 shows where it happened\n"
    )
    return FAILED


def _with_command(given: list[str]) -> list[str]:
    """Return `given` with the command that it leaves out."""
    first = next((word for word in given if not word.startswith("-") or word == "-"), None)
    if first in COMMANDS or "-h" in given or "--help" in given or "--version" in given:
        return given
    if first is None and not given and sys.stdin.isatty():
        return ["repl"]
    if first is None:
        return ["run", *given, "-"]
    if given[0] == first and len(given) > 1 and not Path(first).exists() and (near := _near_command(first)) is not None:
        raise _Refusal("bad-command-line", f"there is no command `{first}`", f"did you mean `{near}`?")
    return ["run", *given]


def _near_command(word: str) -> str | None:
    from aquatint.diagnostics import nearest

    return nearest(word, COMMANDS)


def _parser() -> _Parser:
    parser = _Parser(
        "aquatint", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"aquatint {aquatint.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    run = commands.add_parser("run", help="run a script, or a plan that `plan --json` wrote")
    plan = commands.add_parser("plan", help="show what a script would load, quantize, reuse, generate and write")
    check = commands.add_parser("check", help="report a script's mistakes")
    repl = commands.add_parser("repl", help="type statements one by one; models stay loaded between them")
    for command in (run, plan, check):
        _script_options(command)
    for command in (run, plan, check, repl):
        _planning_options(command)
    for command in (run, repl):
        _running_options(command)
    plan.add_argument("--json", action="store_true", help="write the plan as JSON, which `aquatint run` executes")
    check.add_argument("--json", action="store_true", help="write each mistake as a line of JSON")
    run.add_argument("--fail-fast", action="store_true", help="stop at the first statement that fails")
    return parser


def _script_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="the script; `-` is standard input")
    command.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="give a `param` of the script its value"
    )


def _planning_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", help="what to plan for: cpu, cuda, cuda:1, xpu or mps; what the machine has, unless it is set"
    )
    command.add_argument(
        "--plan-seed", type=int, default=0, metavar="N",
        help="seed of the seeds that the plan draws, and of `random` in templates (0)",
    )  # fmt: skip


def _running_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--output-dir", type=Path, default=Path(), metavar="DIR",
        help="the folder that relative outputs are written below (the current one)",
    )  # fmt: skip
    command.add_argument(
        "--existing", choices=("number", "overwrite", "skip", "error"), default="number",
        help="where an output exists: write beside it as NAME-2 (number, the default), replace it, skip it, or fail",
    )  # fmt: skip
    command.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads; results are the same bits for the same number only"
    )
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--quiet", action="store_true", help="write nothing but failures")
    shown.add_argument("--json", action="store_true", help="write progress as JSON, one event a line")


def _run(options: argparse.Namespace) -> int:
    source = _read(options.file)
    session = _session(options)
    if options.file.endswith(".json") or source.text.lstrip().startswith('{"') or source.text.startswith("{\n"):
        return _exit_code(session.run(_given_plan(source, options)))
    outcome = session.feed(source)
    _report(outcome.diagnostics, options)
    if outcome.plan is None:
        return WRONG
    return DONE if outcome.finished is None else _exit_code(outcome.finished)


def _given_plan(source: Source, options: argparse.Namespace) -> Plan:
    """Return the plan that `source` holds as JSON."""
    from aquatint.plan.steps import PlanError, plan_from_json
    from aquatint.plan.validate import validate

    if options.set:
        raise _Refusal("bad-command-line", "a plan has no parameters", "set them when the plan is made")
    try:
        plan = plan_from_json(source.text.encode())
        validate(plan)
    except PlanError as error:
        help = "make one with `aquatint plan --json FILE`"
        raise _Refusal("bad-plan", f"`{source.name}` is no plan that can be run: {error}", help) from None
    return plan


def _exit_code(finished: RunFinished) -> int:
    if finished.interrupted:
        return INTERRUPTED
    return FAILED if finished.failed else DONE


def _plan(options: argparse.Namespace) -> int:
    from aquatint.plan.render import render
    from aquatint.plan.steps import plan_to_json

    plan = _evaluated(_read(options.file), options)
    if plan is None:
        return WRONG
    sys.stdout.write(plan_to_json(plan).decode() if options.json else render(plan))
    return DONE


def _check(options: argparse.Namespace) -> int:
    source = _read(options.file)
    if _evaluated(source, options) is None:
        return WRONG
    if not options.json:
        sys.stdout.write(f"{source.name}: no mistakes found\n")
    return DONE


def _evaluated(source: Source, options: argparse.Namespace) -> Plan | None:
    """Return the plan of `source`, or None after reporting its mistakes."""
    # Not through a session, which imports what runs plans.
    from aquatint.language.evaluate import Interpreter
    from aquatint.syntax.parser import parse

    parsed = parse(source)
    evaluation = Interpreter(_world(options)).evaluate(parsed.script, parsed.diagnostics)
    _report(evaluation.diagnostics, options)
    return evaluation.plan


def _repl(options: argparse.Namespace) -> int:
    from aquatint.interface.repl import converse

    options.file, options.set = "<repl>", []
    return converse(_session(options, keep=True))


_COMMANDS = {"run": _run, "plan": _plan, "check": _check, "repl": _repl}


def _read(name: str) -> Source:
    """Return the script called `name`; `-` is standard input."""
    from aquatint.source import Source

    try:
        body = sys.stdin.buffer.read(SOURCE_LIMIT + 1) if name == "-" else _read_file(name)
    except OSError as error:
        raise _Refusal("missing-file", f"can't read `{name}`: {_reason(error)}", _near_file(name)) from None
    if len(body) > SOURCE_LIMIT:
        raise _Refusal("missing-file", f"`{name}` is larger than {SOURCE_LIMIT >> 20} MiB: not a script")
    try:
        return Source("<stdin>" if name == "-" else name, body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise _Refusal("not-utf-8", f"`{name}` is not text in UTF-8 (line {line})", "save it as UTF-8") from None


def _read_file(name: str) -> bytes:
    with open(name, "rb") as stream:
        return stream.read(SOURCE_LIMIT + 1)


def _near_file(name: str) -> str | None:
    from aquatint.diagnostics import nearest

    folder = Path(name).parent
    if not folder.is_dir():
        return f"there is no folder `{folder}`"
    near = nearest(Path(name).name, [file.name for file in folder.iterdir()])
    if near is not None and near != Path(name).name:
        return f"did you mean `{folder / near}`?"
    return f"commands are {', '.join(COMMANDS)}" if "." not in name and "/" not in name else None


def _reason(error: OSError) -> str:
    reason = error.strerror or "no reason given"
    return reason[:1].lower() + reason[1:]


def _world(options: argparse.Namespace) -> World:
    from aquatint.language.world import World

    parameters: dict[str, str] = {}
    for text in getattr(options, "set", []):
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise _Refusal("bad-command-line", f"`--set {text}` is not of the form NAME=VALUE")
        parameters[name.strip()] = value
    return World(device=_device(options.device), plan_seed=options.plan_seed, parameters=parameters)


def _device(given: str | None) -> str:
    import re

    from aquatint.interface.device import default_device

    if given is None:
        return default_device()
    if not re.fullmatch(r"cpu|mps|(cuda|xpu)(:\d{1,2})?", given):
        raise _Refusal("bad-command-line", f"there is no device `{given}`", "devices are cpu, cuda, cuda:1, xpu, mps")
    return given


def _session(options: argparse.Namespace, keep: bool = False) -> Session:
    from aquatint.interface.progress import Mode, reporter
    from aquatint.interface.session import Session

    if options.threads is not None and not 1 <= options.threads <= 1024:
        raise _Refusal("bad-command-line", f"`--threads {options.threads}` must be from 1 to 1024")
    world = _world(options)
    mode = Mode.QUIET if options.quiet else Mode.JSON if options.json else Mode.AUTO

    def make_engine() -> Engine:
        from aquatint.runtime.engine import EngineError
        from aquatint.runtime.torch_engine import TorchEngine

        try:
            return TorchEngine(device=world.device, threads=options.threads)
        except EngineError as error:
            raise _Refusal("no-engine", str(error), error.help) from None
        except ModuleNotFoundError as error:
            help = "install the program with all that it needs: see the README"
            raise _Refusal("no-engine", f"the library `{error.name}` is not installed", help) from None

    return Session(world, reporter(mode, sys.stdout, sys.stderr), make_engine, _run_options(options), keep)


def _run_options(options: argparse.Namespace) -> Options:
    from aquatint.runtime.executor import Options
    from aquatint.runtime.outputs import OutputPolicy
    from aquatint.runtime.verify import changed

    return Options(
        output_dir=options.output_dir, existing=OutputPolicy(options.existing),
        fail_fast=getattr(options, "fail_fast", False), verify=changed,
    )  # fmt: skip


def _report(diagnostics: Diagnostics, options: argparse.Namespace) -> None:
    from aquatint.interface.report import write_diagnostics, write_json_diagnostics

    if getattr(options, "json", False):
        write_json_diagnostics(diagnostics, sys.stdout)
    else:
        write_diagnostics(diagnostics, sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
