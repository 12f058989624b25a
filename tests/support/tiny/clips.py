"""More tiny pipelines of videos whose denoiser is a transformer; the first of several families are in `moving`."""

from __future__ import annotations

from typing import Any

from support.tiny import moving, texts
from support.tiny.autoencoders import SIZE, kl
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH, t5, t5_tokenizer


def _as(class_name: str, made: Any, **others: Any) -> Any:
    """Return a pipeline of another class, of the parts of one that was made, and `others` beside or in their stead."""
    import diffusers

    parts = {role: part for role, part in made.components.items() if part is not None}
    return getattr(diffusers, class_name)(**{**parts, **others})


def _cog_transformer(in_channels: int) -> Any:
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel(
        num_attention_heads=4, attention_head_dim=32, in_channels=in_channels, out_channels=4, time_embed_dim=WIDTH,
        text_embed_dim=WIDTH, num_layers=1, sample_width=SIZE // 8, sample_height=SIZE // 8, sample_frames=9,
        max_text_seq_length=16,
    )  # fmt: skip


def cog_video_x_from_image() -> Any:
    return _as("CogVideoXImageToVideoPipeline", moving.cog_video_x(), transformer=_cog_transformer(8))


def cog_video_x_fun() -> Any:
    return _as("CogVideoXFunControlPipeline", moving.cog_video_x(), transformer=_cog_transformer(8))


def ltx_condition() -> Any:
    return _as("LTXConditionPipeline", moving.ltx_video())


def ltx_long() -> Any:
    return _as("LTXI2VLongMultiPromptPipeline", moving.ltx_video())


def ltx_upsampler() -> Any:
    from diffusers import LTXLatentUpsamplePipeline
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    upsampler = LTXLatentUpsamplerModel(in_channels=8, mid_channels=64, num_blocks_per_stage=1)
    return LTXLatentUpsamplePipeline(vae=moving.ltx_video().vae, latent_upsampler=upsampler)


def latte() -> Any:
    from diffusers import DDIMScheduler, LattePipeline, LatteTransformer3DModel

    tokenizer = t5_tokenizer()
    return LattePipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer), vae=kl(), scheduler=DDIMScheduler(clip_sample=False),
        transformer=LatteTransformer3DModel(
            sample_size=SIZE // 2, num_layers=1, patch_size=2, attention_head_dim=32, num_attention_heads=4,
            caption_channels=WIDTH, in_channels=4, cross_attention_dim=WIDTH, out_channels=8, attention_bias=True,
            activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
            norm_elementwise_affine=False, norm_eps=1e-6, video_length=2,
        ),
    )  # fmt: skip


def mochi() -> Any:
    from diffusers import AutoencoderKLMochi, MochiPipeline, MochiTransformer3DModel

    tokenizer = t5_tokenizer()
    return MochiPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer), scheduler=flow_matching(),
        vae=AutoencoderKLMochi(
            latent_channels=12, encoder_block_out_channels=(32, 32, 32, 32), layers_per_block=(1,) * 5,
            decoder_block_out_channels=(32, 32, 32, 32),
        ),
        transformer=MochiTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, num_layers=2, pooled_projection_dim=WIDTH,
            text_embed_dim=WIDTH, time_embed_dim=WIDTH, max_sequence_length=16,
        ),
    )  # fmt: skip


def wan_vace() -> Any:
    from diffusers import WanVACETransformer3DModel

    return _as("WanVACEPipeline", moving.wan(), transformer=WanVACETransformer3DModel(
        num_attention_heads=4, attention_head_dim=32, text_dim=WIDTH, ffn_dim=2 * WIDTH, num_layers=2,
        rope_max_seq_len=32, vace_layers=[0, 1], vace_in_channels=96,
    ))  # fmt: skip


def lucy_edit() -> Any:
    return _as("LucyEditPipeline", moving.wan(), transformer=moving._wan_transformer(32))


