"""Single files: what is told from their headers, and that what is loaded is what diffusers' own way gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from aquatint.catalog import checkpoints, estimates, original_names, quantizers, single_files
from aquatint.catalog.checkpoints import Part, Tensor
from aquatint.catalog.quantizers import backend
from aquatint.interface.cli import main
from aquatint.plan.steps import Component
from aquatint.runtime.engine import Counters
from aquatint.runtime.torch_engine import derived, loading, streaming, tensor_files, weights
from aquatint.runtime.torch_engine.libraries import libraries
from support import originals
from support.scenes import component

Tiny = Callable[[str], Path]
SD = {"unet": single_files.MAIN, "vae": "first_stage_model.", "text_encoder": originals.CLIP_OF_SD}
SDXL = {
    "unet": single_files.MAIN, "vae": "first_stage_model.", "text_encoder": originals.CLIP_OF_SDXL,
    "text_encoder_2": originals.OPEN_CLIP_OF_SDXL,
}  # fmt: skip
MADE = {"sd": SD, "sdxl-two-widths": SDXL}
CLASSES = {"sd": "StableDiffusionPipeline", "sdxl-two-widths": "StableDiffusionXLPipeline"}


@pytest.fixture(scope="module")
def written(folder: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Return what writes a tiny pipeline as a single file, and a folder with its configurations."""
    known: dict[str, tuple[Path, Path]] = {}

    def write(name: str) -> tuple[Path, Path]:
        if name not in known:
            place = tmp_path_factory.mktemp(name)
            file = originals.single_file(folder(name), place / "model.safetensors", MADE[name])
            known[name] = file, originals.configurations(folder(name), place / "config", tuple(MADE[name]))
        return known[name]

    return write


Written = Callable[[str], tuple[Path, Path]]


def theirs(name: str, file: Path, config: Path) -> Any:
    """Return diffusers' pipeline of a single file, its weights where torch would have laid them."""
    import diffusers

    pipeline = getattr(diffusers, CLASSES[name]).from_single_file(str(file), config=str(config), local_files_only=True)
    for role in MADE[name]:
        weights.copy_afresh(torch, getattr(pipeline, role))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def of(file: Path, config: Path, role: str, uri: str | None = None) -> Component:
    return component(config, role, uri, file=str(file))


@pytest.mark.parametrize("name", MADE)
def test_components_are_those_of_diffusers(written: Written, name: str) -> None:
    file, config = written(name)
    pipeline = theirs(name, file, config)
    for role in MADE[name]:
        loaded = loading.load(libraries(), of(file, config, role), Counters())
        ours, other = loaded.object.state_dict(), getattr(pipeline, role).state_dict()
        assert list(ours) == list(other)
        assert all(torch.equal(ours[key], other[key]) for key in ours), role
        assert loaded.object.dtype == torch.float32
        assert loaded.object.config._name_or_path == str(config)
        # Each tensor was read by itself.
        assert loaded.streamed >= len([key for key in ours if not key.endswith("position_ids")])


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("sd", None), ("sd", "sdnq;type=int8"), ("sd", "bnb;bits=4;bits4-quant-type=nf4"),
        ("sdxl-two-widths", "sdnq;type=int8"),
    ],
)  # fmt: skip
def test_bytes_are_known_from_the_header(written: Written, name: str, uri: str | None) -> None:
    file, config = written(name)
    for role in MADE[name]:
        part = checkpoints.over(checkpoints.read_checkpoint(str(config)), str(file)).parts[role]
        assert part is not None and part.file == str(file)
        network, tensors = estimates.read(config, part, None, "float32")
        estimate = estimates.plain(network, tensors)
        if uri is not None:
            name_of, options = quantizers.parse_uri(uri)
            found = backend(name_of)
            assert found is not None
            estimate = estimates.quantized(network, tensors, found, quantizers.canonical(name_of, options))
        loaded = loading.load(libraries(), of(file, config, role, uri), Counters())
        assert estimate.is_exact
        assert (estimate.most, estimate.quantized) == (loaded.bytes, loaded.quantized_layers)


