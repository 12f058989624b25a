"""Tiny pipelines of videos."""

from __future__ import annotations

from typing import Any

from support.tiny import texts, unets
from support.tiny.autoencoders import SIZE, kl
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH, t5, t5_tokenizer


def _wan_vae() -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )


def _wan_transformer(in_channels: int = 16) -> Any:
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=4, attention_head_dim=32, in_channels=in_channels, out_channels=16,
        text_dim=WIDTH, freq_dim=256, ffn_dim=2 * WIDTH, num_layers=2, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
    )  # fmt: skip


def wan() -> Any:
    from diffusers import WanPipeline

    tokenizer = t5_tokenizer()
    return WanPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer), scheduler=flow_matching(shift=3.0),
        transformer=_wan_transformer(), vae=_wan_vae(),
    )  # fmt: skip


def wan_from_image() -> Any:
    """Return one of two transformers, the second of which takes the last steps."""
    from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline

    tokenizer = t5_tokenizer()
    return WanImageToVideoPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer), vae=_wan_vae(), transformer=_wan_transformer(36),
        transformer_2=_wan_transformer(36), boundary_ratio=0.875,
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    )  # fmt: skip


def cog_video_x() -> Any:
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXPipeline,
        CogVideoXTransformer3DModel,
    )

    tokenizer = t5_tokenizer()
    return CogVideoXPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer), scheduler=CogVideoXDDIMScheduler(),
        vae=AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        ),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, in_channels=4, out_channels=4, time_embed_dim=WIDTH,
            text_embed_dim=WIDTH, num_layers=1, sample_width=SIZE // 8, sample_height=SIZE // 8, sample_frames=9,
            max_text_seq_length=16,
        ),
    )  # fmt: skip


def ltx_video() -> Any:
    from diffusers import AutoencoderKLLTXVideo, LTXPipeline, LTXVideoTransformer3DModel

    tokenizer = t5_tokenizer()
    return LTXPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer), scheduler=flow_matching(),
        vae=AutoencoderKLLTXVideo(
            latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1, 1),
            spatio_temporal_scaling=(True, True, False, False),
            decoder_spatio_temporal_scaling=(True, True, False, False), decoder_inject_noise=(False,) * 5,
            upsample_residual=(False,) * 4, upsample_factor=(1,) * 4, patch_size=1, patch_size_t=1,
        ),
        transformer=LTXVideoTransformer3DModel(
            in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=32, cross_attention_dim=WIDTH,
            num_layers=1, caption_channels=WIDTH,
        ),
    )  # fmt: skip


def hunyuan_video() -> Any:
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoPipeline, HunyuanVideoTransformer3DModel
    from transformers import LlamaConfig, LlamaModel

    llama, clip = texts.qwen_tokenizer(), texts.clip_tokenizer()
    encoder = LlamaModel(LlamaConfig(
        # It takes what the last but two says.
        vocab_size=len(llama), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=1024, pad_token_id=llama.pad_token_id,
        bos_token_id=llama.pad_token_id, eos_token_id=llama.eos_token_id,
    ))  # fmt: skip
    return HunyuanVideoPipeline(
        text_encoder=encoder, tokenizer=llama, text_encoder_2=texts.clip(clip), tokenizer_2=clip,
        scheduler=flow_matching(shift=7.0),
        vae=AutoencoderKLHunyuanVideo(block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4),
        transformer=HunyuanVideoTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, num_layers=1, num_single_layers=1, num_refiner_layers=1,
            text_embed_dim=WIDTH, pooled_projection_dim=WIDTH, rope_axes_dim=(8, 12, 12),
        ),
    )  # fmt: skip


def sana_video() -> Any:
    from diffusers import SanaVideoPipeline, SanaVideoTransformer3DModel

    tokenizer = texts.qwen_tokenizer()
    return SanaVideoPipeline(
        tokenizer=tokenizer, text_encoder=texts.gemma(tokenizer), vae=_wan_vae(), scheduler=flow_matching(),
        transformer=SanaVideoTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, num_layers=2, num_cross_attention_heads=4,
            cross_attention_head_dim=32, cross_attention_dim=WIDTH, caption_channels=WIDTH, sample_size=SIZE // 8,
            rope_max_seq_len=32,
        ),
    )  # fmt: skip


def animate_diff() -> Any:
    from diffusers import AnimateDiffPipeline, DDIMScheduler, MotionAdapter

    parts = unets.stable_diffusion().components
    kept = {role: parts[role] for role in ("text_encoder", "tokenizer", "unet")} | {"vae": kl(levels=4)}
    motion = MotionAdapter(
        block_out_channels=(64, 128), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=4
    )
    return AnimateDiffPipeline(
        **kept, motion_adapter=motion, scheduler=DDIMScheduler(beta_schedule="linear", clip_sample=False)
    )


def stable_video_diffusion() -> Any:
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    return StableVideoDiffusionPipeline(
        # Whatever the processor says, the picture comes to it in 224 by 224 pixels.
        image_encoder=CLIPVisionModelWithProjection(CLIPVisionConfig(
            hidden_size=WIDTH, intermediate_size=WIDTH, projection_dim=WIDTH, num_hidden_layers=1,
            num_attention_heads=4, image_size=224, patch_size=56,
        )),
        feature_extractor=CLIPImageProcessor(),
        vae=AutoencoderKLTemporalDecoder(block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D",) * 2),
        unet=UNetSpatioTemporalConditionModel(
            block_out_channels=(64, 128), layers_per_block=1, sample_size=SIZE // 2, cross_attention_dim=WIDTH,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"), num_attention_heads=4,
            projection_class_embeddings_input_dim=96, addition_time_embed_dim=32,
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
            sigma_max=700.0, sigma_min=0.002, steps_offset=1, timestep_type="continuous", use_karras_sigmas=True,
        ),
    )  # fmt: skip
