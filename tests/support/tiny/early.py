"""Tiny pipelines of diffusers' first years: without a prompt, of two stages in one, and of tokens for pictures.

Some have parts whose classes are beside their pipeline's; published checkpoints name those by a package that this
diffusers has moved.
"""

from __future__ import annotations

from typing import Any

from support.tiny import autoencoders, chained, guided, texts, unets
from support.tiny.autoencoders import SIZE
from support.tiny.texts import WIDTH


def _published(made: Any, **packages: str) -> Any:
    """Return `made` with the names of packages that published checkpoints have, for parts of these roles."""
    made.register_to_config(**{role: (name, type(made.components[role]).__name__) for role, name in packages.items()})
    return made


def _of_pixels() -> Any:
    return guided.unconditional().unet


def implicit() -> Any:
    from diffusers import DDIMPipeline, DDIMScheduler

    return DDIMPipeline(unet=_of_pixels(), scheduler=DDIMScheduler())


def pseudo_numerical() -> Any:
    from diffusers import PNDMPipeline, PNDMScheduler

    return PNDMPipeline(unet=_of_pixels(), scheduler=PNDMScheduler())


def repaint() -> Any:
    from diffusers import RePaintPipeline, RePaintScheduler

    return RePaintPipeline(unet=_of_pixels(), scheduler=RePaintScheduler())


def score_based() -> Any:
    from diffusers import ScoreSdeVePipeline, ScoreSdeVeScheduler

    return ScoreSdeVePipeline(unet=_of_pixels(), scheduler=ScoreSdeVeScheduler(sigma_max=1.0))


def karras() -> Any:
    from diffusers import KarrasVePipeline, KarrasVeScheduler

    return _published(
        KarrasVePipeline(unet=_of_pixels(), scheduler=KarrasVeScheduler(sigma_max=1.0)), scheduler="diffusers"
    )


def _unet_of_latents(**options: Any) -> Any:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIZE // 2, layers_per_block=1, block_out_channels=(32, 64), **options,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def _vq(**options: Any) -> Any:
    from diffusers import VQModel

    return VQModel(**{
        "block_out_channels": (32, 64), "latent_channels": 3, "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2, **options,
    })  # fmt: skip


def latent_diffusion() -> Any:
    from diffusers import DDIMScheduler, LDMPipeline

    return LDMPipeline(
        unet=_unet_of_latents(in_channels=3, out_channels=3), vqvae=_vq(), scheduler=DDIMScheduler()
    )  # fmt: skip


def latent_super_resolution() -> Any:
    from diffusers import DDIMScheduler, LDMSuperResolutionPipeline

    return LDMSuperResolutionPipeline(
        unet=_unet_of_latents(in_channels=6, out_channels=3), vqvae=_vq(), scheduler=DDIMScheduler()
    )  # fmt: skip


def latent_diffusion_of_texts() -> Any:
    from diffusers import DDIMScheduler, LDMTextToImagePipeline
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

    tokenizer = texts.bert_tokenizer()
    bert = LDMBertModel(LDMBertConfig(
        vocab_size=len(tokenizer), d_model=WIDTH, encoder_layers=2, encoder_ffn_dim=2 * WIDTH,
        encoder_attention_heads=4, head_dim=32,
    ))  # fmt: skip
    return LDMTextToImagePipeline(
        vqvae=autoencoders.kl(levels=2), bert=bert, tokenizer=tokenizer,
        unet=unets.unet(cross_attention_dim=WIDTH, attention_head_dim=4), scheduler=DDIMScheduler(clip_sample=False),
    )  # fmt: skip


def _prior(**options: Any) -> Any:
    from diffusers import PriorTransformer

    made = PriorTransformer(
        num_attention_heads=4, attention_head_dim=32, embedding_dim=WIDTH, num_layers=1, **options
    )  # fmt: skip
    made.clip_std.data.fill_(1.0)  # by which what it makes is multiplied: it starts as zeros
    return made


