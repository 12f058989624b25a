"""`aquatint models inspect`: shows what a checkpoint is made of, and what quantizers make of it. Imports no torch.

The numbers are those of `catalog.inspection`; nothing but configurations and headers is read.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from aquatint.interface.exits import DONE, WRONG, Refusal
from aquatint.interface.planning_options import report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aquatint.catalog.estimates import Estimate
    from aquatint.catalog.inspection import Inspected, Inspection
    from aquatint.diagnostics import Diagnostic

_FAILS = "fails"
DEFAULT = ("sdnq;type=int8", "sdnq;type=uint4", "bnb;bits=8", "bnb;bits=4;bits4-quant-type=nf4")
"""The quantizers that are shown where none is named."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and what it can do."""
    command: argparse.ArgumentParser = commands.add_parser(
        "models", help="show what a checkpoint is made of, and what quantizers would make of it"
    )
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    inspect = actions.add_parser("inspect", help="list the components with their parameters and bytes")
    inspect.add_argument("source", metavar="SOURCE", help="`builtin:NAME`, a folder, or a hub id in the local cache")
    inspect.add_argument(
        "--quantizer", action="append", metavar="URI", default=[],
        help=f"estimate what this quantizer makes of the components; may be repeated ({', '.join(DEFAULT)})",
    )  # fmt: skip
    inspect.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"),
        help="the data type that weights are loaded as; by default that of most of the files' numbers",
    )  # fmt: skip
    inspect.add_argument("--variant", help="one of the checkpoint's sets of weight files, such as fp16")
    inspect.add_argument("--revision", help="a branch, tag or commit of a hub model")
    inspect.add_argument("--json", action="store_true", help="write it as one line of JSON")
    return command


def run(options: argparse.Namespace) -> int:
    """Show the checkpoint `options.source`; return the exit code. Raises `Refusal`."""
    from aquatint.catalog.checkpoints import CheckpointError
    from aquatint.catalog.inspection import inspect

    quantizers, mistakes = _quantizers(options.quantizer or DEFAULT)
    if mistakes:
        report(mistakes, options)
        return WRONG
    try:
        found = inspect(options.source, options.revision, options.variant, options.dtype, quantizers)
    except CheckpointError as error:
        raise Refusal(error.code, error.message, error.help) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a name of a file"
        raise Refusal("unreadable", f"`{options.source}` can't be read: {reason.lower()}") from None
    if options.json:
        sys.stdout.write(json.dumps(_as_json(found)) + "\n")
    else:
        sys.stdout.write("\n".join(line.rstrip() for line in _as_text(found)) + "\n")
    return DONE


def _quantizers(uris: Sequence[str]) -> tuple[list[tuple[str, str, dict[str, Any]]], list[Diagnostic]]:
    """Return quantizers as (URI, backend, options), and all their mistakes."""
    from aquatint.catalog.quantizers import canonical, problems, read_uri
    from aquatint.diagnostics import Diagnostic

    found: list[tuple[str, str, dict[str, Any]]] = []
    mistakes: list[Diagnostic] = []
    for uri in uris:
        read = read_uri(uri)
        wrong = [
            *read.errors,
            *(problems(read.backend, read.options, read.unclear) if read.backend is not None else ()),
        ]
        mistakes += [Diagnostic(each.code, f"`--quantizer {uri}`: {each.message}", help=each.help) for each in wrong]
        if read.backend is not None and not wrong:
            found.append((uri, read.backend, canonical(read.backend, dict(read.options))))
    return found, mistakes


def _as_json(found: Inspection) -> dict[str, Any]:
    return {
        "source": found.source,
        "pipeline": found.pipeline,
        "components": [
            {
                "role": each.role, "class": each.class_name, "library": each.library,
                **({} if each.now is None else _weights_as_json(each)),
            }
            for each in found.components
        ],
        "totals": {"bytes": found.totals(None)[1], **{
            uri: {"least": least, "most": most}
            for uri in found.quantizers for least, most in [found.totals(uri)]
        }},
    }  # fmt: skip


def _weights_as_json(each: Inspected) -> dict[str, Any]:
    assert each.now is not None
    return {
        "dtype": each.dtype, "parameters": each.now.parameters, "layers": each.now.layers, "bytes": each.now.most,
        "reads": each.reads, "stored": each.stored, "by_default": each.by_default,
        "quantized": {uri: _estimate_as_json(estimate) for uri, estimate in each.under.items()},
    }  # fmt: skip


def _estimate_as_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "least": estimate.least, "most": estimate.most, "layers": estimate.quantized,
        "left": [{"why": kept.why, "layers": [layer.name for layer in kept.layers]} for kept in estimate.left],
        "unfit": [{"why": unfit.why, "layer": layer.name} for layer, unfit in estimate.unfit],
    }  # fmt: skip


def _as_text(found: Inspection) -> Iterator[str]:
    yield f"{found.source}: {found.pipeline}"
    yield ""
    yield from _table(["component", "class", "dtype", "parameters", "bytes"], [
        [
            each.role + (" *" if each.by_default else ""), f"{each.library}.{each.class_name}",
            *(["", "", ""] if each.now is None else _size(each)),
        ]
        for each in found.components
    ], 3)  # fmt: skip
    yield ""
    if any(each.by_default for each in found.components):
        yield "* what a model's quantizer is for, unless `quantizer_map` says otherwise"
    for each in found.components:
        if each.stored is not None:
            yield f"{each.role} is stored quantized ({each.stored}) and is loaded as it is"
    weighty = [each for each in found.components if each.under]
    if not weighty:
        return
    yield ""
    yield from _table(["once loaded", *(each.role for each in weighty), "all together"], [
        ["unquantized", *(_shown(each.now) for each in weighty), _sized(*found.totals(None))],
        *(
            [uri, *(_shown(each.under[uri]) for each in weighty), _total(found, uri)]
            for uri in found.quantizers
        ),
    ], 1)  # fmt: skip
    yield "all together: with that quantizer for the components with *, and the others as they are"
    for uri in found.quantizers:
        told = [line for each in weighty for line in _left(each, uri)]
        if told:
            yield ""
            yield f"{uri} leaves"
            yield from told


def _size(each: Inspected) -> list[str]:
    from aquatint.plan.render import sized

    assert each.now is not None
    size, reads = sized(each.now.most), sized(each.reads)
    return [each.dtype or "", f"{each.now.parameters:,}", size if reads == size else f"{size} (reads {reads})"]


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.unfit:
        return _FAILS
    return _sized(estimate.least, estimate.most)


def _total(found: Inspection, uri: str) -> str:
    fails = any(each.by_default and each.under[uri].unfit for each in found.components if each.under)
    return _FAILS if fails else _sized(*found.totals(uri))


def _sized(least: int, most: int) -> str:
    from aquatint.plan.render import ranged
    from aquatint.plan.steps import ByteRange

    return ranged(ByteRange(least, most))


def _left(each: Inspected, uri: str) -> Iterator[str]:
    estimate = each.under[uri]
    for kept in estimate.left:
        count = len(kept.layers)
        yield f"  {_number(count, 'layer')} of {each.role}: {kept.why}"
    for layer, unfit in estimate.unfit[:1]:
        more = f" and {len(estimate.unfit) - 1} more" if len(estimate.unfit) > 1 else ""
        yield f"  and fails with `{layer.name}`{more} of {each.role}: {unfit.why}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> Iterator[str]:
    """Yield the lines of a table; the first `words` columns stand to the left, the others, of numbers, to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        sides = (str.ljust if column < words else str.rjust for column in range(len(head)))
        yield "  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True))
