"""Tiny pipelines of sound."""

from __future__ import annotations

from typing import Any

from support.tiny.texts import WIDTH, clap, roberta_tokenizer, t5, t5_tokenizer


def stable_audio() -> Any:
    """Stereo, of 500 samples in a second."""
    from diffusers import AutoencoderOobleck, EDMDPMSolverMultistepScheduler, StableAudioDiTModel, StableAudioPipeline
    from diffusers.pipelines.stable_audio import StableAudioProjectionModel

    tokenizer = t5_tokenizer()
    return StableAudioPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer),
        projection_model=StableAudioProjectionModel(
            text_encoder_dim=WIDTH, conditioning_dim=WIDTH, min_value=0, max_value=32
        ),
        scheduler=EDMDPMSolverMultistepScheduler(
            sigma_min=0.3, sigma_max=500, solver_order=2, prediction_type="v_prediction", sigma_data=1.0,
            sigma_schedule="exponential",
        ),
        transformer=StableAudioDiTModel(
            sample_size=64, in_channels=8, num_layers=2, attention_head_dim=32, num_attention_heads=4,
            num_key_value_attention_heads=2, out_channels=8, cross_attention_dim=WIDTH, time_proj_dim=WIDTH,
            global_states_input_dim=2 * WIDTH, cross_attention_input_dim=WIDTH,
        ),
        vae=AutoencoderOobleck(
            encoder_hidden_size=8, downsampling_ratios=[2, 4], channel_multiples=[1, 2], decoder_channels=8,
            decoder_input_channels=8, audio_channels=2, sampling_rate=500,
        ),
    )  # fmt: skip


def audio_ldm() -> Any:
    """One channel, of 16000 samples in a second, which a vocoder makes."""
    from diffusers import AudioLDMPipeline, AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    tokenizer = roberta_tokenizer()
    return AudioLDMPipeline(
        tokenizer=tokenizer, text_encoder=clap(tokenizer),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False),
        unet=UNet2DConditionModel(
            sample_size=32, in_channels=4, out_channels=4, block_out_channels=(32, 64), layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=(32, 64), class_embed_type="simple_projection", class_embeddings_concat=True,
            projection_class_embeddings_input_dim=WIDTH,
        ),
        vae=AutoencoderKL(
            block_out_channels=(32, 64), in_channels=1, out_channels=1, latent_channels=4,
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        ),
        vocoder=SpeechT5HifiGan(SpeechT5HifiGanConfig(
            model_in_dim=8, sampling_rate=16000, upsample_initial_channel=16, upsample_rates=[2, 2],
            upsample_kernel_sizes=[4, 4], resblock_kernel_sizes=[3, 7], normalize_before=False,
            resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]], initializer_range=0.2,
        )),
    )  # fmt: skip
