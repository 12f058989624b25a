"""Tiny pipelines with random weights, built offline; the modules here hold them by what their denoiser is.

They have every part that a real checkpoint has, tokenizers too, and layers large enough that both quantization
backends take them: sdnq leaves layers alone that have fewer than 16384 weights or 32 input channels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.tiny import chained, crossed, guided, joint, moving, reading, sounding, steered, unets, variants


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
    "animatediff": moving.animate_diff, "svd": moving.stable_video_diffusion,
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
}  # fmt: skip
"""Those that are compared with plain programs and are of no other test."""
