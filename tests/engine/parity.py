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
)  # fmt: skip
"""The roles that a model's quantizer is for."""


class Picture(str):
    """The name of a file with a picture."""


IMAGE, MASK = Picture("picture.png"), Picture("mask.png")

QUICK = "flux"
"""The checkpoint that is compared in every way in the quick tests, too."""


@dataclass(frozen=True)
class Case:
    """A class, and the call of it that is compared; `call` goes to the script and to the plain program alike.

    The script says nothing of the class: `checkpoint`, one of `support.tiny`'s, has it, or it follows from the call.
    `lacks` are the settings, of those that all others have, that the class has no place for. A video's frames are
    compared in a file without loss.
    """

    class_name: str
    family: str
    task: str
    checkpoint: str
    call: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    lacks: tuple[str, ...] = ()
    suffix: str = "png"


TEXT, AGAIN, FILLED, PERTURBED, STEERED = "text to image", "image to image", "inpainting", "perturbed", "controlnet"
_FROM_IMAGE = {"image": IMAGE, "strength": 0.7}
_IN_MASK = {"image": IMAGE, "mask_image": MASK, "strength": 0.9}
_PERTURBED = {"pag_scale": 2.5}
# Left alone these make a picture of about a million pixels, and shrink it.
_UNBINNED = {"use_resolution_binning": False}
VIDEO, FROM_IMAGE, EDITED = "text to video", "image to video", "editing"
_FRAMES = {"num_frames": 5}
# The tokenizer that these have here makes no tokens of an empty text.
_NEGATIVE = {"negative_prompt": "blue"}

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
