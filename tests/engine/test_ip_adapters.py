"""IP-Adapters: pictures beside those of plain programs, and denoisers that are what they were without one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import SiglipImageProcessor

from aquatint.catalog import pickle_files
from aquatint.diagnostics import render
from aquatint.interface.recipe import of_record, text_of
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import Generate, Plan
from aquatint.runtime.events import Event, LoadStarted, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.record import image_record
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine import plain
from support import ip_adapters, loras, planned, tiny

Tiny = Callable[[str], Path]
Written = Callable[..., Path]

QUANTIZERS = {
    "none": "", "bnb8": 'quantizer: "bnb;bits=8"', "nf4": 'quantizer: "bnb;bits=4;bits4-quant-type=nf4"',
    "sdnq-int8": 'quantizer: "sdnq;type=int8;quant-conv=true"',
}  # fmt: skip
DRAW = 'prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 64x64'
SLOW = pytest.mark.slow
SQUARE = {"height": tiny.texts.SIZE, "width": tiny.texts.SIZE}


@pytest.fixture(scope="module")
def written(folder: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Return the file of an IP-Adapter for a tiny pipeline, made on first use, an image encoder beside it."""
    root = tmp_path_factory.mktemp("ip-adapters")

    @cache
    def made(family: str, kind: str, seed: int = 1, **options: Any) -> Path:
        pipeline = plain.assembled(folder(family), "none")
        name = "-".join(map(str, (family, kind, seed, *options.values())))
        return ip_adapters.write(pipeline, root / name, seed, kind, **options)

    return made


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a picture for an IP-Adapter, of another size than those that are made."""
    file = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.effect_mandelbrot((48, 40), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(file)
    return file


def plan(text: str) -> Plan:
    """Return the plan of a script that reads files."""
    parsed = parse(Source("pictured.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [render(item) for item in evaluation.diagnostics]
    return evaluation.plan


def run(engine: TorchEngine, made: Plan, out: Path) -> list[Event]:
    """Run a plan, which must go well, and return the events."""
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=out)).run(made)
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []
    return events


def pixels(file: Path) -> bytes:
    return Image.open(file).convert("RGB").tobytes()


def drawn(pipeline: Any, files: list[Path], scales: list[float], **call: Any) -> bytes:
    """Return the pixels of a picture by a plain pipeline with IP-Adapters, which it keeps."""
    denoiser = getattr(pipeline, "unet", None) or pipeline.transformer
    if files:
        # Asked to cast itself, a quantized model refuses; here all is of one data type.
        denoiser.to = lambda *given, **named: denoiser
        own: dict[str, Any] = {}
        if hasattr(pipeline, "transformer"):
            encoder = files[0].parent / "image_encoder"
            own = {"image_encoder_pretrained_model_name_or_path": str(encoder), "image_encoder_dtype": torch.float32}
        pipeline.load_ip_adapter([str(file.parent) for file in files], subfolder="",
                                 weight_name=[file.name for file in files], **own)  # fmt: skip
        pipeline.set_ip_adapter_scale(scales if len(scales) > 1 else scales[0])
        # In memory of their own: where they are mapped from a file, products are rounded otherwise.
        for each in (denoiser.encoder_hid_proj, pipeline.image_encoder, *denoiser.attn_processors.values()):
            for tensor in each.parameters() if isinstance(each, torch.nn.Module) else ():
                tensor.data = tensor.data.clone()
    made = pipeline(**plain.CALL, generator=torch.Generator("cpu").manual_seed(7), **call)
    return bytes(made.images[0].convert("RGB").tobytes())


@pytest.mark.parametrize(
    ("family", "kind", "quantizer"),
    [
        ("sd", "plain", "none"),
        *(pytest.param("sd", "plain", each, marks=SLOW) for each in ("bnb8", "nf4", "sdnq-int8")),
        *(pytest.param("sd", kind, "none", marks=SLOW) for kind in ("plus", "full")),
        *(pytest.param(family, "plain", "sdnq-int8", marks=SLOW) for family in ("sdxl", "flux")),
    ],
)
def test_pictures_are_those_of_a_plain_program(
    engine: TorchEngine, folder: Tiny, written: Written, picture: Path, tmp_path: Path, family: str, kind: str,
    quantizer: str,
) -> None:  # fmt: skip
    one, two = written(family, kind), written(family, "plain", 2)
    first, second = (f'ip_adapter {{ source: "{file}", scale: {scale} }}' for file, scale in ((one, 0.5), (two, 0.75)))
    made = plan(planned.model(folder(family), QUANTIZERS[quantizer], after="\n".join([
        f'generate m {{ {DRAW}, output: "plain.png" }}',
        f'generate (m with {{ {first} }}) {{ {DRAW}, ip_adapter_image: "{picture}", output: "one.png" }}',
        f'generate (m with {{ {first}, {second} }}) {{ {DRAW}, ip_adapter_image: ["{picture}", "{picture}"], '
        f'output: "two.png" }}',
        f'generate m {{ {DRAW}, output: "again.png" }}',
    ])))  # fmt: skip
    events = run(engine, made, tmp_path)
    loaded = [event.component for event in events if isinstance(event, LoadStarted)]
    assert len(loaded) == len(set(loaded)) == len(made.components)
    found = {name: pixels(tmp_path / f"{name}.png") for name in ("plain", "one", "two", "again")}
    image = Image.open(picture).convert("RGB")
    pipeline = plain.assembled(folder(family), quantizer)
    assert found == {
        "plain": drawn(pipeline, [], []),
        "one": drawn(pipeline, [one], [0.5], ip_adapter_image=image),
        "two": drawn(pipeline, [one, two], [0.5, 0.75], ip_adapter_image=[image, image]),
        "again": found["plain"],
    }
    assert len(set(found.values())) == 3


def test_a_denoiser_is_what_it_was(engine: TorchEngine, folder: Tiny, written: Written, picture: Path) -> None:
    file = written("sd", "plain")
    made = plan(planned.model(folder("sd"), f'ip_adapter {{ source: "{file}" }}',
                              after=f'generate m {{ {DRAW}, ip_adapter_image: "{picture}" }}'))  # fmt: skip
    [pipeline] = made.pipelines.values()
    live = {key: engine.load(component) for key, component in made.components.items()}
    parts = {role: None if key is None else live[key] for role, key in pipeline.parts.items()}
    denoiser, adapter = (parts[role] for role in ("unet", "ip_adapter"))
    assert denoiser is not None and adapter is not None
    unet = denoiser.object
    before = dict(unet.attn_processors), dict(unet.__dict__), list(unet._modules), list(unet.state_dict())
    engine.assemble(pipeline, parts)
    place = next(place for place in engine._places[denoiser.component.key].values() if place.pictures)
    assert place.module().encoder_hid_proj is not None
    assert unet.config.encoder_hid_dim_type == "ip_image_proj"
    engine.release(adapter)
    after = dict(unet.attn_processors), dict(unet.__dict__), list(unet._modules), list(unet.state_dict())
    assert after == before
    assert unet.config.encoder_hid_dim_type is None
    for each in live.values():
        if each is not adapter:
            engine.release(each)


@pytest.mark.parametrize("quantizer", [pytest.param(each, marks=SLOW) for each in ("none", "nf4", "sdnq-int8")])
def test_stable_diffusion_3_has_one_that_knows_the_timestep(
    engine: TorchEngine, folder: Tiny, written: Written, picture: Path, tmp_path: Path, quantizer: str
) -> None:
    file = written("sd3", "timed")
    given = f'ip_adapter {{ source: "{file}", scale: 0.75 }}'
    made = plan(planned.model(folder("sd3"), QUANTIZERS[quantizer], after="\n".join([
        f'generate m {{ {DRAW}, output: "plain.png" }}',
        f'generate (m with {{ {given} }}) {{ {DRAW}, ip_adapter_image: "{picture}", output: "one.png" }}',
        f'generate (m with {{ {given} }}) {{ {DRAW}, image: "{picture}", strength: 0.9, '
        f'ip_adapter_image: "{picture}", output: "anew.png" }}',
        f'generate m {{ {DRAW}, output: "again.png" }}',
    ])))  # fmt: skip
    run(engine, made, tmp_path)
    found = {name: pixels(tmp_path / f"{name}.png") for name in ("plain", "one", "again", "anew")}
    image = Image.open(picture).convert("RGB")
    pipeline = plain.assembled(folder("sd3"), quantizer)
    before = drawn(pipeline, [], [])
    encoder = plain.part(file.parent, "image_encoder", "transformers", "SiglipVisionModel", "none")
    pipeline.register_modules(image_encoder=encoder, feature_extractor=SiglipImageProcessor(size=SQUARE))
    pipeline.load_ip_adapter(load_halves(file))
    for each in (pipeline.transformer.image_proj, *pipeline.transformer.attn_processors.values()):
        for tensor in each.parameters() if isinstance(each, torch.nn.Module) else ():
            tensor.data = tensor.data.clone()
    pipeline.set_ip_adapter_scale(0.75)
    assert found["plain"] == found["again"] == before
    assert found["one"] == drawn(pipeline, [], [], ip_adapter_image=image)
    assert len(set(found.values())) == 3
    record = image_record(read_metadata(tmp_path / "anew.png")["aquatint"])
    alone = f"{QUANTIZERS[quantizer]}, {given}".removeprefix(", ")
    call = f'generate m {{ {DRAW}, image: "{picture}", strength: 0.9, ip_adapter_image: "{picture}" }}'
    assert _made(plan(text_of(of_record(record)))) == _made(plan(planned.model(folder("sd3"), alone, after=call)))


@SLOW
def test_masks_say_where_each_counts(
    engine: TorchEngine, folder: Tiny, written: Written, picture: Path, tmp_path: Path
) -> None:
    one, two = written("sd", "plain"), written("sd", "plain", 2)
    left, right = (Image.new("L", (40, 40)) for _ in range(2))
    left.paste(255, (0, 0, 20, 40))
    right.paste(255, (20, 0, 40, 40))
    for name, mask in (("left", left), ("right", right)):
        mask.save(tmp_path / f"{name}.png")
    both = f'ip_adapter {{ source: "{one}", scale: 0.5 }}, ip_adapter {{ source: "{two}", scale: 0.75 }}'
    given = f'{DRAW}, ip_adapter_image: ["{picture}", "{picture}"]'
    sides = f'"{tmp_path}/left.png", "{tmp_path}/right.png"'
    made = plan(planned.model(folder("sd"), both, after=(
        f'generate m {{ {given}, output: "plain.png" }}\n'
        f'generate m {{ {given}, ip_adapter_masks: [{sides}], output: "masked.png" }}'
    )))  # fmt: skip
    run(engine, made, tmp_path)
    found = {name: pixels(tmp_path / f"{name}.png") for name in ("plain", "masked")}
    image = Image.open(picture).convert("RGB")
    pipeline = plain.assembled(folder("sd"), "none")
    plainly = drawn(pipeline, [one, two], [0.5, 0.75], ip_adapter_image=[image, image])
    masks = IPAdapterMaskProcessor().preprocess([left, right], height=64, width=64)
    masked = drawn(pipeline, [], [], ip_adapter_image=[image, image],
                   cross_attention_kwargs={"ip_adapter_masks": [masks[:1], masks[1:]]})  # fmt: skip
    assert found == {"plain": plainly, "masked": masked} and plainly != masked
    record = image_record(read_metadata(tmp_path / "masked.png")["aquatint"])
    alone = planned.model(folder("sd"), both, after=f"generate m {{ {given}, ip_adapter_masks: [{sides}] }}")
    assert _made(plan(text_of(of_record(record)))) == _made(plan(alone))


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize(
    ("family", "quantizer"),
    [pytest.param(*each, marks=SLOW) for each in (("sd", "none"), ("sd", "nf4"), ("sdxl", "sdnq-int8"))],
)
def test_one_for_faces_brings_a_lora(
    engine: TorchEngine, folder: Tiny, written: Written, tmp_path: Path, family: str, quantizer: str
) -> None:
    file = written(family, "face")
    embeds = torch.randn(2, 1, 1, ip_adapters.WIDTH, generator=torch.Generator().manual_seed(1))
    save_file({"embeds": embeds}, tmp_path / "face.safetensors")
    of_face = f'ip_adapter {{ source: "{file}", scale: 0.7 }}, image_encoder: none'
    given = f'{DRAW}, ip_adapter_image_embeds: ["{tmp_path}/face.safetensors"]'
    lora = loras.write(plain.assembled(folder(family), "none"), tmp_path / "lora", 3, ["unet"]) / loras.NAME
    beside = f'lora {{ source: "{lora}", weight: 0.5 }}'
    made = plan(planned.model(folder(family), QUANTIZERS[quantizer], after="\n".join([
        f'generate m {{ {DRAW}, output: "plain.png" }}',
        f'generate (m with {{ {of_face} }}) {{ {given}, output: "face.png" }}',
        f'generate (m with {{ {of_face}, {beside} }}) {{ {given}, output: "both.png" }}',
        f'generate (m with {{ {beside} }}) {{ {DRAW}, output: "lora.png" }}',
        f'generate m {{ {DRAW}, output: "again.png" }}',
    ])))  # fmt: skip
    events = run(engine, made, tmp_path)
    loaded = [event.component for event in events if isinstance(event, LoadStarted)]
    assert len(loaded) == len(set(loaded)) == len(made.components)
    found = {name: pixels(tmp_path / f"{name}.png") for name in ("plain", "face", "both", "lora", "again")}
    pipeline = plain.assembled(folder(family), quantizer)
    pipeline.unet.state_dict = lambda: {**dict(pipeline.unet.named_parameters()), **dict(pipeline.unet.named_buffers())}
    expected = {"plain": drawn(pipeline, [], [])}
    pipeline.load_lora_weights(str(lora.parent), weight_name=lora.name, adapter_name="own")
    pipeline.set_adapters(["own"], [0.5])
    expected["lora"] = drawn(pipeline, [], [])
    pipeline.unet.to = lambda *given, **named: pipeline.unet
    pipeline.load_ip_adapter([load_halves(file)], "", [file.name], image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(0.7)
    expected["face"] = drawn(pipeline, [], [], ip_adapter_image_embeds=[embeds])
    pipeline.set_adapters(["own", "faceid_0"], [0.5, 1.0])
    expected["both"] = drawn(pipeline, [], [], ip_adapter_image_embeds=[embeds])
    assert found == {**expected, "again": expected["plain"]}
    assert len(set(found.values())) == 4
    about = read_metadata(tmp_path / "face.png")["aquatint"]
    assert image_record(about).pipeline.has_lora and "peft" in about["engine"]["versions"]
    alone = f"{QUANTIZERS[quantizer]}, {of_face}".removeprefix(", ")
    call = f"generate m {{ {given} }}"
    assert _made(plan(text_of(of_record(image_record(about))))) == _made(
        plan(planned.model(folder(family), alone, after=call))
    )


def load_halves(file: Path) -> dict[str, dict[str, Any]]:
    """Return an IP-Adapter as diffusers has it before it is put on, in memory of its own."""
    halves: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(file).items():
        half, _, inner = name.partition(".")
        halves[half][inner] = tensor.clone()
    return halves


@SLOW
def test_embeddings_stand_for_a_picture(
    engine: TorchEngine, folder: Tiny, written: Written, tmp_path: Path
) -> None:  # fmt: skip
    file = written("sd", "plain")
    embeds = torch.randn(2, 1, ip_adapters.WIDTH, generator=torch.Generator().manual_seed(1))
    save_file({"embeds": embeds}, tmp_path / "embeds.safetensors")
    made = plan(planned.model(
        folder("sd"), f'ip_adapter {{ source: "{file}" }}, image_encoder: none', after=f"generate m {{ {DRAW}, "
        f'ip_adapter_image_embeds: ["{tmp_path}/embeds.safetensors"], output: "out.png" }}',
    ))  # fmt: skip
    run(engine, made, tmp_path)
    pipeline = plain.assembled(folder("sd"), "none")
    assert pixels(tmp_path / "out.png") == drawn(pipeline, [file], [1.0], ip_adapter_image_embeds=[embeds])
    record = image_record(read_metadata(tmp_path / "out.png")["aquatint"])
    again = plan(text_of(of_record(record)))
    assert _made(again) == _made(made)


@SLOW
def test_a_pickled_one_where_that_is_allowed(
    engine: TorchEngine, folder: Tiny, written: Written, picture: Path, tmp_path: Path
) -> None:
    one = written("sd", "plain")
    pickled = written("sd", "plain", pickled=True)
    with pickle_files.allowed():
        for name, file in (("one", one), ("pickled", pickled)):
            made = plan(planned.model(
                folder("sd"), f'ip_adapter {{ source: "{file}" }}',
                after=f'generate m {{ {DRAW}, ip_adapter_image: "{picture}", output: "{name}.png" }}',
            ))  # fmt: skip
            run(engine, made, tmp_path)
    assert pixels(tmp_path / "pickled.png") == pixels(tmp_path / "one.png")


def test_a_record_makes_the_same_plan(
    engine: TorchEngine, folder: Tiny, written: Written, picture: Path, tmp_path: Path
) -> None:
    made = plan(planned.model(
        folder("sd"), f'ip_adapter {{ source: "{written("sd", "plain").parent}", scale: 0.6 }}',
        after=f'generate m {{ {DRAW}, image: "{picture}", strength: 0.9, ip_adapter_image: "{picture}", '
        'output: "out.png" }',
    ))  # fmt: skip
    run(engine, made, tmp_path)
    record = image_record(read_metadata(tmp_path / "out.png")["aquatint"])
    assert record.pipeline.ip_adapters["ip_adapter"].scale == 0.6
    again = plan(text_of(of_record(record)))
    assert _made(again) == _made(made)


def _made(made: Plan) -> tuple[Any, ...]:
    [step] = [step for step in made.steps if isinstance(step, Generate)]
    return step.pipeline, step.arguments, step.deferred, step.scaled, [output.seed for output in step.outputs]
