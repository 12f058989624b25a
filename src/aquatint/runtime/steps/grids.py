"""Draws the sheets of `grid` steps and writes them."""

from __future__ import annotations

from aquatint.plan.steps import Grid
from aquatint.runtime.events import GridWritten
from aquatint.runtime.metadata import about_sheet
from aquatint.runtime.run import Run
from aquatint.runtime.sheet import draw_sheet


def grid(run: Run, step: Grid) -> None:
    """Draw a sheet of the pictures that were made, with empty places for those that weren't."""
    if run.is_settled(step):
        return
    try:
        pictures = [run.yielded.picture(cell.image) for cell in step.cells]
        missing = pictures.count(None)
        if step.cells and missing == len(step.cells):
            run.account.skip(step, "none of its pictures was made")
            return
        if missing:
            run.account.warn(step.id, f"{missing} of {len(step.cells)} pictures of this sheet were not made")
        step = run.yielded.titled(step)
        sheet = draw_sheet(
            pictures, [str(cell.label) for cell in step.cells], step.columns, list(map(str, step.column_headers)),
            list(map(str, step.row_headers)), str(step.title),
        )  # fmt: skip
        path = run.outputs.write(step.path, sheet, about_sheet(run.plan, step))
    except Exception as error:
        run.account.fail(step, error, "drawing the sheet", [])
        return
    if path is None:
        run.account.skip(step, f"`{run.outputs.locate(step.path)}` was made by someone else meanwhile")
        return
    run.account.written.append(str(path))
    run.account.emit(GridWritten(step.id, str(path), len(step.cells)))
