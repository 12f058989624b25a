"""LoRAs for denoisers of many families, in diffusers' form and in others': pictures beside those of plain programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file

from aquatint.catalog import loras as catalog
from aquatint.catalog import pipelines
from aquatint.diagnostics import render
from aquatint.interface.recipe import of_record, text_of
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.runtime.events import Event, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.record import image_record
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine.parity import CASES, EQUAL, KINDS, Case
from engine.test_parity import Both, compared
from support import loras

Tiny = Callable[[str], Path]

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning:peft")]


FAMILIES = [
    ("StableDiffusion3Pipeline", "none"), ("ChromaPipeline", "none"), ("FluxFillPipeline", "none"),
    ("FluxControlPipeline", "none"), ("FluxControlNetPipeline", "none"), ("StableDiffusionControlNetPipeline", "none"),
    ("Flux2KleinPipeline", "none"), ("QwenImagePipeline", "none"), ("QwenImagePipeline", "sdnq-int8"),
    ("ZImagePipeline", "none"), ("AuraFlowPipeline", "none"), ("SanaPipeline", "none"), ("SanaVideoPipeline", "none"),
    ("Lumina2Pipeline", "none"), ("CogView4Pipeline", "none"), ("HiDreamImagePipeline", "none"),
    ("WanPipeline", "none"), ("WanPipeline", "nf4"), ("WanImageToVideoPipeline", "none"),
    ("CogVideoXPipeline", "none"), ("LTXPipeline", "none"), ("HunyuanVideoPipeline", "none"),
]  # fmt: skip
"""A class of each reader that there are tiny checkpoints for; `test_loras` has Stable Diffusion and FLUX.1."""


def case_of(class_name: str) -> Case:
    """Return the call that a class is compared by."""
    return next(case for case in CASES if case.class_name == class_name)


@pytest.fixture(scope="module")
def both(engine: TorchEngine, folder: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(engine, folder, tmp_path_factory.mktemp("families"), [])


def drawn(both: Both, engine: TorchEngine, case: Case, kind: str, blocks: list[str], out: Path) -> list[bytes | str]:
    """Return what a script's statements come to, of a model with each of the `blocks`."""
    uri = KINDS[kind]
    quantizer = "" if uri is None else f', quantizer: "{uri}"'
    lines = [f'model m {{ source: "{both.folder(case.checkpoint)}"{quantizer} }}']
    name = f"{case.class_name}.{case.suffix}"
    for number, block in enumerate(blocks):
        lines += [f"model m{number} extends m {{ {block} }}"]
        lines += [both.statement(case).replace("generate m ", f"generate m{number} ").replace(name, f"{number}-{name}")]
    parsed = parse(Source("families.aqt", "\n".join(lines)))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [render(each) for each in evaluation.diagnostics]
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=out)).run(evaluation.plan)
    said = "; ".join(event.message for event in events if isinstance(event, StatementFailed))
    files = [out / f"{number}-{name}" for number in range(len(blocks))]
    return [in_file(file) if file.exists() else said for file in files]


def in_file(file: Path) -> bytes:
    from engine import test_parity

    return test_parity._in_file(file)


FORMS = [
    ("FluxPipeline", "original FLUX.1"), ("FluxPipeline", "ComfyUI's FLUX.1"),
    ("Flux2KleinPipeline", "original FLUX.2"), ("Flux2KleinPipeline", "kohya FLUX.2"),
    ("Flux2KleinPipeline", "diffusion_model"),
    ("QwenImagePipeline", "diffusion_model"), ("QwenImagePipeline", "flat"), ("QwenImagePipeline", "bare"),
    ("ZImagePipeline", "diffusion_model"), ("ZImagePipeline", "flat"), ("ZImagePipeline", "bare"),
    ("WanPipeline", "original Wan"), ("WanPipeline", "musubi Wan"), ("LTXPipeline", "diffusion_model"),
    ("HiDreamImagePipeline", "diffusion_model"), ("HunyuanVideoPipeline", "original Hunyuan Video"),
]  # fmt: skip


