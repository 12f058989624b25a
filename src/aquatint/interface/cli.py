"""The command line: finds the command, and ends with its exit code. The commands are in `commands`, a module each.

Imports little before it knows what to do: `--version` and `--help` answer at once, and planning imports no torch.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import aquatint
from aquatint.interface import colour
from aquatint.interface.exits import DONE, FAILED, INTERRUPTED, WRONG, Refusal

_COMMANDS = (
    "run",
    "plan",
    "status",
    "check",
    "explain",
    "fmt",
    "params",
    "repl",
    "generate",
    "info",
    "script",
    "replay",
    "models",
    "fetch",
    "store",
    "events",
    "dump",
    "completion",
)
"""Modules of `commands`, imported when they are asked for, in the order of the help."""

_HELPS = {
    "--quantizer-help": ("BACKEND", "list the quantization backends, or document those that are named, and do nothing "
                         "else"),
    "--prompt-upscaler-help": ("PLUGIN", "the same for what rewrites prompts"),
    "--prompt-weighter-help": ("PLUGIN", "the same for what reads prompts instead of the pipeline"),
}  # fmt: skip
# Options that need no command.
_ANSWERS = ("-h", "--help", "--version", *_HELPS)

_DESCRIPTION = "Runs scripts that make pictures with quantized diffusion models."
_EPILOG = """\
examples:
  aquatint examples/demo.aqt                      the pictures of a script
  aquatint generate builtin:shapes --prompts "a red circle" --quantizer "sdnq;type=int8"

exit codes: 0 done, 1 a statement failed, 2 the script or the command line is wrong, 130 interrupted
"""
_COLUMNS = 80
# For a terminal of 24 lines of 80 characters; all that the commands say of themselves is in the page for `man`.
_HELP = """\
usage: aquatint COMMAND ...      `aquatint COMMAND --help` tells of a command
       aquatint FILE             the same as `aquatint run FILE`
       aquatint                  on a terminal, the same as `aquatint repl`

  run, plan, status     a script's pictures; what it would do; what is done
  generate              pictures without a script
  repl                  statements one by one, with models that stay loaded
  info, script, replay  a picture's settings; its script; the picture once more
  check, explain        a script's mistakes, and what their codes mean
  fmt, params           a script's canonical form, and its parameters
  models, fetch, store  what is in a model, in the hub, and kept here
  events, dump          the form of what `run --json` writes; a script's tree
  completion            what lets bash, zsh and fish complete all this

  --version, --color {auto,always,never}, --no-stdin, --quantizer-help,
  --prompt-upscaler-help, --prompt-weighter-help

examples:
  aquatint examples/demo.aqt
  aquatint generate builtin:shapes --prompts "a red circle" --seeds 1 2

