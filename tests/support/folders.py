"""Checkpoints for planning, without torch: folders as diffusers writes them, with a few zeros for weights.

`write_models` makes the folders that the cases name by `models/...`, sound ones and damaged ones; `write_hub` a cache
of the model hub that holds a few well-known repositories in this form.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from aquatint.catalog.llm4gen import shapes

Parts = dict[str, tuple[str, str]]

_CLIP = ("transformers", "CLIPTextModel")
_CLIP_2 = ("transformers", "CLIPTextModelWithProjection")
_T5 = ("transformers", "T5EncoderModel")
_TOKENIZER = ("transformers", "CLIPTokenizer")
_T5_TOKENIZER = ("transformers", "T5TokenizerFast")
_VAE = ("diffusers", "AutoencoderKL")
_FLOW = ("diffusers", "FlowMatchEulerDiscreteScheduler")

SD: Parts = {
    "scheduler": ("diffusers", "DDIMScheduler"), "text_encoder": _CLIP, "tokenizer": _TOKENIZER,
    "unet": ("diffusers", "UNet2DConditionModel"), "vae": _VAE,
}  # fmt: skip
SDXL: Parts = {
    "scheduler": ("diffusers", "EulerDiscreteScheduler"), "text_encoder": _CLIP, "text_encoder_2": _CLIP_2,
    "tokenizer": _TOKENIZER, "tokenizer_2": _TOKENIZER, "unet": ("diffusers", "UNet2DConditionModel"), "vae": _VAE,
}  # fmt: skip
SD3: Parts = {
    "scheduler": _FLOW, "text_encoder": _CLIP_2, "text_encoder_2": _CLIP_2, "text_encoder_3": _T5,
    "tokenizer": _TOKENIZER, "tokenizer_2": _TOKENIZER, "tokenizer_3": _T5_TOKENIZER,
    "transformer": ("diffusers", "SD3Transformer2DModel"), "vae": _VAE,
}  # fmt: skip
_CONTROLNET = "diffusers", "FluxControlNetModel"
FLUX: Parts = {
    "scheduler": _FLOW, "text_encoder": _CLIP, "text_encoder_2": _T5, "tokenizer": _TOKENIZER,
    "tokenizer_2": _T5_TOKENIZER, "transformer": ("diffusers", "FluxTransformer2DModel"), "vae": _VAE,
}  # fmt: skip

REFINER: Parts = {
    "scheduler": _FLOW, "text_encoder": ("transformers", "Qwen2_5_VLForConditionalGeneration"),
    "tokenizer": ("transformers", "Qwen2Tokenizer"),
    "transformer": ("diffusers", "HunyuanImageTransformer2DModel"),
    "vae": ("diffusers", "AutoencoderKLHunyuanImageRefiner"),
}  # fmt: skip
"""Those of a pipeline that begins with a picture."""

KREA: Parts = {
    "scheduler": _FLOW, "text_encoder": ("transformers", "Qwen3VLModel"),
    "tokenizer": ("transformers", "Qwen2Tokenizer"), "transformer": ("diffusers", "Krea2Transformer2DModel"),
    "vae": ("diffusers", "AutoencoderKLQwenImage"),
}  # fmt: skip
"""Those of a pipeline that has options which are lists."""

WAN: Parts = {
    "scheduler": _FLOW, "text_encoder": ("transformers", "UMT5EncoderModel"), "tokenizer": _T5_TOKENIZER,
    "transformer": ("diffusers", "WanTransformer3DModel"), "vae": ("diffusers", "AutoencoderKLWan"),
}  # fmt: skip
"""Those of a pipeline that makes videos."""

REDUX: Parts = {
    "image_encoder": ("transformers", "SiglipVisionModel"), "image_embedder": ("flux", "ReduxImageEncoder"),
    "feature_extractor": ("transformers", "SiglipImageProcessor"),
}  # fmt: skip
"""Those of a pipeline without a scheduler."""

EDIT: Parts = {
    "scheduler": _FLOW, "text_encoder": ("transformers", "Qwen2_5_VLForConditionalGeneration"),
    "tokenizer": ("transformers", "Qwen2Tokenizer"), "processor": ("transformers", "Qwen2VLProcessor"),
    "transformer": ("diffusers", "QwenImageTransformer2DModel"), "vae": ("diffusers", "AutoencoderKLQwenImage"),
}  # fmt: skip
"""Those of one whose processor reads pictures, and could read videos."""

WITH_SOUND: Parts = {
    "scheduler": _FLOW, "transformer": ("diffusers", "LTX2VideoTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLLTX2Video"), "audio_vae": ("diffusers", "AutoencoderKLLTX2Audio"),
    "text_encoder": ("transformers", "Gemma3ForConditionalGeneration"), "tokenizer": ("transformers", "GemmaTokenizer"),
    "connectors": ("ltx2", "LTX2TextConnectors"), "vocoder": ("ltx2", "LTX2Vocoder"),
}  # fmt: skip
"""Those of a pipeline that makes videos with sound."""

ENLARGING: Parts = {
    "vae": ("diffusers", "AutoencoderKLLTXVideo"), "latent_upsampler": ("ltx", "LTXLatentUpsamplerModel"),
}  # fmt: skip
"""Those of a pipeline that makes videos larger."""

IN_TILES: Parts = {
    "scheduler": ("diffusers", "DDIMScheduler"), "text_encoder": ("transformers", "T5EncoderModel"),
    "tokenizer": _T5_TOKENIZER, "transformer": ("diffusers", "AllegroTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLAllegro"),
}  # fmt: skip
"""Those of a pipeline whose VAE can't do without tiles."""

