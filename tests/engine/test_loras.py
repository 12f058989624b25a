"""LoRAs: pictures beside those of plain programs, and components that are what they were without one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from aquatint.plan.steps import Generate, Plan
from aquatint.runtime.engine import Form, Generation, Needs
from aquatint.runtime.events import Event, LoadStarted, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.residents import Residents
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import TorchEngine
from engine import plain
from support import loras, planned
from support.scenes import drawn

Tiny = Callable[[str], Path]
Written = Callable[..., Path]

# peft tells of two at once.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")

ROLES = {
    "sd": ("unet", "text_encoder"), "sdxl": ("unet", "text_encoder", "text_encoder_2"),
    "flux": ("transformer", "text_encoder"),
}  # fmt: skip
QUANTIZERS = {
    "none": "", "bnb8": 'quantizer: "bnb;bits=8"', "nf4": 'quantizer: "bnb;bits=4;bits4-quant-type=nf4"',
    "sdnq-int8": 'quantizer: "sdnq;type=int8;quant-conv=true"',
}  # fmt: skip
DRAW = 'prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 64x64'
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def written(folder: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Return the file of a LoRA for components of a tiny pipeline, made on first use."""
    root = tmp_path_factory.mktemp("loras")

    @cache
    def made(family: str, seed: int, roles: tuple[str, ...]) -> Path:
        pipeline = plain.assembled(folder(family), "none")
        return loras.write(pipeline, root / f"{family}-{seed}-{len(roles)}", seed, roles) / loras.NAME

    return made


def run(engine: TorchEngine, plan: Plan, out: Path) -> list[Event]:
    """Run `plan`, which must go well, and return the events."""
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=out)).run(plan)
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []
    return events


def pixels(file: Path) -> bytes:
    return Image.open(file).convert("RGB").tobytes()


def four(one: Path, two: Path) -> str:
    """Return statements that draw without a LoRA, with one, with two, and without one again."""
    weights = f'lora {{ source: "{one}", weight: 0.5 }}, lora {{ source: "{two}", weight: -0.75 }}'
    return "\n".join([
        f'generate m {{ {DRAW}, output: "plain.png" }}',
        f'generate (m with {{ lora {{ source: "{one}" }} }}) {{ {DRAW}, output: "one.png" }}',
        f'generate (m with {{ {weights} }}) {{ {DRAW}, output: "two.png" }}',
        f'generate m {{ {DRAW}, output: "again.png" }}',
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("sd", "none"),
        *(pytest.param("sd", kind, marks=SLOW) for kind in ("bnb8", "nf4", "sdnq-int8")),
        *(pytest.param(family, kind, marks=SLOW) for family in ("sdxl", "flux") for kind in ("none", "sdnq-int8")),
    ],
)
def test_pictures_are_those_of_a_plain_program(
    engine: TorchEngine, folder: Tiny, written: Written, tmp_path: Path, family: str, kind: str
) -> None:
    roles = ROLES[family] if kind in ("none", "sdnq-int8") else ROLES[family][:1]
    files = {1: written(family, 1, roles), 2: written(family, 2, ROLES[family][:1])}
    plan = planned.plan(planned.model(folder(family), QUANTIZERS[kind], after=four(files[1], files[2])))
    events = run(engine, plan, tmp_path)
    loaded = [event.component for event in events if isinstance(event, LoadStarted)]
    assert len(loaded) == len(set(loaded)) == len(plan.components)
    made = {name: pixels(tmp_path / f"{name}.png") for name in ("plain", "one", "two", "again")}
    # In the plan's order: sums are rounded otherwise in another one.
    order = [1, 2] if _source(plan, "lora") == str(files[1]) else [2, 1]
    weights = {1: 0.5, 2: -0.75}
    pipeline = plain.assembled(folder(family), kind)
    assert made == {
        "plain": _drawn(pipeline),
        "one": _drawn(pipeline, [files[1]], [1.0]),
        "two": _drawn(pipeline, [files[each] for each in order], [weights[each] for each in order]),
        "again": made["plain"],
    }
    assert len(set(made.values())) == 3
    record = read_metadata(tmp_path / "two.png")["aquatint"]
    assert sorted(use["weight"] for use in record["pipeline"]["loras"].values()) == [-0.75, 0.5]
    assert record["engine"]["versions"]["peft"] == importlib.metadata.version("peft")
    assert "peft" not in read_metadata(tmp_path / "plain.png")["aquatint"]["engine"]["versions"]


