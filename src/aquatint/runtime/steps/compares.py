"""Measures the pairs of `compare` steps, and writes and prints their tables."""

from __future__ import annotations

from aquatint.plan.steps import Compare, NumberRef
from aquatint.runtime import tables
from aquatint.runtime.events import Measured, Printed, TableWritten
from aquatint.runtime.run import Run


def compare(run: Run, step: Compare) -> None:
    """Measure the pairs whose pictures were made, and make a table of all."""
    if run.is_settled(step):
        return
    try:
        rows = _measured(run, step)
        missing = sum(row.values is None for row in rows)
        if missing == len(rows):
            run.account.skip(step, "none of its pictures was made")
            return
        if missing:
            run.account.warn(step.id, f"{missing} of {len(rows)} pairs of this table were not made")
        means = tables.means(rows, step.metrics)
        run.yielded.known |= {NumberRef(step.id, metric): value for metric, value in means.items()}
        if step.path is None:
            if step.printed:
                run.account.emit(Printed(step.id, tables.text(rows, step.metrics).removesuffix("\n")))
            return
        if (there := run.outputs.settled(step.path)) is not None:  # only its numbers were needed
            run.account.skip(step, run.outputs.why(there))
            return
        path = run.outputs.write_bytes(step.path, tables.table(step.path, rows, step.metrics))
    except Exception as error:
        run.account.fail(step, error, "comparing", [])
        return
    if path is None:
        run.account.skip(step, f"`{run.outputs.locate(step.path)}` was made by someone else meanwhile")
        return
    run.account.written.append(str(path))
    run.account.emit(TableWritten(step.id, str(path), len(rows)))


def _measured(run: Run, step: Compare) -> list[tables.Row]:
    """Return the rows of the table; the numbers are known from then on."""
    rows: list[tables.Row] = []
    for index, pair in enumerate(step.pairs):
        label = run.yielded.line(pair.label)
        reference, image = run.yielded.picture(pair.reference), run.yielded.picture(pair.image)
        values = None
        if reference is not None and image is not None:
            values = run.engine.measure(reference, image, step.metrics)
            run.yielded.known |= {NumberRef(step.id, metric, index): value for metric, value in values.items()}
            run.account.emit(Measured(step.id, label, values))
        rows.append(tables.Row(label, run.yielded.file(pair.reference), run.yielded.file(pair.image), values))
    return rows
