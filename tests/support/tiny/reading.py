"""Tiny pipelines whose prompts are read by large language models' classes, or that look at pictures meanwhile."""

from __future__ import annotations

import atexit
import tempfile
from pathlib import Path
from typing import Any

from support.tiny import autoencoders, joint, texts, unets
from support.tiny.autoencoders import SIZE
from support.tiny.schedules import flow_matching
from support.tiny.texts import WIDTH


def kolors() -> Any:
    import torch
    from diffusers import EulerDiscreteScheduler, KolorsPipeline
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    tokenizer = _chat_glm_tokenizer()
    encoder = ChatGLMModel(ChatGLMConfig(
        num_layers=2, padded_vocab_size=tokenizer.vocab_size, hidden_size=WIDTH, ffn_hidden_size=2 * WIDTH,
        kv_channels=32, num_attention_heads=4, seq_length=512, multi_query_attention=True, multi_query_group_num=2,
        add_qkv_bias=True,
        # Its class reads these and gives them no default; published configurations have them.
        original_rope=True, use_cache=True, tie_word_embeddings=False, eos_token_id=2, pad_token_id=0,
    ))  # fmt: skip
    for parameter in encoder.parameters():
        # Its class leaves them as the memory was.
        torch.nn.init.normal_(parameter, std=0.1) if parameter.dim() > 1 else torch.nn.init.ones_(parameter)
    denoiser = unets.unet(
        cross_attention_dim=WIDTH, encoder_hid_dim=WIDTH, encoder_hid_dim_type="text_proj", attention_head_dim=(2, 4),
        use_linear_projection=True, transformer_layers_per_block=(1, 2), addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )  # fmt: skip
    return KolorsPipeline(
        unet=denoiser, vae=autoencoders.kl(), text_encoder=encoder, tokenizer=tokenizer,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.014, beta_schedule="scaled_linear", num_train_timesteps=1100,
            steps_offset=1, timestep_spacing="leading",
        ),
    )  # fmt: skip


def _kept_folder() -> Path:
    """Return a new folder that is there as long as the process: for files which are read again after the building."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _chat_glm_tokenizer() -> Any:
    import sentencepiece
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

    folder = _kept_folder()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(texts.WORDS), *texts.WORDS] * 4), model_prefix=str(folder / "tokenizer"),
        vocab_size=64, hard_vocab_limit=False, model_type="unigram", minloglevel=2, num_threads=1,
    )  # fmt: skip
    return ChatGLMTokenizer(str(folder / "tokenizer.model"))


def _flux_2_transformer(levels: int) -> Any:
    from diffusers import Flux2Transformer2DModel

    return Flux2Transformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=4,
        joint_attention_dim=levels * WIDTH, timestep_guidance_channels=64, axes_dims_rope=(8, 8, 8, 8),
        guidance_embeds=True,
    )  # fmt: skip


def flux_2() -> Any:
    from diffusers import Flux2Pipeline
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    tokenizer = texts.qwen_tokenizer()
    # What it is told is a list of pieces, of which a picture could be one.
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% for piece in m.content %}{{ piece.text }}{% endfor %}<|im_end|>\n{% endfor %}"
    )
    # It takes what the 10th, 20th and 30th layer say.
    encoder = Mistral3ForConditionalGeneration(Mistral3Config(
        text_config={
            "model_type": "mistral", "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": WIDTH,
            "num_hidden_layers": 30, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
            "max_position_embeddings": 512, "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "model_type": "pixtral", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 2, "image_size": 32, "patch_size": 16, "head_dim": 32,
        },
        image_token_index=3,
    ))  # fmt: skip
    return Flux2Pipeline(
        transformer=_flux_2_transformer(3), vae=joint.flux_2_klein().vae, text_encoder=encoder, tokenizer=tokenizer,
        scheduler=flow_matching(),
    )  # fmt: skip


def flux_2_klein_kv() -> Any:
    from diffusers import Flux2KleinKVPipeline

    return Flux2KleinKVPipeline(**joint.flux_2_klein().components)


def z_image_omni() -> Any:
    from diffusers import ZImageOmniPipeline, ZImageTransformer2DModel
    from transformers import Siglip2ImageProcessor, Siglip2VisionConfig, Siglip2VisionModel

    parts = joint.z_image().components
    siglip = Siglip2VisionModel(Siglip2VisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=1, num_attention_heads=4, num_patches=16,
        patch_size=16,
    ))  # fmt: skip
    transformer = ZImageTransformer2DModel(
        in_channels=4, dim=WIDTH, n_layers=2, n_refiner_layers=1, n_heads=4, n_kv_heads=4, cap_feat_dim=WIDTH,
        axes_dims=[8, 12, 12], siglip_feat_dim=WIDTH,
    )  # fmt: skip
    return ZImageOmniPipeline(
        **parts | {"transformer": transformer}, siglip=siglip,
        siglip_processor=Siglip2ImageProcessor(patch_size=16, max_num_patches=16),
    )  # fmt: skip


def _t5_gemma(tokenizer: Any) -> Any:
    from transformers.models.t5gemma.configuration_t5gemma import T5GemmaConfig, T5GemmaModuleConfig
    from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

    sizes = {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2,
        "head_dim": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1, "query_pre_attn_scalar": 32,
    }  # fmt: skip
    encoder = T5GemmaEncoder(T5GemmaModuleConfig(**sizes, dropout_rate=0.0))
    # The configuration that is written is of encoder and decoder, as published ones are.
    encoder.config = T5GemmaConfig(encoder=dict(sizes), decoder=dict(sizes), is_encoder_decoder=False, **sizes)
    return encoder


def prx() -> Any:
    from diffusers import PRXPipeline, PRXTransformer2DModel

    tokenizer = texts.t5_tokenizer()
    transformer = PRXTransformer2DModel(
        in_channels=4, patch_size=2, context_in_dim=WIDTH, hidden_size=WIDTH, num_heads=4, depth=2, axes_dim=[16, 16]
    )
    return PRXPipeline(
        transformer=transformer, scheduler=flow_matching(shift=3.0), text_encoder=_t5_gemma(tokenizer),
        tokenizer=tokenizer, vae=autoencoders.shifted(), default_sample_size=SIZE,
    )  # fmt: skip


def prx_pixel() -> Any:
    from diffusers import PRXPixelPipeline, PRXTransformer2DModel

    tokenizer = texts.qwen_tokenizer()
    transformer = PRXTransformer2DModel(
        in_channels=3, patch_size=16, context_in_dim=WIDTH, hidden_size=WIDTH, num_heads=4, depth=2,
        axes_dim=[16, 16], bottleneck_size=64, resolution_embeds=True,
    )  # fmt: skip
    return PRXPixelPipeline(
        transformer=transformer, scheduler=flow_matching(shift=3.0), text_encoder=texts.qwen(tokenizer),
        tokenizer=tokenizer, default_sample_size=SIZE,
    )  # fmt: skip
