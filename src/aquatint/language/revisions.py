"""Whether a `revision` says something of what it stands beside: only repositories of the hub have some."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aquatint.catalog import checkpoints
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.values import Setting


def takes_revision(
    settings: Mapping[str, Setting], source: str, diagnostics: Diagnostics, *, has_config: bool = False
) -> bool:
    """Return whether a `revision` in `settings` says something of `source`, or report that it doesn't.

    With `has_config` a single file may have one, which is then its configuration's.
    """
    revision = settings.get("revision")
    if revision is None or not isinstance(revision.value, str) or checkpoints.is_hub_id(source):
        return True
    if not source.startswith(checkpoints.BUILTIN_PREFIX):
        path = Path(source).expanduser()
        if not path.exists() or (has_config and path.is_file()):
            return True
    own = settings.get("source")
    labels = () if own is None else (Label(own.span, "not of the hub"),)
    diagnostics.error(
        "contradicting-settings", f"`revision` is of a repository of the hub, and `{source}` is on this computer",
        revision.span, labels=labels, help="leave `revision` out, or write `none` to take back one that was set before",
    )  # fmt: skip
    return False
