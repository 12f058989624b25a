"""The pipeline classes whose pictures are compared with those of plain diffusers programs, and those that aren't.

Each case is a statement over a tiny checkpoint. How the two pictures are made and compared is `test_parity`'s
business, what they come to is in `docs/parity.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

EQUAL = "equal"
"""What is said of two pictures that are the same in every bit."""
STEPS = 2
SIDE = 64  # of the pictures, in pixels
KINDS = {
    "none": None,
    "bnb8": "bnb;bits=8",
    "nf4": "bnb;bits=4;bits4-quant-type=nf4",
    "sdnq-int8": "sdnq;type=int8;quant-conv=true",
    "sdnq-uint4": "sdnq;type=uint4;quant-conv=true",
}
"""The model's quantizer by what `plain` calls it."""
QUANTIZED = (
    "unet", "transformer", "transformer_2", "text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4",
    "prior", "decoder", "super_res_first", "super_res_last", "prior_prior", "prior_text_encoder", "bert",
    "unconditional_transformer", "image_unet", "text_unet",
)  # fmt: skip
"""The roles that a model's quantizer is for."""


class Picture(str):
    """The name of a file with a picture."""


class Tensor(str):
    """The name of a file with a tensor."""


IMAGE, MASK = Picture("picture.png"), Picture("mask.png")
NOISE, CLIP, CLIP_MASK = Tensor("noise.safetensors"), Tensor("clip.safetensors"), Tensor("clip-mask.safetensors")
"""Sound of two channels; a video of five frames, and which of its pixels are meant."""
EMBEDS, NO_EMBEDS, HINT = map(Tensor, ("embeds.safetensors", "no-embeds.safetensors", "hint.safetensors"))

QUICK = "flux"
"""The checkpoint that is compared in every way in the quick tests, too."""


@dataclass(frozen=True)
class Case:
    """A class, and the call of it that is compared; `call` goes to the script and to the plain program alike.

    The script says nothing of the class: `checkpoint`, one of `support.tiny`'s, has it, or it follows from the call.
    `lacks` are the settings, of those that all others have, that the class has no place for. A video's frames are
    compared in a file without loss. `skipped` are modules that no quantizer takes, the same for all of a checkpoint:
    without that a plan is refused. Those `beside` are of a process that has torchvision, which their parts need.
    """

    class_name: str
    family: str
    task: str
    checkpoint: str
    call: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    lacks: tuple[str, ...] = ()
    suffix: str = "png"
    skipped: tuple[str, ...] = ()
    beside: bool = False


TEXT, AGAIN, FILLED, PERTURBED, STEERED = "text to image", "image to image", "inpainting", "perturbed", "controlnet"
_FROM_IMAGE = {"image": IMAGE, "strength": 0.7}
_IN_MASK = {"image": IMAGE, "mask_image": MASK, "strength": 0.9}
_PERTURBED = {"pag_scale": 2.5}
# Left alone these make a picture of about a million pixels, and shrink it.
_UNBINNED = {"use_resolution_binning": False}
VIDEO, FROM_IMAGE, EDITED = "text to video", "image to video", "editing"
_FRAMES = {"num_frames": 5}
FROM_VIDEO, SOUND = "video to video", "text to sound"
_LTX2 = {"num_frames": 5, "frame_rate": 25.0, "max_sequence_length": 16, "spatio_temporal_guidance_blocks": [0]}
_LTX = _COG = {"num_frames": 9, "max_sequence_length": 16}
_FORCING = {"num_frames": 5, "base_num_frames": 5}
_CHUNKS = {"num_frames": 9, "max_sequence_length": 16, "num_latent_frames_per_chunk": 3}
# The tokenizer that these have here makes a token of each letter.
_LONG = {"max_sequence_length": 1024}
# The tokenizer that these have here makes no tokens of an empty text.
_NEGATIVE = {"negative_prompt": "blue"}

_FREE, _VARIED, _LARGER = "unconditional", "variations", "larger"
_PRIORS, _DECODED = "what a decoder takes", "decoding"
_PRIOR = {"prior_num_inference_steps": STEPS}
_DECODER = {"decoder_num_inference_steps": 4, "super_res_num_inference_steps": 4}
_EMBEDDED = {"image_embeds": EMBEDS, "negative_image_embeds": NO_EMBEDS}
# What is nearest in a table hides what a quantizer changes in one step.
_FOUR = {"num_inference_steps": 4}
_CAST = ("encoder_hid_proj",)
_MEASURED = {"image": IMAGE, "processing_resolution": 0}

