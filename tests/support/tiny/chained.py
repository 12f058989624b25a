"""Tiny pipelines that come in pairs: one makes the tensors that the other begins with."""

from __future__ import annotations

from typing import Any

from support.tiny.texts import WIDTH, clip, clip_tokenizer


def kandinsky_prior() -> Any:
    from diffusers import KandinskyV22PriorPipeline, PriorTransformer, UnCLIPScheduler
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    tokenizer = clip_tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH, num_hidden_layers=1,
        num_attention_heads=4, image_size=32, patch_size=16,
    )  # fmt: skip
    return KandinskyV22PriorPipeline(
        prior=PriorTransformer(num_attention_heads=4, attention_head_dim=32, embedding_dim=WIDTH, num_layers=1),
        image_encoder=CLIPVisionModelWithProjection(vision), text_encoder=clip(tokenizer, projected=True),
        tokenizer=tokenizer, image_processor=CLIPImageProcessor(size=32, crop_size=32),
        scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample=True, clip_sample_range=10.0
        ),
    )  # fmt: skip


def kandinsky_decoder() -> Any:
    from diffusers import DDIMScheduler, KandinskyV22Pipeline, UNet2DConditionModel, VQModel

    return KandinskyV22Pipeline(
        unet=UNet2DConditionModel(
            in_channels=4, out_channels=8, addition_embed_type="image", layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", block_out_channels=(32, 64), encoder_hid_dim=WIDTH,
            encoder_hid_dim_type="image_proj", cross_attention_dim=WIDTH, attention_head_dim=4,
            resnet_time_scale_shift="scale_shift",
        ),
        movq=VQModel(
            block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
            up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), latent_channels=4, layers_per_block=1,
            norm_num_groups=8, norm_type="spatial", num_vq_embeddings=12, vq_embed_dim=4,
        ),
        scheduler=DDIMScheduler(beta_schedule="linear", clip_sample=False, set_alpha_to_one=False),
    )  # fmt: skip