def _decoder() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIZE // 2, in_channels=3, out_channels=6, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), cross_attention_dim=WIDTH,
        attention_head_dim=32, resnet_time_scale_shift="scale_shift", class_embed_type="identity",
    )  # fmt: skip


def _super_resolution() -> Any:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIZE, in_channels=6, out_channels=3, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=["ResnetDownsampleBlock2D"] * 2, up_block_types=["ResnetUpsampleBlock2D"] * 2,
    )  # fmt: skip


def _unclip_scheduler(**options: Any) -> Any:
    from diffusers import UnCLIPScheduler

    return UnCLIPScheduler(**{"variance_type": "fixed_small_log", "prediction_type": "epsilon", **options})


def _unclip_parts() -> dict[str, Any]:
    from diffusers.pipelines.deprecated.unclip import UnCLIPTextProjModel

    tokenizer = texts.clip_tokenizer()
    return {
        "tokenizer": tokenizer, "text_encoder": texts.clip(tokenizer, projected=True), "decoder": _decoder(),
        # What the time comes to in the decoder is four times as wide as its first block.
        "text_proj": UnCLIPTextProjModel(
            clip_embeddings_dim=WIDTH, time_embed_dim=4 * 32, cross_attention_dim=WIDTH
        ),
        "super_res_first": _super_resolution(), "super_res_last": _super_resolution(),
        "decoder_scheduler": _unclip_scheduler(variance_type="learned_range"),
        "super_res_scheduler": _unclip_scheduler(),
    }  # fmt: skip


def unclip() -> Any:
    from diffusers import UnCLIPPipeline

    scheduler = _unclip_scheduler(prediction_type="sample", clip_sample_range=5.0)
    return _published(
        UnCLIPPipeline(**_unclip_parts(), prior=_prior(), prior_scheduler=scheduler), text_proj="unclip"
    )  # fmt: skip


def unclip_variations() -> Any:
    from diffusers import UnCLIPImageVariationPipeline
    from transformers import CLIPImageProcessor

    return _published(
        UnCLIPImageVariationPipeline(
            **_unclip_parts(), image_encoder=texts.image_encoder(),
            feature_extractor=CLIPImageProcessor(size=SIZE, crop_size=SIZE),
        ),
        text_proj="unclip",
    )  # fmt: skip


def _stable_unclip_parts() -> dict[str, Any]:
    from diffusers import DDIMScheduler, DDPMScheduler
    from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer

    tokenizer = texts.clip_tokenizer()
    return {
        "image_normalizer": StableUnCLIPImageNormalizer(embedding_dim=WIDTH),
        "image_noising_scheduler": DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        "tokenizer": tokenizer, "text_encoder": texts.clip(tokenizer), "vae": autoencoders.kl(),
        "unet": unets.unet(
            cross_attention_dim=WIDTH, attention_head_dim=4, class_embed_type="projection",
            # The picture's embedding, and how much noise it has.
            projection_class_embeddings_input_dim=2 * WIDTH,
        ),
        "scheduler": DDIMScheduler(prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1),
    }  # fmt: skip


def stable_unclip() -> Any:
    from diffusers import DDPMScheduler, StableUnCLIPPipeline

    prior_tokenizer = texts.clip_tokenizer()
    return StableUnCLIPPipeline(
        **_stable_unclip_parts(), prior=_prior(), prior_tokenizer=prior_tokenizer,
        prior_text_encoder=texts.clip(prior_tokenizer, projected=True),
        prior_scheduler=DDPMScheduler(variance_type="fixed_small_log", prediction_type="sample",
                                      clip_sample_range=5.0, beta_schedule="squaredcos_cap_v2"),
    )  # fmt: skip


def stable_unclip_of_pictures() -> Any:
    from diffusers import StableUnCLIPImg2ImgPipeline
    from transformers import CLIPImageProcessor

    return StableUnCLIPImg2ImgPipeline(
        **_stable_unclip_parts(), image_encoder=texts.image_encoder(),
        feature_extractor=CLIPImageProcessor(size=SIZE, crop_size=SIZE),
    )  # fmt: skip


