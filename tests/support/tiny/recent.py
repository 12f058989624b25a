"""Tiny pipelines of recent families, whose prompt is read by a language model, or by one that sees as well."""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, guided, joint, texts
from support.tiny.autoencoders import SIZE
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH

_LANGUAGE = {
    "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2, "head_dim": 32,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
}  # fmt: skip


def _qwen3_vl_config(tokenizer: Any, **options: Any) -> Any:
    from transformers import Qwen3VLConfig

    return Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id, **_LANGUAGE,
            "rope_parameters": {
                "mrope_interleaved": True, "mrope_section": [6, 5, 5], "rope_type": "default", "rope_theta": 10000.0,
            },
            **options,
        },
        vision_config={
            "depth": 1, "hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": WIDTH,
            "num_position_embeddings": 16, "deepstack_visual_indexes": [],
        },
    )  # fmt: skip


def _flux_2_vae() -> Any:
    from diffusers import AutoencoderKLFlux2

    return AutoencoderKLFlux2(
        block_out_channels=(32, 64), layers_per_block=1, latent_channels=4, norm_num_groups=32, sample_size=SIZE,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip


def krea_2() -> Any:
    from diffusers import Krea2Pipeline, Krea2Transformer2DModel
    from transformers import Qwen3VLModel

    tokenizer = texts.qwen_tokenizer()
    transformer = Krea2Transformer2DModel(
        in_channels=16, num_layers=2, attention_head_dim=32, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=2 * WIDTH, timestep_embed_dim=64, text_hidden_dim=WIDTH, num_text_layers=2,
        text_num_attention_heads=4, text_num_key_value_heads=4, text_intermediate_size=2 * WIDTH,
        num_layerwise_text_blocks=1, num_refiner_text_blocks=1, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip
    return Krea2Pipeline(
        transformer=transformer, vae=autoencoders.of_qwen_image(), tokenizer=tokenizer,
        text_encoder=Qwen3VLModel(_qwen3_vl_config(tokenizer)), scheduler=flow_matching(use_dynamic_shifting=True),
        text_encoder_select_layers=(1, 2),
    )  # fmt: skip


def ernie_image() -> Any:
    """Return one with the language model that writes prompts anew, and draws what it writes."""
    from diffusers import ErnieImagePipeline, ErnieImageTransformer2DModel
    from transformers import Ministral3Config, Ministral3ForCausalLM, Mistral3Config, Mistral3Model

    tokenizer, writer = texts.qwen_tokenizer(), texts.qwen_tokenizer()
    writer.model_max_length = 16  # that many words are written
    words = {
        "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None, **_LANGUAGE,
    }  # fmt: skip
    encoder = Mistral3Model(Mistral3Config(
        text_config={"model_type": "ministral3", **words}, image_token_index=4,
        vision_config={"model_type": "pixtral", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
                       "num_attention_heads": 2, "head_dim": 32, "image_size": 32, "patch_size": 16},
    ))  # fmt: skip
    transformer = ErnieImageTransformer2DModel(
        hidden_size=WIDTH, num_attention_heads=4, num_layers=2, ffn_hidden_size=2 * WIDTH, in_channels=16,
        out_channels=16, text_in_dim=WIDTH, rope_axes_dim=(8, 12, 12),
    )  # fmt: skip
    return ErnieImagePipeline(
        transformer=guided.telling(transformer), vae=_flux_2_vae(), text_encoder=encoder, tokenizer=tokenizer,
        scheduler=flow_matching(shift=4.0), pe=Ministral3ForCausalLM(Ministral3Config(**words)), pe_tokenizer=writer,
    )  # fmt: skip


def _fibo_parts() -> dict[str, Any]:
    from diffusers import AutoencoderKLWan, BriaFiboTransformer2DModel
    from transformers import SmolLM3Config, SmolLM3ForCausalLM

    tokenizer = texts.qwen_tokenizer()
    words = {name: value for name, value in _LANGUAGE.items() if name != "head_dim"}
    return {
        "transformer": BriaFiboTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=32,
            num_attention_heads=4, joint_attention_dim=2 * WIDTH, axes_dims_rope=[8, 12, 12], text_encoder_dim=WIDTH,
        ),
        # It shrinks by 16: the pipelines know no other number.
        "vae": AutoencoderKLWan(
            base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
            in_channels=12, out_channels=12, patch_size=2, is_residual=True, scale_factor_spatial=16,
        ),
        "text_encoder": SmolLM3ForCausalLM(SmolLM3Config(
            vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.pad_token_id, **words,
        )),
        "tokenizer": tokenizer, "scheduler": flow_matching(use_dynamic_shifting=True),
    }  # fmt: skip


def bria_fibo() -> Any:
    from diffusers import BriaFiboPipeline

    return BriaFiboPipeline(**_fibo_parts())


def bria_fibo_edit() -> Any:
    from diffusers import BriaFiboEditPipeline

    return BriaFiboEditPipeline(**_fibo_parts())


def ideogram_4() -> Any:
    from diffusers import Ideogram4Pipeline, Ideogram4Transformer2DModel
    from transformers import Qwen3VLModel

    tokenizer = texts.qwen_tokenizer()
    # Templates of models that see get a list of what a message holds.
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content[0].text }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    denoisers = [
        Ideogram4Transformer2DModel(
            in_channels=16, num_layers=1, attention_head_dim=32, num_attention_heads=4, intermediate_size=2 * WIDTH,
            adaln_dim=64, llm_features_dim=13 * WIDTH, mrope_section=(6, 5, 5),
        )
        for _ in range(2)
    ]  # fmt: skip
    return Ideogram4Pipeline(
        transformer=denoisers[0], unconditional_transformer=denoisers[1], vae=_flux_2_vae(), tokenizer=tokenizer,
        # It takes what 13 of 36 layers say.
        text_encoder=Qwen3VLModel(_qwen3_vl_config(tokenizer, num_hidden_layers=36)), scheduler=flow_matching(),
    )  # fmt: skip


