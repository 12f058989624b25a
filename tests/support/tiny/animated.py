"""Tiny pipelines of videos whose denoiser is a UNet: pictures' UNets with motion, and those of several dimensions."""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, texts, unets
from support.tiny.autoencoders import SIZE
from support.tiny.texts import WIDTH

_BLOCKS = (64, 128)


def _motion(**options: Any) -> Any:
    from diffusers import MotionAdapter

    return MotionAdapter(
        block_out_channels=_BLOCKS, motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=4,
        **options,
    )  # fmt: skip


def _parts(**options: Any) -> dict[str, Any]:
    """Return those of Stable Diffusion, with what moves them, which `options` are for."""
    from diffusers import DDIMScheduler

    made = unets.stable_diffusion().components
    kept = {role: made[role] for role in ("text_encoder", "tokenizer", "unet")}
    scheduler = DDIMScheduler(beta_schedule="linear", clip_sample=False)
    return kept | {
        "scheduler": scheduler, "motion_adapter": _motion(**options), "vae": autoencoders.kl(levels=4),
    }  # fmt: skip


def animate_diff_controlnet() -> Any:
    from diffusers import AnimateDiffControlNetPipeline, ControlNetModel

    parts = _parts()
    steering = ControlNetModel.from_unet(parts["unet"], conditioning_embedding_out_channels=(16, 16, 16, 32))
    for layer in steering.controlnet_down_blocks:
        layer.reset_parameters()  # not zeros, with which it would do nothing
    return AnimateDiffControlNetPipeline(**parts, controlnet=steering)


def animate_diff_sparse() -> Any:
    from diffusers import AnimateDiffSparseControlNetPipeline, SparseControlNetModel

    steering = SparseControlNetModel(
        in_channels=4, block_out_channels=_BLOCKS, layers_per_block=1, cross_attention_dim=WIDTH, attention_head_dim=4,
        down_block_types=("DownBlockMotion", "CrossAttnDownBlockMotion"), motion_num_attention_heads=4,
        conditioning_embedding_out_channels=(16, 32),
    )  # fmt: skip
    for layer in steering.controlnet_down_blocks:
        layer.reset_parameters()
    return AnimateDiffSparseControlNetPipeline(**_parts(), controlnet=steering)


def animate_diff_xl() -> Any:
    from diffusers import AnimateDiffSDXLPipeline, DDIMScheduler

    made = unets.stable_diffusion_xl().components
    roles = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "unet")
    return AnimateDiffSDXLPipeline(
        **{role: made[role] for role in roles}, vae=autoencoders.kl(levels=4),
        motion_adapter=_motion(use_motion_mid_block=False),
        scheduler=DDIMScheduler(beta_schedule="linear", clip_sample=False),
    )  # fmt: skip


def pia() -> Any:
    """Animates a picture, which its denoiser is given in channels of its own."""
    from diffusers import PIAPipeline

    return PIAPipeline(**_parts(conv_in_channels=9))


def text_to_video_zero_xl() -> Any:
    from diffusers import DDIMScheduler, TextToVideoZeroSDXLPipeline

    made = unets.stable_diffusion_xl().components
    roles = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "unet")
    return TextToVideoZeroSDXLPipeline(
        **{role: made[role] for role in roles}, vae=autoencoders.kl(levels=4),
        scheduler=DDIMScheduler(clip_sample=False),
    )  # fmt: skip


def model_scope() -> Any:
    from diffusers import DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel

    tokenizer = texts.clip_tokenizer()
    return TextToVideoSDPipeline(
        text_encoder=texts.clip(tokenizer), tokenizer=tokenizer, vae=autoencoders.kl(levels=4),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False),
        unet=UNet3DConditionModel(
            block_out_channels=_BLOCKS, layers_per_block=1, sample_size=SIZE // 8, cross_attention_dim=WIDTH,
            down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"), attention_head_dim=4,
            up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
        ),
    )  # fmt: skip


def i2vgen_xl() -> Any:
    from diffusers import DDIMScheduler, I2VGenXLPipeline, I2VGenXLUNet
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    tokenizer = texts.clip_tokenizer()
    return I2VGenXLPipeline(
        text_encoder=texts.clip(tokenizer), tokenizer=tokenizer, vae=autoencoders.kl(levels=4),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False),
        feature_extractor=CLIPImageProcessor(
            crop_size={"height": SIZE, "width": SIZE}, size={"shortest_edge": SIZE},
        ),
        image_encoder=CLIPVisionModelWithProjection(CLIPVisionConfig(
            hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH, num_hidden_layers=2,
            num_attention_heads=4, image_size=SIZE, patch_size=16,
        )),
        unet=I2VGenXLUNet(
            block_out_channels=_BLOCKS, layers_per_block=1, sample_size=SIZE // 8, cross_attention_dim=WIDTH,
            down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"), num_attention_heads=4,
            up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        ),
    )  # fmt: skip
