"""LoRAs with random weights for the tiny pipelines, made by peft and written by diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "pytorch_lora_weights.safetensors"
"""The file that diffusers writes."""

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
CLIP = ["q_proj", "k_proj", "v_proj", "out_proj"]


def write(pipeline: Any, folder: Path, seed: int, roles: Sequence[str], rank: int = 4, dtype: str = "float32") -> Path:
    """Write a LoRA for those components of a live `pipeline` into `folder`, and return that; none stays on them."""
    import torch
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    layers = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for role in roles:
            targets = CLIP if role.startswith("text_encoder") else ATTENTION
            config = LoraConfig(r=rank, lora_alpha=2 * rank, init_lora_weights=False, target_modules=targets)
            module = getattr(pipeline, role)
            module.add_adapter(config, adapter_name="made")
            weights = get_peft_model_state_dict(module, adapter_name="made")
            layers[f"{role}_lora_layers"] = {
                name: (tensor / 4).to(getattr(torch, dtype)).clone() for name, tensor in weights.items()
            }  # fmt: skip
    pipeline.save_lora_weights(folder, **layers)
    pipeline.unload_lora_weights()
    return folder