_SEEN = ["<|image|>", "<sop>", "<eop>", "<|dit_token_16384|>"]


def glm_image() -> Any:
    from diffusers import GlmImagePipeline, GlmImageTransformer2DModel
    from transformers import (
        ByT5Tokenizer,
        GlmImageConfig,
        GlmImageForConditionalGeneration,
        GlmImageImageProcessorPil,
        GlmImageProcessor,
        T5Config,
        T5EncoderModel,
    )

    tokenizer = texts.qwen_tokenizer()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": _SEEN, "bos_token": _SEEN[3]}
    )  # fmt: skip
    tokenizer._set_model_specific_special_tokens(
        dict(zip(("image_token", "grid_bos_token", "grid_eos_token"), _SEEN, strict=False))
    )  # fmt: skip
    template = (
        "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<|image|>{% else %}{{ c.text }}"
        "{% endif %}{% endfor %}{% endfor %}"
    )
    picture = {"hidden_size": 64, "intermediate_size": 128}
    words = {name: value for name, value in _LANGUAGE.items() if name != "head_dim"}
    codes = 64
    writer = GlmImageForConditionalGeneration(GlmImageConfig(
        text_config={
            "vocab_size": len(tokenizer), "vision_vocab_size": codes, "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": None, **words,
            "rope_parameters": {"mrope_section": [6, 5, 5], "rope_type": "default", "rope_theta": 10000.0},
        },
        vision_config={"depth": 1, "num_heads": 2, "image_size": 64, "patch_size": 16, **picture},
        vq_config={"embed_dim": 32, "num_embeddings": codes, "latent_channels": 64},
        image_token_id=tokenizer.convert_tokens_to_ids(_SEEN[0]), image_start_token_id=codes - 2,
        image_end_token_id=codes - 1,
    ))  # fmt: skip
    glyphs = T5EncoderModel(T5Config(
        vocab_size=384, d_model=WIDTH, d_ff=WIDTH, d_kv=32, num_heads=4, num_layers=2, feed_forward_proj="gated-gelu",
    ))  # fmt: skip
    return GlmImagePipeline(
        tokenizer=ByT5Tokenizer(), text_encoder=glyphs, vision_language_encoder=writer,
        processor=GlmImageProcessor(GlmImageImageProcessorPil(), tokenizer, chat_template=template),
        # A code stands for 16 by 16 pixels, which are 2 by 2 patches of 2 by 2 of what shrinks by 8.
        vae=autoencoders.kl(levels=4, latents_mean=[0.0] * 4, latents_std=[1.0] * 4),
        transformer=GlmImageTransformer2DModel(
            patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=32, num_attention_heads=4,
            text_embed_dim=WIDTH, time_embed_dim=WIDTH, condition_dim=16, prior_vq_quantizer_codebook_size=codes,
        ),
        scheduler=flow_matching(use_dynamic_shifting=True, time_shift_type="linear", base_shift=0.25, max_shift=0.75),
    )  # fmt: skip


def hunyuan_image_refiner() -> Any:
    from diffusers import (
        AutoencoderKLHunyuanImageRefiner,
        HunyuanImageRefinerPipeline,
        HunyuanImageTransformer2DModel,
    )

    tokenizer = texts.qwen_tokenizer()
    return HunyuanImageRefinerPipeline(
        text_encoder=texts.qwen_vl(tokenizer), tokenizer=tokenizer,
        vae=AutoencoderKLHunyuanImageRefiner(
            latent_channels=4, block_out_channels=(32, 32, 64), layers_per_block=1, spatial_compression_ratio=4,
            temporal_compression_ratio=2, scaling_factor=1.0,
        ),
        transformer=HunyuanImageTransformer2DModel(
            # Two frames of the latents are one with twice the channels, beside which the noise is.
            in_channels=16, out_channels=8, num_attention_heads=4, attention_head_dim=32, num_layers=1,
            num_single_layers=1, num_refiner_layers=1, text_embed_dim=WIDTH, patch_size=(1, 1, 1),
            rope_axes_dim=(8, 12, 12), guidance_embeds=True,
        ),
        scheduler=flow_matching(shift=4.0),
    )  # fmt: skip


def visual_cloze() -> Any:
    from diffusers import FluxTransformer2DModel, VisualClozePipeline

    parts = joint.flux().components
    kept = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler")
    transformer = FluxTransformer2DModel(
        # Beside the noise what is shown, and the mask: 4 of its pixels for each of the latents' 4 by 4.
        in_channels=16 + 16 + 16, out_channels=16, patch_size=1, num_layers=1, num_single_layers=1,
        attention_head_dim=32, num_attention_heads=4, joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH,
        axes_dims_rope=(8, 12, 12), guidance_embeds=True,
    )  # fmt: skip
    return VisualClozePipeline(
        **{role: parts[role] for role in kept}, transformer=transformer, resolution=SIZE // 2
    )  # fmt: skip
