"""Writes `docs/quantization/compatibility.md`, from `catalog/data/compatibility.toml` and `catalog/hardware.py`.

Run it after a change there: `python scripts/make_compatibility_page.py`. A test holds the page against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from aquatint.catalog import compatibility
from aquatint.catalog.compatibility import Cell
from aquatint.catalog.hardware import NOTES, Note

PAGE = Path(__file__).parents[1] / "docs" / "quantization" / "compatibility.md"

_HEAD = """\
# What goes with what

Not everything that diffusers, accelerate, peft and torch offer goes with every quantizer. What is known of that is data
in this program: a script that asks for what is refused below gets an error, with the reason and a way out, before
anything is loaded.

```aquatint error --device cuda
model flux {
    source: "builtin:shapes"
    quantizer: "bnb;bits=4"
    offload: "sequential"
}
```

```errors
```

## Offloading

`offload` of a model keeps its weights in the computer's memory, and brings them to the GPU for their turn: with
`"model"` a submodule at a time, with `"group"` a block of layers, with `"sequential"` a single layer. Each needs less
of the GPU's memory than the one before it, and takes longer. On a device that computes in the computer's own memory,
which `cpu` and `mps` are, it does nothing, and a warning says so. A model with `offload` shares no live components with
a model that is offloaded otherwise or not at all.

LoRAs, textual inversions, IP-Adapters and T2I-Adapters go with it: what hangs on a submodule waits and comes
with that, and models that are offloaded alike share what they are made of, with adapters and without. diffusers' hooks
hang on the modules while a call runs, and are off between calls, when adapters are put on and taken off. The tests
compare each way with the same model on the device as a whole, bit for bit: unquantized and with `sdnq` all three, with
bitsandbytes those that the table doesn't refuse. So they do with [caches](../language.md#how-submodules-compute), and
with `compile`, which goes with `"model"` and `"group"` and is tried from the CPU to the CPU alone: torch compiles
nothing for the second device.

## The table

**works** with nothing to know; **caveat**, works, and the note says what must be known; **refused**, with the reason in
the note. *tried*: a test in `tests/engine/test_compatibility.py` does it with a tiny model and fails if the answer is
no longer that one. *doc*: from the libraries' own pages or sources, linked in the note or below the table; nobody has
run it here, where there is no GPU.

Offloading is tried on a second device for torch that is made of the CPU (`tests/engine/second_device.py`): its tensors
are in memory of their own and can't be mixed with the CPU's, so that what the libraries forget to move is an error, as
it is on a GPU. Kernels for GPUs are not tried by that, nor what accelerate does for bitsandbytes on `cuda` and `xpu`
alone. What is stored quantized is of the same kind as what is quantized while it is loaded.
"""

_HARDWARE = """\
## Options that ask for hardware

What single options of a quantizer ask of the device that a plan is for. `check`, `plan` and `run` say it at the option:
as an error where it fails there, as a warning where it is slow or where only some devices of that kind have it.
"""


def page() -> str:
    """Return the whole page, but for what its example comes to: that is written by the tests of the documentation."""
    numbers = _numbers()
    parts = [_HEAD]
    for group, features in groupby(compatibility.features(), key=lambda each: each.group):
        parts.append(f"### {group}\n")
        head = ["", *(kind.title for kind in compatibility.kinds())]
        rows = (
            [
                each.title,
                *(_answer(compatibility.cell(kind.name, each.name), numbers) for kind in compatibility.kinds()),
            ]
            for each in features
        )
        parts.append(_table(head, rows))
    parts.append("### Notes\n")
    parts.append("".join(f"{number}. {_note(cell)}\n" for cell, number in _first_of_each(numbers)))
    parts.append(_HARDWARE)
    parts.append(_table(["option", "value", "on", "", "known from"], map(_hardware, NOTES)))
    return "\n".join(parts)


def updated(text: str) -> str:
    """Return the page with what the page `text` has below its example, where that is the same."""
    block = text.partition("```errors\n")[2].partition("```\n")[0]
    return page().replace("```errors\n```\n", f"```errors\n{block}```\n", 1)


_Key = tuple[str | None, str | None, tuple[str, ...], tuple[str, ...]]


def _key(cell: Cell) -> _Key:
    return cell.text, cell.help, cell.tried, cell.documented


def _cells() -> Iterator[Cell]:
    for feature in compatibility.features():
        for kind in compatibility.kinds():
            yield compatibility.cell(kind.name, feature.name)


def _numbers() -> dict[_Key, int]:
    """Return the numbers of the notes, which cells that say the same share, in the order of the table."""
    numbers: dict[_Key, int] = {}
    for cell in _cells():
        if cell.text is not None or cell.documented:
            numbers.setdefault(_key(cell), len(numbers) + 1)
    return numbers


def _first_of_each(numbers: dict[_Key, int]) -> Iterator[tuple[Cell, int]]:
    told: set[int] = set()
    for cell in _cells():
        number = numbers.get(_key(cell))
        if number is not None and number not in told:
            told.add(number)
            yield cell, number


def _answer(cell: Cell, numbers: dict[_Key, int]) -> str:
    known = ", ".join(word for word, there in (("tried", cell.tried), ("doc", cell.documented)) if there)
    number = numbers.get(_key(cell))
    return f"{cell.answer}{'' if number is None else f' ({number})'} *{known}*"


def _note(cell: Cell) -> str:
    parts = [cell.text] if cell.text else []
    parts += [f"way out: {cell.help}"] if cell.help else []
    parts += [f"tried: {', '.join(f'`{name}`' for name in cell.tried)}"] if cell.tried else []
    parts += [f"documented: {', '.join(f'<{address}>' for address in cell.documented)}"] if cell.documented else []
    return "; ".join(parts)


def _hardware(note: Note) -> list[str]:
    also = "".join(f", with `{name}: {str(values[0]).lower()}`" for name, values in note.also)
    values = ", ".join(f"`{str(value).lower()}`" for value in note.values)
    devices = ", ".join(f"`{device}`" for device in note.devices)
    source = f"<{note.source}>" if "://" in note.source else f"`{note.source}`"
    option = f"`{note.setting}` of `{note.backend}`"
    return [option, values + also, devices, f"**{note.severity}**: {note.text}; {note.help}", source]


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows]) + "\n"


if __name__ == "__main__":
    there = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(updated(there), encoding="utf-8")
