"""Tiny pipelines of videos that have sound beside them: LTX 2, and what its videos are gone on with."""

from __future__ import annotations

from typing import Any

from support.tiny import texts
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH

RATE = 8000  # samples in a second of the sound


def _gemma3(tokenizer: Any) -> Any:
    """What reads the prompt, and could look at pictures, for which it has the smallest part that its class allows."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    return Gemma3ForConditionalGeneration(Gemma3Config(
        text_config={
            "vocab_size": len(tokenizer) + 3, "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "head_dim": 32,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
            "max_position_embeddings": 512, "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14,
        },
        mm_tokens_per_image=4, boi_token_index=len(tokenizer), eoi_token_index=len(tokenizer) + 1,
        image_token_index=len(tokenizer) + 2,
    ))  # fmt: skip


def _vae() -> Any:
    from diffusers import AutoencoderKLLTX2Video

    return AutoencoderKLLTX2Video(
        latent_channels=4, block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1, 1), spatio_temporal_scaling=(True, True),
        decoder_spatio_temporal_scaling=(True, True), decoder_inject_noise=(False,) * 3,
        downsample_type=("spatial", "spatiotemporal"), upsample_residual=(False,) * 2, upsample_factor=(1, 1),
        patch_size=1, patch_size_t=1, encoder_causal=True, decoder_causal=False,
    )  # fmt: skip


def _parts() -> dict[str, Any]:
    from diffusers import AutoencoderKLLTX2Audio, LTX2VideoTransformer3DModel
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder

    tokenizer = texts.qwen_tokenizer()
    return {
        "tokenizer": tokenizer, "text_encoder": _gemma3(tokenizer), "scheduler": flow_matching(), "vae": _vae(),
        "transformer": LTX2VideoTransformer3DModel(
            in_channels=4, out_channels=4, patch_size=1, patch_size_t=1, num_attention_heads=4, attention_head_dim=32,
            cross_attention_dim=WIDTH, audio_in_channels=8, audio_out_channels=8, audio_num_attention_heads=4,
            audio_attention_head_dim=32, audio_cross_attention_dim=WIDTH, num_layers=1, caption_channels=WIDTH,
            rope_double_precision=False, rope_type="split",
        ),
        "connectors": LTX2TextConnectors(
            caption_channels=WIDTH, text_proj_in_factor=3, video_connector_num_attention_heads=4,
            video_connector_attention_head_dim=32, video_connector_num_layers=1,
            video_connector_num_learnable_registers=None, audio_connector_num_attention_heads=4,
            audio_connector_attention_head_dim=32, audio_connector_num_layers=1,
            audio_connector_num_learnable_registers=None, connector_rope_base_seq_len=32,
            rope_double_precision=False, rope_type="split",
        ),
        "audio_vae": AutoencoderKLLTX2Audio(
            base_channels=8, ch_mult=(1,), num_res_blocks=1, resolution=32, latent_channels=2, sample_rate=RATE,
            mel_hop_length=RATE // 100, mel_bins=16,
        ),
        "vocoder": LTX2Vocoder(
            in_channels=32, hidden_channels=32, upsample_kernel_sizes=[10, 8], upsample_factors=[5, 4],
            resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]], output_sampling_rate=RATE,
        ),
    }  # fmt: skip


def ltx_2() -> Any:
    from diffusers import LTX2Pipeline

    return LTX2Pipeline(**_parts())


def ltx_2_upsampler() -> Any:
    from diffusers import LTX2LatentUpsamplePipeline
    from diffusers.pipelines.ltx2 import LTX2LatentUpsamplerModel

    upsampler = LTX2LatentUpsamplerModel(in_channels=4, mid_channels=64, num_blocks_per_stage=1)
    return LTX2LatentUpsamplePipeline(vae=_vae(), latent_upsampler=upsampler)


def ltx_2_condition() -> Any:
    from diffusers import LTX2ConditionPipeline

    return LTX2ConditionPipeline(**_parts())
