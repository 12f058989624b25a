"""Writes the table of a comparison: what was measured of each pair, and the means.

Taking the measures is the engine's. Numbers are written in full, so that a table can be computed with.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True, slots=True)
class Row:
    """One pair: its label, the files of reference and image, and the measures, None if a picture was not made."""

    label: str
    reference: str
    image: str
    values: Mapping[str, float] | None


def means(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """Return the mean of each of `metrics` over the rows that have one; none for a table without any."""
    measured = [row.values for row in rows if row.values is not None]
    if not measured:
        return {}
    return {metric: math.fsum(values[metric] for values in measured) / len(measured) for metric in metrics}


def table(path: str, rows: Sequence[Row], metrics: Sequence[str]) -> bytes:
    """Return the file called `path`, whose suffix says of which form it is: `.csv`, `.json` or `.md`."""
    match PurePath(path).suffix.lower():
        case ".json":
            return _json(rows, metrics)
        case ".md":
            return text(rows, metrics).encode()
        case _:
            return _csv(rows, metrics)


def text(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """Return a table in Markdown with numbers rounded for people, one line a pair and one for the means."""
    cells = [["", *metrics]]
    cells += [[row.label.replace("|", "\\|"), *_rounded(row.values, metrics)] for row in rows]
    if len(rows) > 1:
        cells.append(["mean", *_rounded(means(rows, metrics) or None, metrics)])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2 - (n > 0)) + ":" * (n > 0) for n, width in enumerate(widths)) + "|")
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "| " + " | ".join([cells[0].ljust(widths[0]), *numbers]) + " |"


def _rounded(values: Mapping[str, float] | None, metrics: Sequence[str]) -> list[str]:
    return ["-" if values is None else f"{values[metric]:.4g}" for metric in metrics]


def _csv(rows: Sequence[Row], metrics: Sequence[str]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["label", "reference", "image", *metrics])
    for row in rows:
        measured = ["" if row.values is None else repr(row.values[metric]) for metric in metrics]
        writer.writerow([row.label, row.reference, row.image, *measured])
    return stream.getvalue().encode()


def _json(rows: Sequence[Row], metrics: Sequence[str]) -> bytes:
    def plain(values: Mapping[str, float] | None) -> dict[str, float | str] | None:
        # JSON has no infinity: it is written as the string "inf".
        return None if not values else {k: v if math.isfinite(v) else str(v) for k, v in values.items()}

    record = {
        "metrics": list(metrics),
        "mean": plain(means(rows, metrics)),
        "pairs": [
            {"label": row.label, "reference": row.reference, "image": row.image, "values": plain(row.values)}
            for row in rows
        ],
    }
    return json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n"
