"""Errors of the libraries turned into sentences for a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from aquatint.runtime.engine import EngineError

LONGEST = 300


@contextmanager
def engine_error(doing: str) -> Iterator[None]:
    """Raise whatever a library raises in the body as an `EngineError` that begins with `doing`."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{doing}: {said(error)}", _advice(error)) from error


def said(error: Exception) -> str:
    """Return the first line of what `error` says, without the class's name unless there is nothing else."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if isinstance(error, KeyError):
        text = f"nothing is known by the name {text}"
    return (text if len(text) <= LONGEST else text[: LONGEST - 3] + "...").rstrip(".")


def _advice(error: Exception) -> str | None:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
        return "take a narrower dtype or a quantizer with fewer bits, or a smaller picture"
    if isinstance(error, RuntimeError) and "bitsandbytes" in _innermost(error.__traceback__):
        # LLM.int8 on a CPU takes inputs of two and three dimensions only.
        return (
            "8-bit bitsandbytes can't compute every layer on a CPU: use `bits: 4`, or name the layer in "
            "`llm_int8_skip_modules`"
        )
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