def wan_animate() -> Any:
    from diffusers import UniPCMultistepScheduler, WanAnimateTransformer3DModel
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    return _as(
        "WanAnimatePipeline", moving.wan(),
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0),
        image_processor=CLIPImageProcessor(crop_size={"height": 32, "width": 32}, size={"shortest_edge": 32}),
        # It takes what the last layer but one says.
        image_encoder=CLIPVisionModel(CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32,
            patch_size=16,
        )),
        transformer=WanAnimateTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, text_dim=WIDTH, ffn_dim=2 * WIDTH, num_layers=2,
            rope_max_seq_len=32, image_dim=32, added_kv_proj_dim=WIDTH, pos_embed_seq_len=None,
            motion_encoder_channel_sizes={"4": 16, "8": 16, "16": 16}, motion_encoder_size=16, motion_style_dim=8,
            motion_dim=4, motion_encoder_dim=16, face_encoder_hidden_dim=32, face_encoder_num_heads=2,
            inject_face_latents_blocks=2,
        ),
    )  # fmt: skip


def _sky_reels_transformer(in_channels: int = 16, **options: Any) -> Any:
    from diffusers import SkyReelsV2Transformer3DModel

    return SkyReelsV2Transformer3DModel(
        num_attention_heads=4, attention_head_dim=32, in_channels=in_channels, text_dim=WIDTH, ffn_dim=2 * WIDTH,
        num_layers=2, rope_max_seq_len=32, **options,
    )  # fmt: skip


def _sky_reels(class_name: str, transformer: Any, **others: Any) -> Any:
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0)
    return _as(class_name, moving.wan(), scheduler=scheduler, transformer=transformer, **others)


def sky_reels() -> Any:
    return _sky_reels("SkyReelsV2Pipeline", _sky_reels_transformer())


def sky_reels_forcing() -> Any:
    return _sky_reels("SkyReelsV2DiffusionForcingPipeline", _sky_reels_transformer())


def sky_reels_from_image() -> Any:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    return _sky_reels(
        "SkyReelsV2ImageToVideoPipeline", _sky_reels_transformer(36, image_dim=32, added_kv_proj_dim=WIDTH),
        image_processor=CLIPImageProcessor(crop_size={"height": 32, "width": 32}, size={"shortest_edge": 32}),
        image_encoder=CLIPVisionModelWithProjection(CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, projection_dim=32, num_hidden_layers=2, num_attention_heads=4,
            image_size=32, patch_size=16,
        )),
    )  # fmt: skip


def sana_from_image() -> Any:
    return _as("SanaImageToVideoPipeline", moving.sana_video())


def hunyuan_sky_reels() -> Any:
    from diffusers import HunyuanVideoTransformer3DModel

    return _as("HunyuanSkyreelsImageToVideoPipeline", moving.hunyuan_video(), transformer=_hunyuan(
        HunyuanVideoTransformer3DModel, in_channels=32,
    ))  # fmt: skip


def _hunyuan(made: Any, **options: Any) -> Any:
    return made(**{
        "num_attention_heads": 4, "attention_head_dim": 32, "num_layers": 1, "num_single_layers": 1,
        "num_refiner_layers": 1, "text_embed_dim": WIDTH, "pooled_projection_dim": WIDTH,
        "rope_axes_dim": (8, 12, 12), **options,
    })  # fmt: skip


def framepack() -> Any:
    from diffusers import HunyuanVideoFramepackTransformer3DModel
    from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    return _as(
        "HunyuanVideoFramepackPipeline", moving.hunyuan_video(),
        feature_extractor=SiglipImageProcessor(size={"height": 32, "width": 32}),
        image_encoder=SiglipVisionModel(SiglipVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, image_size=32,
            patch_size=16,
        )),
        transformer=_hunyuan(
            HunyuanVideoFramepackTransformer3DModel, has_image_proj=True, image_proj_dim=32, has_clean_x_embedder=True,
        ),
    )  # fmt: skip


