"""The one command makes a checkpoint from nothing, and takes up again what it began."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

TRAINING = Path(__file__).parents[2] / "training"


def train(tmp_path: Path, steps: int) -> str:
    command = [sys.executable, "-m", "shapes.train", "--build", str(tmp_path / "build"), "--out", str(tmp_path / "out")]
    lengths = ["--text-steps", "5", "--vae-steps", "5", "--steps", str(steps)]
    done = subprocess.run([*command, *lengths], cwd=TRAINING, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_whole_training_in_small(tmp_path: Path) -> None:
    assert "denoiser, step 2," in train(tmp_path, 2)
    weights = tmp_path / "build" / "vae" / "diffusion_pytorch_model.safetensors"
    trained = weights.read_bytes()
    longer = train(tmp_path, 3)
    assert "denoiser, step 3," in longer
    assert weights.read_bytes() == trained
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "out", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    assert pipe("a red circle", num_inference_steps=1).images[0].size == (64, 64)