def xlm_roberta_tokenizer() -> Any:
    from transformers import XLMRobertaTokenizer

    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("\N{LOWER ONE EIGHTH BLOCK}" + word, -float(rank)) for rank, word in enumerate(texts.WORDS)]
    pieces += [(chr(code), -100.0) for code in range(33, 127)] + [("\N{LOWER ONE EIGHTH BLOCK}", -99.0)]
    return XLMRobertaTokenizer(vocab=[*pieces, ("<mask>", 0.0)], model_max_length=77)


def _kandinsky_unet(**options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**{
        "in_channels": 4, "out_channels": 8, "addition_embed_type": "text_image", "layers_per_block": 1,
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "block_out_channels": (32, 64), "encoder_hid_dim": WIDTH,
        "encoder_hid_dim_type": "text_image_proj", "cross_attention_dim": WIDTH, "attention_head_dim": 4,
        "resnet_time_scale_shift": "scale_shift", **options,
    })  # fmt: skip


def _kandinsky_parts(**options: Any) -> dict[str, Any]:
    from diffusers import DDIMScheduler
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    tokenizer = xlm_roberta_tokenizer()
    encoder = MultilingualCLIP(MCLIPConfig(
        transformerDimSize=WIDTH, imageDimSize=WIDTH, vocab_size=len(tokenizer), hidden_size=WIDTH,
        intermediate_size=2 * WIDTH, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=80,
        pad_token_id=1, bos_token_id=0, eos_token_id=2,
    ))  # fmt: skip
    return {
        "text_encoder": encoder, "tokenizer": tokenizer, "unet": _kandinsky_unet(**options),
        "movq": chained.kandinsky_decoder().movq,
        "scheduler": DDIMScheduler(beta_schedule="linear", clip_sample=False, set_alpha_to_one=False),
    }  # fmt: skip


def _kandinsky_prior_parts() -> dict[str, Any]:
    return {f"prior_{role}": part for role, part in chained.kandinsky_prior().components.items()}


def kandinsky_2_1() -> Any:
    from diffusers import KandinskyCombinedPipeline

    return KandinskyCombinedPipeline(**_kandinsky_parts(), **_kandinsky_prior_parts())


def kandinsky_2_1_inpaint() -> Any:
    from diffusers import KandinskyInpaintCombinedPipeline

    return KandinskyInpaintCombinedPipeline(**_kandinsky_parts(in_channels=9), **_kandinsky_prior_parts())


def kandinsky_2_1_prior() -> Any:
    from diffusers import KandinskyPriorPipeline

    return KandinskyPriorPipeline(**chained.kandinsky_prior().components)


def kandinsky_2_1_decoder() -> Any:
    from diffusers import KandinskyPipeline

    return KandinskyPipeline(**_kandinsky_parts())


def kandinsky_2_1_filling() -> Any:
    from diffusers import KandinskyInpaintPipeline

    return KandinskyInpaintPipeline(**_kandinsky_parts(in_channels=9))


def _kandinsky_2_2_unet(**options: Any) -> Any:
    return _kandinsky_unet(addition_embed_type="image", encoder_hid_dim_type="image_proj", **options)


def kandinsky_2_2_filling() -> Any:
    from diffusers import KandinskyV22InpaintPipeline

    parts = chained.kandinsky_decoder().components
    return KandinskyV22InpaintPipeline(**parts | {"unet": _kandinsky_2_2_unet(in_channels=9)})


def kandinsky_2_2_inpaint() -> Any:
    from diffusers import KandinskyV22InpaintCombinedPipeline

    return KandinskyV22InpaintCombinedPipeline(**kandinsky_2_2_filling().components, **_kandinsky_prior_parts())


