"""Errors of the libraries turned into sentences for a person."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from aquatint.runtime.engine import EngineError, LacksMemory
from aquatint.runtime.free_memory import left

LONGEST = 300

_LACKS = ("allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
"""What libraries say for want of memory: torch's and CUDA's allocators, cuBLAS and cuDNN, C++."""

_MAY_LACK = ("could not create a primitive", "could not create a memory", "could not execute a primitive")
"""What oneDNN says, which computes on CPUs, for want of memory and for other reasons."""

SCARCE = 1 << 30
"""Bytes: with less left, what oneDNN couldn't make is taken to be too large. It doesn't say how much it asked for."""

_OTHER_SHAPE = re.compile(r"(\S+) expected shape torch\.Size\(\[([\d, ]*)\]\), but got torch\.Size\(\[([\d, ]*)\]\)")
"""What diffusers says where a weight doesn't fit the module that its configuration makes."""

_OTHER_SHAPES = "`ignore_mismatched_sizes` to `False`"
"""In what transformers says of the same; which weights they are it only logs."""

_UNITS = {"bytes": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}


@contextmanager
def engine_error(doing: str) -> Iterator[None]:
    """Raise whatever a library raises in the body as an `EngineError` that begins with `doing`.

    For want of memory it is a `LacksMemory`.
    """
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        if lacks_memory(error):
            text = str(error)
            asked, free = _bytes(r"allocate ([\d.]+) (\w+)", text), _bytes(r"([\d.]+) (\w+) is free", text)
            raise LacksMemory(f"{doing}: {said(error)}", None, asked, free) from error
        raise EngineError(f"{doing}: {said(error)}", _advice(error)) from error


def lacks_memory(error: Exception) -> bool:
    """Return whether `error` is raised for want of memory, of the computer or of a device."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # Not run here: what GPUs say. torch's own class for them is a RuntimeError that says so.
    if not isinstance(error, RuntimeError):
        return False
    if any(words in str(error) for words in _MAY_LACK):
        free = left()
        return free is not None and free < SCARCE
    return any(words in str(error) for words in _LACKS)


def _bytes(pattern: str, text: str) -> int | None:
    """Return the bytes that `pattern` finds in `text`, a number and its unit."""
    found = re.search(pattern, text)
    if found is None or found[2] not in _UNITS:
        return None
    return int(float(found[1]) * (1 << _UNITS[found[2]]))


def said(error: Exception) -> str:
    """Return the first line of what `error` says, without the class's name unless there is nothing else."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if text.endswith(":") and len(lines) > 1:
        text = f"{text} {lines[1]}"
    if _OTHER_SHAPES in text:
        text = "its configuration asks for weights of other shapes than its files have"
    if found := _OTHER_SHAPE.search(text):
        name, wanted, held = found[1], *(shape.replace(", ", "x") for shape in found.groups()[1:])
        text = f"its configuration asks for `{name}` of {wanted} numbers, and its file has {held}"
    if isinstance(error, KeyError):
        text = f"nothing is known by the name {text}"
    return (text if len(text) <= LONGEST else text[: LONGEST - 3] + "...").rstrip(".")


def _advice(error: Exception) -> str | None:
    if isinstance(error, RuntimeError) and "bitsandbytes" in _innermost(error.__traceback__):
        # LLM.int8 on a CPU takes inputs of two and three dimensions only.
        return (
            "8-bit bitsandbytes can't compute every layer on a CPU: use `bits: 4`, or name the layer in "
            "`llm_int8_skip_modules`"
        )
    if _OTHER_SHAPE.search(str(error)) or _OTHER_SHAPES in str(error):
        return "take the configuration and the weights from one checkpoint: one of them was changed, or is of another"
    if isinstance(error, NotImplementedError) and "meta tensor" in str(error):
        # What diffusers leaves of a weight that no file had.
        return "its files lack some weights: the download may be incomplete, or it may be another kind of model"
    return None


def _innermost(traceback: TracebackType | None) -> str:
    modules = []
    while traceback is not None:
        modules.append(str(traceback.tb_frame.f_globals.get("__name__", "")))
        traceback = traceback.tb_next
    return " ".join(modules[-6:])