def _easy_animate(class_name: str, in_channels: int) -> Any:
    import diffusers
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    tokenizer = texts.qwen_tokenizer()
    encoder = Qwen2VLForConditionalGeneration(Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 1000000.0,
            "rope_scaling": {"mrope_section": [4, 6, 6], "rope_type": "default", "type": "default"},
            "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={"depth": 1, "embed_dim": 32, "hidden_size": WIDTH, "mlp_ratio": 1, "num_heads": 2},
        vision_start_token_id=1, vision_end_token_id=2, vision_token_id=3, image_token_id=4, video_token_id=5,
    ))  # fmt: skip
    return getattr(diffusers, class_name)(
        tokenizer=tokenizer, text_encoder=encoder, scheduler=flow_matching(),
        vae=diffusers.AutoencoderKLMagvit(
            latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2,
            down_block_types=("SpatialDownBlock3D", *["SpatialTemporalDownBlock3D"] * 3),
            up_block_types=("SpatialUpBlock3D", *["SpatialTemporalUpBlock3D"] * 3), spatial_group_norm=False,
        ),
        transformer=diffusers.EasyAnimateTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, in_channels=in_channels, out_channels=4, patch_size=2,
            time_embed_dim=WIDTH, text_embed_dim=WIDTH, num_layers=1, mmdit_layers=1,
        ),
    )  # fmt: skip


def easy_animate() -> Any:
    return _easy_animate("EasyAnimatePipeline", 4)


def easy_animate_control() -> Any:
    return _easy_animate("EasyAnimateControlPipeline", 8)


def easy_animate_inpaint() -> Any:
    return _easy_animate("EasyAnimateInpaintPipeline", 9)


def chrono_edit() -> Any:
    from diffusers import ChronoEditTransformer3DModel
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    return _as(
        "ChronoEditPipeline", moving.wan(),
        image_processor=CLIPImageProcessor(crop_size={"height": 32, "width": 32}, size={"shortest_edge": 32}),
        # It takes what the last layer but one says.
        image_encoder=CLIPVisionModel(CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32,
            patch_size=16,
        )),
        transformer=ChronoEditTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, in_channels=36, text_dim=WIDTH, ffn_dim=2 * WIDTH,
            num_layers=2, rope_max_seq_len=32, image_dim=32, added_kv_proj_dim=WIDTH,
        ),
    )  # fmt: skip


def hunyuan_video_15(class_name: str = "HunyuanVideo15Pipeline", task: str = "t2v", **others: Any) -> Any:
    import diffusers
    from transformers import ByT5Tokenizer, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel, T5Config, T5EncoderModel

    tokenizer = texts.qwen_tokenizer()
    encoder = Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(
        # It takes what the last but two says.
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, rope_theta=1000000.0,
        rope_scaling={"mrope_section": [4, 6, 6], "rope_type": "default", "type": "default"},
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip
    glyphs = T5EncoderModel(T5Config(
        vocab_size=384, d_model=WIDTH, d_ff=WIDTH, d_kv=32, num_heads=4, num_layers=2, feed_forward_proj="gated-gelu",
    ))  # fmt: skip
    return getattr(diffusers, class_name)(
        text_encoder=encoder, tokenizer=tokenizer, text_encoder_2=glyphs, tokenizer_2=ByT5Tokenizer(),
        scheduler=flow_matching(shift=7.0), guider=diffusers.ClassifierFreeGuidance(guidance_scale=6.0),
        vae=diffusers.AutoencoderKLHunyuanVideo15(
            latent_channels=4, block_out_channels=(16, 16, 16, 16), layers_per_block=1, spatial_compression_ratio=8,
            temporal_compression_ratio=4, downsample_match_channel=False, upsample_match_channel=False,
        ),
        transformer=diffusers.HunyuanVideo15Transformer3DModel(
            in_channels=9, out_channels=4, num_attention_heads=4, attention_head_dim=32, num_layers=1,
            num_refiner_layers=1, mlp_ratio=2.0, text_embed_dim=WIDTH, text_embed_2_dim=WIDTH, image_embed_dim=32,
            rope_axes_dim=(8, 12, 12), target_size=SIZE, task_type=task,
        ),
        **others,
    )  # fmt: skip


def hunyuan_video_15_from_image() -> Any:
    from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    return hunyuan_video_15(
        "HunyuanVideo15ImageToVideoPipeline", "i2v",
        feature_extractor=SiglipImageProcessor(size={"height": 32, "width": 32}),
        image_encoder=SiglipVisionModel(SiglipVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, image_size=32,
            patch_size=16,
        )),
    )  # fmt: skip