def kandinsky_2_2_controlnet() -> Any:
    from diffusers import KandinskyV22ControlnetPipeline

    parts = chained.kandinsky_decoder().components
    unet = _kandinsky_unet(
        in_channels=8, addition_embed_type="image_hint", encoder_hid_dim_type="image_proj"
    )  # fmt: skip
    # What is given to steer by shrinks by 8.
    return KandinskyV22ControlnetPipeline(**parts | {"unet": unet, "movq": autoencoders.quantizing()})


def kandinsky_2_2_controlnet_img2img() -> Any:
    from diffusers import KandinskyV22ControlnetImg2ImgPipeline

    return KandinskyV22ControlnetImg2ImgPipeline(**kandinsky_2_2_controlnet().components)


def kandinsky_2_2_emb2emb() -> Any:
    from diffusers import KandinskyV22PriorEmb2EmbPipeline

    return KandinskyV22PriorEmb2EmbPipeline(**chained.kandinsky_prior().components)


def amused() -> Any:
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel

    tokenizer = texts.clip_tokenizer()
    transformer = UVit2DModel(
        hidden_size=WIDTH, use_bias=False, hidden_dropout=0.0, cond_embed_dim=WIDTH, micro_cond_encode_dim=8,
        micro_cond_embed_dim=5 * 8, encoder_hidden_size=WIDTH, vocab_size=33, codebook_size=32, in_channels=64,
        block_out_channels=64, num_res_blocks=1, downsample=True, upsample=True, block_num_heads=4,
        num_hidden_layers=1, num_attention_heads=4, attention_dropout=0.0, intermediate_size=2 * WIDTH,
        layer_norm_eps=1e-6, ln_elementwise_affine=True,
    )  # fmt: skip
    return AmusedPipeline(
        transformer=transformer, tokenizer=tokenizer, text_encoder=texts.clip(tokenizer, projected=True),
        vqvae=_vq(latent_channels=32, num_vq_embeddings=32, layers_per_block=1, mid_block_add_attention=False,
                  lookup_from_codebook=True, sample_size=SIZE),
        scheduler=AmusedScheduler(mask_token_id=32),
    )  # fmt: skip


def vq_diffusion() -> Any:
    import torch
    from diffusers import Transformer2DModel, VQDiffusionPipeline, VQDiffusionScheduler
    from diffusers.pipelines.deprecated.vq_diffusion import LearnedClassifierFreeSamplingEmbeddings

    tokenizer = texts.clip_tokenizer()
    learned = LearnedClassifierFreeSamplingEmbeddings(learnable=True, hidden_size=WIDTH, length=77)
    torch.nn.init.normal_(learned.embeddings)
    transformer = Transformer2DModel(
        attention_bias=True, cross_attention_dim=WIDTH, num_attention_heads=4, attention_head_dim=32, num_layers=1,
        num_embeds_ada_norm=12, num_vector_embeds=13, sample_size=SIZE // 2, activation_fn="geglu-approximate",
    )  # fmt: skip
    return _published(
        VQDiffusionPipeline(
            transformer=transformer, tokenizer=tokenizer, text_encoder=texts.clip(tokenizer),
            vqvae=_vq(num_vq_embeddings=13, vq_embed_dim=3), scheduler=VQDiffusionScheduler(num_vec_classes=13),
            learned_classifier_free_sampling_embeddings=learned,
        ),
        learned_classifier_free_sampling_embeddings="vq_diffusion",
    )  # fmt: skip


def alt_diffusion() -> Any:
    from diffusers import AltDiffusionPipeline
    from diffusers.pipelines.deprecated.alt_diffusion.modeling_roberta_series import (
        RobertaSeriesConfig,
        RobertaSeriesModelWithTransformation,
    )

    parts = unets.stable_diffusion().components
    tokenizer = xlm_roberta_tokenizer()
    encoder = RobertaSeriesModelWithTransformation(RobertaSeriesConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, project_dim=WIDTH,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=80,
    ))  # fmt: skip
    made = AltDiffusionPipeline(
        **parts | {"text_encoder": encoder, "tokenizer": tokenizer}, requires_safety_checker=False
    )  # fmt: skip
    return _published(made, text_encoder="alt_diffusion")


