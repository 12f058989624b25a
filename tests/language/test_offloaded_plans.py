"""Plans that come from outside: one way of offloading for a pipeline and all of its weights."""

from __future__ import annotations

import msgspec
import pytest

from aquatint.plan.steps import Component, PlanError
from aquatint.plan.validate import validate
from support.plans import component, load, pipeline, plan


def offloaded(way: str | None, *ways: str | None) -> None:
    """Validate a plan whose pipeline is offloaded in `way`, and its unet and vae in `ways`."""
    made = msgspec.structs.replace(pipeline("p", {"unet": "u", "vae": "v", "scheduler": "s"}), offload=way)
    parts = [waiting(component("u"), ways[0]), waiting(component("v", "vae"), ways[1])]
    scheduler = msgspec.structs.replace(component("s", "scheduler"), dtype=None)
    validate(plan([*parts, scheduler], [made], [load("u"), load("v"), load("s")]))


def waiting(component: Component, way: str | None) -> Component:
    return msgspec.structs.replace(component, offload=way)


@pytest.mark.parametrize("way", [None, "model", "group", "sequential"])
def test_a_sound_plan(way: str | None) -> None:
    offloaded(way, way, way)


def test_a_way_that_there_is_not() -> None:
    with pytest.raises(PlanError) as error:
        offloaded("disk", "disk", "disk")
    assert str(error.value) == "pipeline `p` is offloaded as `disk`; ways: model, group, sequential"


@pytest.mark.parametrize(("way", "vae"), [("model", None), (None, "model"), ("model", "group")])
def test_weights_that_others_would_find_with_hooks(way: str | None, vae: str | None) -> None:
    with pytest.raises(PlanError) as error:
        offloaded(way, way, vae)
    assert str(error.value) == "pipeline `p` isn't offloaded in the way of its `vae`"