def _source(plan: Plan, role: str) -> str:
    """Return the source of the LoRA in `role` of the pipeline that has two."""
    pipeline = next(each for each in plan.pipelines.values() if "lora_2" in each.parts)
    return plan.components[pipeline.parts[role] or ""].source


def _drawn(pipeline: Any, files: list[Path] | None = None, weights: list[float] | None = None) -> bytes:
    """Return the pixels of a picture by a plain pipeline with LoRAs, which it has no longer afterwards."""
    import torch

    denoiser = getattr(pipeline, "unet", None) or pipeline.transformer
    # Asked for its state by diffusers, bitsandbytes rounds the scales of 4-bit layers, on processors with AVX512-BF16.
    denoiser.state_dict = lambda: {**dict(denoiser.named_parameters()), **dict(denoiser.named_buffers())}
    for number, file in enumerate(files or ()):
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=f"n{number}")
    del denoiser.state_dict
    if files:
        pipeline.set_adapters([f"n{number}" for number in range(len(files))], weights)
    image = pipeline(**plain.CALL, generator=torch.Generator("cpu").manual_seed(7)).images[0]
    pipeline.unload_lora_weights()
    return image.convert("RGB").tobytes()


@SLOW
def test_a_dora_that_peft_has_written(engine: TorchEngine, folder: Tiny, written: Written, tmp_path: Path) -> None:
    made = plain.assembled(folder("sd"), "none")
    dora = loras.write(made, tmp_path / "dora", 4, ROLES["sd"], dora=True) / loras.NAME
    assert any("lora_magnitude_vector" in name for name in load_file(dora))
    other = written("sd", 1, ROLES["sd"])
    texts = {"dora": f'lora {{ source: "{dora}", weight: 0.5 }}', "other": f'lora {{ source: "{other}" }}'}
    after = "\n".join(
        f'generate (m with {{ {text} }}) {{ {DRAW}, output: "{name}.png" }}'
        for name, text in (*texts.items(), ("again", texts["dora"]))
    )
    run(engine, planned.plan(planned.model(folder("sd"), "", after=after)), tmp_path)
    pipeline = plain.assembled(folder("sd"), "none")
    assert pixels(tmp_path / "dora.png") == pixels(tmp_path / "again.png") == _drawn(pipeline, [dora], [0.5])
    assert pixels(tmp_path / "other.png") == _drawn(pipeline, [other], [1.0])


@SLOW
def test_a_loop_over_loras_loads_each_part_once(
    engine: TorchEngine, folder: Tiny, written: Written, tmp_path: Path
) -> None:
    files = [written("sd", seed, ROLES["sd"] if seed % 2 else ROLES["sd"][:1]) for seed in range(10, 15)]
    listed, numbers = (", ".join(f'"{each}"' for each in of) for of in (files, range(5)))
    loop = f"""
for number, source in zip([{numbers}], [{listed}]), weight in [0.5, -1.0] {{
    generate (m with {{ lora {{ source: source, weight: weight }} }}) {{
        {DRAW}, output: "{{{{ number }}}}{{{{ weight }}}}.png"
    }}
}}
"""
    plan = planned.plan(planned.model(folder("sd"), "", after=loop))
    events = run(engine, plan, tmp_path / "warm")
    loaded = [event.component for event in events if isinstance(event, LoadStarted)]
    assert len(loaded) == len(set(loaded)) == len(plan.components)
    assert sum(plan.components[key].library == "diffusers.loaders" for key in loaded) == 5
    made = {file.name: pixels(file) for file in (tmp_path / "warm").iterdir()}
    assert len(made) == len(set(made.values())) == 10
    # The last and the first, each by an engine that has had nothing on before.
    for number, weight in ((0, -1.0), (4, 0.5)):
        text = f'lora {{ source: "{files[number]}", weight: {weight} }}'
        fresh = TorchEngine(threads=1)
        run(fresh, planned.plan(planned.model(folder("sd"), text)), tmp_path / f"fresh-{number}")
        assert pixels(tmp_path / f"fresh-{number}" / "out.png") == made[f"{number}{weight}.png"]


