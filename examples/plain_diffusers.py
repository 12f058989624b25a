"""The picture of this script, made without Aquatint: the same pixels, bit for bit.

    model shapes { source: "builtin:shapes", quantizer: "sdnq;type=int8;quant-conv=true" }
    generate shapes {
        prompt: "a red circle on a white background"
        seed: 1, num_inference_steps: 20, guidance_scale: 3
        output: "circle.png"
    }

    python examples/plain_diffusers.py circle.png            quantized, as above
    python examples/plain_diffusers.py circle.png --full     the same without the quantizer

Both have to run with the same number of threads (`OMP_NUM_THREADS=1`) on the same machine.
"""

import os
import sys
from pathlib import Path

# Read by sdnq when it is imported; a compiled kernel rounds differently.
os.environ.setdefault("SDNQ_USE_TORCH_COMPILE", "0")

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from sdnq import SDNQConfig  # before transformers loads anything
from transformers import CLIPTextModel, CLIPTokenizer

FOLDER = Path(__file__).parents[1] / "src" / "aquatint" / "checkpoints" / "shapes"


def load(kind, role, quantized):
    """Return one part of the pipeline, its weights in memory of their own."""
    # A configuration for each part: loading writes into it.
    config = {"quantization_config": SDNQConfig(weights_dtype="int8", quant_conv=True)} if quantized else {}
    module = kind.from_pretrained(FOLDER, subfolder=role, torch_dtype=torch.float32, use_safetensors=True, **config)
    module.eval()
    # Weights that are mapped from a file start where the file has them, and matrix products round by alignment.
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()
    return module


def main(output, *options):
    """Write the picture to the file `output`."""
    quantized = "--full" not in options
    pipeline = StableDiffusionPipeline(
        unet=load(UNet2DConditionModel, "unet", quantized),
        text_encoder=load(CLIPTextModel, "text_encoder", quantized),
        vae=load(AutoencoderKL, "vae", False),
        tokenizer=CLIPTokenizer.from_pretrained(FOLDER, subfolder="tokenizer"),
        scheduler=DDIMScheduler.from_pretrained(FOLDER, subfolder="scheduler"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    made = pipeline(
        "a red circle on a white background",
        num_inference_steps=20,
        guidance_scale=3,
        generator=torch.Generator("cpu").manual_seed(1),
    )
    made.images[0].save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