exit codes: 0 done, 1 a statement failed, 2 a mistake, 130 interrupted
"""


def _help() -> str:
    """Return `_HELP`, with lines that are too long for a narrow terminal broken, each under its second column."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _COLUMNS
    if columns >= _COLUMNS:
        return _HELP
    import textwrap

    lines: list[str] = []
    for line in _HELP.splitlines():
        found = re.match(r"(?: *\S.*?)? {2,}(?=\S)|", line)
        hang = " " * min(found.end() if found else 0, columns * 2 // 3)
        lines += textwrap.wrap(line, columns, subsequent_indent=hang, break_on_hyphens=False) or [""]
    return "\n".join(lines) + "\n"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in the words and with the exit code of the rest of the program."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        # An abbreviation that works today is ambiguous tomorrow.
        super().__init__(*arguments, **{"allow_abbrev": False, **named})
        # No option begins with a digit: `--memory -2GiB` is a size, as `--seeds -1` is a number.
        self._negative_number_matcher = re.compile(r"-\d")

    def error(self, message: str) -> NoReturn:
        help = f"see `{self.prog} --help`"
        if unknown := re.match(r"unrecognized arguments: (--[\w-]+)", message):
            help = _near(unknown[1], _option_names(self)) or help
        _report("bad-command-line", message, help)
        raise SystemExit(WRONG)


def _option_names(parser: argparse.ArgumentParser) -> set[str]:
    """Return the names of the options of `parser` and of its commands."""
    names: set[str] = set()
    for action in parser._actions:
        names.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            names.update(*map(_option_names, action.choices.values()))
    return names


class _Program(_Parser):
    """The parser of the whole command line."""

    def format_help(self) -> str:
        return _help()


class _Help(argparse.Action):
    """Answers wherever it stands, as `--help` does."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> NoReturn:
        from aquatint.interface import prompt_help, quantizer_help

        match self.option_strings[0]:
            case "--quantizer-help":
                raise SystemExit(quantizer_help.answer(values))
            case "--prompt-upscaler-help":
                raise SystemExit(prompt_help.answer("upscaler", values))
            case _:
                raise SystemExit(prompt_help.answer("weighter", values))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` and return the exit code."""
    given = _hyphenated(sys.argv[1:] if arguments is None else arguments)
    with colour.chosen_by(given):
        return _done(given)


def _done(given: list[str]) -> int:
    options = None
    try:
        if given in (["--version"], ["--help"], ["-h"]):
            sys.stdout.write(f"aquatint {aquatint.__version__}\n" if given == ["--version"] else _help())
            sys.stdout.flush()
            return DONE
        given = _with_command(given)
        options = parser(_asked_for(given)).parse_args(given)
        command = _command(options.command)
        if not getattr(options, "allow_pickles", False):
            return int(command.run(options))
        from aquatint.catalog import pickle_files

        with pickle_files.allowed():
            return int(command.run(options))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left, as `head` does.
        _drop_output()
        return DONE
    except Refusal as refusal:
        _report(refusal.code, str(refusal), refusal.help, as_json=getattr(options, "json", False))
        return WRONG
    except SystemExit:
        raise
    except OSError as error:
        # Files have names, in messages of their own: without one it is the output, on a full disk.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or error.filename is not None:
            return _bug(error)
        _drop_output()
        _report("unwritable-file", "can't write the output: no space left for it", "make room, and run it again")
        return FAILED
    except Exception as error:
        return _bug(error)


def _drop_output() -> None:
    """Let what is still to be written go nowhere, so that the interpreter doesn't complain when it flushes that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _bug(error: Exception) -> int:
    if os.environ.get("AQUATINT_TRACEBACK"):
        raise error
    help = "please report it with the script; AQUATINT_TRACEBACK=1 shows where it happened"
    _report("internal", f"a bug in aquatint: {type(error).__name__}: {error}", help)
    return FAILED


def _report(code: str, message: str, help: str | None, as_json: bool = False) -> None:
    """Write one mistake that has no place in a text."""
    from aquatint.diagnostics import Diagnostic
    from aquatint.interface.report import write_diagnostic, write_json_diagnostics

    diagnostic = Diagnostic(code, message, help=help)
    if as_json:
        write_json_diagnostics([diagnostic], sys.stdout)
    else:
        write_diagnostic(diagnostic, sys.stderr)


def _hyphenated(given: Sequence[str]) -> list[str]:
    """Return `given` with `-` for `_` in the names of options: both spellings are taken."""
    words = list(given)
    end = words.index("--") if "--" in words else len(words)
    for number, word in enumerate(words[:end]):
        if option := re.match(r"--\w[\w-]*(?==|$)", word):
            words[number] = option[0].replace("_", "-") + word[option.end() :]
    return words


def _with_command(given: list[str]) -> list[str]:
    """Return `given` with the command that it leaves out."""
    # The choice of colours may stand before the command, with its value as a word of its own.
    told = [word for before, word in itertools.pairwise(["", *given]) if colour.OPTION not in (before, word)]
    first = next((word for word in told if not word.startswith("-") or word == "-"), None)
    if first in _COMMANDS or any(word.partition("=")[0] in _ANSWERS for word in given):
        return given
    if not [word for word in told if not word.startswith(f"{colour.OPTION}=")] and sys.stdin.isatty():
        return ["repl", *given]
    if first is None:
        return ["run", *given, "-"]
    if given[0] == first and len(given) > 1 and not Path(first).exists() and (near := _near(first, _COMMANDS)):
        raise Refusal("bad-command-line", f"there is no command `{first}`", near)
    return ["run", *given]


def _near(word: str, known: Iterable[str]) -> str | None:
    from aquatint.diagnostics import nearest

    found = nearest(word, known)
    return None if found is None else f"did you mean `{found}`?"


def _command(name: str) -> Any:
    """Return the module of a command."""
    return importlib.import_module(f"aquatint.interface.commands.{name}")


def _asked_for(given: list[str]) -> Sequence[str]:
    """Return the command that `given` begins with, or all: nothing is imported for the others then."""
    return given[:1] if given[:1] and given[0] in _COMMANDS else _COMMANDS


def parser(names: Sequence[str] = _COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of the command line that knows the commands with these names."""
    parser = _Program(
        "aquatint", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"aquatint {aquatint.__version__}")
    parser.set_defaults(commands=_COMMANDS, no_stdin=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name in names:
        _command(name).add_parser(commands)
    _add_global_options(parser)
    return parser


def _add_global_options(parser: argparse.ArgumentParser) -> None:
    """Declare what stands before and after a command alike, for `parser` and for the commands that it has."""
    parser.add_argument(
        colour.OPTION, choices=colour.CHOICES, default=argparse.SUPPRESS,
        help="whether to colour what is written: on a terminal (auto, the default), always or never",
    )  # fmt: skip
    parser.add_argument("--no-stdin", action="store_true", default=argparse.SUPPRESS, help="never read standard input")
    for option, (metavar, help) in _HELPS.items():
        parser.add_argument(
            option, nargs="*", metavar=metavar, action=_Help, default=argparse.SUPPRESS, help=help
        )  # fmt: skip
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _add_global_options(inner)


if __name__ == "__main__":
    raise SystemExit(main())
