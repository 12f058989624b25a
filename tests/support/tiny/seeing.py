"""Tiny pipelines whose text encoder sees pictures, too, by a processor that needs torchvision.

They can be built only where `torchvision_beside` has brought that in.
"""

from __future__ import annotations

from typing import Any

from support.tiny import texts
from support.tiny.autoencoders import SIZE
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH

_MARKS = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
_PATCH = 14  # pixels, of a side of what the vision model takes as one


def _tokenizer() -> Any:
    tokenizer = texts.qwen_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": _MARKS})
    tokenizer.model_max_length = 2048
    return tokenizer


def _processor(tokenizer: Any) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    # Whatever the picture's size, the text encoder sees it in few patches.
    sizes = {"shortest_edge": (4 * _PATCH) ** 2, "longest_edge": (8 * _PATCH) ** 2}
    return Qwen2VLProcessor(
        Qwen2VLImageProcessor(size=sizes, patch_size=_PATCH), tokenizer, Qwen2VLVideoProcessor(patch_size=_PATCH),
        chat_template=tokenizer.chat_template,
    )  # fmt: skip


def _encoder(tokenizer: Any) -> Any:
    marks = tokenizer.convert_tokens_to_ids(_MARKS)
    return texts.qwen_vl(tokenizer, marks, depth=2, patch_size=_PATCH, fullatt_block_indexes=[1])


def _reading() -> dict[str, Any]:
    tokenizer = _tokenizer()
    return {"tokenizer": tokenizer, "processor": _processor(tokenizer), "text_encoder": _encoder(tokenizer)}


def _qwen_image(**options: Any) -> dict[str, Any]:
    from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel

    # It shrinks by 32, since the pictures to edit are made a million pixels large first.
    vae = AutoencoderKLQwenImage(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 2, 2, 4, 4], num_res_blocks=1, latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4, temperal_downsample=[False] * 3 + [True] * 2,
    )  # fmt: skip
    transformer = QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, axes_dims_rope=(8, 12, 12), **options,
    )  # fmt: skip
    return {"vae": vae, "transformer": transformer, "scheduler": flow_matching(), **_reading()}


def qwen_image_edit() -> Any:
    from diffusers import QwenImageEditPipeline

    return QwenImageEditPipeline(**_qwen_image())


def qwen_image_edit_plus() -> Any:
    from diffusers import QwenImageEditPlusPipeline

    return QwenImageEditPlusPipeline(**_qwen_image(zero_cond_t=True))


def _kandinsky_5(sees: bool, channels: int) -> dict[str, Any]:
    import torch
    from diffusers import Kandinsky5Transformer3DModel

    clip, reading = texts.clip_tokenizer(), _reading()
    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=channels, out_visual_dim=channels, in_text_dim=WIDTH, in_text_dim2=WIDTH, time_dim=64,
        model_dim=WIDTH, ff_dim=2 * WIDTH, num_text_blocks=1, num_visual_blocks=1, axes_dims=(8, 12, 12),
        visual_cond=sees,
    )  # fmt: skip
    for name, parameter in transformer.named_parameters():
        if "modulation" in name and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)  # as zeros they would let no block say anything
    return {
        "text_encoder": reading["text_encoder"], "tokenizer": reading["processor"],
        "text_encoder_2": texts.clip(clip), "tokenizer_2": clip, "scheduler": flow_matching(shift=5.0),
        "transformer": transformer,
    }  # fmt: skip


def _narrow(levels: int, channels: int = 4) -> Any:
    from diffusers import AutoencoderKL

    # Since the pictures have a million pixels whatever is asked for.
    return AutoencoderKL(
        block_out_channels=[8] * levels, layers_per_block=1, latent_channels=channels, norm_num_groups=4,
        sample_size=SIZE, down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels, mid_block_add_attention=False, shift_factor=0.1,
    )  # fmt: skip


def kandinsky_5() -> Any:
    from diffusers import Kandinsky5T2IPipeline

    return Kandinsky5T2IPipeline(**_kandinsky_5(False, 4), vae=_narrow(4))


def kandinsky_5_from_image() -> Any:
    from diffusers import Kandinsky5I2IPipeline

    return Kandinsky5I2IPipeline(**_kandinsky_5(True, 4), vae=_narrow(4))


def _of_videos() -> Any:
    from diffusers import AutoencoderKLHunyuanVideo

    return AutoencoderKLHunyuanVideo(block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4)


def kandinsky_5_video() -> Any:
    from diffusers import Kandinsky5T2VPipeline

    return Kandinsky5T2VPipeline(**_kandinsky_5(False, 16), vae=_of_videos())


def kandinsky_5_video_from_image() -> Any:
    from diffusers import Kandinsky5I2VPipeline

    return Kandinsky5I2VPipeline(**_kandinsky_5(True, 16), vae=_of_videos())


def _longcat() -> dict[str, Any]:
    from diffusers import LongCatImageTransformer2DModel

    reading = _reading()
    transformer = LongCatImageTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=[8, 12, 12],
    )  # fmt: skip
    return {
        "transformer": transformer, "vae": _narrow(6, 16), "text_encoder": reading["text_encoder"],
        "tokenizer": reading["tokenizer"], "text_processor": reading["processor"],
        "scheduler": flow_matching(use_dynamic_shifting=True),
    }  # fmt: skip


def longcat_image() -> Any:
    from diffusers import LongCatImagePipeline

    return LongCatImagePipeline(**_longcat())


def longcat_image_edit() -> Any:
    from diffusers import LongCatImageEditPipeline

    return LongCatImageEditPipeline(**_longcat())


def omni_gen() -> Any:
    """Return one whose denoiser reads the prompt and the pictures itself; torchvision turns these into numbers."""
    from diffusers import OmniGenPipeline, OmniGenTransformer2DModel
    from transformers import LlamaTokenizer

    letters = ["\N{LOWER ONE EIGHTH BLOCK}", *(chr(code) for code in range(33, 127)), "\n"]
    tokenizer = LlamaTokenizer(
        vocab={piece: number for number, piece in enumerate(["<unk>", "<s>", "</s>", *letters])}, merges=[],
        model_max_length=512,
    )  # fmt: skip
    transformer = OmniGenTransformer2DModel(
        in_channels=4, patch_size=2, hidden_size=WIDTH, num_attention_heads=4, num_key_value_heads=4,
        intermediate_size=2 * WIDTH, num_layers=2, pad_token_id=0, vocab_size=len(tokenizer),
        max_position_embeddings=1024, original_max_position_embeddings=1024, time_step_dim=64,
        rope_scaling={"long_factor": [1.0] * 16, "short_factor": [1.0] * 16},
    )  # fmt: skip
    return OmniGenPipeline(
        transformer=transformer, vae=_narrow(4), tokenizer=tokenizer, scheduler=flow_matching(invert_sigmas=True)
    )
