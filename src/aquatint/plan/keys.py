"""Fingerprints that decide whether two requests are for the same component or pipeline.

Equal requests give equal keys across runs and machines; different requests never collide. Nothing here looks at live
objects or at files: what is in the files comes in as `identity`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from aquatint.plan.steps import IpAdapterUse, Json, LoraUse, Pipeline, Quantization, TextualInversionUse

KEY_VERSION = 1


def digest(parts: Any, size: int = 16) -> str:
    """Return a hash of `parts`, a JSON value, in hexadecimal digits, two per byte of `size`."""
    # JSON rather than hash() or a joined string: Python holds 1, 1.0 and True to be equal, and joined strings collide.
    body = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(body.encode(), digest_size=size).hexdigest()


def component_key(
    *,
    library: str,
    class_name: str,
    source: str,
    revision: str | None,
    subfolder: str,
    variant: str | None,
    identity: str,
    dtype: str | None,
    device: str,
    quantization: Quantization | None,
    offload: str | None = None,
    file: str | None = None,
) -> str:
    """Return the reuse key of a component, whose settings are already defaulted.

    `file` is the single file that its weights are taken from, if they are.

    The role that it plays and the names that a script gives to quantizers are left out: they decide nothing.
    """
    quantized = None if quantization is None else [quantization.backend, quantization.options]
    # Between calls it waits in the computer's memory, where a model that isn't offloaded doesn't look for it.
    hooked = [] if offload is None else [offload]
    single = [] if file is None else [{"file": file}]
    return digest(
        [
            "component", KEY_VERSION, library, class_name, source, revision, subfolder, variant, identity, dtype,
            device, quantized, *hooked, *single,
        ]
    )  # fmt: skip


def pipeline_key(
    class_name: str,
    parts: dict[str, str | None],
    options: dict[str, Json],
    offload: str | None = None,
    loras: Mapping[str, LoraUse] | None = None,
    computing: Mapping[str, Mapping[str, Json]] | None = None,
    textual_inversions: Mapping[str, TextualInversionUse] | None = None,
    ip_adapters: Mapping[str, IpAdapterUse] | None = None,
) -> str:
    """Return the key of a pipeline: class, components by role, constructor's plain arguments, offloading, adapters.

    How its parts compute is in it, too: what it makes of the same weights depends on that.
    """
    weights = {role: use.weight for role, use in (loras or {}).items()}
    more: list[Json] = [*([] if offload is None else [offload]), *([weights] if weights else [])]
    more += [["computing", computing]] if computing else []
    # Their order decides the numbers of their tokens, of which some encoders take the greatest for a prompt's end.
    words = [[role, each.token, each.vectors, each.tensors] for role, each in (textual_inversions or {}).items()]
    more += [["textual inversions", words]] if words else []
    scales = {role: use.scale for role, use in (ip_adapters or {}).items()}
    more += [["IP-Adapters", scales]] if scales else []
    return digest(["pipeline", KEY_VERSION, class_name, parts, options, *more])


def keyed(pipeline: Pipeline) -> Pipeline:
    """Return `pipeline` with the key that its fields come to."""

    def given(uses: Mapping[str, Any] | msgspec.UnsetType) -> Mapping[str, Any] | None:
        return None if isinstance(uses, msgspec.UnsetType) else uses

    key = pipeline_key(
        pipeline.class_name, pipeline.parts, pipeline.options, pipeline.offload, given(pipeline.loras),
        given(pipeline.computing), given(pipeline.textual_inversions), given(pipeline.ip_adapters),
    )  # fmt: skip
    return msgspec.structs.replace(pipeline, key=key)
