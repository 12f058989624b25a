"""`aquatint replay`: makes a picture again from what its file says, by the script that `aquatint script` writes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import aquatint
from aquatint.interface.commands.plan import show
from aquatint.interface.exits import WRONG, Refusal
from aquatint.interface.fetching import completed
from aquatint.interface.picture_script import add_picture_options, device_of, is_tiled, script_of, threads_of
from aquatint.interface.planning_options import add_planning_options, planning, report
from aquatint.interface.running_options import add_running_options, exit_code, session

if TYPE_CHECKING:
    from aquatint.diagnostics import Diagnostic
    from aquatint.plan.steps import Plan
    from aquatint.runtime.record import ImageRecord

_EPILOG = """\
example:
    aquatint replay out/circle.png
    aquatint replay out/circle.png --set seed=2 --set unet.quantizer="sdnq;type=int8" --output other.png

Device and threads are the record's unless they are set here, where this machine has them.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "replay", help="make a picture again from what its file says, or with other settings", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_picture_options(command)
    command.add_argument(
        "--strict", action="store_true", help="make nothing if files, machine or versions aren't those of the record"
    )
    command.add_argument("--plan", action="store_true", help="show the plan, as `aquatint plan` does, and run nothing")
    add_planning_options(command)
    add_running_options(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Make the picture `options.image` again; return the exit code."""
    from aquatint.diagnostics import Diagnostics
    from aquatint.interface.progress import printable
    from aquatint.interface.replay_differences import of_call, of_files, of_machine, of_rewrites
    from aquatint.source import Source

    diagnostics = Diagnostics()
    made = script_of(options, diagnostics)
    if made.record is None:
        help = "write a script with `aquatint script`, name the model in it, and run that"
        raise Refusal("no-record", f"`{options.image}` has a text in A1111's form, and no record of Aquatint's", help)
    source = Source(f"<replay of {printable(options.image)}>", made.text)
    _as_recorded(options, made.record)
    # `planning` takes `--set` for the values of a script's parameters; this one has none.
    changes, options.set = options.set, []
    if options.plan and not diagnostics.has_errors:
        return show(source, options, lambda plan: _alone(plan, made.statement))
    running = session(options)
    fetch, given = None if diagnostics.has_errors else running.fetch, planning(options)
    evaluation = completed(lambda: aquatint.check(source, **given), fetch)
    diagnostics.extend(evaluation.diagnostics)
    if evaluation.plan is None or diagnostics.has_errors:
        report(diagnostics, options)
        return WRONG
    plan = _alone(evaluation.plan, made.statement)
    _spare_original(plan, options)
    diagnostics.extend(_told(of_files(made.record, plan), options))
    recorded = "the prompt is taken as it was recorded; `upscale` may write another now"
    diagnostics.extend(_told(of_rewrites(made.record), options, recorded))
    if not changes:
        diagnostics.extend(_told(of_call(made.record, plan), options))
    if not diagnostics.has_errors:
        diagnostics.extend(_told(of_machine(made.record, plan, running.start()), options))
    report(diagnostics, options)
    if diagnostics.has_errors:
        return WRONG
    return exit_code(running.run_plan(plan if changes else _of_the_same_making(plan, made.record)))


def _as_recorded(options: argparse.Namespace, record: ImageRecord) -> None:
    """Put the record's device, threads and tiling into `options` where the command line says nothing of them."""
    from aquatint.interface.device import default_device

    there = default_device()
    device = device_of(record)
    if options.device is None and device is not None and device.partition(":")[0] in ("cpu", there):
        options.device = device
    if options.threads is None:
        options.threads = threads_of(record)
    options.tiling = options.tiling or is_tiled(record)


def _alone(plan: Plan, statement: int) -> Plan:
    """Return `plan` with statement number `statement` (from 1) alone; its call makes what it made."""
    import msgspec

    from aquatint.plan.steps import Generate, Phase

    kept = f"g{statement}"
    steps = [step for step in plan.steps
             if not (isinstance(step, Generate) and step.id != kept)
             and not (isinstance(step, Phase) and step.generate != kept)]  # fmt: skip
    return msgspec.structs.replace(plan, steps=steps)


def _spare_original(plan: Plan, options: argparse.Namespace) -> None:
    """Refuse to replace the picture that the record is in."""
    from aquatint.plan.steps import Generate

    if options.existing != "overwrite":
        return
    for step in plan.steps:
        for output in step.outputs if isinstance(step, Generate) else ():
            if output.path is None:
                continue
            target = options.output_dir / output.path
            if os.path.exists(target) and os.path.samefile(target, options.image):
                raise Refusal("bad-command-line", f"`{options.image}` is the picture that is to be made again",
                              "give it another name with `--output`")  # fmt: skip


def _told(
    differences: Iterable[str], options: argparse.Namespace, consequence: str = "the picture may come out another"
) -> list[Diagnostic]:
    from aquatint.diagnostics import Diagnostic

    if options.strict:
        return [Diagnostic("not-as-recorded", each, help="leave `--strict` out to try all the same")
                for each in differences]  # fmt: skip
    help = f"{consequence}; `--strict` makes this an error"
    return [Diagnostic("not-as-recorded", each, help=help, severity="warning") for each in differences]


def _of_the_same_making(plan: Plan, record: ImageRecord) -> Plan:
    """Return `plan` as that of the script which the record is of, so that the new picture's record is the same."""
    import msgspec

    from aquatint.plan.steps import Generate, Place, Step

    file, line, column = (*record.place.rsplit(":", 2), "", "")[:3]
    numbers = [int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0 for text in (line, column)]
    names = {role: part.quantization.name for role, part in record.components.items() if part.quantization is not None}

    def of_the_same(step: Step) -> Step:
        if not isinstance(step, Generate):
            return step
        return msgspec.structs.replace(
            step, model=record.model, quantizers=step.quantizers | names, place=Place(file, *numbers),
            statement=record.statement,
        )  # fmt: skip

    return msgspec.structs.replace(
        plan, script=record.script, plan_seed=record.plan_seed, steps=[of_the_same(step) for step in plan.steps]
    )
