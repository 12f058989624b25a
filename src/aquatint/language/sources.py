"""The sources that a script names: what is asked of the hub for one, and how one that can't be read is told.

Holds `Sources`, which keeps what is lacking for those who fetch it. What a source holds is `catalog.checkpoints`'
business, which of its parts a model takes `resolution`'s.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aquatint.catalog import checkpoints, hub_files, single_files
from aquatint.catalog.addresses import Download
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language import adapters, claims
from aquatint.language.values import Model, Setting, known
from aquatint.source import Span


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is to be fetched from the hub or the web, which has been reported at `span` under `code`."""

    request: Request | Download
    code: str
    span: Span


_LACKING = ("missing-model", "not-a-checkpoint", "damaged-checkpoint", "missing-variant")
# What is said of a repository of the hub whose files aren't there, or not all of them.


class Sources:
    """Reports the sources that can't be used, and remembers what is lacking of the hub and what is saved meanwhile."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.lacks: list[Lack] = []
        self.saved: dict[str, Span] = {}  # the folders that the script has written with `save` so far

    def look_for_parts(self, model: Model) -> None:
        """Report what the hub's cache lacks of the submodules that `model`, whose own source isn't there, takes."""
        for role, settings in model.parts.items():
            source = settings.get("source")
            if source is None or not isinstance(source.value, str):
                continue
            try:
                file, _ = checkpoints.find_file(source.value, known(settings, "revision"))
                if file is None and checkpoints.is_hub_id(source.value):
                    checkpoints.find(source.value, known(settings, "revision"))
            except CheckpointError as error:
                self.report(error, source.span, request(model, role))
        for kind, each in [(kind, each) for kind, own in model.adapters.items() for each in own]:
            adapters.report_lacking(each, kind, self.report)

    def report(self, error: CheckpointError, span: Span, request: Request | Download | None = None) -> None:
        """Report `error`, which comes of what `request` asks for; that may be on the hub or the web."""
        help = error.help
        if request is not None and _is_lacking(error.code, request):
            self.lacks.append(Lack(request, error.code, span))
            # What has no file, such as the command line, is helped by the name of the repository.
            help = help if span.source.name.startswith("<") else checkpoints.fetch_help(span.source.name)
        self.diagnostics.error(error.code, error.message, span, help=help)

    def report_source(self, source: str, error: CheckpointError, span: Span, request: Request | Download) -> None:
        """Report that `source` can't be used, which may be because it is only there once the plan has run."""
        saved = self.saved.get(os.path.normpath(source)) if error.code == "missing-model" else None
        if saved is None:
            self.report(error, span, request)
            return
        self.diagnostics.error(
            "not-saved-yet", f"`{source}` is not there while the script is planned: it is saved when the plan runs",
            span, labels=(Label(saved, "saved here"),),
            help="use the model that is saved, or read the folder in a script of its own, after this one",
        )  # fmt: skip

    def refuse_config(self, source: Setting, config: Setting) -> None:
        """Report that `config` is given for a `source` that has its own configurations."""
        if not is_there(source.value):
            help = "leave `config` out where `source` is a folder or a hub id"
            if (near := checkpoints.weights_near(source.value)) is not None:
                help = f"did you mean `{near}`?"
            self.report(CheckpointError("missing-model", f"there is no file `{source.value}`", help), source.span)
            return
        self.diagnostics.error(
            "contradicting-settings", f"`config` is for a single file, and `{source.value}` has its own configurations",
            config.span, labels=(Label(source.span, "no file"),), help="leave `config` out",
        )  # fmt: skip


def _is_lacking(code: str, request: Request | Download) -> bool:
    """Return whether what is wrong with the code `code` is that `request` is to be fetched."""
    if isinstance(request, Download):
        return code == checkpoints.LACKING_ADDRESS
    return code in _LACKING and checkpoints.is_hub_id(request.repository)


def is_there(source: str) -> bool:
    """Return whether `source` names a checkpoint that is no file, or might on the hub."""
    return source.startswith(checkpoints.BUILTIN_PREFIX) or checkpoints.is_hub_id(source) or Path(source).exists()


def of_default(
    error: CheckpointError, source: Setting, config: Setting | None, named: str | None
) -> CheckpointError:  # fmt: skip
    """Return `error` so that it tells of the repository `named` which the script doesn't name."""
    if named is None or error.code != "missing-model" or (config is not None and config.value is not None):
        return error
    return CheckpointError(
        error.code, f"`config` is left out, and `{named}`, whose configurations diffusers takes for `{source.value}`, "
        "is not in the hub's local cache", error.help,
    )  # fmt: skip


def found(source: str, revision: str | None) -> tuple[Path, str | None]:
    found = checkpoints.find(source, revision)
    return found.folder, found.revision


_OF_ITS_OWN = ("source", "config", "subfolder", "revision", "variant")
# With these a submodule is not, or not as others are, among the files that the model's own settings name.


def request(model: Model, role: str | None = None) -> Request | Download:
    """Return what `model` needs for its pipeline, or for the submodule `role`, if the hub or an address has that."""
    whole = model.settings
    elsewhere = {part for part, own in model.parts.items() if any(known(own, name) for name in _OF_ITS_OWN)}
    base = known(whole, "subfolder") or ""
    if role is None or role not in elsewhere:
        if (lacking := _lacking_file(whole)) is not None:
            return lacking
        home, home_revision, held = _home(whole)
        omitted = {name for name, setting in whole.items() if setting.value is None}
        return Request(home, home_revision, known(whole, "variant"), base,
                       without=frozenset(elsewhere | omitted | held))  # fmt: skip
    own = model.parts[role]
    if (lacking := _lacking_file(own)) is not None:
        return lacking
    source, subfolder, revision = (known(own, name) for name in ("source", "subfolder", "revision"))
    file = None
    if source:
        file, revision = checkpoints.find_file(source, revision)
        source = source if file is None else known(own, "config")
    if not source:
        source, home_revision, _ = _home(whole)
        revision = revision or home_revision
        subfolder = subfolder or (f"{base}/{role}" if base else role)
    variant = known(own if "variant" in own else whole, "variant")
    home_role = claims.home(role)
    return Request(str(source), revision, variant, subfolder or "", home_role, insists="variant" in own,
                   without=frozenset() if file is None else frozenset({home_role}))  # fmt: skip


def _lacking_file(settings: Mapping[str, Setting]) -> Request | Download | None:
    """Return what is to be fetched of a `source` in `settings` that is a file elsewhere; None for all else."""
    source, revision = known(settings, "source"), known(settings, "revision")
    if not isinstance(source, str):
        return None
    try:
        checkpoints.find_file(source, revision)
    except CheckpointError as error:
        if error.code == checkpoints.LACKING_ADDRESS:
            return Download(source, "weights")
        return hub_files.of_file(source, revision)
    return None


def _home(settings: Mapping[str, Setting]) -> tuple[str, str | None, frozenset[str]]:
    """Return the source and revision of a model's configurations, and the roles whose weights its single file has.

    There are none without such a file, nor in one that can't be read or isn't there.
    """
    source, revision = str(known(settings, "source")), known(settings, "revision")
    try:
        file, left = checkpoints.find_file(source, revision)
        if file is None:
            return source, revision, frozenset()
        named = known(settings, "config") or checkpoints.default_config(file)
        return named, left, single_files.likely_roles(checkpoints.single_header(file))
    except (CheckpointError, OSError):
        return source, revision, frozenset()


def unreadable(source: str, error: Exception) -> CheckpointError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a name of a file"
    return CheckpointError("unreadable", f"`{source}` can't be read: {reason.lower()}")
