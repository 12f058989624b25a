"""Writes models as checkpoints, as `save` steps ask for."""

from __future__ import annotations

from pathlib import Path

from aquatint.plan.steps import Save
from aquatint.runtime import saved_folders
from aquatint.runtime.engine import Form
from aquatint.runtime.events import ModelSaved, SaveStarted
from aquatint.runtime.model_card import CARD, about_model, card
from aquatint.runtime.run import Run
from aquatint.runtime.steps.loads import Loads


def save(run: Run, loads: Loads, step: Save) -> None:
    """Write the folder of a model, with its card and its record."""
    if run.is_settled(step) or loads.skips(step):
        return
    try:
        loads.bring(step)
        parts = loads.parts(step)
        loads.count_reuses(step)
        size = sum(part.bytes for part in parts.values())  # one component in two roles is written twice
        run.account.emit(SaveStarted(step.id, step.model, str(saved_folders.locate(run.outputs, step.path)), size))
        started = run.options.clock()
        form = Form(step.roles, step.variant, step.max_shard_size)

        def fill(folder: Path) -> None:
            run.engine.save(run.plan.pipelines[step.pipeline], parts, folder, form)
            (folder / CARD).write_text(card(run.plan, step), encoding="utf-8")

        about = about_model(run.plan, step, run.facts)
        path = saved_folders.write(run.outputs, step.path, fill, about, size=size)
    except Exception as error:
        run.account.fail(step, error, f"saving `{step.model}`", [])
        return
    if path is None:
        where = saved_folders.locate(run.outputs, step.path)
        run.account.skip(step, f"`{where}` was made by someone else meanwhile")
        return
    run.account.saved += 1
    run.account.written.append(str(path))
    total = saved_folders.total_bytes(path)
    run.account.emit(ModelSaved(step.id, str(path), total, run.options.clock() - started))