def wuerstchen() -> Any:
    from diffusers import WuerstchenCombinedPipeline

    decoder = wuerstchen_decoder().components
    prior = {f"prior_{role}": part for role, part in wuerstchen_prior().components.items()}
    return _published(
        WuerstchenCombinedPipeline(**decoder, **prior), decoder="wuerstchen", vqgan="wuerstchen",
        prior_prior="wuerstchen",
    )  # fmt: skip


def wuerstchen_prior() -> Any:
    from diffusers import DDPMWuerstchenScheduler, WuerstchenPriorPipeline
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenPrior

    tokenizer = texts.clip_tokenizer()
    return _published(
        WuerstchenPriorPipeline(
            prior=guided.telling(WuerstchenPrior(c_in=4, c=WIDTH, depth=1, c_cond=WIDTH, c_r=16, nhead=4)),
            tokenizer=tokenizer,
            text_encoder=texts.clip(tokenizer), scheduler=DDPMWuerstchenScheduler(),
        ),
        prior="wuerstchen",
    )  # fmt: skip


def wuerstchen_decoder() -> Any:
    from diffusers import DDPMWuerstchenScheduler, WuerstchenDecoderPipeline
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel, WuerstchenDiffNeXt

    tokenizer = texts.clip_tokenizer()
    decoder = WuerstchenDiffNeXt(
        c_cond=WIDTH, c_hidden=[WIDTH, WIDTH], nhead=[-1, 4], blocks=[1, 1], level_config=["CT", "CTA"],
        clip_embd=WIDTH, inject_effnet=[False, True], effnet_embd=4, c_r=16,
    )  # fmt: skip
    made = WuerstchenDecoderPipeline(
        decoder=guided.telling(decoder),
        tokenizer=tokenizer, text_encoder=texts.clip(tokenizer), scheduler=DDPMWuerstchenScheduler(),
        vqgan=PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=512, embed_dim=32), latent_dim_scale=10.67,
    )  # fmt: skip
    return _published(made, decoder="wuerstchen", vqgan="wuerstchen")


def marigold_normals() -> Any:
    from diffusers import MarigoldNormalsPipeline

    return MarigoldNormalsPipeline(**unets.marigold().components, prediction_type="normals")


def marigold_intrinsics() -> Any:
    from diffusers import MarigoldIntrinsicsPipeline

    parts = unets.marigold().components
    parts["unet"] = unets.unet(in_channels=12, out_channels=8, cross_attention_dim=WIDTH, attention_head_dim=4)
    return MarigoldIntrinsicsPipeline(
        **parts, prediction_type="intrinsics", target_properties={
            "target_names": ["albedo", "material"], "albedo": {"prediction_space": "srgb"},
            "material": {"prediction_space": "stack"},
        },
    )  # fmt: skip


def _gpt_2_tokenizer() -> Any:
    from transformers import GPT2Tokenizer

    letters = [*(chr(code) for code in range(33, 127)), "\u0120", "\u010a"]
    return GPT2Tokenizer(
        vocab={piece: number for number, piece in enumerate([*letters, "<|endoftext|>"])}, merges=[],
        model_max_length=77,
    )  # fmt: skip


