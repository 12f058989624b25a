"""Tiny pipelines whose transformer looks at the prompt by attention of its own."""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, texts
from support.tiny.autoencoders import SIZE
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH


def pixart_alpha() -> Any:
    from diffusers import PixArtAlphaPipeline

    return PixArtAlphaPipeline(**pixart_sigma().components)


def pixart_sigma() -> Any:
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    t5 = texts.t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        num_attention_heads=4, attention_head_dim=32, in_channels=4, out_channels=8, num_layers=2,
        cross_attention_dim=WIDTH, sample_size=SIZE // 2, patch_size=2, caption_channels=WIDTH,
        use_additional_conditions=False,
    )  # fmt: skip
    return PixArtSigmaPipeline(
        transformer=transformer, vae=autoencoders.kl(), text_encoder=texts.t5(t5), tokenizer=t5,
        scheduler=DPMSolverMultistepScheduler(),
    )  # fmt: skip


def sana(**options: Any) -> Any:
    from diffusers import AutoencoderDC, SanaPipeline, SanaTransformer2DModel

    tokenizer = texts.qwen_tokenizer()
    vae = AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(32, 32),
        decoder_block_out_channels=(32, 32), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=[1, 1], downsample_block_type="conv",
        upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.41,
    )  # fmt: skip
    transformer = SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=4, attention_head_dim=32, num_layers=2,
        num_cross_attention_heads=4, cross_attention_head_dim=32, cross_attention_dim=WIDTH, caption_channels=WIDTH,
        sample_size=SIZE // 2, **options,
    )  # fmt: skip
    return SanaPipeline(
        transformer=transformer, vae=vae, text_encoder=texts.gemma(tokenizer), tokenizer=tokenizer,
        scheduler=flow_matching(shift=7.0),
    )  # fmt: skip


def sana_sprint() -> Any:
    from diffusers import SanaSprintPipeline, SCMScheduler

    parts = sana(guidance_embeds=True, qk_norm="rms_norm_across_heads").components
    return SanaSprintPipeline(**parts | {"scheduler": SCMScheduler()})


def hunyuan_dit() -> Any:
    from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline

    bert, t5 = texts.bert_tokenizer(), texts.t5_tokenizer()
    transformer = HunyuanDiT2DModel(
        num_attention_heads=4, attention_head_dim=32, in_channels=4, patch_size=2, sample_size=SIZE // 8,
        hidden_size=WIDTH, num_layers=2, cross_attention_dim=WIDTH, cross_attention_dim_t5=WIDTH,
        pooled_projection_dim=WIDTH, text_len=77, text_len_t5=256, activation_fn="gelu-approximate",
        use_style_cond_and_image_meta_size=False,
    )  # fmt: skip
    return HunyuanDiTPipeline(
        transformer=transformer, vae=autoencoders.kl(levels=4), text_encoder=texts.bert(bert), tokenizer=bert,
        text_encoder_2=texts.t5(t5), tokenizer_2=t5, scheduler=DDPMScheduler(), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def lumina() -> Any:
    import torch
    from diffusers import LuminaNextDiT2DModel, LuminaPipeline

    tokenizer = texts.qwen_tokenizer()
    transformer = LuminaNextDiT2DModel(
        sample_size=SIZE // 8, patch_size=2, in_channels=4, hidden_size=WIDTH, num_layers=2, num_attention_heads=4,
        num_kv_heads=2, multiple_of=16, cross_attention_dim=WIDTH,
    )  # fmt: skip
    # diffusers leaves it as memory was, and calls nothing with it.
    torch.nn.init.zeros_(transformer.pad_token)
    return LuminaPipeline(
        transformer=transformer, vae=autoencoders.kl(levels=4), text_encoder=texts.gemma(tokenizer),
        tokenizer=tokenizer, scheduler=flow_matching(),
    )  # fmt: skip
