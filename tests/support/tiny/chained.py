"""Tiny pipelines that come in pairs: one makes the tensors that the other begins with."""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, unets
from support.tiny.autoencoders import SIZE
from support.tiny.texts import WIDTH, clip, clip_tokenizer


def kandinsky_prior() -> Any:
    from diffusers import KandinskyV22PriorPipeline, PriorTransformer, UnCLIPScheduler
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    tokenizer = clip_tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH, num_hidden_layers=1,
        num_attention_heads=4, image_size=32, patch_size=16,
    )  # fmt: skip
    prior = PriorTransformer(num_attention_heads=4, attention_head_dim=32, embedding_dim=WIDTH, num_layers=1)
    prior.clip_std.data.fill_(1.0)  # by which what it makes is multiplied: it starts as zeros
    return KandinskyV22PriorPipeline(
        prior=prior,
        image_encoder=CLIPVisionModelWithProjection(vision), text_encoder=clip(tokenizer, projected=True),
        tokenizer=tokenizer, image_processor=CLIPImageProcessor(size=32, crop_size=32),
        scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample=True, clip_sample_range=10.0
        ),
    )  # fmt: skip


def kandinsky_decoder() -> Any:
    from diffusers import DDIMScheduler, KandinskyV22Pipeline, UNet2DConditionModel

    return KandinskyV22Pipeline(
        unet=UNet2DConditionModel(
            in_channels=4, out_channels=8, addition_embed_type="image", layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", block_out_channels=(32, 64), encoder_hid_dim=WIDTH,
            encoder_hid_dim_type="image_proj", cross_attention_dim=WIDTH, attention_head_dim=4,
            resnet_time_scale_shift="scale_shift",
        ),
        movq=autoencoders.quantizing(levels=2),
        scheduler=DDIMScheduler(beta_schedule="linear", clip_sample=False, set_alpha_to_one=False),
    )  # fmt: skip


def kandinsky_both() -> Any:
    """Return the pair as one pipeline, which has the prior's parts in roles of their own."""
    from diffusers import KandinskyV22CombinedPipeline

    prior = {f"prior_{role}": part for role, part in kandinsky_prior().components.items()}
    return KandinskyV22CombinedPipeline(**kandinsky_decoder().components, **prior)


def deep_floyd_super_resolution() -> Any:
    from diffusers import DDPMScheduler, IFSuperResolutionPipeline

    first = unets.deep_floyd()
    return IFSuperResolutionPipeline(
        **{role: first.components[role] for role in ("tokenizer", "text_encoder", "scheduler")},
        unet=unets.deep_floyd_unet(in_channels=6, sample_size=SIZE // 2, class_embed_type="timestep"),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        safety_checker=None, feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def upscaler() -> Any:
    from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionUpscalePipeline

    tokenizer = clip_tokenizer()
    return StableDiffusionUpscalePipeline(
        # Of this class's pictures each side is 4 times that of what is given, whatever the latents are.
        vae=autoencoders.kl(levels=3, scaling_factor=0.08333), text_encoder=clip(tokenizer), tokenizer=tokenizer,
        unet=unets.unet(in_channels=7, cross_attention_dim=WIDTH, attention_head_dim=4, num_class_embeds=1000),
        low_res_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        scheduler=DDIMScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear", clip_sample=False,
                                set_alpha_to_one=False),
        safety_checker=None, feature_extractor=None, watermarker=None, max_noise_level=350,
    )  # fmt: skip


def latent_upscaler() -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionLatentUpscalePipeline, UNet2DConditionModel

    tokenizer = clip_tokenizer()
    return StableDiffusionLatentUpscalePipeline(
        vae=autoencoders.kl(), text_encoder=clip(tokenizer), tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            in_channels=8, out_channels=5, block_out_channels=(32, 32, 64, 64), layers_per_block=1,
            norm_num_groups=None, down_block_types=("KDownBlock2D", *["KCrossAttnDownBlock2D"] * 3),
            up_block_types=(*["KCrossAttnUpBlock2D"] * 3, "KUpBlock2D"), mid_block_type=None, act_fn="gelu",
            attention_head_dim=8, cross_attention_dim=WIDTH, conv_in_kernel=1, conv_out_kernel=1,
            resnet_time_scale_shift="scale_shift", time_embedding_type="fourier", timestep_post_act="gelu",
            # Of the level of noise there are 128, beside the pooled prompt.
            time_cond_proj_dim=128 + WIDTH,
        ),
        scheduler=EulerDiscreteScheduler(prediction_type="sample"),
    )  # fmt: skip


def _cascade(**options: Any) -> Any:
    from diffusers.models import StableCascadeUNet

    return StableCascadeUNet(
        conditioning_dim=WIDTH, block_out_channels=(64, 128), num_attention_heads=(2, 4),
        down_num_layers_per_block=(1, 1), up_num_layers_per_block=(1, 1), down_blocks_repeat_mappers=(1, 1),
        up_blocks_repeat_mappers=(2, 2), clip_text_pooled_in_channels=WIDTH, **options,
    )  # fmt: skip


def stable_cascade_prior() -> Any:
    from diffusers import DDPMWuerstchenScheduler, StableCascadePriorPipeline

    tokenizer = clip_tokenizer()
    return StableCascadePriorPipeline(
        tokenizer=tokenizer, text_encoder=clip(tokenizer, projected=True), scheduler=DDPMWuerstchenScheduler(),
        prior=_cascade(clip_text_in_channels=WIDTH, clip_image_in_channels=WIDTH, switch_level=(False,)),
        resolution_multiple=8,
    )  # fmt: skip


def stable_cascade_decoder() -> Any:
    from diffusers import DDPMWuerstchenScheduler, StableCascadeDecoderPipeline
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    tokenizer = clip_tokenizer()
    made = StableCascadeDecoderPipeline(
        decoder=_cascade(in_channels=4, out_channels=4, patch_size=2, effnet_in_channels=16,
                         timestep_conditioning_type=("sca",)),
        tokenizer=tokenizer, text_encoder=clip(tokenizer, projected=True), scheduler=DDPMWuerstchenScheduler(),
        vqgan=PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=16, embed_dim=32), latent_dim_scale=2.0,
    )  # fmt: skip
    # The package that published checkpoints name. This diffusers has moved it, and writes a name that it can't read.
    made.register_to_config(vqgan=("wuerstchen", "PaellaVQModel"))
    return made
