"""Tiny pipelines with random weights, built offline: Stable Diffusion, its ControlNet, SDXL, SD3, Flux and Z-Image.

They have every part that a real checkpoint has, tokenizers too, and layers large enough that both quantization
backends take them: sdnq leaves layers alone that have fewer than 16384 weights or 32 input channels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH = 128  # of every text encoder; 128 * 128 is sdnq's least size of a layer
SIZE = 64  # side of a picture: the VAEs here shrink by 2, so that a forward pass takes milliseconds
WORDS = ["a", "red", "green", "blue", "small", "large", "cat", "dog", "house", "tree", "boat", "of", "in", "the", "on"]


def build(name: str, folder: Path) -> Path:
    """Write the pipeline called `name`, one of `PIPELINES`, into `folder` and return that."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(name.encode()))
        pipeline = PIPELINES[name]()
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    pieces = ["<|startoftext|>", "<|endoftext|>"]
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [*pieces, *letters, *(letter + "</w>" for letter in letters)]
    return CLIPTokenizer(
        vocab={piece: number for number, piece in enumerate(vocabulary)}, merges=[],
        bos_token=pieces[0], eos_token=pieces[1], unk_token=pieces[1], pad_token=pieces[1], model_max_length=77,
    )  # fmt: skip


def _t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("\N{LOWER ONE EIGHTH BLOCK}" + word, -float(rank)) for rank, word in enumerate(WORDS)]
    pieces += [(chr(code), -100.0) for code in range(33, 127)] + [("\N{LOWER ONE EIGHTH BLOCK}", -99.0)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=32)


def _qwen_tokenizer() -> Any:
    from transformers import Qwen2Tokenizer

    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    # Its alphabet is of bytes: a space is written \u0120, the end of a line \u010a.
    letters = [*(chr(code) for code in range(33, 127)), "\u0120", "\u010a"]
    made = Qwen2Tokenizer(
        vocab={piece: number for number, piece in enumerate([*pieces, *letters])}, merges=[],
        eos_token=pieces[2], pad_token=pieces[0], unk_token=pieces[0], model_max_length=512,
    )  # fmt: skip
    made.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return made


def _qwen(tokenizer: Any) -> Any:
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, head_dim=32,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512,
        bos_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return Qwen3Model(config)


def _image_encoder() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH, num_hidden_layers=2,
        num_attention_heads=4, image_size=SIZE, patch_size=16,
    ))  # fmt: skip


def _clip(tokenizer: Any, projected: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5(tokenizer: Any) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer), d_model=WIDTH, d_ff=2 * WIDTH, d_kv=32, num_heads=4, num_layers=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    return T5EncoderModel(config)


def _vae(channels: int = 4, **options: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=[32, 64], layers_per_block=1, latent_channels=channels, norm_num_groups=32, sample_size=SIZE,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, **options,
    )  # fmt: skip


def _unet(**options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(64, 128), layers_per_block=1, sample_size=SIZE // 2, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=32, **options,
    )  # fmt: skip


def _stable_diffusion() -> Any:
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    tokenizer = _clip_tokenizer()
    return StableDiffusionPipeline(
        unet=_unet(cross_attention_dim=WIDTH, attention_head_dim=4), vae=_vae(),
        text_encoder=_clip(tokenizer), tokenizer=tokenizer,
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _controlnet() -> Any:
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

    parts = _stable_diffusion().components
    controlnet = ControlNetModel.from_unet(parts["unet"], conditioning_embedding_out_channels=(16, 32))
    # Not what it starts with, zeros: then it would do nothing.
    for layer in controlnet.controlnet_down_blocks:
        layer.reset_parameters()
    parts |= {"controlnet": controlnet, "image_encoder": _image_encoder()}
    return StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False)


def _stable_diffusion_xl() -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    tokenizer = _clip_tokenizer()
    unet = _unet(
        cross_attention_dim=2 * WIDTH, attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        unet=unet, vae=_vae(), text_encoder=_clip(tokenizer), tokenizer=tokenizer,
        text_encoder_2=_clip(tokenizer, projected=True), tokenizer_2=_clip_tokenizer(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
            timestep_spacing="leading",
        ),
    )  # fmt: skip


def _stable_diffusion_3() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    clip, t5 = _clip_tokenizer(), _t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=SIZE // 2, patch_size=2, in_channels=16, out_channels=16, num_layers=2, attention_head_dim=32,
        num_attention_heads=4, caption_projection_dim=WIDTH, joint_attention_dim=2 * WIDTH,
        pooled_projection_dim=2 * WIDTH, pos_embed_max_size=SIZE // 2,
    )  # fmt: skip
    # SD3 pads the two CLIP encoders' joined width to T5's.
    from transformers import T5Config, T5EncoderModel

    wide = T5EncoderModel(T5Config(
        vocab_size=len(t5), d_model=2 * WIDTH, d_ff=2 * WIDTH, d_kv=32, num_heads=4, num_layers=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    ))  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, vae=_vae(16, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=_clip(clip, projected=True), tokenizer=clip,
        text_encoder_2=_clip(clip, projected=True), tokenizer_2=_clip_tokenizer(),
        text_encoder_3=wide, tokenizer_3=t5, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def _flux() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    clip, t5 = _clip_tokenizer(), _t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=(8, 12, 12), guidance_embeds=False,
    )  # fmt: skip
    return FluxPipeline(
        transformer=transformer, vae=_vae(shift_factor=0.1, scaling_factor=0.36), text_encoder=_clip(clip),
        tokenizer=clip, text_encoder_2=_t5(t5), tokenizer_2=t5, scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
    )  # fmt: skip


def _z_image() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel

    tokenizer = _qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4, dim=WIDTH, n_layers=2, n_refiner_layers=1, n_heads=4, n_kv_heads=4, cap_feat_dim=WIDTH,
        axes_dims=[8, 12, 12],
    )  # fmt: skip
    return ZImagePipeline(
        transformer=transformer, vae=_vae(shift_factor=0.1, scaling_factor=0.36), text_encoder=_qwen(tokenizer),
        tokenizer=tokenizer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


PIPELINES: dict[str, Callable[[], Any]] = {
    "sd": _stable_diffusion, "controlnet": _controlnet, "sdxl": _stable_diffusion_xl, "sd3": _stable_diffusion_3,
    "flux": _flux, "zimage": _z_image,
}  # fmt: skip
