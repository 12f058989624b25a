"""What `running.py` measures runs against: a program written by hand, of diffusers and sdnq alone.

Draws each prompt with a checkpoint as it is and with its denoiser in int8. Each component is loaded once and shared.
Says `ready` when everything is imported, waits for a line, and answers with the seconds that it took.
"""

import json
import sys
import time
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from sdnq import SDNQConfig

source, prompts, steps, out = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
torch.set_num_threads(1)
print("ready", flush=True)
sys.stdin.readline()
cpu, wall = time.process_time(), time.perf_counter()

plain = StableDiffusionPipeline.from_pretrained(source, torch_dtype=torch.float32, safety_checker=None)
unet = UNet2DConditionModel.from_pretrained(
    source, subfolder="unet", torch_dtype=torch.float32, quantization_config=SDNQConfig(weights_dtype="int8")
)
light = StableDiffusionPipeline(**{**plain.components, "unet": unet}, requires_safety_checker=False)
for name, pipeline in (("plain", plain), ("light", light)):
    pipeline.set_progress_bar_config(disable=True)
    for prompt in prompts:
        generator = torch.Generator("cpu").manual_seed(1)
        image = pipeline(prompt, num_inference_steps=steps, generator=generator).images[0]
        image.save(out / f"{name}-{prompt.replace(' ', '-')}.png")

print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}), flush=True)
