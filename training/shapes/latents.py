"""The latent space, chosen before anything is trained: principal components of 4 x 4 pixel patches, partly whitened.

It is linear, so the denoiser can be trained on it at once; the autoencoder is taught to reproduce it.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

PATCH = 4
CHANNELS = 8
# 0 leaves a few channels with all the variance, 1 blows up the faint ones, which are mostly edges' noise.
WHITENING = 0.6


def patches(pixels: Tensor) -> Tensor:
    """Turn pictures (n x 3 x 64 x 64) into patches (n x 48 x 16 x 16)."""
    return torch.nn.functional.pixel_unshuffle(pixels, PATCH)


@dataclass(frozen=True)
class Linear:
    """The map between pixels in -1..1 and latents."""

    mean: Tensor  # 48
    analysis: Tensor  # 8 x 48
    synthesis: Tensor  # 48 x 8

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the latents (n x 8 x 16 x 16) of pictures (n x 3 x 64 x 64)."""
        centred = patches(pixels) - self.mean[:, None, None]
        return torch.einsum("cp,nphw->nchw", self.analysis, centred)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the pictures that are nearest to what the latents hold."""
        flat = torch.einsum("pc,nchw->nphw", self.synthesis, latents) + self.mean[:, None, None]
        return torch.nn.functional.pixel_shuffle(flat, PATCH)

    def save(self, path: Path) -> None:
        """Write the map to a safetensors file."""
        save_file({"mean": self.mean, "analysis": self.analysis, "synthesis": self.synthesis}, path)

    @classmethod
    def load(cls, path: Path) -> "Linear":
        """Read a map that `save` wrote."""
        return cls(**load_file(path))


def fit(pixels: Tensor) -> Linear:
    """Return the map fitted to these pictures (n x 3 x 64 x 64, in -1..1)."""
    rows = patches(pixels).permute(0, 2, 3, 1).reshape(-1, 3 * PATCH * PATCH).double()
    mean = rows.mean(0)
    centred = rows - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))
    variances, vectors = variances.flip(0)[:CHANNELS], vectors.flip(1)[:, :CHANNELS]
    # A component's sign is arbitrary: fix it, so that every machine makes the same space.
    vectors = vectors * vectors.sum(0).sign()
    scales = variances.sqrt() ** -WHITENING
    scales = scales / (variances * scales**2).mean().sqrt()
    return Linear(mean.float(), (vectors * scales).T.contiguous().float(), (vectors / scales).contiguous().float())