def uni_diffuser() -> Any:
    from diffusers import DPMSolverMultistepScheduler, UniDiffuserModel, UniDiffuserPipeline, UniDiffuserTextDecoder
    from transformers import CLIPImageProcessor

    tokenizer, words = texts.clip_tokenizer(), _gpt_2_tokenizer()
    unet = UniDiffuserModel(
        text_dim=64, clip_img_dim=WIDTH, num_text_tokens=77, num_attention_heads=4, attention_head_dim=32,
        in_channels=4, out_channels=4, num_layers=2, sample_size=SIZE // 2, patch_size=2, activation_fn="gelu",
        norm_type="layer_norm", block_type="unidiffuser", use_timestep_embedding=False, norm_elementwise_affine=True,
        use_patch_pos_embed=True, ff_final_dropout=True, use_data_type_embedding=True,
    )  # fmt: skip
    made = UniDiffuserPipeline(
        unet=unet, vae=autoencoders.kl(), text_encoder=texts.clip(tokenizer), clip_tokenizer=tokenizer,
        image_encoder=texts.image_encoder(), clip_image_processor=CLIPImageProcessor(size=SIZE, crop_size=SIZE),
        text_decoder=UniDiffuserTextDecoder(
            prefix_length=77, prefix_inner_dim=WIDTH, prefix_hidden_dim=64, vocab_size=len(words), n_positions=128,
            n_embd=64, n_layer=1, n_head=2,
        ),
        text_tokenizer=words,
        scheduler=DPMSolverMultistepScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                                              solver_order=2),
    )  # fmt: skip
    # Its two ends are one tensor, which safetensors files have no way to say.
    head = made.text_decoder.transformer.lm_head
    head.weight = type(head.weight)(head.weight.detach().clone())
    return _published(made, unet="unidiffuser", text_decoder="unidiffuser")


def _versatile_parts() -> dict[str, Any]:
    from diffusers import DDIMScheduler
    from diffusers.pipelines.deprecated.versatile_diffusion.modeling_text_unet import UNetFlatConditionModel

    tokenizer = texts.clip_tokenizer()
    flat = UNetFlatConditionModel(
        block_out_channels=(64, 128), layers_per_block=1, sample_size=SIZE // 2, in_channels=(4, 1, 1),
        out_channels=(4, 1, 1), down_block_types=("DownBlockFlat", "CrossAttnDownBlockFlat"),
        up_block_types=("CrossAttnUpBlockFlat", "UpBlockFlat"), mid_block_type="UNetMidBlockFlatCrossAttn",
        cross_attention_dim=WIDTH, attention_head_dim=4,
    )  # fmt: skip
    return {
        "tokenizer": tokenizer, "text_encoder": texts.clip(tokenizer, projected=True), "text_unet": flat,
        "image_unet": unets.unet(cross_attention_dim=WIDTH, attention_head_dim=4), "vae": autoencoders.kl(),
        "scheduler": DDIMScheduler(clip_sample=False),
    }  # fmt: skip


def versatile_of_texts() -> Any:
    from diffusers import VersatileDiffusionTextToImagePipeline

    return _universal(VersatileDiffusionTextToImagePipeline, _versatile_parts())


def versatile_of_both() -> Any:
    from diffusers import VersatileDiffusionDualGuidedPipeline
    from transformers import CLIPImageProcessor

    seeing = {
        "image_encoder": texts.image_encoder(),
        "image_feature_extractor": CLIPImageProcessor(size=SIZE, crop_size=SIZE),
    }
    return _universal(VersatileDiffusionDualGuidedPipeline, _versatile_parts() | seeing)


def _universal(made_by: Any, parts: dict[str, Any]) -> Any:
    """Return a pipeline with its networks as checkpoints for all of these classes have them."""
    # One that is made with both changes them.
    made = made_by(**parts | {"text_unet": None})
    made.register_modules(text_unet=parts["text_unet"])
    return _published(made, text_unet="versatile_diffusion")


def versatile_of_pictures() -> Any:
    from diffusers import VersatileDiffusionImageVariationPipeline
    from transformers import CLIPImageProcessor

    parts = _versatile_parts()
    return VersatileDiffusionImageVariationPipeline(
        **{role: parts[role] for role in ("image_unet", "vae", "scheduler")}, image_encoder=texts.image_encoder(),
        image_feature_extractor=CLIPImageProcessor(size=SIZE, crop_size=SIZE),
    )  # fmt: skip
