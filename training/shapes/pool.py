"""The training pool: scenes rendered once, with their captions."""

import random

import numpy as np
import torch
from torch import Tensor

from shapes.captions import caption
from shapes.world import Scene, render, sample


def scenes(count: int, seed: int, held_out: bool = False) -> list[Scene]:
    """Return `count` scenes, the same for the same seed."""
    random_ = random.Random(seed)
    return [sample(random_, held_out=held_out) for _ in range(count)]


def pictures(chosen: list[Scene]) -> Tensor:
    """Return the scenes' pictures as bytes (n x 3 x 64 x 64)."""
    drawn = np.stack([np.asarray(render(scene)) for scene in chosen])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()


def scaled(pixels: Tensor) -> Tensor:
    """Turn bytes into numbers from -1 to 1, as the autoencoder takes them."""
    return pixels.float() / 127.5 - 1


def captions(chosen: list[Scene], wordings: int, seed: int) -> list[list[str]]:
    """Return several wordings of each scene's caption."""
    random_ = random.Random(seed)
    return [[caption(scene, random_) for _ in range(wordings)] for scene in chosen]
