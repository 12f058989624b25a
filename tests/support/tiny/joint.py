"""Tiny pipelines whose transformer attends to the prompt and the picture together."""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, texts
from support.tiny.autoencoders import SIZE
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH


def stable_diffusion_3() -> Any:
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    clip, t5 = texts.clip_tokenizer(), texts.t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=SIZE // 2, patch_size=2, in_channels=16, out_channels=16, num_layers=2, attention_head_dim=32,
        num_attention_heads=4, caption_projection_dim=WIDTH, joint_attention_dim=2 * WIDTH,
        pooled_projection_dim=2 * WIDTH, pos_embed_max_size=SIZE // 2,
    )  # fmt: skip
    # SD3 pads the two CLIP encoders' joined width to T5's.
    from transformers import T5Config, T5EncoderModel

    wide = T5EncoderModel(T5Config(
        vocab_size=len(t5), d_model=2 * WIDTH, d_ff=2 * WIDTH, d_kv=32, num_heads=4, num_layers=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    ))  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, vae=autoencoders.kl(16, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=texts.clip(clip, projected=True), tokenizer=clip,
        text_encoder_2=texts.clip(clip, projected=True), tokenizer_2=texts.clip_tokenizer(),
        text_encoder_3=wide, tokenizer_3=t5, scheduler=flow_matching(shift=3.0),
    )  # fmt: skip


def flux() -> Any:
    from diffusers import FluxPipeline, FluxTransformer2DModel

    clip, t5 = texts.clip_tokenizer(), texts.t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=(8, 12, 12), guidance_embeds=False,
    )  # fmt: skip
    return FluxPipeline(
        transformer=transformer, vae=autoencoders.shifted(), text_encoder=texts.clip(clip),
        tokenizer=clip, text_encoder_2=texts.t5(t5), tokenizer_2=t5, scheduler=flow_matching(shift=1.0),
    )  # fmt: skip


def chroma() -> Any:
    from diffusers import ChromaPipeline, ChromaTransformer2DModel

    t5 = texts.t5_tokenizer()
    transformer = ChromaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, axes_dims_rope=(8, 12, 12), approximator_num_channels=64,
        approximator_hidden_dim=WIDTH, approximator_layers=1,
    )  # fmt: skip
    return ChromaPipeline(
        transformer=transformer, vae=autoencoders.shifted(), text_encoder=texts.t5(t5), tokenizer=t5,
        scheduler=flow_matching(shift=1.0),
    )  # fmt: skip


def aura_flow() -> Any:
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel
    from transformers import UMT5Config, UMT5EncoderModel

    t5 = texts.t5_tokenizer()
    encoder = UMT5EncoderModel(UMT5Config(
        vocab_size=len(t5), d_model=WIDTH, d_ff=2 * WIDTH, d_kv=32, num_heads=4, num_layers=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    ))  # fmt: skip
    transformer = AuraFlowTransformer2DModel(
        sample_size=SIZE // 2, patch_size=2, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1,
        attention_head_dim=32, num_attention_heads=4, joint_attention_dim=WIDTH, caption_projection_dim=WIDTH,
        out_channels=4, pos_embed_max_size=1024,
    )  # fmt: skip
    return AuraFlowPipeline(
        transformer=transformer, vae=autoencoders.kl(), text_encoder=encoder, tokenizer=t5, scheduler=flow_matching()
    )  # fmt: skip


def z_image() -> Any:
    from diffusers import ZImagePipeline, ZImageTransformer2DModel

    tokenizer = texts.qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4, dim=WIDTH, n_layers=2, n_refiner_layers=1, n_heads=4, n_kv_heads=4, cap_feat_dim=WIDTH,
        axes_dims=[8, 12, 12],
    )  # fmt: skip
    return ZImagePipeline(
        transformer=transformer, vae=autoencoders.shifted(), text_encoder=texts.qwen(tokenizer),
        tokenizer=tokenizer, scheduler=flow_matching(shift=3.0),
    )  # fmt: skip


def lumina_2() -> Any:
    from diffusers import Lumina2Pipeline, Lumina2Transformer2DModel

    tokenizer = texts.qwen_tokenizer()
    transformer = Lumina2Transformer2DModel(
        sample_size=SIZE // 2, patch_size=2, in_channels=4, hidden_size=WIDTH, num_layers=2, num_refiner_layers=1,
        num_attention_heads=4, num_kv_heads=2, multiple_of=16, axes_dim_rope=(8, 12, 12), axes_lens=(300, 64, 64),
        cap_feat_dim=WIDTH,
    )  # fmt: skip
    return Lumina2Pipeline(
        transformer=transformer, vae=autoencoders.shifted(), text_encoder=texts.gemma(tokenizer),
        tokenizer=tokenizer, scheduler=flow_matching(shift=3.0),
    )  # fmt: skip


def qwen_image() -> Any:
    from diffusers import QwenImagePipeline, QwenImageTransformer2DModel

    tokenizer = texts.qwen_tokenizer()
    transformer = QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip
    return QwenImagePipeline(
        transformer=transformer, vae=autoencoders.of_qwen_image(), text_encoder=texts.qwen_vl(tokenizer),
        tokenizer=tokenizer, scheduler=flow_matching(),
    )  # fmt: skip


