"""Tiny autoencoders: they shrink by 2 to 8, so that a forward pass takes milliseconds."""

from __future__ import annotations

from typing import Any

SIZE = 64  # side of a picture


def kl(channels: int = 4, *, levels: int = 2, **options: Any) -> Any:
    """Return one that shrinks by 2, or for some pipelines, whose code knows no other number, in 4 levels by 8."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=[32, *[64] * (levels - 1)], layers_per_block=1, latent_channels=channels,
        norm_num_groups=32, sample_size=SIZE, down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels, **options,
    )  # fmt: skip


def shifted() -> Any:
    return kl(shift_factor=0.1, scaling_factor=0.36)


def quantizing(levels: int = 4) -> Any:
    """Return one of as many levels, that takes of each place the nearest of a table."""
    from diffusers import VQModel

    made = VQModel(
        block_out_channels=(*[32] * (levels - 1), 64), layers_per_block=1, latent_channels=4, norm_num_groups=8,
        norm_type="spatial", down_block_types=(*["DownEncoderBlock2D"] * (levels - 1), "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", *["UpDecoderBlock2D"] * (levels - 1)), num_vq_embeddings=2048,
        vq_embed_dim=4,
    )  # fmt: skip
    # So near to each other that none hides a small change, and as far apart as what they stand for.
    made.quantize.embedding.weight.data.normal_()
    return made


def of_qwen_image() -> Any:
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=32, z_dim=4, dim_mult=[1, 2, 4], num_res_blocks=1, temperal_downsample=[False, True],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
