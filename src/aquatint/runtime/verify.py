"""Whether a component's files are still those that the plan was made from."""

from __future__ import annotations

from aquatint.catalog import adapter_files, checkpoints, llm4gen
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.pipelines import LOADERS, OWN
from aquatint.plan.steps import Component


def changed(component: Component) -> str | None:
    """Return why `component` can't be loaded as planned, or None if its files are the planned ones."""
    try:
        if component.library == LOADERS:
            now = adapter_files.identity(adapter_files.path(component.source, component.revision, component.subfolder))
        elif component.library == OWN:
            now = llm4gen.identity(llm4gen.path(component.source, component.revision, component.subfolder))
        else:
            folder = checkpoints.locate(component.source, component.revision)
            now = checkpoints.identity(
                folder, component.subfolder, component.variant, component.dtype is not None, component.single_file
            )
    except CheckpointError as error:
        return error.message
    except OSError as error:
        return f"`{component.source}` can't be read: {(error.strerror or 'no reason given').lower()}"
    if now != component.identity:
        return f"the files of `{component.role}` of `{component.source}` have changed since the plan was made"
    return None
