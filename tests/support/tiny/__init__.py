"""Tiny pipelines with random weights, built offline; the modules here hold them by what their denoiser is.

They have every part that a real checkpoint has, tokenizers too, and layers large enough that both quantization
backends take them: sdnq leaves layers alone that have fewer than 16384 weights or 32 input channels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.tiny import (
    animated,
    chained,
    clips,
    crossed,
    early,
    guided,
    joint,
    moving,
    reading,
    recent,
    seeing,
    sounding,
    soundtracks,
    steered,
    tunes,
    unets,
    variants,
)


def build(name: str, folder: Path) -> Path:
    """Write the pipeline called `name`, one of `PIPELINES` or `MORE`, into `folder` and return that."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(name.encode()))
        pipeline = (PIPELINES | MORE)[name]()
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


PIPELINES: dict[str, Callable[[], Any]] = {
    "sd": unets.stable_diffusion, "controlnet": unets.controlnet, "sdxl": unets.stable_diffusion_xl,
    "sd3": joint.stable_diffusion_3, "flux": joint.flux, "zimage": joint.z_image,
}  # fmt: skip
"""Those that most tests are of."""

MORE: dict[str, Callable[[], Any]] = {
    "sdxl-two-widths": unets.stable_diffusion_xl_of_two_widths,
    "sdxl-controlnet": unets.stable_diffusion_xl_controlnet, "cogview3": joint.cog_view_3,
    "adapter": unets.adapter, "sdxl-adapter": unets.stable_diffusion_xl_adapter,
    "lcm": unets.latent_consistency, "if": unets.deep_floyd, "kandinsky3": unets.kandinsky_3,
    "chroma": joint.chroma, "auraflow": joint.aura_flow, "lumina2": joint.lumina_2, "qwenimage": joint.qwen_image,
    "flux2klein": joint.flux_2_klein, "bria": joint.bria, "ovis": joint.ovis, "cogview4": joint.cog_view_4,
    "hidream": joint.hi_dream, "pixart-alpha": crossed.pixart_alpha, "pixart-sigma": crossed.pixart_sigma,
    "sana": crossed.sana, "sana-sprint": crossed.sana_sprint, "hunyuandit": crossed.hunyuan_dit,
    "lumina": crossed.lumina, "wan": moving.wan, "kandinsky-prior": chained.kandinsky_prior,
    "kandinsky-decoder": chained.kandinsky_decoder, "if-super": chained.deep_floyd_super_resolution,
    "upscaler": chained.upscaler, "latent-upscaler": chained.latent_upscaler,
    "stable-audio": sounding.stable_audio, "audioldm": sounding.audio_ldm,
    "cascade-prior": chained.stable_cascade_prior, "cascade-decoder": chained.stable_cascade_decoder,
    "kandinsky-both": chained.kandinsky_both, "flux-fill": guided.flux_fill, "flux-control": guided.flux_control,
    "flux-kontext": guided.flux_kontext, "flux-controlnet": guided.flux_controlnet,
    "sd3-controlnet": guided.stable_diffusion_3_controlnet, "qwenimage-controlnet": guided.qwen_image_controlnet,
    "zimage-controlnet": guided.z_image_controlnet, "sana-controlnet": guided.sana_controlnet,
    "marigold": unets.marigold, "text2video-zero": unets.text_to_video_zero,
    "instructed": guided.instructed, "hunyuanimage": guided.hunyuan_image, "unconditional": guided.unconditional,
    "of-classes": guided.of_classes, "wan-from-image": moving.wan_from_image, "cogvideox": moving.cog_video_x,
    "ltx": moving.ltx_video, "hunyuanvideo": moving.hunyuan_video, "sana-video": moving.sana_video,
    "animatediff": moving.animate_diff, "svd": moving.stable_video_diffusion, "ltx2": soundtracks.ltx_2,
    "ltx2-upsampler": soundtracks.ltx_2_upsampler, "ltx2-condition": soundtracks.ltx_2_condition,
    "animatediff-controlnet": animated.animate_diff_controlnet, "animatediff-sparse": animated.animate_diff_sparse,
    "animatediff-xl": animated.animate_diff_xl, "pia": animated.pia,
    "text2video-zero-xl": animated.text_to_video_zero_xl, "modelscope": animated.model_scope,
    "i2vgen-xl": animated.i2vgen_xl, "cogvideox-from-image": clips.cog_video_x_from_image,
    "cogvideox-fun": clips.cog_video_x_fun, "ltx-condition": clips.ltx_condition, "ltx-long": clips.ltx_long,
    "ltx-upsampler": clips.ltx_upsampler, "latte": clips.latte, "mochi": clips.mochi,
    "wan-vace": clips.wan_vace, "lucy-edit": clips.lucy_edit, "wan-animate": clips.wan_animate,
    "skyreels": clips.sky_reels, "skyreels-forcing": clips.sky_reels_forcing,
    "skyreels-from-image": clips.sky_reels_from_image, "sana-from-image": clips.sana_from_image,
    "hunyuan-skyreels": clips.hunyuan_sky_reels, "framepack": clips.framepack, "easyanimate": clips.easy_animate,
    "easyanimate-control": clips.easy_animate_control, "easyanimate-inpaint": clips.easy_animate_inpaint,
    "chronoedit": clips.chrono_edit, "hunyuanvideo15": clips.hunyuan_video_15,
    "hunyuanvideo15-from-image": clips.hunyuan_video_15_from_image, "motif": clips.motif_video,
    "anyflow": clips.any_flow, "anyflow-far": clips.any_flow_far, "helios": clips.helios,
    "helios-pyramid": clips.helios_pyramid, "musicldm": tunes.music_ldm, "audioldm2": tunes.audio_ldm_2,
    "acestep": tunes.ace_step, "stable-audio-3": tunes.stable_audio_3,
    "stable-audio-3-again": tunes.stable_audio_3_again, "stable-audio-3-inpaint": tunes.stable_audio_3_inpaint,
    "dance": tunes.dance_diffusion,
    "sdxl-controlnet-union": steered.stable_diffusion_xl_controlnet_union,
    "flux-controlnet-union": steered.flux_controlnet_union,
    "controlnet-xs": steered.controlnet_xs, "sdxl-controlnet-xs": steered.stable_diffusion_xl_controlnet_xs,
    "sd3-controlnet-inpaint": steered.stable_diffusion_3_controlnet_of_masks,
    "qwenimage-controlnet-inpaint": steered.qwen_image_controlnet_of_masks,
    "zimage-controlnet-inpaint": steered.z_image_controlnet_of_masks,
    "hunyuandit-controlnet": steered.hunyuan_dit_controlnet, "cogview4-control": steered.cog_view_4_control,
    "kolors": reading.kolors, "flux2": reading.flux_2, "flux2klein-kv": reading.flux_2_klein_kv,
    "zimage-omni": reading.z_image_omni, "prx": reading.prx, "prx-pixel": reading.prx_pixel,
    "sag": variants.self_attention_guided, "panorama": variants.panorama, "safe": variants.safe,
    "attend-and-excite": variants.attend_and_excite, "semantic": variants.semantic, "cycle": variants.cycle_diffusion,
    "gligen-pictures": variants.grounded_by_pictures,
    "gligen": variants.grounded, "variation": variants.image_variation, "depth": variants.depth_to_image,
    "by-example": variants.painted_by_example,
    "sdxl-instructed": variants.stable_diffusion_xl_instructed, "flux-redux": variants.flux_redux,
    "ddim": early.implicit, "pndm": early.pseudo_numerical, "repaint": early.repaint, "sde-ve": early.score_based,
    "karras-ve": early.karras, "ldm": early.latent_diffusion, "ldm-super": early.latent_super_resolution,
    "ldm-texts": early.latent_diffusion_of_texts, "unclip": early.unclip,
    "unclip-variations": early.unclip_variations, "stable-unclip": early.stable_unclip,
    "stable-unclip-of-pictures": early.stable_unclip_of_pictures, "kandinsky21": early.kandinsky_2_1,
    "kandinsky21-inpaint": early.kandinsky_2_1_inpaint, "kandinsky21-prior": early.kandinsky_2_1_prior,
    "kandinsky21-decoder": early.kandinsky_2_1_decoder, "kandinsky21-filling": early.kandinsky_2_1_filling,
    "kandinsky22-filling": early.kandinsky_2_2_filling, "kandinsky22-inpaint": early.kandinsky_2_2_inpaint,
    "kandinsky22-controlnet": early.kandinsky_2_2_controlnet,
    "kandinsky22-controlnet-img2img": early.kandinsky_2_2_controlnet_img2img,
    "kandinsky22-emb2emb": early.kandinsky_2_2_emb2emb, "amused": early.amused, "vq-diffusion": early.vq_diffusion,
    "alt": early.alt_diffusion,
    "wuerstchen": early.wuerstchen, "wuerstchen-prior": early.wuerstchen_prior,
    "marigold-normals": early.marigold_normals,
    "marigold-intrinsics": early.marigold_intrinsics,
    "unidiffuser": early.uni_diffuser, "versatile-texts": early.versatile_of_texts,
    "versatile-pictures": early.versatile_of_pictures, "versatile-both": early.versatile_of_both,
    "krea2": recent.krea_2, "ernie": recent.ernie_image, "fibo": recent.bria_fibo, "fibo-edit": recent.bria_fibo_edit,
    "ideogram4": recent.ideogram_4, "glm": recent.glm_image, "refiner": recent.hunyuan_image_refiner,
    "cloze": recent.visual_cloze,
    "qwenimage-edit": seeing.qwen_image_edit, "qwenimage-edit-plus": seeing.qwen_image_edit_plus,
    "kandinsky5": seeing.kandinsky_5, "kandinsky5-from-image": seeing.kandinsky_5_from_image,
    "kandinsky5-video": seeing.kandinsky_5_video, "kandinsky5-video-from-image": seeing.kandinsky_5_video_from_image,
    "longcat": seeing.longcat_image, "longcat-edit": seeing.longcat_image_edit,
    "omnigen": seeing.omni_gen,
}  # fmt: skip
"""Those that are compared with plain programs and are of no other test."""
