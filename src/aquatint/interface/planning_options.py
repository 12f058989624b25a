"""The options that plans are made with, and the world that they come to. Imports no torch."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO, get_args

from aquatint.interface.exits import Refusal
from aquatint.interface.settings import Order, Planning

if TYPE_CHECKING:
    from aquatint.diagnostics import Diagnostic
    from aquatint.language.world import Given, Memory, World


def add_script_options(command: argparse.ArgumentParser) -> None:
    """Declare the script and its parameters."""
    command.add_argument("file", metavar="FILE", help="the script; `-` is standard input")
    add_parameter_options(command)


def add_parameter_options(command: argparse.ArgumentParser) -> None:
    """Declare the parameters of a script."""
    command.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="give a `param` of the script its value"
    )
    command.add_argument(
        "--params", metavar="FILE", action="append", default=[],
        help="give many of them: a map in YAML, JSON or TOML; a later file beats an earlier one, and `--set` all; "
        "`-` is standard input",
    )  # fmt: skip


def add_planning_options(command: argparse.ArgumentParser) -> None:
    """Declare what a plan depends on beside its script."""
    command.add_argument(
        "--device", help="what to plan for: cpu, cuda, cuda:1, xpu or mps; what the machine has, unless it is set"
    )
    command.add_argument("--device-memory", metavar="SIZE", help="what `device.memory` is in the script, such as 12GiB")
    command.add_argument(
        "--plan-seed", type=int, default=Planning.plan_seed, metavar="N",
        help="seed of the seeds that the plan draws, and of `random` in templates (0)",
    )  # fmt: skip
    command.add_argument(
        "--memory", metavar="[DEVICE=]SIZE", action="append", default=[],
        help="what models may take at a time, such as 8GiB, or -2GiB for all that is free but that; for one device "
        "alone as in cuda:1=20GiB, as often as there are devices, where cpu=16GiB is what --host-memory says; "
        "a plan is made for any amount, and a run for what is free, unless it is set",
    )  # fmt: skip
    command.add_argument(
        "--host-memory", metavar="SIZE",
        help="what of the computer's memory may be taken by models that don't fit on a GPU and are used again; "
        "any amount for a plan, and what is free for a run, unless it is set",
    )  # fmt: skip
    command.add_argument(
        "--order", choices=get_args(Order), default=Planning.order,
        help="run statements in the order that loads least (the default), or as they are written",
    )  # fmt: skip
    command.add_argument(
        "--allow-pickles", action="store_true",
        help="read weights from pickled files (.bin, .ckpt, .pt) where there are no others; of these torch reads "
        "nothing but weights",
    )  # fmt: skip
    command.add_argument(
        "--limit", type=int, default=Planning.limit, metavar="N",
        help="allow a script N times the usual steps and images: 5 million and 100,000 (1)",
    )  # fmt: skip


def planning(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `options` say of a plan, as the keywords of `aquatint.check` and the like. Raises `Refusal`."""
    # Commands that can't be told what to do about warnings give none.
    return named(Planning, options) | {"parameters": _parameters(options), "lint": hasattr(options, "deny")}


def named(settings: type[Planning], options: argparse.Namespace) -> dict[str, Any]:
    """Return those of `options` that have the name of one of `settings`."""
    given = vars(options)
    return {field.name: given[field.name] for field in fields(settings) if field.name in given}


def _parameters(options: argparse.Namespace) -> dict[str, str | Given]:
    parameters: dict[str, str | Given] = {}
    for file in getattr(options, "params", []):
        from aquatint.interface.parameter_files import read_parameters

        if file == "-" and (options.no_stdin or options.file == "-" or options.params.count("-") > 1):
            raise Refusal("bad-command-line", "`--params -` can't read standard input too",
                          "name a file for the parameters, or for the script")  # fmt: skip
        parameters |= read_parameters(file)
    for text in getattr(options, "set", []):
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise Refusal("bad-command-line", f"`--set {text}` is not of the form NAME=VALUE")
        parameters[name.strip()] = value
    return parameters


def world(settings: Planning, running: bool = False) -> World:
    """Return what plans are made from beside the script, of plans that run at once if `running`. Raises `Refusal`."""
    from aquatint.interface.device import hardware, lacks
    from aquatint.language.world import Hardware, World, lacks_none

    memory = _memory(settings.device_memory)

    def known(device: str) -> Hardware:
        found = hardware(device)
        return found if memory is None else replace(found, memory=memory)

    folder = _folder()
    return World(
        device=_device(settings.device), plan_seed=settings.plan_seed, hardware=known,
        parameters={name: _as_set(value) for name, value in (settings.parameters or {}).items()},
        folder=folder, output_folder=os.path.join(folder, settings.output_dir), limit=settings.limit,
        order=settings.order, memory=_budget(settings, running), memory_beside=_beside(settings, running),
        # A plan that isn't run may be for another computer.
        lacks_device=lacks if running or settings.device is None else lacks_none,
    )  # fmt: skip


