"""Plans that come from outside and have a `save` step that would write where none is meant to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aquatint.plan.steps import PlanError
from aquatint.plan.validate import validate
from support.plans import component, load, pipeline, plan, save


def saving(roles: list[str] | None = None, parts: dict[str, str | None] | None = None, **changes: Any) -> None:
    made = pipeline("p", parts or {"unet": "u", "vae": "v", "safety_checker": None})
    step = msgspec.structs.replace(save("k1", "p", "out/m", roles), **changes)
    # As a script's plan: the options of its quantizers are all there.
    held = [component("u"), component("v", "vae")]
    validate(plan(held, [made], [load("u"), load("v"), step]))


def test_a_sound_step() -> None:
    saving()
    saving(["vae"], variant="fp16", max_shard_size=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pipeline": "q"}, "step `k1` uses an unknown pipeline `q`"),
        ({"roles": ["unett"]}, "step `k1` saves `unett`, which its pipeline lacks"),
        ({"roles": ["safety_checker"]}, "step `k1` saves `safety_checker`, which its pipeline lacks"),
        ({"parts": {"../unet": "u"}}, "step `k1` saves `../unet`, which is no name of a submodule"),
        ({"path": ""}, "step `k1` saves to ``, which is no folder of its own"),
        ({"path": "out/.."}, "step `k1` saves to `out/..`, which is no folder of its own"),
        ({"variant": "../x"}, "step `k1` has a variant `../x`, which is no part of a file's name"),
        ({"max_shard_size": 0}, "step `k1` has files of 0 bytes"),
    ],
)
def test_steps_that_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as error:
        saving(**arguments)
    assert str(error.value) == message


def test_what_is_saved_must_be_loaded() -> None:
    with pytest.raises(PlanError, match="uses `vae`, which is not loaded then"):
        validate(plan([component("u"), component("v", "vae")], [pipeline("p", {"unet": "u", "vae": "v"})],
                      [load("u"), save("k1", "p", "out/m")]))  # fmt: skip