CASES = [
    Case("StableDiffusionPipeline", "Stable Diffusion", TEXT, "sd"),
    Case("StableDiffusionImg2ImgPipeline", "Stable Diffusion", AGAIN, "sd", _FROM_IMAGE),
    Case("StableDiffusionInpaintPipeline", "Stable Diffusion", FILLED, "sd", _IN_MASK),
    Case("StableDiffusionPAGPipeline", "Stable Diffusion", PERTURBED, "sd", _PERTURBED),
    Case("StableDiffusionPAGImg2ImgPipeline", "Stable Diffusion", f"{PERTURBED}, {AGAIN}", "sd",
         _PERTURBED | _FROM_IMAGE),
    Case("StableDiffusionPAGInpaintPipeline", "Stable Diffusion", f"{PERTURBED}, {FILLED}", "sd",
         _PERTURBED | _IN_MASK),
    Case("StableDiffusionControlNetPipeline", "Stable Diffusion", STEERED, "controlnet", {"image": IMAGE}),
    Case("StableDiffusionControlNetImg2ImgPipeline", "Stable Diffusion", f"{STEERED}, {AGAIN}", "controlnet",
         {"control_image": IMAGE, **_FROM_IMAGE}),
    Case("StableDiffusionControlNetInpaintPipeline", "Stable Diffusion", f"{STEERED}, {FILLED}", "controlnet",
         {"control_image": IMAGE, **_IN_MASK}),
    Case("StableDiffusionControlNetPAGPipeline", "Stable Diffusion", f"{STEERED}, {PERTURBED}", "controlnet",
         {"image": IMAGE, **_PERTURBED}),
    Case("StableDiffusionControlNetPAGInpaintPipeline", "Stable Diffusion", f"{STEERED}, {PERTURBED}, {FILLED}",
         "controlnet", {"control_image": IMAGE, **_PERTURBED, **_IN_MASK}),
    Case("StableDiffusionXLPipeline", "SDXL", TEXT, "sdxl"),
    Case("StableDiffusionXLImg2ImgPipeline", "SDXL", AGAIN, "sdxl", _FROM_IMAGE),
    Case("StableDiffusionXLInpaintPipeline", "SDXL", FILLED, "sdxl", _IN_MASK),
    Case("StableDiffusionXLPAGPipeline", "SDXL", PERTURBED, "sdxl", _PERTURBED),
    Case("StableDiffusionXLPAGImg2ImgPipeline", "SDXL", f"{PERTURBED}, {AGAIN}", "sdxl", _PERTURBED | _FROM_IMAGE),
    Case("StableDiffusionXLPAGInpaintPipeline", "SDXL", f"{PERTURBED}, {FILLED}", "sdxl", _PERTURBED | _IN_MASK),
    Case("StableDiffusionXLControlNetPipeline", "SDXL", STEERED, "sdxl-controlnet", {"image": IMAGE}),
    Case("StableDiffusionXLControlNetImg2ImgPipeline", "SDXL", f"{STEERED}, {AGAIN}", "sdxl-controlnet",
         {"control_image": IMAGE, **_FROM_IMAGE}),
    Case("StableDiffusionXLControlNetInpaintPipeline", "SDXL", f"{STEERED}, {FILLED}", "sdxl-controlnet",
         {"control_image": IMAGE, **_IN_MASK}),
    Case("StableDiffusionXLControlNetPAGPipeline", "SDXL", f"{STEERED}, {PERTURBED}", "sdxl-controlnet",
         {"image": IMAGE, **_PERTURBED}),
    Case("StableDiffusionXLControlNetPAGImg2ImgPipeline", "SDXL", f"{STEERED}, {PERTURBED}, {AGAIN}",
         "sdxl-controlnet", {"control_image": IMAGE, **_PERTURBED, **_FROM_IMAGE}),
    Case("StableDiffusion3Pipeline", "Stable Diffusion 3", TEXT, "sd3"),
    Case("StableDiffusion3Img2ImgPipeline", "Stable Diffusion 3", AGAIN, "sd3", _FROM_IMAGE),
    Case("StableDiffusion3InpaintPipeline", "Stable Diffusion 3", FILLED, "sd3", _IN_MASK),
    Case("StableDiffusion3PAGPipeline", "Stable Diffusion 3", PERTURBED, "sd3", _PERTURBED),
    Case("StableDiffusion3PAGImg2ImgPipeline", "Stable Diffusion 3", f"{PERTURBED}, {AGAIN}", "sd3",
         _PERTURBED | _FROM_IMAGE),
    Case("FluxPipeline", "FLUX.1", TEXT, "flux"),
    Case("FluxImg2ImgPipeline", "FLUX.1", AGAIN, "flux", _FROM_IMAGE),
    Case("FluxInpaintPipeline", "FLUX.1", FILLED, "flux", _IN_MASK),
    Case("Flux2KleinPipeline", "FLUX.2", TEXT, "flux2klein"),
    Case("Flux2KleinInpaintPipeline", "FLUX.2", FILLED, "flux2klein", _IN_MASK),
    Case("ZImagePipeline", "Z-Image", TEXT, "zimage"),
    Case("ZImageImg2ImgPipeline", "Z-Image", AGAIN, "zimage", _FROM_IMAGE),
    Case("ZImageInpaintPipeline", "Z-Image", FILLED, "zimage", _IN_MASK),
    Case("QwenImagePipeline", "Qwen-Image", TEXT, "qwenimage"),
    Case("QwenImageImg2ImgPipeline", "Qwen-Image", AGAIN, "qwenimage", _FROM_IMAGE),
    Case("QwenImageInpaintPipeline", "Qwen-Image", FILLED, "qwenimage", _IN_MASK),
    Case("ChromaPipeline", "Chroma", TEXT, "chroma"),
    Case("ChromaImg2ImgPipeline", "Chroma", AGAIN, "chroma", _FROM_IMAGE),
    Case("ChromaInpaintPipeline", "Chroma", FILLED, "chroma", _IN_MASK),
    Case("LatentConsistencyModelPipeline", "LCM", TEXT, "lcm"),
    Case("LatentConsistencyModelImg2ImgPipeline", "LCM", AGAIN, "lcm", _FROM_IMAGE),
    Case("AuraFlowPipeline", "AuraFlow", TEXT, "auraflow"),
    Case("PixArtAlphaPipeline", "PixArt", TEXT, "pixart-alpha", _UNBINNED),
    Case("PixArtSigmaPipeline", "PixArt", TEXT, "pixart-sigma", _UNBINNED),
    Case("PixArtSigmaPAGPipeline", "PixArt", PERTURBED, "pixart-sigma", _UNBINNED | _PERTURBED),
    Case("SanaPipeline", "Sana", TEXT, "sana", _UNBINNED),
    Case("SanaPAGPipeline", "Sana", PERTURBED, "sana", _UNBINNED | _PERTURBED),
    Case("SanaSprintPipeline", "Sana", TEXT, "sana-sprint", _UNBINNED),
    Case("SanaSprintImg2ImgPipeline", "Sana", AGAIN, "sana-sprint", _UNBINNED | _FROM_IMAGE),
    Case("LuminaPipeline", "Lumina", TEXT, "lumina", _NEGATIVE),
    Case("Lumina2Pipeline", "Lumina", TEXT, "lumina2"),
    Case("HunyuanDiTPipeline", "HunyuanDiT", TEXT, "hunyuandit", _UNBINNED),
    Case("HunyuanDiTPAGPipeline", "HunyuanDiT", PERTURBED, "hunyuandit", _UNBINNED | _PERTURBED),
    Case("IFPipeline", "DeepFloyd IF", TEXT, "if"),
    Case("IFImg2ImgPipeline", "DeepFloyd IF", AGAIN, "if", _FROM_IMAGE),
    Case("IFInpaintingPipeline", "DeepFloyd IF", FILLED, "if", _IN_MASK),
    Case("Kandinsky3Pipeline", "Kandinsky", TEXT, "kandinsky3"),
    Case("Kandinsky3Img2ImgPipeline", "Kandinsky", AGAIN, "kandinsky3", _FROM_IMAGE),
    Case("BriaPipeline", "Bria", TEXT, "bria"),
    Case("OvisImagePipeline", "Ovis", TEXT, "ovis"),
    Case("CogView3PlusPipeline", "CogView", TEXT, "cogview3", _NEGATIVE),
    Case("CogView4Pipeline", "CogView", TEXT, "cogview4", _NEGATIVE),
    Case("HiDreamImagePipeline", "HiDream", TEXT, "hidream", {"max_sequence_length": 64}),
    Case("HunyuanImagePipeline", "Hunyuan Image", TEXT, "hunyuanimage"),
    Case("FluxFillPipeline", "FLUX.1", FILLED, "flux-fill", {"image": IMAGE, "mask_image": MASK}),
    Case("FluxControlPipeline", "FLUX.1", "control", "flux-control", {"control_image": IMAGE}),
    Case("FluxKontextPipeline", "FLUX.1", EDITED, "flux-kontext",
         {"image": IMAGE, "_auto_resize": False, "max_area": SIDE * SIDE}),
    Case("FluxControlNetPipeline", "FLUX.1", STEERED, "flux-controlnet", {"control_image": IMAGE}),
    Case("FluxControlNetImg2ImgPipeline", "FLUX.1", f"{STEERED}, {AGAIN}", "flux-controlnet",
         {"control_image": IMAGE, **_FROM_IMAGE}),
    Case("FluxControlNetInpaintPipeline", "FLUX.1", f"{STEERED}, {FILLED}", "flux-controlnet",
         {"control_image": IMAGE, **_IN_MASK}),
    Case("StableDiffusion3ControlNetPipeline", "Stable Diffusion 3", STEERED, "sd3-controlnet",
         {"control_image": IMAGE}),
    Case("QwenImageControlNetPipeline", "Qwen-Image", STEERED, "qwenimage-controlnet", {"control_image": IMAGE}),
    Case("ZImageControlNetPipeline", "Z-Image", STEERED, "zimage-controlnet", {"control_image": IMAGE}),
    Case("SanaControlNetPipeline", "Sana", STEERED, "sana-controlnet", {"control_image": IMAGE, **_UNBINNED}),
    Case("StableDiffusionInstructPix2PixPipeline", "Stable Diffusion", EDITED, "instructed", {"image": IMAGE}),
    Case("DDPMPipeline", "DDPM", "unconditional", "unconditional", lacks=("prompt", "size")),
    Case("DiTPipeline", "DiT", "of classes", "of-classes", {"class_labels": [1]}, lacks=("prompt", "size")),
    Case("WanPipeline", "Wan", VIDEO, "wan", _FRAMES, suffix="webp"),
    Case("WanImageToVideoPipeline", "Wan", FROM_IMAGE, "wan-from-image", {"image": IMAGE, **_FRAMES}, suffix="webp"),
    Case("CogVideoXPipeline", "CogVideoX", VIDEO, "cogvideox", {"num_frames": 9, "max_sequence_length": 16},
         suffix="webp"),
    Case("LTXPipeline", "LTX-Video", VIDEO, "ltx", {"num_frames": 9, "max_sequence_length": 16}, suffix="webp"),
    Case("HunyuanVideoPipeline", "Hunyuan Video", VIDEO, "hunyuanvideo", _FRAMES, suffix="webp"),
    Case("SanaVideoPipeline", "Sana", VIDEO, "sana-video", {"frames": 5, **_UNBINNED}, suffix="webp"),
    Case("AnimateDiffPipeline", "AnimateDiff", VIDEO, "animatediff", {"num_frames": 2}, suffix="webp"),
    Case("StableVideoDiffusionPipeline", "Stable Video Diffusion", FROM_IMAGE, "svd",
         {"image": IMAGE, "num_frames": 2, "decode_chunk_size": 2}, lacks=("prompt",), suffix="webp"),
    Case("LTX2Pipeline", "LTX 2", VIDEO, "ltx2", _LTX2, suffix="webp"),
    Case("LTX2ImageToVideoPipeline", "LTX 2", FROM_IMAGE, "ltx2", {"image": IMAGE, **_LTX2}, suffix="webp"),
    Case("LTX2ConditionPipeline", "LTX 2", VIDEO, "ltx2-condition", _LTX2, suffix="webp"),
    Case("LTXImageToVideoPipeline", "LTX-Video", FROM_IMAGE, "ltx", {"image": IMAGE, **_LTX},
         suffix="webp"),
    Case("LTXConditionPipeline", "LTX-Video", FROM_IMAGE, "ltx-condition", {"image": IMAGE, **_LTX}, suffix="webp"),
    Case("LTXI2VLongMultiPromptPipeline", "LTX-Video", VIDEO, "ltx-long",
         {"max_sequence_length": 16, "num_frames": 9, "temporal_tile_size": 8, "temporal_overlap": 4}, suffix="webp"),
    Case("CogVideoXImageToVideoPipeline", "CogVideoX", FROM_IMAGE, "cogvideox-from-image", {"image": IMAGE, **_COG},
         suffix="webp"),
    Case("CogVideoXVideoToVideoPipeline", "CogVideoX", FROM_VIDEO, "cogvideox",
         {"video": [IMAGE, MASK] * 4 + [IMAGE], "max_sequence_length": 16}, suffix="webp"),
    Case("CogVideoXFunControlPipeline", "CogVideoX", "control", "cogvideox-fun",
         {"control_video": [IMAGE, MASK] * 4 + [IMAGE], "max_sequence_length": 16}, suffix="webp"),
    Case("AnimateDiffVideoToVideoPipeline", "AnimateDiff", FROM_VIDEO, "animatediff", {"video": [IMAGE, MASK]},
         suffix="webp"),
    Case("AnimateDiffPAGPipeline", "AnimateDiff", PERTURBED, "animatediff", {"num_frames": 2, **_PERTURBED},
         suffix="webp"),
    Case("AnimateDiffControlNetPipeline", "AnimateDiff", STEERED, "animatediff-controlnet",
         {"conditioning_frames": [IMAGE, MASK], "num_frames": 2}, suffix="webp"),
    Case("AnimateDiffVideoToVideoControlNetPipeline", "AnimateDiff", f"{STEERED}, {FROM_VIDEO}",
         "animatediff-controlnet", {"conditioning_frames": [IMAGE, MASK], "video": [MASK, IMAGE]}, suffix="webp"),
    Case("AnimateDiffSparseControlNetPipeline", "AnimateDiff", STEERED, "animatediff-sparse",
         {"conditioning_frames": [IMAGE], "num_frames": 2}, suffix="webp"),
    Case("AnimateDiffSDXLPipeline", "AnimateDiff", VIDEO, "animatediff-xl", {"num_frames": 2}, suffix="webp"),
    Case("PIAPipeline", "AnimateDiff", FROM_IMAGE, "pia", {"image": IMAGE, "num_frames": 2}, suffix="webp"),
    Case("I2VGenXLPipeline", "I2VGen-XL", FROM_IMAGE, "i2vgen-xl",
         {"image": IMAGE, "num_frames": 2, "clip_skip": None}, suffix="webp"),
    Case("TextToVideoSDPipeline", "ModelScope", VIDEO, "modelscope", {"num_frames": 2}, suffix="webp"),
    Case("VideoToVideoSDPipeline", "ModelScope", FROM_VIDEO, "modelscope", {"video": [IMAGE, MASK]}, suffix="webp"),
    Case("TextToVideoZeroSDXLPipeline", "Text2Video-Zero", VIDEO, "text2video-zero-xl",
         {"video_length": 2, "t0": 0, "t1": 1}, suffix="webp"),
    Case("LattePipeline", "Latte", VIDEO, "latte", {"video_length": 2}, suffix="webp"),
    Case("MochiPipeline", "Mochi", VIDEO, "mochi", {"num_frames": 7, "max_sequence_length": 16}, suffix="webp"),
    Case("WanVideoToVideoPipeline", "Wan", FROM_VIDEO, "wan", {"video": [IMAGE, MASK] * 2 + [IMAGE]}, suffix="webp"),
    Case("WanVACEPipeline", "Wan", "control", "wan-vace", {"video": [IMAGE, MASK] * 2 + [IMAGE], **_FRAMES},
         suffix="webp"),
    Case("LucyEditPipeline", "Wan", EDITED, "lucy-edit", {"video": [IMAGE, MASK] * 2 + [IMAGE], **_FRAMES},
         suffix="webp"),
    Case("WanAnimatePipeline", "Wan", "control", "wan-animate",
         {"image": IMAGE, "pose_video": [IMAGE, MASK] * 2 + [IMAGE], "face_video": [MASK, IMAGE] * 2 + [IMAGE],
          "segment_frame_length": 5}, suffix="webp"),
    Case("SkyReelsV2Pipeline", "SkyReels V2", VIDEO, "skyreels", _FRAMES, suffix="webp"),
    Case("SkyReelsV2ImageToVideoPipeline", "SkyReels V2", FROM_IMAGE, "skyreels-from-image",
         {"image": IMAGE, **_FRAMES}, suffix="webp"),
    Case("SkyReelsV2DiffusionForcingPipeline", "SkyReels V2", VIDEO, "skyreels-forcing", _FORCING, suffix="webp"),
    Case("SkyReelsV2DiffusionForcingImageToVideoPipeline", "SkyReels V2", FROM_IMAGE, "skyreels-forcing",
         {"image": IMAGE, **_FORCING}, suffix="webp"),
    Case("SkyReelsV2DiffusionForcingVideoToVideoPipeline", "SkyReels V2", FROM_VIDEO, "skyreels-forcing",
         {"video": [IMAGE, MASK] * 2 + [IMAGE], "overlap_history": 5, "num_frames": 9, "base_num_frames": 9},
         suffix="webp"),
    Case("SanaImageToVideoPipeline", "Sana", FROM_IMAGE, "sana-from-image",
         {"image": IMAGE, "frames": 5, **_UNBINNED}, suffix="webp"),
    Case("HunyuanSkyreelsImageToVideoPipeline", "Hunyuan Video", FROM_IMAGE, "hunyuan-skyreels",
         {"image": IMAGE, **_FRAMES}, suffix="webp"),
    Case("HunyuanVideoFramepackPipeline", "Hunyuan Video", FROM_IMAGE, "framepack",
         {"image": IMAGE, "num_frames": 5, "latent_window_size": 3}, suffix="webp"),
    Case("EasyAnimatePipeline", "EasyAnimate", VIDEO, "easyanimate", {**_FRAMES, **_NEGATIVE}, suffix="webp"),
    Case("EasyAnimateControlPipeline", "EasyAnimate", "control", "easyanimate-control",
         {"control_video": CLIP, **_FRAMES, **_NEGATIVE}, suffix="webp"),
    Case("EasyAnimateInpaintPipeline", "EasyAnimate", FILLED, "easyanimate-inpaint",
         {"video": CLIP, "mask_video": CLIP_MASK, **_FRAMES, **_NEGATIVE}, suffix="webp"),
    Case("ChronoEditPipeline", "ChronoEdit", EDITED, "chronoedit", {"image": IMAGE, **_FRAMES}, suffix="webp"),
    Case("HunyuanVideo15Pipeline", "Hunyuan Video", VIDEO, "hunyuanvideo15", _FRAMES, suffix="webp"),
    Case("HunyuanVideo15ImageToVideoPipeline", "Hunyuan Video", FROM_IMAGE, "hunyuanvideo15-from-image",
         {"image": IMAGE, **_FRAMES}, lacks=("size",), suffix="webp"),
    Case("MotifVideoPipeline", "Motif", VIDEO, "motif", {"max_sequence_length": 16, **_FRAMES}, suffix="webp"),
    Case("MotifVideoImage2VideoPipeline", "Motif", FROM_IMAGE, "motif",
         {"image": IMAGE, "max_sequence_length": 16, **_FRAMES}, suffix="webp"),
    Case("AnyFlowPipeline", "AnyFlow", VIDEO, "anyflow", _FRAMES, suffix="webp"),
    Case("AnyFlowFARPipeline", "AnyFlow", VIDEO, "anyflow-far", _FRAMES, suffix="webp"),
    Case("HeliosPipeline", "Helios", VIDEO, "helios", _CHUNKS, suffix="webp"),
    Case("HeliosPyramidPipeline", "Helios", VIDEO, "helios-pyramid",
         {"pyramid_num_inference_steps_list": [1, 1, 1], **_CHUNKS}, lacks=("num_inference_steps",), suffix="webp"),
    Case("MusicLDMPipeline", "AudioLDM", SOUND, "musicldm", {"audio_length_in_s": 0.02}, lacks=("size",),
         suffix="wav"),
    Case("AudioLDM2Pipeline", "AudioLDM", SOUND, "audioldm2", {"audio_length_in_s": 0.02}, lacks=("size",),
         suffix="wav"),
    Case("AceStepPipeline", "ACE-Step", SOUND, "acestep", {"audio_duration": 0.4, "max_text_length": 32},
         lacks=("size",), suffix="wav"),
    Case("StableAudio3Pipeline", "Stable Audio", SOUND, "stable-audio-3", {"duration": 0.4}, lacks=("size",),
         suffix="wav"),
    Case("StableAudio3AudioToAudioPipeline", "Stable Audio", "sound to sound", "stable-audio-3-again",
         {"duration": 0.4, "audio": NOISE, "init_noise_level": 0.7}, lacks=("size",), suffix="wav"),
    Case("StableAudio3InpaintPipeline", "Stable Audio", FILLED, "stable-audio-3-inpaint",
         {"duration": 0.4, "audio": NOISE, "mask_start_seconds": 0.1, "mask_end_seconds": 0.3}, lacks=("size",),
         suffix="wav"),
    Case("DanceDiffusionPipeline", "Dance Diffusion", "unconditional", "dance", {"audio_length_in_s": 1.0},
         lacks=("prompt", "size"), suffix="wav"),
    Case("FluxControlImg2ImgPipeline", "FLUX.1", f"control, {AGAIN}", "flux-control",
         {"control_image": IMAGE, **_FROM_IMAGE}),
    Case("FluxControlInpaintPipeline", "FLUX.1", f"control, {FILLED}", "flux-control",
         {"control_image": IMAGE, **_IN_MASK}),
    Case("FluxKontextInpaintPipeline", "FLUX.1", f"{EDITED}, {FILLED}", "flux-kontext",
         {**_IN_MASK, "_auto_resize": False, "max_area": SIDE * SIDE}),
    Case("StableDiffusionXLControlNetUnionPipeline", "SDXL", "controlnet of several modes", "sdxl-controlnet-union",
         {"control_image": IMAGE, "control_mode": 1}),
    Case("StableDiffusionXLControlNetUnionImg2ImgPipeline", "SDXL", f"controlnet of several modes, {AGAIN}",
         "sdxl-controlnet-union", {"control_image": IMAGE, "control_mode": 1, **_FROM_IMAGE}),
    Case("StableDiffusionXLControlNetUnionInpaintPipeline", "SDXL", f"controlnet of several modes, {FILLED}",
         "sdxl-controlnet-union", {"control_image": IMAGE, "control_mode": 1, **_IN_MASK}),
    Case("StableDiffusionControlNetXSPipeline", "Stable Diffusion", "controlnet XS", "controlnet-xs",
         {"image": IMAGE}),
    Case("StableDiffusionXLControlNetXSPipeline", "SDXL", "controlnet XS", "sdxl-controlnet-xs", {"image": IMAGE}),
    Case("StableDiffusion3ControlNetInpaintingPipeline", "Stable Diffusion 3", f"{STEERED}, {FILLED}",
         "sd3-controlnet-inpaint", {"control_image": IMAGE, "control_mask": MASK}),
    Case("HunyuanDiTControlNetPipeline", "HunyuanDiT", STEERED, "hunyuandit-controlnet",
         {"control_image": IMAGE, **_UNBINNED}),
    Case("QwenImageControlNetInpaintPipeline", "Qwen-Image", f"{STEERED}, {FILLED}", "qwenimage-controlnet-inpaint",
         {"control_image": IMAGE, "control_mask": MASK}),
    Case("ZImageControlNetInpaintPipeline", "Z-Image", f"{STEERED}, {FILLED}", "zimage-controlnet-inpaint",
         {"control_image": IMAGE, "image": IMAGE, "mask_image": MASK}),
    Case("CogView4ControlPipeline", "CogView", "control", "cogview4-control", {"control_image": IMAGE, **_NEGATIVE}),
    Case("StableDiffusionAdapterPipeline", "Stable Diffusion", "T2I-Adapter", "adapter", {"image": IMAGE}),
    Case("StableDiffusionXLAdapterPipeline", "SDXL", "T2I-Adapter", "sdxl-adapter", {"image": IMAGE}),
    Case("KolorsPipeline", "Kolors", TEXT, "kolors"),
    Case("KolorsImg2ImgPipeline", "Kolors", AGAIN, "kolors", _FROM_IMAGE),
    Case("KolorsPAGPipeline", "Kolors", PERTURBED, "kolors", _PERTURBED),
    Case("Flux2Pipeline", "FLUX.2", TEXT, "flux2", {"max_sequence_length": 64}),
    Case("Flux2KleinKVPipeline", "FLUX.2", EDITED, "flux2klein-kv", {"image": IMAGE}),
    Case("ZImageOmniPipeline", "Z-Image", TEXT, "zimage-omni"),
    Case("PRXPipeline", "PRX", TEXT, "prx", _UNBINNED),
    Case("PRXPixelPipeline", "PRX", TEXT, "prx-pixel", _UNBINNED),
    Case("StableDiffusionSAGPipeline", "Stable Diffusion", "self-attention guidance", "sag"),
    Case("StableDiffusionPanoramaPipeline", "Stable Diffusion", "panorama", "panorama"),
    Case("StableDiffusionAttendAndExcitePipeline", "Stable Diffusion", "attend and excite", "attend-and-excite",
         {"token_indices": [1, 4]}),
    Case("SemanticStableDiffusionPipeline", "Stable Diffusion", "semantic guidance", "semantic",
         {"editing_prompt": "a blue dog", "edit_warmup_steps": 0}),
    Case("StableDiffusionPipelineSafe", "Stable Diffusion", "away from a concept", "safe"),
    Case("CycleDiffusionPipeline", "Stable Diffusion", AGAIN, "cycle", {"source_prompt": "a dog", **_FROM_IMAGE}),
    Case("StableDiffusionGLIGENPipeline", "Stable Diffusion", "things in boxes", "gligen",
         {"gligen_phrases": ["a cat"], "gligen_boxes": [[0.1, 0.2, 0.6, 0.9]], "gligen_scheduled_sampling_beta": 1.0}),
    Case("StableDiffusionImageVariationPipeline", "Stable Diffusion", "variation", "variation", {"image": IMAGE},
         lacks=("prompt",)),
    Case("StableDiffusionDepth2ImgPipeline", "Stable Diffusion", f"depth, {AGAIN}", "depth", _FROM_IMAGE,
         lacks=("size",)),
    Case("PaintByExamplePipeline", "Stable Diffusion", FILLED, "by-example",
         {"example_image": IMAGE, "image": IMAGE, "mask_image": MASK}, lacks=("prompt",)),
    Case("StableDiffusionXLInstructPix2PixPipeline", "SDXL", EDITED, "sdxl-instructed", {"image": IMAGE}),
    Case("DDIMPipeline", "DDPM", _FREE, "ddim", lacks=("prompt", "size")),
    Case("PNDMPipeline", "DDPM", _FREE, "pndm", {"num_inference_steps": 4}, lacks=("prompt", "size")),
    Case("RePaintPipeline", "DDPM", FILLED, "repaint",
         {"image": IMAGE, "mask_image": MASK, "jump_length": 1, "jump_n_sample": 1}, lacks=("prompt", "size")),
    Case("ScoreSdeVePipeline", "Score-based", _FREE, "sde-ve", lacks=("prompt", "size")),
    Case("KarrasVePipeline", "Score-based", _FREE, "karras-ve", lacks=("prompt", "size")),
    Case("LDMPipeline", "Latent diffusion", _FREE, "ldm", lacks=("prompt", "size")),
    Case("LDMSuperResolutionPipeline", "Latent diffusion", _LARGER, "ldm-super", {"image": IMAGE},
         lacks=("prompt", "size")),
    Case("LDMTextToImagePipeline", "Latent diffusion", TEXT, "ldm-texts"),
    Case("UnCLIPPipeline", "unCLIP", TEXT, "unclip", _PRIOR | _DECODER, lacks=("size", "num_inference_steps")),
    Case("UnCLIPImageVariationPipeline", "unCLIP", _VARIED, "unclip-variations", {"image": IMAGE, **_DECODER},
         lacks=("prompt", "size", "num_inference_steps")),
    Case("StableUnCLIPPipeline", "Stable unCLIP", TEXT, "stable-unclip", _PRIOR),
    Case("StableUnCLIPImg2ImgPipeline", "Stable unCLIP", _VARIED, "stable-unclip-of-pictures", {"image": IMAGE}),
    Case("KandinskyCombinedPipeline", "Kandinsky 2.1", TEXT, "kandinsky21", _PRIOR, skipped=_CAST),
    Case("KandinskyImg2ImgCombinedPipeline", "Kandinsky 2.1", AGAIN, "kandinsky21",
         _PRIOR | _FROM_IMAGE | _FOUR, skipped=_CAST),
    Case("KandinskyInpaintCombinedPipeline", "Kandinsky 2.1", FILLED, "kandinsky21-inpaint",
         {"image": IMAGE, "mask_image": MASK, **_PRIOR}, skipped=_CAST),
    Case("KandinskyPriorPipeline", "Kandinsky 2.1", _PRIORS, "kandinsky21-prior", lacks=("size",),
         suffix="safetensors"),
    Case("KandinskyPipeline", "Kandinsky 2.1", _DECODED, "kandinsky21-decoder", _EMBEDDED, skipped=_CAST),
    Case("KandinskyImg2ImgPipeline", "Kandinsky 2.1", f"{_DECODED}, {AGAIN}", "kandinsky21-decoder",
         _EMBEDDED | _FROM_IMAGE | _FOUR, skipped=_CAST),
    Case("KandinskyInpaintPipeline", "Kandinsky 2.1", f"{_DECODED}, {FILLED}", "kandinsky21-filling",
         {"image": IMAGE, "mask_image": MASK, **_EMBEDDED}, skipped=_CAST),
    Case("KandinskyV22CombinedPipeline", "Kandinsky 2.2", TEXT, "kandinsky-both", _PRIOR, skipped=_CAST),
    Case("KandinskyV22Img2ImgCombinedPipeline", "Kandinsky 2.2", AGAIN, "kandinsky-both",
         _PRIOR | _FROM_IMAGE | _FOUR, skipped=_CAST),
    Case("KandinskyV22InpaintCombinedPipeline", "Kandinsky 2.2", FILLED, "kandinsky22-inpaint",
         {"image": IMAGE, "mask_image": MASK, **_PRIOR}, skipped=_CAST),
    Case("KandinskyV22PriorPipeline", "Kandinsky 2.2", _PRIORS, "kandinsky-prior", lacks=("size",),
         suffix="safetensors"),
    Case("KandinskyV22PriorEmb2EmbPipeline", "Kandinsky 2.2", _PRIORS, "kandinsky22-emb2emb", _FROM_IMAGE,
         lacks=("size",), suffix="safetensors"),
    Case("KandinskyV22Pipeline", "Kandinsky 2.2", _DECODED, "kandinsky-decoder", _EMBEDDED, lacks=("prompt",),
         skipped=_CAST),
    Case("KandinskyV22Img2ImgPipeline", "Kandinsky 2.2", f"{_DECODED}, {AGAIN}", "kandinsky-decoder",
         _EMBEDDED | _FROM_IMAGE | _FOUR, lacks=("prompt",), skipped=_CAST),
    Case("KandinskyV22InpaintPipeline", "Kandinsky 2.2", f"{_DECODED}, {FILLED}", "kandinsky22-filling",
         {"image": IMAGE, "mask_image": MASK, **_EMBEDDED}, lacks=("prompt",), skipped=_CAST),
    Case("KandinskyV22ControlnetPipeline", "Kandinsky 2.2", f"{_DECODED}, {STEERED}", "kandinsky22-controlnet",
         {"hint": HINT, **_EMBEDDED}, lacks=("prompt",), skipped=_CAST),
    Case("KandinskyV22ControlnetImg2ImgPipeline", "Kandinsky 2.2", f"{_DECODED}, {STEERED}, {AGAIN}",
         "kandinsky22-controlnet-img2img", {"hint": HINT, **_EMBEDDED, **_FROM_IMAGE}, lacks=("prompt",),
         skipped=_CAST),
    Case("IFSuperResolutionPipeline", "DeepFloyd IF", _LARGER, "if-super", {"image": IMAGE}),
    Case("IFImg2ImgSuperResolutionPipeline", "DeepFloyd IF", f"{_LARGER}, {AGAIN}", "if-super",
         {"original_image": IMAGE, **_FROM_IMAGE}, lacks=("size",)),
    Case("IFInpaintingSuperResolutionPipeline", "DeepFloyd IF", f"{_LARGER}, {FILLED}", "if-super",
         {"original_image": IMAGE, **_IN_MASK}, lacks=("size",)),
    Case("AmusedPipeline", "aMUSEd", TEXT, "amused"),
    Case("AmusedImg2ImgPipeline", "aMUSEd", AGAIN, "amused", _FROM_IMAGE, lacks=("size",)),
    Case("AmusedInpaintPipeline", "aMUSEd", FILLED, "amused", _IN_MASK, lacks=("size",)),
    Case("VQDiffusionPipeline", "VQ Diffusion", TEXT, "vq-diffusion", lacks=("size",)),
    Case("AltDiffusionPipeline", "AltDiffusion", TEXT, "alt"),
    Case("AltDiffusionImg2ImgPipeline", "AltDiffusion", AGAIN, "alt", _FROM_IMAGE),
    Case("WuerstchenCombinedPipeline", "Würstchen", TEXT, "wuerstchen", {"width": 128, "height": 128, **_PRIOR},
         lacks=("size",)),
    Case("WuerstchenPriorPipeline", "Würstchen", _PRIORS, "wuerstchen-prior", suffix="safetensors"),
    Case("MarigoldDepthPipeline", "Marigold", "depth", "marigold", _MEASURED, lacks=("prompt", "size"),
         suffix="safetensors"),
    Case("MarigoldNormalsPipeline", "Marigold", "normals", "marigold-normals", _MEASURED, lacks=("prompt", "size"),
         suffix="safetensors"),
    Case("MarigoldIntrinsicsPipeline", "Marigold", "intrinsics", "marigold-intrinsics", _MEASURED,
         lacks=("prompt", "size"), suffix="safetensors"),
    Case("UniDiffuserPipeline", "UniDiffuser", TEXT, "unidiffuser"),
    Case("VersatileDiffusionTextToImagePipeline", "Versatile Diffusion", TEXT, "versatile-texts"),
    Case("VersatileDiffusionImageVariationPipeline", "Versatile Diffusion", _VARIED, "versatile-pictures",
         {"image": IMAGE}, lacks=("prompt",)),
    Case("VersatileDiffusionDualGuidedPipeline", "Versatile Diffusion", "text and image to image", "versatile-both",
         {"image": IMAGE}),
    Case("Krea2Pipeline", "Krea 2", TEXT, "krea2", {"max_sequence_length": 256}),
    Case("ErnieImagePipeline", "Ernie-Image", TEXT, "ernie"),
    Case("BriaFiboPipeline", "Bria FIBO", TEXT, "fibo", _NEGATIVE),
    Case("BriaFiboEditPipeline", "Bria FIBO", EDITED, "fibo-edit",
         {"image": IMAGE, "prompt": '{"edit_instruction": "a red cat"}', **_NEGATIVE}),
    Case("Ideogram4Pipeline", "Ideogram 4", TEXT, "ideogram4",
         {"guidance_scale": 4.0, "guidance_schedule": None, "max_sequence_length": 128}),
    Case("GlmImagePipeline", "GLM-Image", TEXT, "glm"),
    Case("VisualClozePipeline", "VisualCloze", "in a grid", "cloze", {
        "task_prompt": "red to blue", "content_prompt": "a blue cat", "image": [[IMAGE, MASK], [IMAGE, None]],
        "upsampling_height": SIDE, "upsampling_width": SIDE, "max_sequence_length": 32,
    }, lacks=("prompt", "size")),
    Case("HunyuanImageRefinerPipeline", "Hunyuan Image", "refining", "refiner", {"image": IMAGE}),
    Case("QwenImageEditPipeline", "Qwen-Image", EDITED, "qwenimage-edit", {"image": IMAGE}, beside=True),
    Case("QwenImageEditInpaintPipeline", "Qwen-Image", f"{EDITED}, {FILLED}", "qwenimage-edit", _IN_MASK, beside=True),
    Case("QwenImageEditPlusPipeline", "Qwen-Image", f"{EDITED}, several", "qwenimage-edit-plus", {"image": IMAGE},
         beside=True),
    Case("Kandinsky5T2IPipeline", "Kandinsky", TEXT, "kandinsky5", beside=True),
    Case("Kandinsky5I2IPipeline", "Kandinsky", AGAIN, "kandinsky5-from-image", {"image": IMAGE}, beside=True),
    Case("Kandinsky5T2VPipeline", "Kandinsky", VIDEO, "kandinsky5-video", _FRAMES | _LONG, suffix="webp", beside=True),
    # The first four of its latents' frames are made to fit those after them.
    Case("Kandinsky5I2VPipeline", "Kandinsky", FROM_IMAGE, "kandinsky5-video-from-image",
         {"image": IMAGE, "num_frames": 21, **_LONG}, suffix="webp", beside=True),
    Case("LongCatImagePipeline", "LongCat-Image", TEXT, "longcat", {"enable_prompt_rewrite": False}, beside=True),
    Case("LongCatImageEditPipeline", "LongCat-Image", EDITED, "longcat-edit", {"image": IMAGE}, lacks=("size",),
         beside=True),
    Case("OmniGenPipeline", "OmniGen", TEXT, "omnigen", beside=True),
    Case("StableDiffusionGLIGENTextImagePipeline", "Stable Diffusion", "pictures in boxes", "gligen-pictures",
         {"gligen_phrases": ["a cat"], "gligen_images": [IMAGE], "gligen_boxes": [[0.1, 0.2, 0.6, 0.9]],
          "gligen_scheduled_sampling_beta": 1.0}),
]  # fmt: skip


def pairs(everything: bool) -> list[tuple[Case, str]]:
    """Return the cases with the kinds that they are compared in, so that those which share what is loaded are together.

    Unless it is `everything`, for which a run of all tests has no time, quantized are only the first class of each
    checkpoint, by one of the quantizers in turn, and one checkpoint by all.
    """
    checkpoints = list(dict.fromkeys(case.checkpoint for case in CASES))
    quantizers = [kind for kind in KINDS if kind != "none"]
    found = []
    for number, checkpoint in enumerate(checkpoints):
        cases = [case for case in CASES if case.checkpoint == checkpoint]
        turn = quantizers if checkpoint == QUICK else [quantizers[number % len(quantizers)]]
        for kind in KINDS:
            if everything or kind == "none":
                found += [(case, kind) for case in cases]
            elif kind in turn:
                found.append((cases[0], kind))
    return found
