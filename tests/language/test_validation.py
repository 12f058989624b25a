"""Plans that come from outside: a `save` step that would write where none is meant to, references that lead nowhere."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aquatint.plan.steps import (
    Compare,
    Hole,
    ImageRef,
    Json,
    NumberRef,
    Pair,
    PlanError,
    Plugin,
    Print,
    Quantization,
    Text,
    TextRef,
    Upscale,
)
from aquatint.plan.validate import validate
from support.plans import component, generate, grid, load, pipeline, place, plan, save


def saving(roles: list[str] | None = None, parts: dict[str, str | None] | None = None, **changes: Any) -> None:
    made = pipeline("p", parts or {"unet": "u", "vae": "v", "safety_checker": None})
    step = msgspec.structs.replace(save("k1", "p", "out/m", roles), **changes)
    # As a script's plan: the options of its quantizers are all there.
    held = [component("u"), component("v", "vae")]
    validate(plan(held, [made], [load("u"), load("v"), step]))


def test_a_sound_step() -> None:
    saving()
    saving(["vae"], variant="fp16", max_shard_size=1)


FLUX = "a `FluxTransformer2DModel`"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "sage_hub"}, "there is no attention `sage_hub`"),
        ({"attention": []}, "there is no attention `[]`"),
        ({"tiling": True}, f"{FLUX} can't do `tiling`"),
        ({"compile": False}, "`compile` is not true"),
        ({"cache": {"config": "os.system"}}, "there is no such cache"),
        ({"cache": {"config": ["x"]}}, "there is no such cache"),
        ({"cache": {"config": "FirstBlockCacheConfig", "threshold": "x"}}, "`threshold` takes a number"),
        ({"cache": {"config": "FirstBlockCacheConfig", "x": 1}}, "`FirstBlockCacheConfig` has no option `x`"),
        ({"cache": {"config": "FasterCacheConfig", "attention_weight_callback": "x"}},
         "`FasterCacheConfig` has no option `attention_weight_callback`"),
        ({"cache": {"config": "MagCacheConfig"}}, "`mag_ratios` is missing"),
    ],
)  # fmt: skip
def test_ways_to_compute_that_are_refused(settings: dict[str, Json], message: str) -> None:
    part = msgspec.structs.replace(component("t", "transformer"), class_name="FluxTransformer2DModel")
    whole = msgspec.structs.replace(pipeline("p", {"transformer": "t"}), computing={"transformer": settings})
    with pytest.raises(PlanError) as error:
        validate(plan([part], [whole], []))
    assert str(error.value) == f"pipeline `p`, `transformer`: {message}"


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


def chained(**changes: Any) -> None:
    """Validate a plan in which steps take what others yield; `changes` are fields of its steps, `STEP_FIELD`."""
    text = Text(["a ", Hole(TextRef("u1", 1), [["upper"]])])
    measured = Text([Hole(NumberRef("c1", "psnr", 0), [["round", 1]])])
    steps = [
        Upscale("u1", Plugin("magicprompt", {}, None, "better"), "p", ["a cat"], 2, 1, place(1), ""),
        msgspec.structs.replace(generate("g1", "p", ["a.png"]), arguments={}, deferred={"prompt": text}),
        msgspec.structs.replace(generate("g2", "p", ["b.png"]), deferred={"image": [ImageRef("g1", 0)]}),
        Compare("c1", [Pair(ImageRef("g1", 0), ImageRef("g2", 0), "x")], ["psnr"], None, place(2)),
        Print("p1", measured, place(3)),
        msgspec.structs.replace(grid("s1", "s.png", [("g1", 0)]), title=text),
    ]
    by_step: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        step, _, field = name.partition("_")
        by_step.setdefault(step, {})[field] = value
    changed = [msgspec.structs.replace(step, **by_step.get(step.id, {})) for step in steps]
    validate(plan([component("u")], [pipeline("p", {"unet": "u"})], [load("u"), *changed]))


BEFORE = ", which is not made before it"
INCOMPLETE = "step `p1` has a text that can't be completed: "


def operated(*operation: Json) -> Text:
    return Text([Hole(TextRef("u1", 0), [list(operation)])])


def test_a_chain_that_hangs_together() -> None:
    chained()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"g1_deferred": {"prompt": Text([Hole(TextRef("u1", 2))])}}, "step `g1` needs string 2 of `u1`" + BEFORE),
        ({"g1_deferred": {"image": ImageRef("g2", 0)}}, "step `g1` needs image 0 of `g2`" + BEFORE),
        ({"g2_deferred": {"image": [ImageRef("g1", -1)]}}, "step `g2` needs image -1 of `g1`" + BEFORE),
        ({"p1_text": Text([Hole(NumberRef("c1", "ssim"))])}, "step `p1` needs `ssim` of `c1`" + BEFORE),
        ({"p1_text": Text([Hole(NumberRef("c1", "psnr", 1))])}, "step `p1` needs `psnr` of `c1`" + BEFORE),
        ({"s1_title": Text([Hole(TextRef("g1", 0))])}, "step `s1` needs string 0 of `g1`" + BEFORE),
        ({"c1_pairs": [Pair(ImageRef("g1", 0), ImageRef("g2", 1), "x")]}, "step `c1` needs image 1 of `g2`" + BEFORE),
        ({"c1_metrics": ["lpips"]}, "step `c1` measures by `lpips`, which is no metric"),
        ({"u1_variations": 0}, "step `u1` makes no variations"),
        (
            {"u1_upscaler": Plugin("m", {}, Quantization("snq", {}, "q"), "better")},
            "the quantizer of `better`: there is no quantization backend `snq`",
        ),
        (
            {"g2_weighter": Plugin("a1111", {"emphasis": "loud", "comma_padding_backtrack": 20}, None, "w")},
            'the weighter `w`: `emphasis` can\'t be `"loud"`',
        ),
        ({"g2_weighter": Plugin("a1111", {}, None, "w")}, "the weighter `w`: there is no `emphasis`"),
        ({"g2_weighter": Plugin("compel", {"x": 1}, None, "w")}, "the weighter `w`: there is no option `x`"),
        ({"g1_arguments": {"prompt": "x"}}, "step `g1` has two values for `prompt`"),
        ({"p1_text": operated("open", "/etc/passwd")}, INCOMPLETE + "it does something that is no operation"),
        ({"p1_text": operated("round", 1)}, INCOMPLETE + "`round` takes a number"),
        ({"p1_text": operated("replace", "a", ["b"])}, INCOMPLETE + "`replace` can't take this"),
        ({"p1_text": operated()}, INCOMPLETE + "it does something that is no operation"),
        ({"p1_text": Text([Hole(operated("upper", 1))])}, INCOMPLETE + "`upper` can't be called like this"),
    ],
)
def test_chains_that_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as error:
        chained(**changes)
    assert str(error.value) == message
