"""Tasks: the pictures that statements are given, and the pipelines that take them.

Image-to-image and inpainting of every family stand beside plain programs in `test_parity`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.diagnostics import render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import Plan
from aquatint.runtime.engine import Engine, Generation, Needs
from aquatint.runtime.events import Event, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.residents import Residents
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine import plain
from support import planned
from support.scenes import drawn

Tiny = Callable[[str], Path]

STEPS = 3


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a picture to begin from, and a mask of its left half."""
    made = tmp_path_factory.mktemp("given")
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(made / "picture.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    mask.save(made / "mask.png")
    Image.open(made / "picture.png").resize((96, 80)).save(made / "large.png")
    return made


def plan(text: str) -> Plan:
    """Return the plan of a script that reads files."""
    parsed = parse(Source("tasks.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [render(item) for item in evaluation.diagnostics]
    return evaluation.plan


def painted(engine: Engine, folder: Path, text: str, **options: Any) -> list[bytes]:
    """Return the pixels of the pictures that running the script `text` writes, by their names' order."""
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=folder, **options)).run(plan(text))
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []
    return [_pixels(Image.open(file)) for file in sorted(folder.glob("*.png"))]


def plainly(class_name: str, pipeline: Any, **call: Any) -> bytes:
    """Return the pixels of one picture by a pipeline of that class, made of the parts of `pipeline`."""
    import diffusers
    import torch

    options = _UNSAFE if "safety_checker" in pipeline.components else {}
    made = getattr(diffusers, class_name)(**pipeline.components, **options)
    made.set_progress_bar_config(disable=True)
    pictures = {name: Image.open(value).convert("RGB") if isinstance(value, Path) else value
                for name, value in call.items()}  # fmt: skip
    arguments = {"prompt": "a red cat", "num_inference_steps": STEPS, **pictures}
    return _pixels(made(**arguments, generator=torch.Generator("cpu").manual_seed(7)).images[0])


_UNSAFE = {"requires_safety_checker": False}


def _pixels(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def script(folder: Path, settings: str, model: str = "") -> str:
    """Return a script with one picture of the checkpoint in `folder`."""
    return planned.model(
        folder, model, after=f'generate m {{ prompt: "a red cat", seed: 7, num_inference_steps: {STEPS}, {settings} }}'
    )


CONTROLLED = {
    "": 'image: "{0}"',
    "Img2Img": 'image: "{0}", control_image: "{0}", strength: 0.9',
    "Inpaint": 'image: "{0}", mask_image: "{1}", control_image: "{0}", strength: 0.9',
}


@pytest.mark.parametrize("task", CONTROLLED)
def test_a_controlnet_from_elsewhere_is_that_of_a_plain_program(
    engine: Engine, folder: Tiny, given: Path, tmp_path: Path, task: str
) -> None:
    made, control = folder("sd"), folder("controlnet")
    image, mask = given / "picture.png", given / "mask.png"
    model = f'controlnet {{ source: "{control}" }}'
    [picture] = painted(engine, tmp_path, script(made, CONTROLLED[task].format(image, mask), model))
    pipeline = plain.assembled(made, "none")
    steered = plain.part(control, "controlnet", "diffusers", "ControlNetModel", "none")
    call = {"": {"image": image}, "Img2Img": {"image": image, "control_image": image, "strength": 0.9},
            "Inpaint": {"image": image, "mask_image": mask, "control_image": image, "strength": 0.9}}[task]  # fmt: skip
    import diffusers

    whole = diffusers.StableDiffusionControlNetPipeline(**pipeline.components, controlnet=steered, **_UNSAFE)
    assert picture == plainly(f"StableDiffusionControlNet{task}Pipeline", whole, **call)


@pytest.mark.parametrize("family", ["sd", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_several_controlnets_are_those_of_a_plain_program(
    engine: Engine, folder: Tiny, given: Path, tmp_path: Path, family: str
) -> None:
    import diffusers

    made, control = folder(family), folder("controlnet" if family == "sd" else "sdxl-controlnet")
    image, other = given / "picture.png", given / "mask.png"
    model = (
        f'controlnet {{ source: "{control}" }}, controlnet {{ source: "{control}", quantizer: "sdnq;quant-conv=true" }}'
    )
    settings = [
        f'image: ["{image}", "{other}"], controlnet_conditioning_scale: [0.5, 1.5]',
        f'image: "{image}", control_image: ["{other}", "{image}"], strength: 0.9',
    ]
    both = "\n".join(
        f'generate m {{ prompt: "a red cat", seed: 7, num_inference_steps: {STEPS}, output: "{number}.png", {each} }}'
        for number, each in enumerate(settings)
    )
    pictures = painted(engine, tmp_path, planned.model(made, model, after=both))
    pipeline = plain.assembled(made, "none")
    nets = [
        plain.part(control, "controlnet", "diffusers", "ControlNetModel", kind) for kind in ("none", "sdnq-int8")
    ]  # fmt: skip
    prefix, options = ("StableDiffusion", _UNSAFE) if family == "sd" else ("StableDiffusionXL", {})
    whole = getattr(diffusers, f"{prefix}ControlNetPipeline")(**pipeline.components, controlnet=nets, **options)
    opened = {each: Image.open(each).convert("RGB") for each in (image, other)}
    assert pictures == [
        plainly(f"{prefix}ControlNetPipeline", whole, image=[opened[image], opened[other]],
                controlnet_conditioning_scale=[0.5, 1.5]),
        plainly(f"{prefix}ControlNetImg2ImgPipeline", whole, image=image, strength=0.9,
                control_image=[opened[other], opened[image]]),
    ]  # fmt: skip


def test_a_size_brings_the_picture_to_it_before_the_call(
    engine: Engine, folder: Tiny, given: Path, tmp_path: Path
) -> None:
    large = given / "large.png"
    [picture] = painted(engine, tmp_path, script(folder("sd"), f'image: "{large}", size: 64x64'))
    Image.open(large).resize((64, 64), Image.Resampling.LANCZOS).save(tmp_path / "small.png")
    pipeline = plain.assembled(folder("sd"), "none")
    assert picture == plainly("StableDiffusionImg2ImgPipeline", pipeline, image=tmp_path / "small.png")


def test_tasks_share_what_is_loaded_and_leave_it_as_it_was(
    engine: Engine, folder: Tiny, given: Path, tmp_path: Path
) -> None:
    image, mask = given / "picture.png", given / "mask.png"
    statements = {
        "a": "", "b": f', image: "{image}"', "c": f', image: "{image}", mask_image: "{mask}"', "d": ", pag_scale: 2.5",
        "e": "",
    }  # fmt: skip
    defaults = 'prompt: "a red cat", seed: 7, num_inference_steps: 2'
    head = f'model m {{ source: "{folder("sd")}", defaults {{ {defaults} }} }}'
    loads = engine.counters.loads
    together = "\n".join([head, *(f'generate m {{ output: "{name}.png"{rest} }}' for name, rest in statements.items())])
    pictures = painted(engine, tmp_path / "together", together)
    assert engine.counters.loads - loads == 5
    assert pictures[0] == pictures[4]
    for name, rest in list(statements.items())[:4]:
        alone = painted(engine, tmp_path / name, f'{head}\ngenerate m {{ output: "x.png"{rest} }}')
        assert alone == [pictures[ord(name) - ord("a")]]


def test_a_call_of_perturbed_attention_that_is_broken_off_leaves_none_behind(
    engine: Engine, folder: Tiny, tmp_path: Path
) -> None:
    text = script(folder("sd"), "pag_scale: 2.5")
    made = plan(text)
    residents = Residents(engine)
    for component in made.components.values():
        residents.load(component)
    [pipeline] = made.pipelines.values()
    assert pipeline.class_name == "StableDiffusionPAGPipeline"
    assembled = residents.assembled(pipeline, made.components)
    arguments = {"prompt": "a red cat", "num_inference_steps": 2}

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    [unet] = [each.object for each in residents.components() if each.component.role == "unet"]
    before = unet.attn_processors
    with pytest.raises(KeyboardInterrupt):
        call = engine.begin(assembled, Generation(arguments, [7]), stop)
        assert not isinstance(call.advance(), Needs)
    assert unet.attn_processors == before
    whole = drawn(engine, assembled, Generation(arguments | {"pag_scale": 0.0}, [7]), lambda done, total: None)
    residents.release_all()
    assert whole.tobytes() == plain.paint(folder("sd"), "none", width=64, height=64)


def test_a_file_that_is_another_by_the_time_of_its_call(
    engine: Engine, folder: Tiny, given: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.png").write_bytes((given / "picture.png").read_bytes())
    made = plan(script(folder("sd"), f'image: "{tmp_path / "in.png"}"'))
    for change, why in (
        (lambda: (tmp_path / "in.png").write_bytes(b"no"), "is not the picture any more that the plan was made with"),
        ((tmp_path / "in.png").unlink, "is gone, or can't be read any more"),
    ):
        change()
        events: list[Event] = []
        finished = Executor(engine, events.append, Options(output_dir=tmp_path / "out")).run(made)
        assert [event.message for event in events if isinstance(event, StatementFailed)] == [
            f"`{tmp_path / 'in.png'}` {why}"
        ]
        assert (finished.images, finished.failed) == (0, 1)
