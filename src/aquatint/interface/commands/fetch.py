"""`aquatint fetch`: gets what a script lacks, or what a hub id or an address names. Imports no torch."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import aquatint
from aquatint.interface.exits import DONE, WRONG, Refusal
from aquatint.interface.planning_options import add_parameter_options, add_planning_options, planning, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aquatint.interface.fetching import Failures, Fetch, Wanted
    from aquatint.interface.progress import Reporter

_EPILOG = """\
examples:
    aquatint fetch pictures.aqt
    aquatint fetch stabilityai/stable-diffusion-xl-base-1.0 --variant fp16 --dry-run
    aquatint fetch stabilityai/stable-diffusion-xl-base-1.0/sd_xl_base_1.0.safetensors

Of a pipeline the configurations, tokenizers and safetensors of one variant are fetched, of a script's models only what
it uses. An id asks the hub what its revision is now; a script takes what is there already. What has come is kept when
fetching is interrupted, and it goes on from there. The login is that of `hf auth login`, or HF_TOKEN.

What a script names by an address on the web is fetched once, and kept; an address on the command line is asked again.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "fetch", help="get what a script lacks of the model hub and the web, or a model by its id", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument(
        "what",
        nargs="+",
        metavar="FILE|HUB-ID",
        help="scripts, ids of repositories on the hub or files of them, addresses on the web",
    )
    command.add_argument("--revision", help="a branch, a tag or a commit, of the ids")
    command.add_argument("--variant", help="the set of weight files, such as fp16, of the ids")
    add_parameter_options(command)
    add_planning_options(command)
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--dry-run", action="store_true", help="list the files and their bytes, and fetch nothing")
    shown.add_argument("--quiet", action="store_true", help="write nothing but failures")
    shown.add_argument("--json", action="store_true", help="write progress as JSON, one event a line")
    return command


def run(options: argparse.Namespace) -> int:
    """Fetch what `options.what` names; return the exit code. Raises `Refusal`."""
    from aquatint.interface.fetching import fetcher, require_network
    from aquatint.interface.progress import Mode, reporter

    require_network()
    mode = Mode.QUIET if options.quiet else Mode.JSON if options.json else Mode.AUTO
    shown = reporter(mode, sys.stdout, sys.stderr)
    fetch = _list if options.dry_run else fetcher(lambda: shown)
    ids, addresses, scripts = _sorted(options.what)
    if (scripts or addresses) and (options.revision or options.variant):
        raise Refusal("bad-command-line", "`--revision` and `--variant` are for hub ids, and a script says its own",
                      "leave them out, or name the id")  # fmt: skip
    code = _by_name([*_requests(ids, options), *addresses], options, fetch) if ids or addresses else DONE
    return max([code, *(_of_script(name, options, shown) for name in scripts)])


def _sorted(names: Sequence[str]) -> tuple[list[str], list[Wanted], list[str]]:
    """Return those of `names` that are on the hub, what is wanted of those that are addresses, and the scripts."""
    from aquatint.catalog.addresses import Download, is_address, kind_of
    from aquatint.catalog.checkpoints import is_hub_id
    from aquatint.catalog.hub_names import parsed

    files = [name for name in names if parsed(name) is not None]
    addresses = [name for name in names if name not in files and is_address(name)]
    ids = [
        name for name in names
        if name in files or (name not in addresses and is_hub_id(name) and not name.endswith(".aqt"))
    ]  # fmt: skip
    scripts = [name for name in names if name not in (*addresses, *ids)]
    return ids, [Download(address, kind_of(address)) for address in addresses], scripts


def _requests(ids: Sequence[str], options: argparse.Namespace) -> list[Wanted]:
    from aquatint.catalog.hub_files import Request, of_file

    insists = options.variant is not None
    return [
        of_file(name, options.revision) or Request(name, options.revision, options.variant, insists=insists)
        for name in ids
    ]


def _by_name(wanted: Sequence[Wanted], options: argparse.Namespace, fetch: Fetch) -> int:
    from aquatint.diagnostics import Diagnostic

    failures = fetch(wanted)
    report([Diagnostic(error.code, error.message, help=error.help) for error in failures.values()], options)
    return WRONG if failures else DONE


def _of_script(name: str, options: argparse.Namespace, shown: Reporter) -> int:
    from aquatint.interface.fetching import wanted_by, with_failures
    from aquatint.interface.script_file import read_script

    options.file = name
    source = read_script(name, no_stdin=options.no_stdin)
    if options.dry_run:
        evaluation = aquatint.check(source, **planning(options))
        if wanted := wanted_by(evaluation):
            evaluation = with_failures(evaluation, _list(wanted))
    else:
        evaluation = aquatint.fetch(source, **planning(options), on_event=shown)
    report(evaluation.diagnostics, options)
    return WRONG if evaluation.diagnostics.has_errors else DONE


def _list(requests: Sequence[Wanted]) -> Failures:
    """Write what `requests` come to; return why for those that can't be found."""
    from aquatint.catalog.addresses import Download
    from aquatint.catalog.checkpoints import CheckpointError
    from aquatint.plan.render import sized
    from aquatint.runtime.hub import look_up

    failures: dict[Wanted, CheckpointError] = {}
    for request in requests:
        if isinstance(request, Download):
            sys.stdout.write(f"{request.address}\n")
            continue
        try:
            listing = look_up(request)
        except CheckpointError as error:
            failures[request] = error
            continue
        sys.stdout.write(f"{request.repository}, revision {listing.commit}\n")
        lacking = set(listing.lacking)
        for file in listing.files:
            sys.stdout.write(f"  {file.size:>14,}  {file.name}{'' if file in lacking else '  (there)'}\n")
        kept = f", beside {sized(listing.kept)} of them that are there" if listing.kept else ""
        sys.stdout.write(f"{sized(listing.bytes)} to fetch, in {len(lacking)} of {len(listing.files)} files{kept}\n")
    return failures