def test_quantized_weights_are_those_of_the_folder(written: Written, folder: Tiny) -> None:
    file, config = written("sd")
    uri = "sdnq;type=uint4;group-size=32"
    one = loading.load(libraries(), of(file, config, "unet", uri), Counters())
    key = one.component.key
    other = loading.load(libraries(), component(folder("sd"), "unet", uri, key=key), Counters())
    pairs = zip(weights.held(torch, one.object), weights.held(torch, other.object), strict=True)
    assert all(torch.equal(ours[2], folder[2]) for ours, folder in pairs)
    assert one.quantized_layers == other.quantized_layers > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_pictures_are_those_of_diffusers_and_come_back(
    written: Written, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, config = written(name)
    monkeypatch.chdir(tmp_path)
    call = {"prompt": "a red cat", "num_inference_steps": 2, "width": 64, "height": 64}
    arguments = ", ".join(f"{key}: {json.dumps(value)}" for key, value in call.items())
    script = (
        f'model m {{ source: "{file}", config: "{config}" }}\ngenerate m {{ {arguments}, seed: 7, output: "a.png" }}\n'
    )
    Path("a.aqt").write_text(script, encoding="utf-8")
    assert main(["run", "--device", "cpu", "--threads", "1", "a.aqt"]) == 0
    with torch.random.fork_rng(devices=[]):
        picture = theirs(name, file, config)(**call, generator=torch.Generator("cpu").manual_seed(7)).images[0]
    ours = np.asarray(Image.open("a.png"))
    assert np.array_equal(ours, np.asarray(picture))
    assert main(["replay", "--device", "cpu", "--threads", "1", "a.png", "--output", "b.png"]) == 0
    assert np.array_equal(ours, np.asarray(Image.open("b.png")))


def test_a_transformer_in_names_of_diffusers(folder: Tiny, tmp_path: Path) -> None:
    flux = folder("flux")
    file = originals.single_file(flux, tmp_path / "flux.safetensors", {"transformer": ""})
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel.from_single_file(str(file), config=str(flux), subfolder="transformer")
    loaded = loading.load(libraries(), of(file, flux, "transformer"), Counters())
    ours, other = loaded.object.state_dict(), model.state_dict()
    assert list(ours) == list(other) and all(torch.equal(ours[key], other[key]) for key in ours)


def narrow_flux() -> dict[str, Any]:
    """Return tensors with the names of Flux, as high as diffusers' conversion asks and four numbers wide."""
    generator = torch.Generator().manual_seed(1)

    def matrix(rows: int) -> Any:
        return torch.rand(rows, 4, generator=generator)

    heights = {
        "time_in.in_layer": 8, "time_in.out_layer": 8, "vector_in.in_layer": 8, "vector_in.out_layer": 8,
        "guidance_in.in_layer": 8, "guidance_in.out_layer": 8, "txt_in": 8, "img_in": 8, "final_layer.linear": 8,
        "final_layer.adaLN_modulation.1": 16, "double_blocks.0.img_mod.lin": 8, "double_blocks.0.txt_mod.lin": 8,
        "double_blocks.0.img_attn.qkv": 12, "double_blocks.0.txt_attn.qkv": 12, "double_blocks.0.img_mlp.0": 8,
        "double_blocks.0.img_mlp.2": 8, "double_blocks.0.txt_mlp.0": 8, "double_blocks.0.txt_mlp.2": 8,
        "double_blocks.0.img_attn.proj": 8, "double_blocks.0.txt_attn.proj": 8,
        "single_blocks.0.modulation.lin": 8, "single_blocks.0.linear1": 7 * 3072, "single_blocks.0.linear2": 8,
    }  # fmt: skip
    made = {f"{name}.weight": matrix(rows) for name, rows in heights.items()}
    made |= {f"{name}.bias": torch.rand(rows, generator=generator) for name, rows in heights.items()}
    norms = [f"double_blocks.0.{side}_attn" for side in ("img", "txt")] + ["single_blocks.0"]
    made |= {f"{norm}.norm.{each}_norm.scale": torch.rand(4) for norm in norms for each in ("query", "key")}
    return made


def test_conversions_are_put_off_until_a_tensor_is_read(tmp_path: Path) -> None:
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers as convert

    tensors = narrow_flux()
    save_file({f"{single_files.MAIN}{name}": tensor for name, tensor in tensors.items()}, tmp_path / "a.safetensors")
    streamed = streaming.Streamed()
    with tensor_files.TensorFile(torch, tmp_path / "a.safetensors") as opened:
        slices = {name: streaming.Slice(opened, name, streamed) for name in opened.tensors}
        made = derived.as_slices(convert(derived.derived(torch, slices)))
        assert streamed.tensors == 0
        expected = convert(dict(tensors))
        assert list(made) == list(expected)
        for name, tensor in expected.items():
            ours = made[name].read()
            assert torch.equal(ours, tensor), name
            assert ours.untyped_storage().nbytes() == ours.nbytes
            assert (made[name].get_shape(), made[name].get_dtype()) == (list(tensor.shape), "F32")


def header(tensors: dict[str, Any]) -> list[Tensor]:
    """Return what the header of a file with `tensors` would declare."""
    declared, at = [], 0
    for name, tensor in tensors.items():
        declared.append(Tensor(name, "F32", tuple(tensor.shape), at, at + tensor.nbytes))
        at += tensor.nbytes
    return declared


def converted(written: Written, name: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Yield class, configuration, tensors and what diffusers converts these to, of what a file holds."""
    from diffusers.loaders import single_file_utils as utils

    file, config = written(name)
    held = load_file(file)
    for role, start in MADE[name].items():
        told = checkpoints.read_config(config, role)
        own = {key.removeprefix(start): tensor for key, tensor in held.items() if key.startswith(start)}
        match role:
            case "unet":
                yield "UNet2DConditionModel", told, own, utils.convert_ldm_unet_checkpoint(held, told)
            case "vae":
                yield "AutoencoderKL", told, own, utils.convert_ldm_vae_checkpoint(held, told)
            case "text_encoder_2":
                module = loading.load(libraries(), of(file, config, role), Counters()).object
                made = utils.convert_open_clip_checkpoint(module, held, prefix=start)
                yield "CLIPTextModelWithProjection", told, own, made


def shapes(tensors: list[Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    return sorted((tensor.name, tensor.shape) for tensor in tensors)


@pytest.mark.parametrize("name", MADE)
def test_names_in_plans_are_those_of_diffusers(written: Written, name: str) -> None:
    for class_name, config, own, expected in converted(written, name):
        ours = original_names.translated(class_name, config, header(own))
        assert ours is not None and shapes(ours) == shapes(header(expected)), class_name


def test_names_of_flux_in_plans_are_those_of_diffusers() -> None:
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers as convert

    ours = original_names.translated("FluxTransformer2DModel", {}, header(narrow_flux()))
    expected = header(convert(narrow_flux()))
    assert ours is not None and shapes(ours) == shapes(expected)
    sizes = {tensor.name: tensor.end - tensor.start for tensor in expected}
    assert {tensor.name: tensor.end - tensor.start for tensor in ours} == sizes


KINDS: dict[str, dict[str, tuple[int, ...]]] = {
    "v1": {"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3)},
    "v2": {"model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024)},
    "inpainting": {"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)},
    "inpainting_v2": {
        "model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3),
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
    },
    "instruct-pix2pix": {"model.diffusion_model.input_blocks.0.0.weight": (320, 8, 3, 3)},
    "xl_base": {"conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": (8,)},
    "xl_refiner": {"conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias": (8,)},
    "xl_inpaint": {
        "model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3),
        "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": (8,),
    },
    "playground-v2-5": {"edm_mean": (4,)},
    "sd3": {"joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,), "pos_embed": (1, 36864, 1)},
    "sd35_medium": {
        "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,),
        "model.diffusion_model.pos_embed": (1, 147456, 1),
    },
    "sd35_large": {"joint_blocks.37.x_block.mlp.fc1.weight": (8, 8)},
    "flux-schnell": {"double_blocks.0.img_attn.norm.key_norm.scale": (8,)},
    "flux-dev": {
        "double_blocks.0.img_attn.norm.key_norm.scale": (8,), "guidance_in.in_layer.bias": (8,),
        "img_in.weight": (8, 64),
    },
    "flux-fill": {
        "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale": (8,),
        "model.diffusion_model.guidance_in.in_layer.bias": (8,), "model.diffusion_model.img_in.weight": (8, 384),
    },
    "flux-2-dev": {"single_stream_modulation.lin.weight": (8, 8)},
    "chroma": {"distilled_guidance_layer.in_proj.bias": (8,)},
    "z-image-turbo": {"layers.0.adaLN_modulation.0.weight": (8, 8), "cap_embedder.0.weight": (8, 8)},
    "lumina2": {"cap_embedder.0.weight": (8, 8)},
    "sana": {"blocks.0.cross_attn.q_linear.weight": (8, 8)},
    "auraflow": {
        "double_layers.0.attn.w2q.weight": (8, 8), "double_layers.0.attn.w1q.weight": (8, 8),
        "cond_seq_linear.weight": (8, 8), "t_embedder.mlp.0.weight": (8, 8),
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_those_of_diffusers(kind: str) -> None:
    from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS, infer_diffusers_model_type

    tensors = {name: torch.empty(shape, device="meta") for name, shape in KINDS[kind].items()}
    assert single_files.kind(header(tensors)) == infer_diffusers_model_type(tensors) == kind
    assert single_files.repository(kind) == DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]


def test_what_is_no_model_is_of_no_kind() -> None:
    assert single_files.kind([]) is None
    assert single_files.kind(header({"block.0.weight": torch.empty(2, 2)})) is None


def test_other_classes_are_planned_without_knowing_their_layers(tmp_path: Path) -> None:
    save_file(
        {f"{single_files.MAIN}layers.0.adaLN_modulation.0.weight": torch.zeros(64, 64)}, tmp_path / "z.safetensors"
    )
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text("{}", encoding="utf-8")
    part = Part("transformer", "diffusers", "ZImageTransformer2DModel", "transformer", True)
    part = checkpoints.from_file(part, tmp_path, str(tmp_path / "z.safetensors"))
    network, tensors = estimates.read(tmp_path, part, None, "float32")
    found = backend("sdnq")
    assert found is not None
    estimate = estimates.quantized(network, tensors, found, quantizers.canonical("sdnq", {}))
    assert (estimate.least, estimate.most, estimate.is_known) == (0, 4 * 64 * 64, False)
