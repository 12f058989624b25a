"""The table at the end of a run: what it came to for each model and upscaler under each of its quantizers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aquatint.interface.cells import LEAST, cut, width
from aquatint.plan.render import sized
from aquatint.runtime.events import ModelTotals

ROWS = 30
"""How many are shown; `--json` has all."""

_HEAD = ["model", "quantizer", "images", "loads", "per image", "weights"]
_WORDS = 2  # the columns that may be cut; those after them are numbers
_GAP = "  "


def model_table(models: Sequence[ModelTotals], columns: int | None) -> list[str]:
    """Return the lines of the table, its head first, in at most `columns` as far as cutting names can do it.

    Texts are as the script has them; they are for `printable`.
    """
    known = Counter((model.model, quantizer_label(model)) for model in models)
    labels = ((model, quantizer_label(model)) for model in models[:ROWS])
    # Strings stand in the columns of images.
    head = [*_HEAD[:4], "each", _HEAD[5]] if any(model.strings for model in models[:ROWS]) else _HEAD
    rows = [head, *(_row(m, label if known[m.model, label] == 1 else _placed(m)) for m, label in labels)]
    widths = [max(width(row[column]) for row in rows) for column in range(len(_HEAD))]
    if columns is not None:
        _narrow(widths, columns - len(_GAP) * (len(_HEAD) - 1))
    lines = [_GAP.join(_cell(text, widths[at], at) for at, text in enumerate(row)).rstrip() for row in rows]
    if len(models) > ROWS:
        lines.append(f"and {len(models) - ROWS} more")
    return lines


def quantizer_label(model: ModelTotals) -> str:
    """Return the name of the model's quantizer, or of each role's where they differ."""
    named = _named(model)
    if len(set(named.values())) > 1:
        return ", ".join(f"{role} {name}" for role, name in named.items())
    return next(iter(named.values()), "none")


def _placed(model: ModelTotals) -> str:
    """Return the label with the roles that the quantizer is on, for a model that is shown with it on others, too."""
    named = _named(model)
    label = quantizer_label(model)
    return f"{label} on {', '.join(named)}" if len(set(named.values())) == 1 else label


def _named(model: ModelTotals) -> dict[str, str]:
    return {role: name for role, name in model.quantizers.items() if name is not None}


def _row(model: ModelTotals, label: str) -> list[str]:
    from aquatint.interface.progress import duration, number, printable

    made = model.images or model.strings
    each = duration(model.seconds / made) if made else ""
    words = [printable(model.model), printable(label)]
    return [
        *words,
        number(model.strings, "string") if model.strings else str(model.images),
        str(model.loads),
        each,
        sized(model.weights),
    ]


def _narrow(widths: list[int], room: int) -> None:
    """Take from the columns of words what is too much, from the wider one first, and leave each something."""
    while sum(widths) > room and max(widths[:_WORDS]) > LEAST:
        widths[max(range(_WORDS), key=lambda column: widths[column])] -= 1


def _cell(text: str, columns: int, at: int) -> str:
    shown = cut(text, columns) if at < _WORDS else text
    fill = " " * (columns - width(shown))
    return shown + fill if at < _WORDS else fill + shown