@SLOW
def test_other_programs_names_of_layers(engine: TorchEngine, folder: Tiny, written: Written, tmp_path: Path) -> None:
    file = written("sd", 3, ("unet",))
    flat = {}
    for name, tensor in load_file(file).items():
        module, half, _ = name.removeprefix("unet.").rsplit(".", 2)
        path = f"lora_unet_{module.replace('.', '_')}"
        flat[f"{path}.{'lora_down' if half == 'lora_A' else 'lora_up'}.weight"] = tensor
        flat[f"{path}.alpha"] = tensor.new_tensor(2.0)
    save_file(flat, tmp_path / "flat.safetensors")
    text = f'lora {{ source: "{tmp_path / "flat.safetensors"}" }}'
    run(engine, planned.plan(planned.model(folder("sd"), text)), tmp_path)
    pipeline = plain.assembled(folder("sd"), "none")
    assert pixels(tmp_path / "out.png") == _drawn(pipeline, [tmp_path / "flat.safetensors"], [1.0])


def test_a_component_is_what_it_was_when_its_lora_goes(
    engine: TorchEngine, folder: Tiny, written: Written, tmp_path: Path
) -> None:
    plan = planned.plan(planned.model(folder("sd"), f'lora {{ source: "{written("sd", 1, ROLES["sd"])}" }}'))
    [pipeline] = plan.pipelines.values()
    keys = {role: key for role, key in pipeline.parts.items() if key is not None}
    residents = Residents(engine)
    live = {role: residents.load(plan.components[key]) for role, key in keys.items()}
    modules = live["unet"].object, live["text_encoder"].object
    names = [sorted(module.state_dict()) for module in modules]
    assembled = residents.assembled(pipeline, plan.components)
    [step] = [each for each in plan.steps if isinstance(each, Generate)]
    generation = Generation(step.arguments, [7])

    def draw() -> bytes:
        return drawn(engine, assembled, generation, lambda done, total: None).tobytes()

    # bitsandbytes changes packed layers that are asked for their state.
    asked: list[Any] = []
    hook = modules[0].register_state_dict_pre_hook(lambda module, *rest: asked.append(module))
    first = draw()
    hook.remove()
    assert asked == []
    assert [sorted(module.state_dict()) for module in modules] != names
    # What is saved is the component alone.
    engine.save(pipeline, {"unet": live["unet"]}, tmp_path, Form(roles=["unet"]))
    assert sorted(load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")) == names[0]
    assert draw() == first
    residents.evict(keys["unet"])
    residents.bring_back(keys["unet"])
    assert draw() == first
    residents.evict(keys["lora"])
    assert [sorted(module.state_dict()) for module in modules] == names
    # A call waits for a LoRA as for any other part.
    call = engine.begin(assembled, generation, lambda done, total: None)
    assert call.advance() == Needs("lora", keys["lora"])
    residents.bring_back(keys["lora"])
    [picture] = call.advance()
    assert picture.tobytes() == first
    residents.release(keys["lora"])
    assert [sorted(module.state_dict()) for module in modules] == names
    residents.release_all()


@pytest.mark.parametrize("kind", ["sdnq-int8", *(pytest.param(kind, marks=SLOW) for kind in ("none", "bnb8", "nf4"))])
def test_what_is_saved_is_the_model_without(
    engine: TorchEngine, folder: Tiny, written: Written, tmp_path: Path, kind: str
) -> None:
    block = f'lora {{ source: "{written("sd", 1, ROLES["sd"][:1])}", weight: 0.5 }}'
    saved = tmp_path / "saved"
    statements = f'generate m {{ {DRAW}, output: "before.png" }}\nsave m {{ to: "{saved}" }}'
    run(engine, planned.plan(planned.model(folder("sd"), f"{block}, {QUANTIZERS[kind]}", after=statements)), tmp_path)
    again = f'generate m {{ {DRAW}, output: "after.png" }}\nsave m {{ to: "{tmp_path / "again"}" }}'
    run(engine, planned.plan(planned.model(saved, block, after=again)), tmp_path)
    assert pixels(tmp_path / "after.png") == pixels(tmp_path / "before.png")
    [first], [second] = (list(each.glob("unet/*.safetensors")) for each in (saved, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()


@SLOW
def test_embeddings_on_the_disk_are_those_without_a_lora(folder: Tiny, written: Written, tmp_path: Path) -> None:
    words = written("sd", 5, ("text_encoder",))
    plan = planned.plan(planned.model(folder("sd"), "", after=four(words, written("sd", 2, ("unet",)))))
    made = []
    for name in ("first", "later"):
        engine = TorchEngine(threads=1, embeddings=Store(tmp_path / "store"))
        run(engine, plan, tmp_path / name)
        assert engine.kept is not None
        made.append([pixels(tmp_path / name / f"{each}.png") for each in ("plain", "one", "two", "again")])
        hits = engine.kept.hits
    assert hits > 0
    assert made[0] == made[1]
    assert len(set(made[0])) == 3
