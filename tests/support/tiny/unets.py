"""Tiny pipelines whose denoiser is a UNet."""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, texts
from support.tiny.autoencoders import SIZE
from support.tiny.texts import WIDTH


def unet(**options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**{
        "block_out_channels": (64, 128), "layers_per_block": 1, "sample_size": SIZE // 2, "in_channels": 4,
        "out_channels": 4, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "norm_num_groups": 32, **options,
    })  # fmt: skip


def stable_diffusion() -> Any:
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    tokenizer = texts.clip_tokenizer()
    return StableDiffusionPipeline(
        unet=unet(cross_attention_dim=WIDTH, attention_head_dim=4), vae=autoencoders.kl(),
        text_encoder=texts.clip(tokenizer), tokenizer=tokenizer,
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def controlnet() -> Any:
    from diffusers import StableDiffusionControlNetPipeline

    parts = stable_diffusion().components
    parts |= {"controlnet": _steering(parts["unet"]), "image_encoder": texts.image_encoder()}
    return StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False)


def _steering(steered: Any) -> Any:
    from diffusers import ControlNetModel

    made = ControlNetModel.from_unet(steered, conditioning_embedding_out_channels=(16, 32))
    # Not what it starts with, zeros: then it would do nothing.
    for layer in made.controlnet_down_blocks:
        layer.reset_parameters()
    return made


def adapter() -> Any:
    from diffusers import StableDiffusionAdapterPipeline

    parts = stable_diffusion().components
    del parts["image_encoder"]
    parts["unet"] = unet(cross_attention_dim=WIDTH, attention_head_dim=4, **_ATTENDING_FIRST)
    return StableDiffusionAdapterPipeline(**parts, adapter=_adapter(), requires_safety_checker=False)


def stable_diffusion_xl_adapter() -> Any:
    from diffusers import StableDiffusionXLAdapterPipeline

    parts = stable_diffusion_xl().components
    parts["unet"] = unet(
        cross_attention_dim=2 * WIDTH, attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH, **_ATTENDING_FIRST,
    )  # fmt: skip
    return StableDiffusionXLAdapterPipeline(**parts, adapter=_adapter())


# As in the published ones the first block attends: what an adapter makes is as large as what goes into that.
_ATTENDING_FIRST = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip


def _adapter() -> Any:
    from diffusers import T2IAdapter

    return T2IAdapter(in_channels=3, channels=[64, 128], num_res_blocks=1, downscale_factor=2)


def stable_diffusion_xl(second: int = WIDTH) -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    tokenizer = texts.clip_tokenizer()
    denoiser = unet(
        cross_attention_dim=WIDTH + second, attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + second,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        unet=denoiser, vae=autoencoders.kl(), text_encoder=texts.clip(tokenizer), tokenizer=tokenizer,
        text_encoder_2=texts.clip(tokenizer, projected=True, width=second), tokenizer_2=texts.clip_tokenizer(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
            timestep_spacing="leading",
        ),
    )  # fmt: skip


def stable_diffusion_xl_of_two_widths() -> Any:
    """Return one whose text encoders can be told apart by their width, as those of real checkpoints can."""
    return stable_diffusion_xl(second=2 * WIDTH)


def stable_diffusion_xl_controlnet() -> Any:
    from diffusers import StableDiffusionXLControlNetPipeline

    parts = stable_diffusion_xl().components
    return StableDiffusionXLControlNetPipeline(**parts, controlnet=_steering(parts["unet"]))


def latent_consistency() -> Any:
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    parts = stable_diffusion().components
    parts["unet"] = unet(cross_attention_dim=WIDTH, attention_head_dim=4, time_cond_proj_dim=64)
    return LatentConsistencyModelPipeline(**parts | {"scheduler": LCMScheduler()}, requires_safety_checker=False)


def deep_floyd_unet(**options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(64, 128), layers_per_block=1, out_channels=6,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), norm_num_groups=32,
        attention_head_dim=32, cross_attention_dim=WIDTH, encoder_hid_dim=WIDTH, addition_embed_type="text",
        addition_embed_type_num_heads=2, cross_attention_norm="group_norm", resnet_time_scale_shift="scale_shift",
        act_fn="gelu", **options,
    )  # fmt: skip


def deep_floyd() -> Any:
    from diffusers import DDPMScheduler, IFPipeline

    t5 = texts.t5_tokenizer()
    scheduler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", beta_start=0.0001, beta_end=0.02, thresholding=True,
        dynamic_thresholding_ratio=0.95, sample_max_value=1.0, prediction_type="epsilon",
        variance_type="learned_range",
    )  # fmt: skip
    return IFPipeline(
        tokenizer=t5, text_encoder=texts.t5(t5), unet=deep_floyd_unet(in_channels=3, sample_size=SIZE),
        scheduler=scheduler, safety_checker=None,
        feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def kandinsky_3() -> Any:
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet

    t5 = texts.t5_tokenizer()
    denoiser = Kandinsky3UNet(
        in_channels=4, time_embedding_dim=WIDTH, groups=2, attention_head_dim=32, layers_per_block=2,
        block_out_channels=(64, 128), cross_attention_dim=WIDTH, encoder_hid_dim=WIDTH,
    )  # fmt: skip
    return Kandinsky3Pipeline(
        tokenizer=t5, text_encoder=texts.t5(t5), unet=denoiser, movq=autoencoders.quantizing(),
        scheduler=DDPMScheduler(beta_start=0.00085, beta_end=0.012, steps_offset=1),
    )  # fmt: skip


def _with_ddim(**options: Any) -> dict[str, Any]:
    from diffusers import DDIMScheduler

    parts = stable_diffusion().components
    kept = {role: parts[role] for role in ("unet", "vae", "text_encoder", "tokenizer")}
    return kept | {"scheduler": DDIMScheduler(clip_sample=False, **options)}


def marigold() -> Any:
    from diffusers import MarigoldDepthPipeline

    parts = _with_ddim(prediction_type="v_prediction")
    parts["unet"] = unet(in_channels=8, cross_attention_dim=WIDTH, attention_head_dim=4)
    return MarigoldDepthPipeline(**parts, prediction_type="depth", scale_invariant=True, shift_invariant=True)


def text_to_video_zero() -> Any:
    from diffusers import TextToVideoZeroPipeline

    return TextToVideoZeroPipeline(
        **_with_ddim(), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
