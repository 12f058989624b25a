"""Puts the trained parts together as a folder that `StableDiffusionPipeline.from_pretrained` loads, in float16."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from shapes.denoiser import scheduler

CARD = Path(__file__).with_name("model_card.md")
LARGEST = 12_000_000  # bytes


def assemble(parts: Path, folder: Path) -> None:
    """Write the checkpoint in `folder`, from the parts that training left in `parts`."""
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(parts / "vae", torch_dtype=torch.float16),
        text_encoder=CLIPTextModel.from_pretrained(parts / "text_encoder", torch_dtype=torch.float16),
        tokenizer=CLIPTokenizer.from_pretrained(parts / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(parts / "unet", torch_dtype=torch.float16),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipe.save_pretrained(folder, safe_serialization=True)
    for file in folder.glob("*/config.json"):
        # diffusers writes where the part was read from: a folder of one machine.
        config = json.loads(file.read_text(encoding="utf-8"))
        config.pop("_name_or_path", None)
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.copyfile(CARD, folder / "README.md")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > LARGEST:
        raise ValueError(f"the checkpoint has {size} bytes, more than the {LARGEST} it may have")
