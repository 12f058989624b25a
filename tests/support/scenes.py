"""Components and pipelines as a plan has them, made from a checkpoint's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from aquatint.catalog import checkpoints, quantizers
from aquatint.plan.steps import Component, Pipeline, Quantization
from aquatint.runtime.engine import Engine, Generation, Loaded, OnStep

DENOISERS = ("unet", "transformer")


@dataclass(frozen=True)
class Scene:
    """Everything that an engine needs for one image."""

    pipeline: Pipeline
    components: dict[str, Component | None]
    generation: Generation


def quantization(uri: str | None) -> Quantization | None:
    """Return what a plan holds for the quantizer `uri`."""
    if uri is None:
        return None
    backend, options = quantizers.parse_uri(uri)
    assert quantizers.problems(backend, options) == []
    return Quantization(backend, quantizers.canonical(backend, options), uri)


def component(folder: Path, role: str, uri: str | None = None, dtype: str = "float32", **changes: Any) -> Component:
    """Return the component in the subfolder `role` of the pipeline in `folder`."""
    part = checkpoints.read_checkpoint(str(folder)).parts[role]
    assert part is not None
    values: dict[str, Any] = {
        "role": role, "library": part.library, "class_name": part.class_name, "source": str(folder),
        "subfolder": part.subfolder, "variant": None, "revision": None, "dtype": dtype if part.has_weights else None,
        "device": "cpu", "quantization": quantization(uri) if part.has_weights else None, "identity": "", "bytes": 0,
    } | changes  # fmt: skip
    key = hashlib.sha256(f"{folder.name} {role} {uri} {dtype} {sorted(changes)}".encode()).hexdigest()
    return Component(**{"key": key} | values)


def scene(folder: Path, quantized: Mapping[str, str] | None = None, seed: int = 7, **arguments: Any) -> Scene:
    """Return the scene of one small picture; `quantized` says the quantizer of some roles."""
    checkpoint = checkpoints.read_checkpoint(str(folder))
    uris = quantized or {}
    parts = {role: part and component(folder, role, uris.get(role)) for role, part in checkpoint.parts.items()}
    keys = {role: part and part.key for role, part in parts.items()}
    made = Pipeline(folder.name, checkpoint.pipeline, str(folder), None, keys, checkpoint.options)
    call = {"prompt": "a red cat", "num_inference_steps": 2, "width": 64, "height": 64} | arguments
    return Scene(made, parts, Generation(call, [seed]))


def everywhere(folder: Path, uri: str) -> dict[str, str]:
    """Return `uri` for the denoiser and every text encoder of the pipeline in `folder`."""
    roles = checkpoints.read_checkpoint(str(folder)).parts
    return {role: uri for role in roles if role in DENOISERS or role.startswith("text_encoder")}


def load(engine: Engine, made: Scene) -> dict[str, Loaded | None]:
    """Load every component of the scene."""
    return {role: part and engine.load(part) for role, part in made.components.items()}


def drawn(engine: Engine, pipeline: Any, generation: Generation, on_step: OnStep) -> Image:
    """Return the image of an assembled pipeline all of whose parts are loaded."""
    [image] = drawn_together(engine, pipeline, generation, on_step)
    return image


def drawn_together(engine: Engine, pipeline: Any, generation: Generation, on_step: OnStep) -> list[Image]:
    """Return the images of an assembled pipeline all of whose parts are loaded."""
    images = engine.begin(pipeline, generation, on_step).advance()
    assert isinstance(images, list), f"it waits for {images}"
    return images


def paint(engine: Engine, made: Scene, on_step: OnStep = lambda done, total: None) -> bytes:
    """Load, assemble and generate; return the picture's pixels."""
    pipeline = engine.assemble(made.pipeline, load(engine, made))
    return drawn(engine, pipeline, made.generation, on_step).tobytes()