def motif_video() -> Any:
    from diffusers import ClassifierFreeGuidance, MotifVideoPipeline, MotifVideoTransformer3DModel
    from transformers import SiglipImageProcessor, T5Gemma2EncoderConfig
    from transformers.models.t5gemma2.modeling_t5gemma2 import T5Gemma2Encoder

    tokenizer = texts.qwen_tokenizer()
    encoder = T5Gemma2Encoder(T5Gemma2EncoderConfig(
        text_config={
            "vocab_size": len(tokenizer) + 3, "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "head_dim": 32,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
            "max_position_embeddings": 512, "pad_token_id": tokenizer.pad_token_id, "dropout_rate": 0.0,
            "bos_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14, "vision_use_head": False,
        },
        mm_tokens_per_image=4, boi_token_index=len(tokenizer), eoi_token_index=len(tokenizer) + 1,
        image_token_index=len(tokenizer) + 2,
    ))  # fmt: skip
    return MotifVideoPipeline(
        tokenizer=tokenizer, text_encoder=encoder, scheduler=flow_matching(), vae=moving.wan().vae,
        guider=ClassifierFreeGuidance(guidance_scale=4.0),
        feature_extractor=SiglipImageProcessor(size={"height": 28, "width": 28}),
        transformer=MotifVideoTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, num_layers=1, num_single_layers=2, num_decoder_layers=1,
            text_embed_dim=WIDTH, image_embed_dim=64, rope_axes_dim=(8, 12, 12),
        ),
    )  # fmt: skip


def any_flow() -> Any:
    from diffusers import AnyFlowTransformer3DModel, FlowMapEulerDiscreteScheduler

    transformer = AnyFlowTransformer3DModel(
        num_attention_heads=4, attention_head_dim=32, text_dim=WIDTH, ffn_dim=2 * WIDTH, num_layers=2,
        rope_max_seq_len=32,
    )  # fmt: skip
    return _as("AnyFlowPipeline", moving.wan(), scheduler=FlowMapEulerDiscreteScheduler(), transformer=transformer)


def any_flow_far() -> Any:
    from diffusers import AnyFlowFARTransformer3DModel, FlowMapEulerDiscreteScheduler

    transformer = AnyFlowFARTransformer3DModel(
        num_attention_heads=4, attention_head_dim=32, text_dim=WIDTH, ffn_dim=2 * WIDTH, num_layers=2,
        rope_max_seq_len=32, chunk_partition=(1, 1),
    )  # fmt: skip
    return _as("AnyFlowFARPipeline", moving.wan(), scheduler=FlowMapEulerDiscreteScheduler(), transformer=transformer)


def _helios_transformer() -> Any:
    from diffusers import HeliosTransformer3DModel

    return HeliosTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=32,
        text_dim=WIDTH,
        ffn_dim=2 * WIDTH,
        num_layers=2,
        rope_dim=(8, 12, 12),
    )


def helios() -> Any:
    from diffusers import HeliosScheduler

    return _as(
        "HeliosPipeline", moving.wan(), transformer=_helios_transformer(),
        scheduler=HeliosScheduler(stage_range=[0, 1], stages=1, use_dynamic_shifting=True),
    )  # fmt: skip


def helios_pyramid() -> Any:
    from diffusers import HeliosScheduler

    return _as(
        "HeliosPyramidPipeline", moving.wan(), transformer=_helios_transformer(), scheduler=HeliosScheduler(gamma=0.25)
    )
