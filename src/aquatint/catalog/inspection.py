"""What a checkpoint is made of, and what quantizers would make of its components: sizes before and after.

For people who choose; a script's own choice is resolved in the language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints, estimates, pipelines
from aquatint.catalog.checkpoints import CheckpointError, Part, Tensor
from aquatint.catalog.estimates import Estimate
from aquatint.catalog.quantizers import backend
from aquatint.diagnostics import did_you_mean

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float32"}


@dataclass(frozen=True, slots=True)
class Inspected:
    """A component. `now` is None for one without weights; `under` has a quantizer's URI -> what it would come to.

    `by_default` says that a model's own quantizer is for it, `stored` how its files are quantized already.
    """

    role: str
    class_name: str
    library: str
    by_default: bool = False
    dtype: str | None = None
    now: Estimate | None = None
    reads: int = 0
    stored: str | None = None
    under: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """A checkpoint, its components in the order of `model_index.json`, and the quantizers that were asked for."""

    source: str
    pipeline: str
    components: tuple[Inspected, ...]
    quantizers: tuple[str, ...]

    def totals(self, uri: str | None) -> tuple[int, int]:
        """Return the least and the most bytes of all weights, with a quantizer where it is for, or with none."""
        used = [
            each.under[uri] if uri is not None and each.by_default and each.under else each.now
            for each in self.components if each.now is not None
        ]  # fmt: skip
        found = [estimate for estimate in used if estimate is not None]
        return sum(estimate.least for estimate in found), sum(estimate.most for estimate in found)


def inspect(
    source: str,
    revision: str | None,
    variant: str | None,
    dtype: str | None,
    quantizers: Sequence[tuple[str, str, Mapping[str, Any]]],
) -> Inspection:
    """Return what `source` is made of; `quantizers` are (URI, backend, canonical options). Raises `CheckpointError`.

    Without a `dtype` each component has that of most of its numbers in the files.
    """
    found = checkpoints.read_checkpoint(source, revision)
    info = pipelines.pipeline(found.pipeline)
    for_quantizer = {*info.denoisers, *info.text_encoders} if info is not None else set()
    weighty = [part for part in found.parts.values() if part is not None and part.has_weights]
    if variant is not None:
        _check_variant(source, found.folder, variant, weighty)
    components = tuple(
        _inspected(found.folder, part, variant, dtype, role in for_quantizer, quantizers)
        for role, part in found.parts.items() if part is not None
    )  # fmt: skip
    return Inspection(source, found.pipeline, components, tuple(uri for uri, _, _ in quantizers))


def _inspected(
    folder: Path,
    part: Part,
    variant: str | None,
    dtype: str | None,
    by_default: bool,
    quantizers: Sequence[tuple[str, str, Mapping[str, Any]]],
) -> Inspected:
    if not part.has_weights:
        return Inspected(part.role, part.class_name, part.library)
    # As diffusers does: a variant that only some components have is used for those.
    own = variant if variant is not None and checkpoints.has_variant(folder, part.subfolder, variant) else None
    tensors = checkpoints.tensors(folder, part.subfolder, own)
    chosen = dtype or _usual_dtype(tensors)
    network, _ = estimates.read(folder, part, own, chosen)
    now = (estimates.plain if part.stored is None else estimates.stored)(network, tensors)
    under = {uri: now for uri, _, _ in quantizers}
    if part.stored is None:
        for uri, name, options in quantizers:
            known = backend(name)
            assert known is not None, "the URI has passed its checks"
            under[uri] = estimates.quantized(network, tensors, known, options)
    return Inspected(
        part.role, part.class_name, part.library, by_default and part.stored is None, chosen, now,
        sum(tensor.end - tensor.start for tensor in tensors), part.stored.name if part.stored else None, under,
    )  # fmt: skip


def _usual_dtype(tensors: Iterable[Tensor]) -> str:
    counts: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.dtype in _DTYPES:
            counts[_DTYPES[tensor.dtype]] += tensor.numel
    return counts.most_common(1)[0][0] if counts else "float32"


def _check_variant(source: str, folder: Path, variant: str, parts: Iterable[Part]) -> None:
    known = sorted({name for part in parts for name in checkpoints.variants(folder, part.subfolder)})
    if variant not in known:
        raise CheckpointError(
            "missing-variant", f"`{source}` has no variant `{variant}`",
            did_you_mean(variant, known, "variants") if known else "leave `--variant` out: it has none",
        )  # fmt: skip
