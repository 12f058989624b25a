"""Tiny pipelines that are steered otherwise than by a plain controlnet: in several modes, layer by layer, in a mask."""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, crossed, guided, joint, unets
from support.tiny.autoencoders import SIZE
from support.tiny.guided import telling
from support.tiny.texts import WIDTH


def stable_diffusion_xl_controlnet_union() -> Any:
    from diffusers import ControlNetUnionModel, StableDiffusionXLControlNetUnionPipeline

    parts = unets.stable_diffusion_xl().components
    controlnet = ControlNetUnionModel(
        block_out_channels=(64, 128), layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        cross_attention_dim=2 * WIDTH, attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH, conditioning_embedding_out_channels=(16, 32),
        # What it makes of each mode's picture is as wide as what the first block takes.
        num_control_type=3, num_trans_channel=64, num_proj_channel=64,
    )  # fmt: skip
    return StableDiffusionXLControlNetUnionPipeline(**parts, controlnet=telling(controlnet, ""))


def flux_controlnet_union() -> Any:
    from diffusers import FluxControlNetModel, FluxControlNetPipeline

    controlnet = FluxControlNetModel(in_channels=16, num_mode=3, **guided.FLUX)
    return FluxControlNetPipeline(**guided.flux_parts(16), controlnet=telling(controlnet, "controlnet"))


def _woven(unet: Any) -> Any:
    from diffusers import ControlNetXSAdapter

    made = ControlNetXSAdapter.from_unet(unet, size_ratio=0.5, conditioning_embedding_out_channels=(16, 32))
    return telling(made, "")


def controlnet_xs() -> Any:
    from diffusers import StableDiffusionControlNetXSPipeline

    parts = unets.stable_diffusion().components
    del parts["image_encoder"]
    parts["unet"] = unets.unet(cross_attention_dim=WIDTH, attention_head_dim=4, layers_per_block=2)
    return StableDiffusionControlNetXSPipeline(**parts, controlnet=_woven(parts["unet"]), requires_safety_checker=False)


def stable_diffusion_xl_controlnet_xs() -> Any:
    from diffusers import StableDiffusionXLControlNetXSPipeline

    parts = unets.stable_diffusion_xl().components
    del parts["image_encoder"]
    parts["unet"] = unets.unet(
        cross_attention_dim=2 * WIDTH, attention_head_dim=(2, 4), use_linear_projection=True, layers_per_block=2,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )  # fmt: skip
    return StableDiffusionXLControlNetXSPipeline(**parts, controlnet=_woven(parts["unet"]))


def stable_diffusion_3_controlnet_of_masks() -> Any:
    from diffusers import SD3ControlNetModel, StableDiffusion3ControlNetInpaintingPipeline

    # Its VAE shrinks by 8: the mask is shrunk by that, whatever the VAE does.
    parts = joint.stable_diffusion_3().components
    parts["vae"] = autoencoders.kl(16, levels=4, shift_factor=0.06, scaling_factor=1.5)
    controlnet = SD3ControlNetModel(
        sample_size=SIZE // 2, patch_size=2, in_channels=16, out_channels=16, num_layers=1, attention_head_dim=32,
        num_attention_heads=4, caption_projection_dim=WIDTH, joint_attention_dim=2 * WIDTH,
        pooled_projection_dim=2 * WIDTH, pos_embed_max_size=SIZE // 2, extra_conditioning_channels=1,
    )  # fmt: skip
    return StableDiffusion3ControlNetInpaintingPipeline(**parts, controlnet=telling(controlnet, "controlnet"))


def qwen_image_controlnet_of_masks() -> Any:
    from diffusers import QwenImageControlNetInpaintPipeline, QwenImageControlNetModel

    controlnet = QwenImageControlNetModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, axes_dims_rope=(8, 12, 12), extra_condition_channels=4,
    )  # fmt: skip
    parts = joint.qwen_image().components
    return QwenImageControlNetInpaintPipeline(**parts, controlnet=telling(controlnet, "controlnet"))


def z_image_controlnet_of_masks() -> Any:
    from diffusers import ZImageControlNetInpaintPipeline, ZImageControlNetModel

    # Latents of what it is steered by and of what is to stay, and the mask.
    controlnet = ZImageControlNetModel(
        control_layers_places=[0], control_refiner_layers_places=[], control_in_dim=4 + 4 + 1, dim=WIDTH,
        n_refiner_layers=1, n_heads=4, n_kv_heads=4,
    )  # fmt: skip
    return ZImageControlNetInpaintPipeline(**joint.z_image().components, controlnet=telling(controlnet, "after_proj"))


def hunyuan_dit_controlnet() -> Any:
    from diffusers import HunyuanDiT2DControlNetModel, HunyuanDiTControlNetPipeline

    parts = crossed.hunyuan_dit().components
    controlnet = HunyuanDiT2DControlNetModel(
        num_attention_heads=4, attention_head_dim=32, in_channels=4, patch_size=2, sample_size=SIZE // 8,
        hidden_size=WIDTH, transformer_num_layers=2, cross_attention_dim=WIDTH, cross_attention_dim_t5=WIDTH,
        pooled_projection_dim=WIDTH, text_len=77, text_len_t5=256, use_style_cond_and_image_meta_size=False,
    )  # fmt: skip
    return HunyuanDiTControlNetPipeline(
        **parts, controlnet=telling(controlnet, "controlnet"), requires_safety_checker=False
    )


def cog_view_4_control() -> Any:
    from diffusers import CogView4ControlPipeline, CogView4Transformer2DModel

    parts = joint.cog_view_4().components
    config = dict(parts["transformer"].config) | {"in_channels": 8}
    return CogView4ControlPipeline(**parts | {"transformer": CogView4Transformer2DModel.from_config(config)})
