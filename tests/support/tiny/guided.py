"""Tiny pipelines whose denoiser is told more than a prompt, or less: by a controlnet, a picture to edit, a class."""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, crossed, joint, texts, unets
from support.tiny.autoencoders import SIZE
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH

FLUX = {
    "patch_size": 1, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 32, "num_attention_heads": 4,
    "joint_attention_dim": WIDTH, "pooled_projection_dim": WIDTH, "axes_dims_rope": (8, 12, 12),
    "guidance_embeds": False,
}  # fmt: skip


def flux_parts(in_channels: int) -> dict[str, Any]:
    from diffusers import FluxTransformer2DModel

    parts = joint.flux().components
    kept = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler")
    transformer = FluxTransformer2DModel(in_channels=in_channels, out_channels=16, **FLUX)
    return {role: parts[role] for role in kept} | {"transformer": transformer}


def flux_fill() -> Any:
    from diffusers import FluxFillPipeline

    # Beside the noise the picture that is to stay, and the mask: 4 of its pixels for each of the latents' 4 by 4.
    return FluxFillPipeline(**flux_parts(16 + 16 + 16))


def flux_control() -> Any:
    from diffusers import FluxControlPipeline

    return FluxControlPipeline(**flux_parts(16 + 16))


def flux_kontext() -> Any:
    from diffusers import FluxKontextPipeline

    return FluxKontextPipeline(**flux_parts(16))


def flux_controlnet() -> Any:
    from diffusers import FluxControlNetModel, FluxControlNetPipeline

    return FluxControlNetPipeline(
        **flux_parts(16), controlnet=telling(FluxControlNetModel(in_channels=16, **FLUX), "controlnet")
    )


def stable_diffusion_3_controlnet() -> Any:
    from diffusers import SD3ControlNetModel, StableDiffusion3ControlNetPipeline

    controlnet = SD3ControlNetModel(
        sample_size=SIZE // 2, patch_size=2, in_channels=16, out_channels=16, num_layers=1, attention_head_dim=32,
        num_attention_heads=4, caption_projection_dim=WIDTH, joint_attention_dim=2 * WIDTH,
        pooled_projection_dim=2 * WIDTH, pos_embed_max_size=SIZE // 2,
    )  # fmt: skip
    parts = joint.stable_diffusion_3().components
    return StableDiffusion3ControlNetPipeline(**parts, controlnet=telling(controlnet, "controlnet"))


def qwen_image_controlnet() -> Any:
    from diffusers import QwenImageControlNetModel, QwenImageControlNetPipeline

    controlnet = QwenImageControlNetModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip
    parts = joint.qwen_image().components
    return QwenImageControlNetPipeline(**parts, controlnet=telling(controlnet, "controlnet"))


def z_image_controlnet() -> Any:
    from diffusers import ZImageControlNetModel, ZImageControlNetPipeline

    controlnet = ZImageControlNetModel(
        control_layers_places=[0], control_refiner_layers_places=[], control_in_dim=4, dim=WIDTH, n_refiner_layers=1,
        n_heads=4, n_kv_heads=4,
    )  # fmt: skip
    return ZImageControlNetPipeline(**joint.z_image().components, controlnet=telling(controlnet, "after_proj"))


def sana_controlnet() -> Any:
    from diffusers import SanaControlNetModel, SanaControlNetPipeline

    controlnet = SanaControlNetModel(
        in_channels=4, out_channels=4, num_attention_heads=4, attention_head_dim=32, num_layers=1,
        num_cross_attention_heads=4, cross_attention_head_dim=32, cross_attention_dim=WIDTH, caption_channels=WIDTH,
        sample_size=SIZE // 2,
    )  # fmt: skip
    return SanaControlNetPipeline(**crossed.sana().components, controlnet=telling(controlnet, "controlnet"))


def instructed() -> Any:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    parts = unets.stable_diffusion().components
    parts["unet"] = unets.unet(in_channels=8, cross_attention_dim=WIDTH, attention_head_dim=4)
    return StableDiffusionInstructPix2PixPipeline(**parts, requires_safety_checker=False)


def hunyuan_image() -> Any:
    from diffusers import (
        AdaptiveProjectedMixGuidance,
        AutoencoderKLHunyuanImage,
        HunyuanImagePipeline,
        HunyuanImageTransformer2DModel,
    )
    from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

    tokenizer = texts.qwen_tokenizer()
    glyphs = T5EncoderModel(T5Config(
        vocab_size=384, d_model=WIDTH, d_ff=WIDTH, d_kv=32, num_heads=4, num_layers=2, feed_forward_proj="gated-gelu",
    ))  # fmt: skip
    return HunyuanImagePipeline(
        text_encoder=texts.qwen_vl(tokenizer), tokenizer=tokenizer, text_encoder_2=glyphs, tokenizer_2=ByT5Tokenizer(),
        # These keep what they have done at the steps before.
        guider=AdaptiveProjectedMixGuidance(adaptive_projected_guidance_start_step=0),
        ocr_guider=AdaptiveProjectedMixGuidance(adaptive_projected_guidance_start_step=1),
        vae=AutoencoderKLHunyuanImage(
            in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(32, 64, 64, 64), layers_per_block=1,
            scaling_factor=0.47, spatial_compression_ratio=8, sample_size=SIZE,
        ),
        transformer=HunyuanImageTransformer2DModel(
            in_channels=4, out_channels=4, num_attention_heads=4, attention_head_dim=32, num_layers=1,
            num_single_layers=1, num_refiner_layers=1, text_embed_dim=WIDTH, text_embed_2_dim=WIDTH,
            rope_axes_dim=(16, 16),
        ),
        scheduler=flow_matching(shift=7.0),
    )  # fmt: skip


def unconditional() -> Any:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    return DDPMPipeline(scheduler=DDPMScheduler(), unet=UNet2DModel(
        sample_size=SIZE, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    ))  # fmt: skip


def of_classes() -> Any:
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    transformer = DiTTransformer2DModel(
        sample_size=SIZE // 2, num_layers=2, patch_size=4, attention_head_dim=32, num_attention_heads=4, in_channels=4,
        out_channels=8,
    )  # fmt: skip
    return DiTPipeline(transformer=transformer, vae=autoencoders.kl(), scheduler=DDIMScheduler(),
                       id2label={"0": "cat", "1": "boat"})  # fmt: skip


def telling(network: Any, layers: str = "") -> Any:
    """Return `network` with weights in those layers of it that start as zeros: then they would do nothing."""
    import torch

    for name, parameter in network.named_parameters():
        if layers in name and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network