def _as_set(value: str | int | float | bool | Given) -> str | Given:
    """Return a parameter's value as `--set` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return ""


def _memory(given: str | None, option: str = "--device-memory") -> int | None:
    from aquatint.syntax.tokens import byte_count

    try:
        return None if given is None else byte_count(given)
    except ValueError:
        raise Refusal("bad-command-line", f"`{option} {given}` is no number of bytes",
                      "write it as in `12GiB`") from None  # fmt: skip


def _budget(settings: Planning, running: bool) -> Memory | None:
    """Return what models may take at a time, None for any amount. Raises `Refusal`."""
    device = _device(settings.device)
    given, beside = _by_device(_sizes(settings.memory), device)
    if beside is not None and settings.host_memory is not None:
        raise Refusal("bad-command-line", f"`--memory cpu={beside}` and `--host-memory` both say what waits may take",
                      "leave one of them out")  # fmt: skip
    return budget(given, device, _host_memory(settings.host_memory or beside, device, running), running)


def budget(given: str | None, device: str, host: int | None, running: bool = True) -> Memory | None:
    """Return what `given`, a size or what to leave free, lets models take on `device`, None for any amount.

    Where nothing is given it is what is free, for what is `running`. `host` is the same of what waits beside the
    device. Raises `Refusal`.
    """
    from aquatint.catalog.hardware import SHARED_MEMORY
    from aquatint.catalog.working import PROGRAM
    from aquatint.interface.device import MARGIN, free_memory
    from aquatint.language.world import Memory

    program = PROGRAM if device.partition(":")[0] in SHARED_MEMORY else 0
    if given is not None and not given.startswith("-"):
        limit = _memory(given, "--memory")
        return None if limit is None else Memory(limit, host=host, program=program)
    if given is None and not running:
        return None
    free = free_memory(device)
    spared = MARGIN if given is None else _memory(given[1:], "--memory") or 0
    if free is None:
        if given is None:
            return None
        raise Refusal("bad-command-line", f"how much memory of `{device}` is free can't be found out here",
                      "say what there is: `--memory 8GiB`")  # fmt: skip
    # The margin is for the program, too.
    return Memory(max(0, free - spared), is_measured=given is None, host=host, program=program if given else 0)


def _sizes(memory: str | Sequence[str] | None) -> Sequence[str]:
    return [memory] if isinstance(memory, str) else memory or ()


def _beside(settings: Planning, running: bool) -> Callable[[str], Memory | None]:
    """Return what says what models may take of devices that the plan isn't for. Raises `Refusal`, and so does it."""
    from aquatint.catalog.hardware import memory_of, named

    here = _device(settings.device)
    sizes = {named(_device(name), here): size for name, equals, size in _sized(_sizes(settings.memory)) if equals}

    @cache
    def beside(device: str) -> Memory | None:
        if device == memory_of("cpu"):
            from aquatint.language.world import Memory

            limit = _host_memory(settings.host_memory or sizes.get(device), here, running)
            is_said = settings.host_memory is not None or device in sizes
            return None if limit is None else Memory(limit, is_measured=not is_said)
        return budget(sizes.get(device), device, None, running)

    return beside


def _sized(sizes: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the devices of `--memory` and their sizes, with an `=` between them if a device is named."""
    for text in sizes:
        name, equals, size = text.rpartition("=")
        yield name, equals, size


def _by_device(sizes: Sequence[str], device: str) -> tuple[str | None, str | None]:
    """Return the size that is given for `device`, and that for the computer's own memory if that is another.

    The last one counts. Raises `Refusal`.
    """
    from aquatint.catalog.hardware import SHARED_MEMORY

    own = beside = None
    for name, equals, size in _sized(sizes):
        if not equals or _device(name).removesuffix(":0") == device.removesuffix(":0"):
            own = size
        elif name == "cpu" and device.partition(":")[0] not in SHARED_MEMORY:
            beside = size
    return own, beside


def _host_memory(given: str | None, device: str, running: bool) -> int | None:
    """Return what of the computer's memory may be taken by what doesn't fit on `device`, None for any amount.

    Raises `Refusal`.
    """
    from aquatint.catalog.hardware import SHARED_MEMORY
    from aquatint.interface.device import MARGIN, free_memory

    limit = _memory(given, "--host-memory")
    if device.partition(":")[0] in SHARED_MEMORY:
        return 0  # it computes in that memory
    return max(0, (free_memory("cpu") or 0) - MARGIN) if limit is None and running else limit


def _device(given: str | None) -> str:
    from aquatint.catalog.hardware import is_device
    from aquatint.interface.device import default_device

    if given is None:
        return default_device()
    if not is_device(given):
        raise Refusal("bad-command-line", f"there is no device `{given}`", "devices are cpu, cuda, cuda:1, xpu, mps")
    return given


def report(diagnostics: Iterable[Diagnostic], options: argparse.Namespace, json_to: TextIO | None = None) -> None:
    """Write `diagnostics` as text, or as JSON if the command's `--json` asks for it.

    JSON goes to standard output, unless `json_to` is given.
    """
    from aquatint.interface.report import write_diagnostics, write_json_diagnostics

    if getattr(options, "json", False):
        write_json_diagnostics(diagnostics, json_to or sys.stdout)
    else:
        write_diagnostics(diagnostics, sys.stderr)
