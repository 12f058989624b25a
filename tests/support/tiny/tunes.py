"""More tiny pipelines of sound: music, speech and noises; those that were there first are in `sounding`."""

from __future__ import annotations

from typing import Any

from support.tiny import sounding, texts
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH, t5, t5_tokenizer


def _clap(tokenizer: Any) -> Any:
    """What says of texts and of sounds what they are about."""
    from transformers import ClapAudioConfig, ClapConfig, ClapFeatureExtractor, ClapModel, ClapTextConfig

    words = ClapTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=100,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    heard = ClapAudioConfig(
        spec_size=8, window_size=4, num_mel_bins=8, intermediate_size=32, depths=[1, 1], num_attention_heads=[1, 1],
        num_hidden_layers=2, hidden_size=64, projection_dim=WIDTH, patch_size=2, patch_stride=2,
        patch_embed_input_channels=4,
    )  # fmt: skip
    config = ClapConfig(text_config=words.to_dict(), audio_config=heard.to_dict(), projection_dim=WIDTH)
    return {"text_encoder": ClapModel(config), "feature_extractor": ClapFeatureExtractor(feature_size=8)}


def music_ldm() -> Any:
    from diffusers import MusicLDMPipeline

    parts = sounding.audio_ldm().components
    return MusicLDMPipeline(**{**parts, **_clap(parts["tokenizer"])})


def audio_ldm_2() -> Any:
    from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
    from transformers import GPT2Config, GPT2LMHeadModel

    parts = sounding.audio_ldm().components
    second = t5_tokenizer()
    return AudioLDM2Pipeline(**{
        **parts, **_clap(parts["tokenizer"]), "tokenizer_2": second, "text_encoder_2": t5(second),
        "projection_model": AudioLDM2ProjectionModel(
            text_encoder_dim=WIDTH, text_encoder_1_dim=WIDTH, langauge_model_dim=WIDTH,
        ),
        "language_model": GPT2LMHeadModel(GPT2Config(
            vocab_size=64, n_embd=WIDTH, n_layer=1, n_head=4, n_positions=64, max_new_tokens=4,
        )),
        "unet": AudioLDM2UNet2DConditionModel(
            sample_size=32, block_out_channels=(32, 64), layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=(None, (WIDTH, None, WIDTH)),
        ),
    })  # fmt: skip


def ace_step() -> Any:
    from diffusers import AceStepTransformer1DModel, AutoencoderOobleck
    from diffusers.pipelines.ace_step import AceStepConditionEncoder, AceStepPipeline

    tokenizer = texts.qwen_tokenizer()
    sizes = {
        "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 32, "sliding_window": 16,
    }  # fmt: skip
    return AceStepPipeline(
        tokenizer=tokenizer, text_encoder=texts.qwen(tokenizer),
        scheduler=flow_matching(num_train_timesteps=1, shift=1.0),
        transformer=AceStepTransformer1DModel(
            **sizes, num_hidden_layers=2, in_channels=24, audio_acoustic_hidden_dim=8, patch_size=2,
        ),
        condition_encoder=AceStepConditionEncoder(
            **sizes, text_hidden_dim=WIDTH, timbre_hidden_dim=8, num_lyric_encoder_hidden_layers=1,
            num_timbre_encoder_hidden_layers=1,
        ),
        vae=AutoencoderOobleck(
            encoder_hidden_size=8, downsampling_ratios=[2, 4], channel_multiples=[1, 2], decoder_channels=8,
            decoder_input_channels=8, audio_channels=2, sampling_rate=500,
        ),
    )  # fmt: skip


def _stable_audio_3(class_name: str) -> Any:
    import diffusers
    from diffusers.pipelines.stable_audio_3.modeling_stable_audio_3 import StableAudio3DurationEmbedder
    from transformers import T5GemmaConfig, T5GemmaEncoderModel
    from transformers.models.t5gemma.configuration_t5gemma import T5GemmaModuleConfig

    tokenizer = texts.qwen_tokenizer()
    module = T5GemmaModuleConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, head_dim=32, max_position_embeddings=512, sliding_window=512,
        layer_types=["full_attention", "full_attention"],
    ).to_dict()  # fmt: skip
    made = getattr(diffusers, class_name)(
        tokenizer=tokenizer, scheduler=flow_matching(),
        text_encoder=T5GemmaEncoderModel(T5GemmaConfig(encoder=module, decoder=module, is_encoder_decoder=False)),
        duration_embedder=StableAudio3DurationEmbedder(output_dim=WIDTH, fourier_dim=16),
        transformer=diffusers.StableAudio3DiTModel(
            io_channels=8, embed_dim=WIDTH, depth=2, num_heads=4, cond_token_dim=WIDTH, global_cond_dim=WIDTH,
            local_add_cond_dim=9, timestep_features_dim=16, ff_mult=2, num_memory_tokens=3,
        ),
        vae=diffusers.AutoencoderSAME(
            patch_size=2, encoder_channels=8, encoder_c_mults=(2,), encoder_strides=(2,),
            encoder_transformer_depths=(1,), latent_dim=8, dim_heads=8, ff_mult=2, sampling_rate=500,
        ),
    )  # fmt: skip
    for part in (made.transformer, made.vae):
        for name, weights in part.named_parameters():
            # Not what they start with, nothing or next to it: then all sound would be the same.
            if name.endswith("new_tokens") or not weights.any():
                weights.data.normal_(std=0.2)
    return made


def stable_audio_3() -> Any:
    return _stable_audio_3("StableAudio3Pipeline")


def stable_audio_3_again() -> Any:
    return _stable_audio_3("StableAudio3AudioToAudioPipeline")


def stable_audio_3_inpaint() -> Any:
    return _stable_audio_3("StableAudio3InpaintPipeline")


def dance_diffusion() -> Any:
    """Makes sound of no text."""
    from diffusers import DanceDiffusionPipeline, IPNDMScheduler, UNet1DModel

    unet = UNet1DModel(
        block_out_channels=(32, 32, 64), extra_in_channels=64, sample_size=512, sample_rate=500, in_channels=2,
        out_channels=2, flip_sin_to_cos=True, use_timestep_embedding=False, time_embedding_type="fourier",
        mid_block_type="UNetMidBlock1D", down_block_types=("DownBlock1DNoSkip", "DownBlock1D", "AttnDownBlock1D"),
        up_block_types=("AttnUpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"),
    )  # fmt: skip
    return DanceDiffusionPipeline(unet=unet, scheduler=IPNDMScheduler())
