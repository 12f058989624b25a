"""torchao as a backend: how an engine quantizes with it. The members are those of `EngineBackend`.

torchao keeps the class of a layer and puts a tensor of its own in the place of the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

OWNERS = ("torchao",)


def configuration(libraries: Any, library: str, options: Mapping[str, Any], device: str) -> Any:
    """Return a new configuration of `library`'s own class."""
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    kind = {"int8": Int8WeightOnlyConfig, "float8_e4m3fn": Float8WeightOnlyConfig}[options["weights_dtype"]]
    skipped = options["modules_to_not_convert"]
    # A list of its own: loading adds to it.
    return getattr(libraries, library).TorchAoConfig(
        kind(), modules_to_not_convert=None if skipped is None else [*skipped]
    )


def is_quantized(libraries: Any, layer: Any) -> bool:
    """Return whether the weight of `layer` is torchao's."""
    from torchao.utils import TorchAOBaseTensor

    return isinstance(getattr(layer, "weight", None), TorchAOBaseTensor)


def loading(libraries: Any, library: str, device: str) -> AbstractContextManager[None]:
    """Return a context that does nothing."""
    return nullcontext()


def finish(libraries: Any, module: Any, device: str) -> None:
    """Do nothing: the layers are ready as they are loaded."""