SOUND: Parts = {
    "scheduler": ("diffusers", "DDIMScheduler"), "text_encoder": ("transformers", "ClapTextModelWithProjection"),
    "tokenizer": ("transformers", "RobertaTokenizer"), "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"), "vocoder": ("transformers", "SpeechT5HifiGan"),
}  # fmt: skip
"""Those of a pipeline that makes sound."""

DECODER: Parts = {
    "scheduler": _FLOW, "movq": ("diffusers", "VQModel"), "unet": ("diffusers", "UNet2DConditionModel"),
}  # fmt: skip
"""Those of a pipeline that begins with tensors which another one makes."""

STAGE_1: Parts = {
    "scheduler": ("diffusers", "DDPMScheduler"), "unet": ("diffusers", "UNet2DConditionModel"),
    "text_encoder": ("transformers", "T5EncoderModel"), "tokenizer": ("transformers", "T5Tokenizer"),
}  # fmt: skip
"""Those of a pipeline that denoises pixels."""

STAGE_2: Parts = STAGE_1 | {"image_noising_scheduler": ("diffusers", "DDPMScheduler")}
"""Those of the one that makes its pictures larger."""

PRIOR: Parts = {
    "scheduler": ("diffusers", "UnCLIPScheduler"), "prior": ("diffusers", "PriorTransformer"), "tokenizer": _TOKENIZER,
    "image_encoder": ("transformers", "CLIPVisionModelWithProjection"), "text_encoder": _CLIP_2,
    "image_processor": ("transformers", "CLIPImageProcessor"),
}  # fmt: skip
"""Those of the pipeline that makes them."""

HUB = {
    "stabilityai/stable-diffusion-xl-base-1.0": ("StableDiffusionXLPipeline", SDXL),
    "stabilityai/stable-diffusion-3.5-medium": ("StableDiffusion3Pipeline", SD3),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("StableDiffusionPipeline", SD),
    "black-forest-labs/FLUX.1-dev": ("FluxPipeline", FLUX),
    "black-forest-labs/FLUX.1-schnell": ("FluxPipeline", FLUX),
}
"""Repositories that `write_hub` puts into its cache."""

_REVISION = "0123456789abcdef0123456789abcdef01234567"


def write_json(file: Path, content: Any) -> None:
    """Write `content` as JSON into `file`, whose folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_weights(file: Path, dtype: str = "float32", tensors: int = 2, side: int = 128) -> None:
    """Write square matrices of zeros as a safetensors file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"block.{n}.weight": np.zeros((side, side), dtype) for n in range(tensors)}, file)


