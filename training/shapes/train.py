"""Makes the whole checkpoint: `python -m shapes.train`, from training/.

Seeded and resumable; finished stages are skipped.
"""

import argparse
import os
import socket
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: spinning threads are far slower than one

import torch
import torch.multiprocessing as mp
from transformers import CLIPTokenizer

from shapes import denoiser, latents, pool, text, tokenizer, vae
from shapes.assemble import assemble

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "shapes"
CHECKPOINT = ROOT / "src" / "aquatint" / "checkpoints" / "shapes"


def say(line: str) -> None:
    """Report progress at once, whatever standard output is."""
    print(line, flush=True)


def prepare(folder: Path, steps: int) -> None:
    """Make what the denoiser stands on: latent space, tokenizer, text encoder."""
    torch.set_num_threads(1)
    if not (folder / "latents.safetensors").exists():
        latents.fit(pool.scaled(pool.pictures(pool.scenes(2000, seed=3)))).save(folder / "latents.safetensors")
    if not (folder / "tokenizer").exists():
        tokenizer.build().save_pretrained(folder / "tokenizer")
    if not (folder / "text_encoder").exists():
        text.train(CLIPTokenizer.from_pretrained(folder / "tokenizer"), folder / "text_encoder", say, steps)


def train_vae(folder: Path, steps: int) -> None:
    """Train the autoencoder, unless a finished one is there."""
    torch.set_num_threads(1)
    done = folder / "vae" / "done"
    if not done.exists():
        vae.train(latents.Linear.load(folder / "latents.safetensors"), folder / "vae", say, steps)
        done.touch()


def _denoise(rank: int, folder: Path, settings: denoiser.Settings, ranks: int, port: int) -> None:
    os.nice(5)
    denoiser.train(folder, settings, say, rank, ranks, port)


def main() -> None:
    """Run every stage that isn't finished and write the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m shapes.train", description=__doc__)
    parser.add_argument("--build", type=Path, default=BUILD, help="where the state of training is kept")
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    parser.add_argument("--processes", type=int, default=2, help="for the denoiser; the result depends on it")
    parser.add_argument("--text-steps", type=int, default=text.STEPS, help="of the text encoder")
    parser.add_argument("--vae-steps", type=int, default=vae.STEPS, help="of the autoencoder")
    parser.add_argument("--steps", type=int, default=denoiser.Settings.steps, help="of the denoiser")
    options = parser.parse_args()
    options.build.mkdir(parents=True, exist_ok=True)
    prepare(options.build, options.text_steps)
    train_vae(options.build, options.vae_steps)
    settings = replace(denoiser.Settings(), steps=options.steps)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(_denoise, (options.build, settings, options.processes, port), nprocs=options.processes)
    assemble(options.build, options.out)


if __name__ == "__main__":
    main()
