"""Tensors of pickled files, which torch maps and reads with `weights_only`: no code of theirs is run."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aquatint.catalog import checkpoints, pickle_files
from aquatint.runtime.engine import EngineError


class PickledFile:
    """One file of pickled weights, mapped: what `tensor_files.TensorFile` is for a safetensors file.

    Raises `EngineError` where it can't be read, or may not be.
    """

    def __init__(self, torch: Any, file: Path) -> None:
        try:
            declared = checkpoints.read_header(file)
        except checkpoints.CheckpointError as error:
            raise EngineError(error.message, error.help) from error
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        found = pickle_files.innermost(found)
        self.tensors = {tensor.name: tensor for tensor in declared}
        self._found = found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._found = None

    def read(self, name: str) -> Any:
        """Return the tensor called `name`, on the CPU, in memory that nothing else uses."""
        return self._found[name].detach().clone()
