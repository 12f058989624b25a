"""Tensors read from safetensors files one at a time, each into memory of its own.

The libraries map a file whole: its pages count as the process's memory until the system takes them, and a tensor starts
where the file has it, which decides by which path the CPU multiplies and so the last bits of a result. Here a tensor
costs its own bytes, begins where torch lays new ones, and is gone when nobody holds it. What a name means, and what is
done with the tensors, is left to `streaming`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aquatint.catalog import checkpoints
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import memory

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "C64": "complex64",
}  # fmt: skip
"""torch's names of the format's types: those that `safetensors.torch` reads."""

MOST = 1000
"""Tensors that are read by one call: systems take 1024 places in memory at most."""

Check = Callable[[str, memoryview], None]
"""Called with a tensor's name and its bytes, read only, before anyone gets the tensor; raises to refuse it."""


class TensorFile:
    """One safetensors file, open. `tensors` has what its header declares, in the order of the file.

    Raises `EngineError` where the file is damaged, when it is opened or when a tensor is read. Several threads may read
    at once.
    """

    def __init__(self, torch: Any, file: Path, check: Check | None = None) -> None:
        self.file = file
        self._torch = torch
        self._check = check
        self._descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            declared = sorted(checkpoints.read_header(file), key=lambda tensor: tensor.start)
        except checkpoints.CheckpointError as error:
            self.close()
            raise EngineError(error.message, error.help) from error
        if unread := next((tensor for tensor in declared if tensor.dtype not in DTYPES), None):
            self.close()
            raise self._damaged(f"`{unread.name}` is of the type `{unread.dtype}`, which safetensors doesn't read")
        self.tensors = {tensor.name: tensor for tensor in declared}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; tensors that were read stay."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, name: str) -> Any:
        """Return the tensor called `name`, on the CPU, in memory that nothing else uses."""
        blank = self.blank(name)
        self.fill([(name, blank)])
        return self.formed(name, blank)

    def blank(self, name: str) -> Any:
        """Return memory for the bytes of the tensor called `name`, into which nothing is read yet."""
        declared = self.tensors[name]
        return self._torch.empty(declared.end - declared.start, dtype=self._torch.uint8)

    def formed(self, name: str, bytes_: Any) -> Any:
        """Return the tensor called `name`, in the memory of `bytes_`, which are its own."""
        declared = self.tensors[name]
        return bytes_.view(getattr(self._torch, DTYPES[declared.dtype])).reshape(declared.shape)

    def runs(self, size: int) -> Iterator[list[str]]:
        """Yield the names of all tensors in the file's order, as many together as `fill` takes and `size` bytes allow.

        A tensor that is larger comes alone.
        """
        run: list[str] = []
        held = 0
        for name, declared in self.tensors.items():
            bytes_ = declared.end - declared.start
            if run and (held + bytes_ > size or len(run) == MOST):
                yield run
                run, held = [], 0
            run.append(name)
            held += bytes_
        if run:
            yield run

    def fill(self, run: Sequence[tuple[str, Any]]) -> None:
        """Read tensors that follow each other in the file, at most `MOST`, each into its blank."""
        views = [memoryview(blank.numpy()) for _, blank in run]
        memory.populate((blank.data_ptr(), blank.nbytes) for _, blank in run)
        at, left = self.tensors[run[0][0]].start, [view for view in views if view]
        while left:
            # A single call reads 2 GB at most.
            count = os.preadv(self._descriptor, left, at)
            if count == 0:
                cut = next(name for name, _ in run if self.tensors[name].end > at)
                raise self._damaged(f"it ends inside `{cut}`")
            at += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]
        if self._check is not None:
            for (name, _), view in zip(run, views, strict=True):
                self._check(name, view.toreadonly())

    def _damaged(self, why: str) -> EngineError:
        return EngineError(f"`{self.file}` is damaged: {why}", "fetch or write that file again")


def tensors(
    torch: Any, file: Path, order: Iterable[str] | None = None, check: Check | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield (name, tensor) of `file`, in `order` or in the file's; each is read when it is asked for."""
    with TensorFile(torch, file, check) as opened:
        for name in opened.tensors if order is None else order:
            yield name, opened.read(name)