def flux_2_klein() -> Any:
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
    from transformers import Qwen3ForCausalLM

    tokenizer = texts.qwen_tokenizer()
    # It takes what the 9th, 18th and 27th layer say.
    encoder = Qwen3ForCausalLM(texts.qwen_config(tokenizer, num_hidden_layers=28))
    vae = AutoencoderKLFlux2(
        block_out_channels=(32, 64), layers_per_block=1, latent_channels=4, norm_num_groups=32, sample_size=SIZE,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    transformer = Flux2Transformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=3 * WIDTH, timestep_guidance_channels=64, axes_dims_rope=(8, 8, 8, 8),
        guidance_embeds=False,
    )  # fmt: skip
    return Flux2KleinPipeline(
        transformer=transformer, vae=vae, text_encoder=encoder, tokenizer=tokenizer, scheduler=flow_matching()
    )


def bria() -> Any:
    from diffusers import BriaPipeline, BriaTransformer2DModel

    t5 = texts.t5_tokenizer()
    transformer = BriaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=WIDTH, axes_dims_rope=[8, 12, 12],
    )  # fmt: skip
    return BriaPipeline(
        transformer=transformer, vae=autoencoders.kl(shift_factor=0.1), text_encoder=texts.t5(t5), tokenizer=t5,
        scheduler=flow_matching(),
    )  # fmt: skip


def ovis() -> Any:
    from diffusers import OvisImagePipeline, OvisImageTransformer2DModel

    tokenizer = texts.qwen_tokenizer()
    transformer = OvisImageTransformer2DModel(
        patch_size=1, in_channels=16, out_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32,
        num_attention_heads=4, joint_attention_dim=WIDTH, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip
    return OvisImagePipeline(
        transformer=transformer, vae=autoencoders.shifted(),
        text_encoder=texts.qwen(tokenizer), tokenizer=tokenizer, scheduler=flow_matching(use_dynamic_shifting=True),
    )  # fmt: skip


def cog_view_3() -> Any:
    from diffusers import CogVideoXDDIMScheduler, CogView3PlusPipeline, CogView3PlusTransformer2DModel

    t5 = texts.t5_tokenizer()
    transformer = CogView3PlusTransformer2DModel(
        patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=32, num_attention_heads=4,
        text_embed_dim=WIDTH, time_embed_dim=WIDTH, condition_dim=16, pos_embed_max_size=SIZE // 2,
        sample_size=SIZE // 2,
    )  # fmt: skip
    return CogView3PlusPipeline(
        transformer=transformer, vae=autoencoders.kl(), text_encoder=texts.t5(t5), tokenizer=t5,
        scheduler=CogVideoXDDIMScheduler(prediction_type="v_prediction", timestep_spacing="trailing"),
    )  # fmt: skip


def cog_view_4() -> Any:
    from diffusers import CogView4Pipeline, CogView4Transformer2DModel
    from transformers import GlmConfig, GlmModel

    tokenizer = texts.qwen_tokenizer()
    encoder = GlmModel(GlmConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, head_dim=32,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    ))  # fmt: skip
    transformer = CogView4Transformer2DModel(
        patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=32, num_attention_heads=4,
        text_embed_dim=WIDTH, time_embed_dim=WIDTH, condition_dim=16, pos_embed_max_size=SIZE // 2,
        sample_size=SIZE // 2, rope_axes_dim=(64, 64),
    )  # fmt: skip
    return CogView4Pipeline(
        transformer=transformer, vae=autoencoders.kl(), text_encoder=encoder, tokenizer=tokenizer,
        scheduler=flow_matching(base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True, time_shift_type="linear"),
    )  # fmt: skip


def hi_dream() -> Any:
    from diffusers import HiDreamImagePipeline, HiDreamImageTransformer2DModel
    from transformers import LlamaConfig, LlamaForCausalLM

    clip, t5, llama = texts.clip_tokenizer(), texts.t5_tokenizer(), texts.qwen_tokenizer()
    encoder = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(llama), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=512, pad_token_id=llama.pad_token_id,
        bos_token_id=llama.pad_token_id, eos_token_id=llama.eos_token_id,
        output_hidden_states=True,
    ))  # fmt: skip
    # Whatever is asked for, its pictures have latents of 128 by 128: large patches keep them from taking seconds,
    # and so does a VAE without attention.
    transformer = HiDreamImageTransformer2DModel(
        patch_size=8, in_channels=4, out_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=32,
        num_attention_heads=4, caption_channels=[WIDTH, WIDTH], text_emb_dim=2 * WIDTH, num_routed_experts=4,
        num_activated_experts=2, axes_dims_rope=(8, 12, 12), max_resolution=(32, 32), llama_layers=[0, 1],
    )  # fmt: skip
    return HiDreamImagePipeline(
        transformer=transformer, vae=autoencoders.kl(shift_factor=0.1, mid_block_add_attention=False),
        text_encoder=texts.clip(clip, projected=True), tokenizer=clip, text_encoder_2=texts.clip(clip, projected=True),
        tokenizer_2=texts.clip_tokenizer(), text_encoder_3=texts.t5(t5), tokenizer_3=t5, text_encoder_4=encoder,
        tokenizer_4=llama, scheduler=flow_matching(),
    )  # fmt: skip
