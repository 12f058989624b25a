"""Offloading through the engine, as far as the CPU shows it: whose hooks are where, and that they change no picture.

Whether weights really move is tried on a second device, in `test_compatibility`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aquatint.runtime.engine import EngineError, Loaded
from aquatint.runtime.torch_engine import TorchEngine
from support.quantizer_kinds import KINDS
from support.scenes import Scene, drawn, everywhere, load, scene

MOVING = ("model", "group")  # `sequential` can't be from the CPU to the CPU


@pytest.fixture
def sd(folder: Callable[[str], Path]) -> Path:
    return folder("sd")


def offloaded(folder: Path, way: str, uri: str | None = None) -> Scene:
    """Return a scene whose pipeline and whose components with weights are offloaded in `way`."""
    made = scene(folder, everywhere(folder, uri) if uri is not None else None)
    parts = {
        role: part if part is None or part.dtype is None else msgspec.structs.replace(part, offload=way)
        for role, part in made.components.items()
    }
    return Scene(msgspec.structs.replace(made.pipeline, offload=way), parts, made.generation)


def draw(engine: TorchEngine, made: Scene, parts: dict[str, Loaded | None]) -> bytes:
    pipeline = engine.assemble(made.pipeline, parts)
    return drawn(engine, pipeline, made.generation, lambda done, total: None).tobytes()


def modules(parts: dict[str, Loaded | None]) -> list[Any]:
    return [part.object for part in parts.values() if part is not None and part.component.dtype is not None]


def hooked(parts: dict[str, Loaded | None]) -> list[Any]:
    """Return every module below `parts` that has a hook."""
    return [each for module in modules(parts) for each in module.modules() if is_hooked(each)]


def is_hooked(module: Any) -> bool:
    registry = getattr(module, "_diffusers_hook", None)
    return hasattr(module, "_hf_hook") or bool(registry is not None and registry.hooks)


@pytest.mark.parametrize("way", MOVING)
@pytest.mark.parametrize("kind", ["none", "bnb-4bit", "sdnq"])
def test_a_picture_is_the_one_without(engine: TorchEngine, sd: Path, way: str, kind: str) -> None:
    plain = scene(sd, everywhere(sd, uri) if (uri := KINDS[kind]) is not None else None)
    expected = draw(engine, plain, load(engine, plain))
    made = offloaded(sd, way, KINDS[kind])
    parts = load(engine, made)
    assert draw(engine, made, parts) == expected
    # Again, with a pipeline that is assembled anew, as after a failure.
    assert draw(engine, made, parts) == expected


@pytest.mark.parametrize("way", MOVING)
def test_hooks_are_those_of_a_call(engine: TorchEngine, sd: Path, way: str) -> None:
    made = offloaded(sd, way)
    parts = load(engine, made)
    pipeline = engine.assemble(made.pipeline, parts)
    assert hooked(parts) == []
    during: list[bool] = []

    def look(done: int, total: int) -> None:
        during.extend(any(map(is_hooked, module.modules())) for module in modules(parts))

    drawn(engine, pipeline, made.generation, look)
    assert during == [True] * len(during) != []
    assert hooked(parts) == []
    for part in parts.values():
        if part is not None:
            engine.release(part)
    assert sum(tensor.numel() for module in modules(parts) for tensor in module.parameters()) == 0


def test_no_hooks_without(engine: TorchEngine, sd: Path) -> None:
    made = scene(sd)
    parts = load(engine, made)
    draw(engine, made, parts)
    assert hooked(parts) == []


def test_from_the_cpu_to_the_cpu_layers_can_not_be_moved(engine: TorchEngine, sd: Path) -> None:
    # No plan of this program asks for that; one that was written by hand may.
    made = offloaded(sd, "sequential")
    with pytest.raises(EngineError, match="can't let what is offloaded"):
        draw(engine, made, load(engine, made))


def test_there_is_no_other_way(engine: TorchEngine, sd: Path) -> None:
    made = offloaded(sd, "disk")
    with pytest.raises(EngineError, match="no way `disk`"):
        draw(engine, made, load(engine, made))
