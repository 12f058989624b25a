"""Tiny pipelines that go another way with Stable Diffusion's weights, or that tell such a denoiser of other things."""

from __future__ import annotations

from typing import Any

from support.tiny import joint, texts, unets
from support.tiny.autoencoders import SIZE
from support.tiny.texts import WIDTH


def _parts(*more: str, **other: Any) -> dict[str, Any]:
    """Return Stable Diffusion's parts with `other` in their places; of the optional ones those that `more` names."""
    from diffusers import DDIMScheduler

    parts = unets.stable_diffusion().components
    kept = ("unet", "vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor", *more)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    return {role: parts[role] for role in kept} | {"scheduler": scheduler} | other


def self_attention_guided() -> Any:
    from diffusers import StableDiffusionSAGPipeline

    # What it blurs is told by attention to a picture that the UNet has shrunk by as much as its VAE.
    return StableDiffusionSAGPipeline(**_parts("image_encoder"), requires_safety_checker=False)


def panorama() -> Any:
    from diffusers import StableDiffusionPanoramaPipeline

    return StableDiffusionPanoramaPipeline(**_parts("image_encoder"), requires_safety_checker=False)


def attend_and_excite() -> Any:
    from diffusers import StableDiffusionAttendAndExcitePipeline

    return StableDiffusionAttendAndExcitePipeline(**_parts(), requires_safety_checker=False)


def semantic() -> Any:
    from diffusers import SemanticStableDiffusionPipeline

    return SemanticStableDiffusionPipeline(**_parts(), requires_safety_checker=False)


def safe() -> Any:
    from diffusers import StableDiffusionPipelineSafe

    return StableDiffusionPipelineSafe(**_parts("image_encoder"), requires_safety_checker=False)


def cycle_diffusion() -> Any:
    from diffusers import CycleDiffusionPipeline

    return CycleDiffusionPipeline(**_parts(), requires_safety_checker=False)


def grounded() -> Any:
    from diffusers import StableDiffusionGLIGENPipeline

    parts = _parts(unet=unets.unet(cross_attention_dim=WIDTH, attention_head_dim=4, attention_type="gated"))
    return StableDiffusionGLIGENPipeline(**parts, requires_safety_checker=False)


def grounded_by_pictures() -> Any:
    from diffusers import StableDiffusionGLIGENTextImagePipeline
    from diffusers.pipelines.stable_diffusion import CLIPImageProjection
    from transformers import CLIPImageProcessor, CLIPProcessor

    parts = _parts()
    parts["unet"] = unets.unet(cross_attention_dim=WIDTH, attention_head_dim=4, attention_type="gated-text-image")
    return StableDiffusionGLIGENTextImagePipeline(
        **parts, processor=CLIPProcessor(CLIPImageProcessor(size=SIZE, crop_size=SIZE), texts.clip_tokenizer()),
        image_encoder=texts.image_encoder(), image_project=CLIPImageProjection(WIDTH), requires_safety_checker=False,
    )  # fmt: skip


def image_variation() -> Any:
    from diffusers import StableDiffusionImageVariationPipeline
    from transformers import CLIPImageProcessor

    parts = _parts()
    return StableDiffusionImageVariationPipeline(
        **{role: parts[role] for role in ("unet", "vae", "scheduler", "safety_checker")},
        image_encoder=texts.image_encoder(), feature_extractor=CLIPImageProcessor(size=SIZE, crop_size=SIZE),
        requires_safety_checker=False,
    )  # fmt: skip


def depth_to_image() -> Any:
    from diffusers import StableDiffusionDepth2ImgPipeline
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    parts = _parts()
    estimator = DPTForDepthEstimation(DPTConfig(
        hidden_size=64, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64, image_size=SIZE,
        patch_size=16, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[16, 16, 32, 32], fusion_hidden_size=32,
        is_hybrid=False,
    ))  # fmt: skip
    return StableDiffusionDepth2ImgPipeline(
        **{role: parts[role] for role in ("vae", "text_encoder", "tokenizer", "scheduler")},
        unet=unets.unet(in_channels=5, cross_attention_dim=WIDTH, attention_head_dim=4), depth_estimator=estimator,
        feature_extractor=DPTImageProcessor(size={"height": SIZE, "width": SIZE}),
    )  # fmt: skip


def painted_by_example() -> Any:
    from diffusers import PaintByExamplePipeline
    from diffusers.pipelines.deprecated.paint_by_example.image_encoder import PaintByExampleImageEncoder
    from transformers import CLIPImageProcessor, CLIPVisionConfig

    parts = _parts()
    config = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH, num_hidden_layers=2,
        num_attention_heads=4, image_size=SIZE, patch_size=16,
    )  # fmt: skip
    return PaintByExamplePipeline(
        **{role: parts[role] for role in ("vae", "scheduler", "safety_checker")},
        unet=unets.unet(in_channels=9, cross_attention_dim=WIDTH, attention_head_dim=4),
        image_encoder=PaintByExampleImageEncoder(config, proj_size=WIDTH),
        feature_extractor=CLIPImageProcessor(size=SIZE, crop_size=SIZE), requires_safety_checker=False,
    )  # fmt: skip


def stable_diffusion_xl_instructed() -> Any:
    from diffusers import StableDiffusionXLInstructPix2PixPipeline

    parts = unets.stable_diffusion_xl().components
    del parts["image_encoder"], parts["feature_extractor"]
    config = {name: value for name, value in parts["unet"].config.items() if not name.startswith("_")}
    return StableDiffusionXLInstructPix2PixPipeline(
        **parts | {"unet": type(parts["unet"])(**config | {"in_channels": 8})}
    )


def flux_redux() -> Any:
    from diffusers import FluxPriorReduxPipeline
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
    from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    parts = joint.flux().components
    return FluxPriorReduxPipeline(
        **{role: parts[role] for role in ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")},
        image_encoder=SiglipVisionModel(SiglipVisionConfig(
            hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=1, num_attention_heads=4,
            image_size=SIZE, patch_size=16,
        )),
        feature_extractor=SiglipImageProcessor(size={"height": SIZE, "width": SIZE}),
        image_embedder=ReduxImageEncoder(redux_dim=WIDTH, txt_in_features=WIDTH),
    )  # fmt: skip
