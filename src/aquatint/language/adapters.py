"""What adapters of every kind have in common: blocks of a model that become components beside those that they change.

What a kind is for, and whether one fits, is in `adapting` (LoRAs), `inverting` (textual inversions) and `ip_adapting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

import msgspec

from aquatint.catalog import adapter_files, checkpoints
from aquatint.catalog.adapter_files import Kind, Named
from aquatint.catalog.addresses import Download
from aquatint.catalog.checkpoints import CheckpointError, Part, Tensor
from aquatint.catalog.hub_files import Request
from aquatint.catalog.pipelines import LOADERS
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.revisions import takes_revision
from aquatint.language.values import UNKNOWN, Adapter
from aquatint.plan.keys import component_key
from aquatint.plan.steps import ByteRange, Component
from aquatint.source import Span

Report = Callable[[CheckpointError, Span, Request | Download], None]
"""Reports what a request comes to nothing for, and where it is asked."""

Read = TypeVar("Read")
Use = TypeVar("Use")


class Held(Protocol):
    """What is known of an adapter's file, whatever its kind: a torch dtype's name, and its bytes."""

    @property
    def dtype(self) -> str: ...

    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where an adapter is: its file `inside` of the source, a hub's commit, and what identifies its content."""

    source: str
    revision: str | None
    inside: str
    identity: str


def opened(
    block: Adapter, name: str, kind: Kind, look: Callable[[Path], Read | None], diagnostics: Diagnostics,
    report: Report,
) -> tuple[Place, Read] | None:  # fmt: skip
    """Return where the adapter of `block`, which begins with the word `name`, is, and what `look` says of its file.

    Returns None after an error was reported: here, by `look`, which returns None then, or before.
    """
    given = {key: setting.value for key, setting in block.settings.items()}
    if UNKNOWN in given.values() or given.get("source") is None:
        return None  # which has been reported
    named, file = said(block), None
    source = named.source
    span = block.settings["source"].span
    if not takes_revision(block.settings, source, diagnostics):
        return None
    try:
        at = adapter_files.find(kind, named)
        file = adapter_files.path(at.source, at.revision, at.inside)
        read = look(file)
        if read is None:
            return None
        return Place(at.source, at.revision, at.inside, adapter_files.identity(file)), read
    except CheckpointError as error:
        if named.is_address and file is not None:
            # What is kept has a name of the program's own.
            error = CheckpointError(error.code, error.message.replace(str(file), source), error.help)
        report(error, span, request(block, name))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a name of a file"
        diagnostics.error("unreadable", f"`{source}` can't be read: {reason.lower()}", span)
    return None


def component(
    place: Place, role: str, reader: str, read: Held, most: int, device: str, offload: str | None
) -> Component:
    """Return the component of an adapter that the class `reader` reads; loaded it takes its bytes, or up to `most`.

    It is offloaded as what it is put on: it comes to `device` with that.
    """
    key = component_key(
        library=LOADERS, class_name=reader, source=place.source, revision=place.revision, subfolder=place.inside,
        variant=None, identity=place.identity, dtype=read.dtype, device=device, quantization=None,
        offload=offload,
    )  # fmt: skip
    return Component(
        key=key, role=role, library=LOADERS, class_name=reader, source=place.source, subfolder=place.inside,
        variant=None, revision=place.revision, dtype=read.dtype, device=device, quantization=None,
        identity=place.identity, bytes=read.bytes, held=ByteRange(read.bytes, most), reads=read.bytes,
        offload=offload,
    )  # fmt: skip


def in_roles(name: str, added: Sequence[tuple[Component, Use]]) -> dict[str, tuple[Component, Use]]:
    """Return adapters of one kind, in their order, by their roles: `name`, then that with a number from 2."""
    roles = [name if number == 1 else f"{name}_{number}" for number in range(1, len(added) + 1)]
    return {
        role: (msgspec.structs.replace(each, role=role), use) for role, (each, use) in zip(roles, added, strict=True)
    }


def are_different(added: Iterable[tuple[Component, Span]], what: str, diagnostics: Diagnostics) -> bool:
    """Return whether no file is `added` twice as an adapter of the kind `what`, or report it."""
    first: dict[str, Span] = {}
    for component, span in added:
        before = first.setdefault(component.identity, span)
        if before is not span:
            diagnostics.error("duplicate-setting", f"this {what} is given twice", span,
                              labels=(Label(before, "the same file"),), help="take one of them out")  # fmt: skip
            return False
    return True


def request(adapter: Adapter, kind: str) -> Request | Download:
    """Return what an adapter, whose block begins with the word `kind`, needs of the hub or the web, if it is there."""
    named = said(adapter)
    if named.is_address:
        return Download(named.source, "weights")
    named = named.in_repository()
    return Request(named.source, named.revision, None, named.subfolder or "", kind, file=named.weight_name)


def report_lacking(adapter: Adapter, name: str, report: Report) -> None:
    """Report to `report` if nothing has been fetched of an adapter, whose block begins with the word `name`."""
    wanted = request(adapter, name)
    try:
        if isinstance(wanted, Download):
            checkpoints.require_kept(wanted.address)
        elif checkpoints.is_hub_id(wanted.repository):
            checkpoints.find(wanted.repository, wanted.revision)
    except CheckpointError as error:
        report(error, adapter.settings["source"].span, wanted)


def said(adapter: Adapter) -> Named:
    """Return what the block of an adapter says of where it is."""
    given: Mapping[str, Any] = {name: setting.value for name, setting in adapter.settings.items()}
    return Named(str(given.get("source")), *(given.get(name) for name in ("revision", "subfolder", "weight_name")))


def block_of(component: Component, adapters: Iterable[Adapter]) -> Adapter:
    """Return which of `adapters`, blocks of a model, an adapter of it comes from."""
    inside = PurePosixPath(component.subfolder)
    place = component.source, inside.parent
    own = [each for each in adapters if (each.name[0], PurePosixPath(each.name[1] or "")) == place]
    return next((each for each in own if each.name[2] == inside.name), own[0])


def tensors(folder: Path, component: Component) -> list[Tensor]:
    """Return the tensors of a component's files, by their headers. Raises `CheckpointError`."""
    part = Part(
        component.role, component.library, component.class_name, component.subfolder, True, file=component.single_file
    )
    return checkpoints.part_tensors(folder, part, component.variant)[0]