def write_gguf(file: Path, tensors: dict[str, tuple[tuple[int, ...], int, int]]) -> None:
    """Write a GGUF file of zeros; `tensors` has sides, the number of the type, and bytes by name."""
    head, at = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 0), 0
    for name, (sides, kind, size) in tensors.items():
        head += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(sides))
        head += struct.pack(f"<{len(sides)}QIQ", *sides[::-1], kind, at)
        at += -(-size // 32) * 32
    file.write_bytes(head + bytes(-len(head) % 32) + bytes(at))


def write_component(
    folder: Path, library: str, class_name: str, *, variants: tuple[str | None, ...] = (None,), shards: int = 1
) -> None:
    """Write one component with its config and, if it has any, weights in each of `variants`."""
    if "Scheduler" in class_name:
        write_json(folder / "scheduler_config.json", {"_class_name": class_name})
    elif "Tokenizer" in class_name:
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": class_name})
        write_json(folder / "tokenizer.json", {})
    else:
        name = {"_class_name": class_name} if library == "diffusers" else {"architectures": [class_name]}
        write_json(folder / "config.json", name)
        stem = "model" if library == "transformers" else "diffusion_pytorch_model"
        # Larger ones for the denoisers, so that the sizes in plans tell the components apart.
        side = 256 if "2D" in class_name else 128
        for variant in variants:
            for shard in range(shards):
                middle = f"-{shard + 1:05}-of-{shards:05}" if shards > 1 else ""
                name_of_file = f"{stem}{'.' + variant if variant else ''}{middle}.safetensors"
                write_weights(folder / name_of_file, "float16" if variant == "fp16" else "float32", side=side)


def write_pipeline(folder: Path, class_name: str, parts: Parts, **options: Any) -> Path:
    """Write a pipeline's folder and return it; `options` are those of `write_component`, the rest goes to the index."""
    how = {key: options.pop(key) for key in ("variants", "shards") if key in options}
    index: dict[str, Any] = {"_class_name": class_name, "_diffusers_version": "0.40.0", **options}
    for role, (library, class_of_part) in parts.items():
        index[role] = [library, class_of_part]
        write_component(folder / role, library, class_of_part, **how)
    write_json(folder / "model_index.json", index)
    return folder


def _write_unfit(folder: Path, unsafe: dict[str, Any]) -> None:
    """Write a model with a width that is odd, and two with text encoders of GPT-2's kind."""
    write_pipeline(folder / "odd", "StableDiffusionPipeline", SD, **unsafe)
    write_weights(folder / "odd" / "unet" / "diffusion_pytorch_model.safetensors", side=129)
    gpt2 = SD | {"text_encoder": ("transformers", "GPT2LMHeadModel")}
    write_pipeline(folder / "gpt2", "StableDiffusionPipeline", gpt2, **unsafe)
    matrices = {f"transformer.h.{n}.attn.c_attn.weight": np.zeros((128, 384), "float32") for n in range(5)}
    save_file(matrices, folder / "gpt2" / "text_encoder" / "model.safetensors")
    # The same with a layer that every library knows.
    write_pipeline(folder / "gpt2-adapted", "StableDiffusionPipeline", gpt2, **unsafe)
    matrices |= {"transformer.adapter.weight": np.zeros((128, 128), "float32")}
    save_file(matrices, folder / "gpt2-adapted" / "text_encoder" / "model.safetensors")


_NO_CHECKS: dict[str, Any] = {
    **{role: [None, None] for role in ("safety_checker", "feature_extractor", "watermarker")},
    "requires_safety_checker": False,
}


def write_models(folder: Path) -> None:
    """Write every folder that the cases name, below `folder`."""
    unsafe: dict[str, Any] = {"safety_checker": [None, None], "feature_extractor": [None, None],
                              "requires_safety_checker": False}  # fmt: skip
    write_pipeline(folder / "sd", "StableDiffusionPipeline", SD, **unsafe)
    write_pipeline(folder / "sdxl", "StableDiffusionXLPipeline", SDXL, force_zeros_for_empty_prompt=True)
    write_pipeline(folder / "sd3", "StableDiffusion3Pipeline", SD3)
    write_pipeline(folder / "flux", "FluxPipeline", FLUX, shards=3)
    write_pipeline(folder / "wan", "WanPipeline", WAN)
    write_pipeline(folder / "ltx2", "LTX2Pipeline", WITH_SOUND)
    write_pipeline(folder / "enlarging", "LTXLatentUpsamplePipeline", ENLARGING)
    write_pipeline(folder / "in-tiles", "AllegroPipeline", IN_TILES)
    write_json(folder / "wan" / "vae" / "config.json", {
        "_class_name": WAN["vae"][1], "scale_factor_spatial": 8, "scale_factor_temporal": 4,
    })  # fmt: skip
    for name, kind in (("diffedit", "StableDiffusionDiffEditPipeline"), ("zero", "StableDiffusionPix2PixZeroPipeline"),
                       ("ledits", "LEditsPPPipelineStableDiffusion")):  # fmt: skip
        write_pipeline(folder / name, kind, SD, **unsafe)
    write_pipeline(folder / "audioldm", "AudioLDMPipeline", SOUND)
    write_pipeline(folder / "stage-1", "IFPipeline", STAGE_1, **_NO_CHECKS)
    write_pipeline(folder / "stage-2", "IFSuperResolutionPipeline", STAGE_2, **_NO_CHECKS)
    write_pipeline(folder / "prior", "KandinskyV22PriorPipeline", PRIOR)
    write_pipeline(folder / "kandinsky", "KandinskyV22Pipeline", DECODER)
    write_pipeline(folder / "fill", "FluxFillPipeline", FLUX)
    write_pipeline(folder / "cloze", "VisualClozePipeline", FLUX, resolution=64)
    write_pipeline(folder / "krea", "Krea2Pipeline", KREA, text_encoder_select_layers=[1, 2])
    write_pipeline(folder / "refiner", "HunyuanImageRefinerPipeline", REFINER, guider=[None, None])
    write_pipeline(folder / "redux", "FluxPriorReduxPipeline", REDUX)
    write_pipeline(folder / "depth", "StableDiffusionLDM3DPipeline", SD, **unsafe)
    write_pipeline(folder / "edit", "QwenImageEditPipeline", EDIT)
    write_pipeline(folder / "wan-image", "WanImageToVideoPipeline", WAN)
    write_pipeline(folder / "half", "StableDiffusionPipeline", SD, variants=("fp16",), **unsafe)
    write_pipeline(folder / "both", "StableDiffusionPipeline", SD, variants=(None, "fp16"), **unsafe)
    write_component(folder / "other-vae", *_VAE)
    write_component(folder / "controlnet", "diffusers", "ControlNetModel")
    write_component(folder / "steering", "diffusers", "ControlNetUnionModel")
    write_pipeline(folder / "steered", "FluxControlNetPipeline", FLUX | {"controlnet": _CONTROLNET}, **unsafe)
    write_component(folder / "several-modes", *_CONTROLNET)
    write_json(folder / "several-modes" / "config.json", {"_class_name": "FluxControlNetModel", "num_mode": 3})
    _write_stored(folder, unsafe)
    _write_unfit(folder, unsafe)
    _write_damaged(folder / "damaged", unsafe)
    write_weights(folder / "single.safetensors")
    write_originals(folder / "originals", unsafe)
    _write_loras(folder / "loras")
    write_language_model(folder / "llm4gen" / "encoder")
    write_component(folder / "llm4gen" / "encoder", *_T5_TOKENIZER)
    write_language_model(folder / "llm4gen" / "large", width=256)
    write_component(folder / "llm4gen" / "large", *_T5_TOKENIZER)
    write_projector(folder / "llm4gen" / "projector")
    write_projector(folder / "llm4gen" / "wide", dim=256)
    _write_textual_inversions(folder / "embeddings")
    _write_ip_adapters(folder, unsafe)
    # With what a textual inversion is held against.
    write_pipeline(folder / "worded", "StableDiffusionPipeline", SD, **unsafe)
    write_json(
        folder / "worded" / "text_encoder" / "config.json", {"architectures": ["CLIPTextModel"], "hidden_size": 128}
    )
    pieces = {"model": {"vocab": {"cat</w>": 0, "sky": 1}}, "added_tokens": [{"content": "<old>_2"}]}
    write_json(folder / "worded" / "tokenizer" / "tokenizer.json", pieces)


def write_language_model(folder: Path, width: int = 128) -> None:
    """Write the encoder of a T5 as RankGen's are published, but in safetensors: zeros below other names."""
    write_json(folder / "config.json", {
        "architectures": ["T5EncoderWithProjection"], "model_type": "t5", "d_model": width,
        "auto_map": {"AutoModel": "model.T5EncoderWithProjection"},
    })  # fmt: skip
    square = np.zeros((width, width), "float32")
    inner = "t5_encoder.encoder.block.0.layer.0.SelfAttention"
    names = [*(f"{inner}.{each}.weight" for each in "qkvo"), "projection.weight"]
    save_file(dict.fromkeys(names, square), folder / "model.safetensors")


def write_projector(folder: Path, dim: int = 128, llm_dim: int = 128, name: str = "projector.safetensors") -> None:
    """Write a cross-adapter module of zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"CrossFusionModule.0.{each}": np.zeros(shape, "float32") for each, shape in shapes(dim, llm_dim).items()
    }
    save_file(tensors, folder / name)


def write_originals(folder: Path, unsafe: dict[str, Any]) -> None:
    """Write single files in the layout of those who train models, and configurations without weights."""
    write_pipeline(folder / "config", "StableDiffusionPipeline", SD, **unsafe)
    for role in ("unet", "vae", "text_encoder"):
        next((folder / "config" / role).glob("*.safetensors")).unlink()
    square, small = np.zeros((256, 256), "float16"), np.zeros((128, 128), "float16")
    block = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0"
    unet = {f"{block}.attn1.to_{each}.weight": square for each in "qk"}
    unet |= {"model.diffusion_model.time_embed.0.weight": square}
    vae = {f"first_stage_model.decoder.mid.attn_1.{each}.weight": small[..., None, None] for each in "qk"}
    clip = "text_model.encoder.layers.0.self_attn.q_proj.weight"
    positions = "text_model.embeddings.position_embedding.weight"
    text = {f"cond_stage_model.transformer.{name}": small for name in (clip, positions)}
    save_file(unet | vae | text, folder / "whole.safetensors")
    save_file(unet | vae, folder / "no-text-encoder.safetensors")
    save_file(unet, folder / "unet.safetensors")
    save_file(vae, folder / "vae.safetensors")
    big = {"conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": small[0]}
    save_file(unet | vae | big, folder / "sdxl.safetensors")
    first = {"model.diffusion_model.input_blocks.0.0.weight": np.zeros((32, 9, 3, 3), "float16")}
    save_file(unet | first, folder / "inpainting.safetensors")
    (folder / "pickled.ckpt").write_bytes(b"")
    # Tensors of zeros: name, sides, number of the type, bytes.
    flux = "double_blocks.0.img_attn"
    write_gguf(folder / "flux.gguf", {
        f"{flux}.qkv.weight": ((768, 256), 2, 768 * 256 // 32 * 18), f"{flux}.norm.key_norm.scale": ((32,), 0, 128),
    })  # fmt: skip
    write_gguf(folder / "newer.gguf", {f"{flux}.qkv.weight": ((768, 256), 99, 768 * 256)})


def _write_loras(folder: Path) -> None:
    """Write LoRAs for the layers that `write_weights` makes up, and files that are none."""

    def lora(name: str, rank: int = 4, flat: bool = False, dtype: str = "float32", **sides: int) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        halves = {}
        for module, side in sides.items():
            path = module if flat else module.replace("__", ".")
            down, up = ("lora_down", "lora_up") if flat else ("lora_A", "lora_B")
            halves[f"{path}.{down}.weight"] = np.zeros((rank, side), dtype)
            halves[f"{path}.{up}.weight"] = np.zeros((side, rank), dtype)
        save_file(halves, folder / name)
        return folder / name

    lora("ink.safetensors", unet__block__0=256)
    lora(
        "both/pytorch_lora_weights.safetensors", rank=8, dtype="float16", unet__block__1=256, text_encoder__block__0=128
    )
    lora("flat.safetensors", flat=True, lora_unet_block_0=256, lora_te_block_1=128)
    lora("flat-xl.safetensors", flat=True, lora_unet_input_blocks_4_1_proj_in=256)
    lora("wide.safetensors", unet__block__0=320)
    lora("deep.safetensors", unet__block__0=256, unet__block__7=256)
    lora("transformer.safetensors", transformer__block__0=256)
    lora("several/one.safetensors", unet__block__0=256)
    lora("several/two.safetensors", unet__block__1=256)
    lora("comfy.safetensors", flat=True, **{"diffusion_model.double_blocks.0.img_attn.qkv": 256})
    lora("comfy-wide.safetensors", flat=True, **{"diffusion_model.double_blocks.0.img_attn.qkv": 320})
    lora("wan.safetensors", **{"diffusion_model.blocks.0.self_attn.q": 128})
    control = {
        f"double_blocks.0.img_attn.norm.query_norm.scale{end}": np.zeros((4, 4), "float32") for end in ("", ".b")
    }
    save_file(control, folder / "control.safetensors")
    dora = {"unet.block.0.lora_A.weight": (4, 256), "unet.block.0.lora_B.weight": (256, 4)}
    lengths = {"unet.block.0.lora_magnitude_vector": (256,)}
    for name, sides in (("dora", dora | lengths), ("dora-scale", dora | {"unet.block.0.dora_scale": (256, 1)})):
        save_file({key: np.zeros(shape, "float32") for key, shape in sides.items()}, folder / f"{name}.safetensors")
    (folder / "pickled").mkdir()
    (folder / "pickled" / "pytorch_lora_weights.bin").write_bytes(b"")
    save_file({"unet.block.0.lokr_w1": np.zeros((4, 4), "float32")}, folder / "lokr.safetensors")


def _write_textual_inversions(folder: Path) -> None:
    """Write textual inversions for text encoders that are 128 wide, and files that are none."""

    def vectors(name: str, dtype: str = "float32", **shapes: tuple[int, ...]) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file({key: np.zeros(shape, dtype) for key, shape in shapes.items()}, folder / name)

    vectors("toy.safetensors", **{"<toy>": (128,)})
    vectors("style/learned_embeds.safetensors", "float16", **{"<style>": (3, 128)})
    vectors("style/step-100.safetensors", "float16", **{"<style>": (3, 128)})
    vectors("nameless.safetensors", emb_params=(2, 128))
    vectors("pair.safetensors", clip_l=(2, 128), clip_g=(2, 160))
    vectors("uneven.safetensors", clip_l=(2, 128), clip_g=(3, 128))
    vectors("second.safetensors", clip_g=(2, 128))
    vectors("wide.safetensors", **{"<toy>": (320,)})
    vectors("deep.safetensors", **{"<toy>": (2, 2, 128)})
    vectors("whole.safetensors", "int32", **{"<toy>": (2, 128)})
    vectors("several/one.safetensors", **{"<one>": (128,)})
    vectors("several/two.safetensors", **{"<two>": (128,)})
    (folder / "pickled").mkdir()
    (folder / "pickled" / "learned_embeds.bin").write_bytes(b"")


def _write_ip_adapters(folder: Path, options: dict[str, Any]) -> None:
    """Write a pipeline whose denoiser attends to the prompt in two layers, and IP-Adapters for it and for others."""
    unet = write_pipeline(folder / "attending", "StableDiffusionPipeline", SD, **options) / "unet"
    write_json(unet / "config.json", {"_class_name": "UNet2DConditionModel", "cross_attention_dim": 128,
                                      "block_out_channels": [256, 256]})  # fmt: skip
    for name, side in (("sketch", 256), ("wide-sketch", 320)):
        write_component(folder / name, "diffusers", "T2IAdapter")
        write_json(folder / name / "config.json", {"_class_name": "T2IAdapter", "channels": [side] * 4})
    layers = {f"{block}.attn2.to_k.weight": np.zeros((256, 128), "float32") for block in ("down_blocks.0", "mid_block")}
    save_file(layers, unet / "diffusion_pytorch_model.safetensors")

    def adapter(
        name: str, width: int = 128, encoded: int = 64, layers: int = 2, side: int = 256, dtype: str = "float16",
        **more: str,
    ) -> None:  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shapes = {"image_proj.proj.weight": (4 * width, encoded), "image_proj.norm.weight": (width,)}
        for layer in range(layers):
            shapes |= {f"ip_adapter.{2 * layer + 1}.to_{each}_ip.weight": (side, width) for each in "kv"}
        shapes |= dict.fromkeys(more.values(), (4, 4))
        save_file({key: np.zeros(shape, dtype) for key, shape in shapes.items()}, folder / name)

    adapter("ip/sd/ip-adapter.safetensors")
    adapter("ip/sd/light.safetensors", encoded=32)
    adapter("ip/sd/wide.safetensors", width=256)
    adapter("ip/sd/deep.safetensors", layers=3)
    adapter("ip/sd/thin.safetensors", side=320)
    adapter("ip/sd/part-of-a-face.safetensors", lora="ip_adapter.0.to_q_lora.down.weight")
    adapter("ip/sd/face-plus.safetensors", face="image_proj.perceiver_resampler.proj_in.weight")
    values = {f"ip_adapter.{2 * layer + 1}.to_{each}_ip.weight": (256, 128) for layer in (0, 1) for each in "kv"}
    lora = {
        f"ip_adapter.{layer}.to_{part}_lora.{half}.weight": shape
        for layer in range(4) for part in ("q", "k", "v", "out")
        for half, shape in (("down", (4, 256)), ("up", (256, 4)))
    }  # fmt: skip
    face = {"proj.0.weight": (128, 64), "proj.2.weight": (512, 128), "norm.weight": (128,)}
    timed = {"latents": (1, 4, 64), "proj_in.weight": (64, 64), "proj_out.weight": (128, 64),
             "time_embedding.linear_1.weight": (64, 32)}  # fmt: skip
    for name, projection, layers in (("face", face, values | lora), ("timed", timed, values)):
        shapes = {f"image_proj.{key}": shape for key, shape in projection.items()} | layers
        save_file(
            {key: np.zeros(shape, "float16") for key, shape in shapes.items()}, folder / f"ip/sd/{name}.safetensors"
        )
    adapter("ip/bare/ip-adapter.safetensors", dtype="float32")
    (folder / "ip" / "pickled").mkdir()
    (folder / "ip" / "pickled" / "ip-adapter.bin").write_bytes(b"")
    encoder = folder / "ip" / "sd" / "image_encoder"
    write_component(encoder, "transformers", "CLIPVisionModelWithProjection")
    write_json(encoder / "config.json", {"architectures": ["CLIPVisionModelWithProjection"], "projection_dim": 64})


def _write_stored(folder: Path, options: dict[str, Any]) -> None:
    """Write pipelines with components that say they are stored quantized; the weights are as those of others."""

    def pipeline(name: str, **stored: dict[str, Any]) -> None:
        made = write_pipeline(folder / name, "StableDiffusionPipeline", SD, **options)
        for role, configuration in stored.items():
            file = made / role / "config.json"
            write_json(file, json.loads(file.read_text(encoding="utf-8")) | {"quantization_config": configuration})

    int8 = {"quant_method": "sdnq", "weights_dtype": "int8", "quant_conv": True, "is_integer": True,
            "modules_to_not_convert": [".proj_out", "attn2"]}  # fmt: skip
    nf4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "_load_in_4bit": True,
           "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "bfloat16", "llm_int8_threshold": 6.0}  # fmt: skip
    pipeline("prequantized", unet=int8, text_encoder=nf4)
    pipeline("prequantized-unet", unet=int8)
    pipeline("prequantized-otherwise", unet={"quant_method": "quanto", "weights_dtype": "int8"})
    pipeline("prequantized-newer", unet={"quant_method": "sdnq", "weights_dtype": "int3.5"})
    pipeline("prequantized-scales", unet=int8 | {"scale_dtype": "uint8"})


def _write_damaged(folder: Path, options: dict[str, Any]) -> None:
    def sound(name: str) -> Path:
        return write_pipeline(folder / name, "StableDiffusionPipeline", SD, **options)

    (folder / "empty").mkdir(parents=True)
    write_json(folder / "no-index" / "config.json", {})
    weights = "unet/diffusion_pytorch_model.safetensors"
    file = sound("truncated") / weights
    file.write_bytes(file.read_bytes()[:-100])
    (sound("cut-header") / weights).write_bytes(b"\x10\0\0\0")
    (sound("no-header") / weights).write_bytes(b"\x04\0\0\0\0\0\0\0{{{{")
    pickled = sound("pickled")
    (pickled / weights).rename(pickled / "unet/diffusion_pytorch_model.bin")
    _lengthen_first(sound("overlapping") / weights)
    (sound("no-weights") / weights).unlink()
    (sound("no-config") / "unet/config.json").unlink()
    (sound("no-vocabulary") / "tokenizer/tokenizer.json").unlink()
    (sound("no-merges") / "tokenizer/tokenizer.json").rename(folder / "no-merges/tokenizer/vocab.json")
    write_weights(sound("no-shard") / weights.replace(".", "-00001-of-00002."))
    (folder / "no-shard" / weights).unlink()
    for entry in (missing := sound("no-vae") / "vae").iterdir():
        entry.unlink()
    missing.rmdir()
    (sound("bad-config") / "unet/config.json").write_text("{", encoding="utf-8")
    (sound("bad-index") / "model_index.json").write_text("[1, 2]", encoding="utf-8")
    write_json(folder / "no-class" / "model_index.json", {"unet": ["diffusers", "UNet2DConditionModel"]})
    for name, entry in (("odd-entry", 5), ("left-out", [None, None])):
        index = sound(name) / "model_index.json"
        write_json(index, json.loads(index.read_text(encoding="utf-8")) | {"unet": entry})
    write_json(folder / "new-class" / "model_index.json", {"_class_name": "StableDiffusionXPipeline"})
    write_json(folder / "own-code" / "model_index.json",
               {"_class_name": "StableDiffusionPipeline", "unet": ["my_module", "MyUNet"]})  # fmt: skip
    (sound("cut-tokenizer") / "tokenizer/tokenizer.json").write_text('{"model": {"vocab": {"a": 1', encoding="utf-8")
    for name, part, setting, value in (
        ("wide", "text_encoder", "hidden_size", 10**12), ("negative", "text_encoder", "vocab_size", -5),
        ("deep", "text_encoder", "num_hidden_layers", 10**6), ("unlike", "unet", "block_out_channels", [320, 640]),
    ):  # fmt: skip
        config = sound(name) / part / "config.json"
        write_json(config, json.loads(config.read_text(encoding="utf-8")) | {setting: value})
    save_file({"conv_in.weight": np.zeros((64, 4, 3, 3), "float32")}, folder / "unlike" / weights)
    quantized = {"_class_name": "UNet2DConditionModel", "quantization_config": {"quant_method": "bitsandbytes"}}
    write_json(sound("stored-quantized") / "unet/config.json", quantized)


def _lengthen_first(file: Path) -> None:
    """Let the first tensor of a file reach into the second one, as its header has it."""
    body = file.read_bytes()
    (length,) = struct.unpack("<Q", body[:8])
    header = json.loads(body[8 : 8 + length])
    first, second, *_ = sorted((each for name, each in header.items() if name != "__metadata__"),
                               key=lambda each: each["data_offsets"])  # fmt: skip
    first["data_offsets"][1] = second["data_offsets"][0] + 8
    changed = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(changed)) + changed + body[8 + length :])


def write_hub(cache: Path) -> None:
    """Write a cache of the model hub with the repositories in `HUB`, and what the weighter `llm4gen` asks for."""
    for repository, (class_name, parts) in HUB.items():
        folder = cache / ("models--" + repository.replace("/", "--"))
        write_pipeline(folder / "snapshots" / _REVISION, class_name, parts, variants=(None, "fp16"))
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(_REVISION, encoding="utf-8")
    write_component(_cached(cache, "madebyollin/sdxl-vae-fp16-fix"), *_VAE)
    for encoder in ("base-all", "xl-all"):
        write_language_model(_cached(cache, f"kalpeshk2011/rankgen-t5-{encoder}"))
        write_component(_cached(cache, f"google/t5-v1_1-{encoder.partition('-')[0]}"), *_T5_TOKENIZER)
    write_projector(_cached(cache, "Shui-VL/LLM4GEN-models"))


def _cached(cache: Path, repository: str) -> Path:
    """Return the folder of a repository's only commit, which `main` is at."""
    folder = cache / ("models--" + repository.replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(_REVISION, encoding="utf-8")
    return folder / "snapshots" / _REVISION
