"""Tiny pipelines of videos."""

from __future__ import annotations

from typing import Any

from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH, t5, t5_tokenizer


def wan() -> Any:
    from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel

    tokenizer = t5_tokenizer()
    return WanPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer), scheduler=flow_matching(shift=3.0),
        transformer=WanTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=4, attention_head_dim=32, in_channels=16, out_channels=16,
            text_dim=WIDTH, freq_dim=256, ffn_dim=2 * WIDTH, num_layers=2, cross_attn_norm=True,
            qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
        ),
        vae=AutoencoderKLWan(
            base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
        ),
    )  # fmt: skip