@pytest.mark.parametrize(("class_name", "form"), FORMS)
def test_other_programs_forms(both: Both, engine: TorchEngine, tmp_path: Path, class_name: str, form: str) -> None:
    case = case_of(class_name)
    pipeline = both.assembled(case.checkpoint, "none", case.skipped)
    file = tmp_path / "other.safetensors"
    save_file(loras.in_form(form, pipeline.transformer, 1), file)
    ours = drawn(both, engine, case, "none", ["", f'lora {{ source: "{file}", weight: 0.75 }}'], tmp_path / "out")
    theirs = [both.plainly(case, "none")]
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="own")
    pipeline.set_adapters(["own"], [0.75])
    theirs.append(both.plainly(case, "none"))
    pipeline.unload_lora_weights()
    assert [compared(*each) for each in zip(ours, theirs, strict=True)] == [EQUAL] * 2
    assert ours[0] != ours[1]


@pytest.mark.parametrize(("class_name", "kind"), FAMILIES)
def test_pictures_are_those_of_a_plain_program(
    both: Both, engine: TorchEngine, tmp_path: Path, class_name: str, kind: str
) -> None:
    case = case_of(class_name)
    pipeline = both.assembled(case.checkpoint, "none", case.skipped)
    role = "unet" if getattr(pipeline, "unet", None) is not None else "transformer"
    file = loras.write_for(getattr(pipeline, role), role, tmp_path / "own.safetensors", 1)
    blocks = [f'lora {{ source: "{file}", weight: 0.75 }}', ""]
    ours = drawn(both, engine, case, kind, blocks, tmp_path / "out")
    pipeline = both.assembled(case.checkpoint, kind, case.skipped)
    denoiser = getattr(pipeline, role)
    # Asked for its state by diffusers, bitsandbytes rounds the scales of 4-bit layers, on processors with AVX512-BF16.
    denoiser.state_dict = lambda: {**dict(denoiser.named_parameters()), **dict(denoiser.named_buffers())}
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="own")
    del denoiser.state_dict
    pipeline.set_adapters(["own"], [0.75])
    theirs = [both.plainly(case, kind)]
    pipeline.unload_lora_weights()
    theirs.append(both.plainly(case, kind))
    assert [compared(*each) for each in zip(ours, theirs, strict=True)] == [EQUAL] * 2
    assert ours[0] != ours[1]


def test_one_of_two_transformers_is_said(both: Both, engine: TorchEngine, tmp_path: Path) -> None:
    case = case_of("WanImageToVideoPipeline")
    pipeline = both.assembled(case.checkpoint, "none", case.skipped)
    files = [
        loras.write_for(pipeline.transformer, "transformer", tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)
    ]
    first = f'lora {{ source: "{files[0]}" }}'
    second, same = (
        f'lora {{ source: "{file}", weight: 0.5, load_into_transformer_2: true }}' for file in reversed(files)
    )
    ours = drawn(
        both, engine, case, "none", [first, second, f"{first}, {second}", f"{first}, {same}"], tmp_path / "out"
    )
    theirs = []
    for one, two in ((files[0], None), (None, files[1]), (files[0], files[1]), (files[0], files[0])):
        if one is not None:
            pipeline.load_lora_weights(str(one.parent), weight_name=one.name, adapter_name="first")
        if two is not None:
            pipeline.load_lora_weights(
                str(two.parent), weight_name=two.name, adapter_name="second", load_into_transformer_2=True
            )
            pipeline.transformer_2.set_adapters(["second"], [0.5])
        theirs.append(both.plainly(case, "none"))
        pipeline.unload_lora_weights()
    assert [compared(*each) for each in zip(ours, theirs, strict=True)] == [EQUAL] * 4
    assert len(set(ours)) == 4
    record = image_record(read_metadata(tmp_path / "out" / f"3-{case.class_name}.{case.suffix}")["aquatint"])
    written = text_of(of_record(record))
    assert written.count("load_into_transformer_2: true") == 1 and written.count(f'"{files[0]}"') == 2


def test_what_has_no_place_for_one_is_known() -> None:
    """The classes of denoisers that lack diffusers' loader, though it reads LoRAs for their pipelines."""
    import diffusers

    found = {
        name
        for pipeline in pipelines.pipeline_names()
        if (info := pipelines.pipeline(pipeline)) is not None and info.lora is not None
        for role in info.denoisers
        if role in info.components
        for name in info.components[role].classes
        if hasattr(diffusers, name) and not hasattr(getattr(diffusers, name), "load_lora_adapter")
    }
    assert found == set(catalog.WITHOUT_LAYERS)
