"""The autoencoder, fitted to a latent space that is already there: its encoder regresses it, its decoder inverts it."""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from shapes.latents import CHANNELS, Linear
from shapes.muon import Muon
from shapes.pool import pictures, scaled, scenes

STEPS = 2000
# The decoder meets latents that a denoiser made: it learns on noisy ones, and so to clean up after it.
LARGEST_NOISE = 0.25
LOG_VARIANCE = -8.0


def build() -> AutoencoderKL:
    """Return an untrained autoencoder with the latent space's shape."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=1.0,
    )


def psnr(made: Tensor, true: Tensor) -> float:
    """Return the peak signal-to-noise ratio, in dB, of pictures in -1..1."""
    return float(10 * torch.log10(4 / (made.clamp(-1, 1) - true).square().mean()))


def train(
    linear: Linear,
    folder: Path,
    say: Callable[[str], None],
    steps: int = STEPS,
    size: int = 16,
    seed: int = 2,
) -> None:
    """Train an autoencoder and save it in `folder`, also along the way."""
    torch.manual_seed(seed)
    model = build()
    # The posterior is the regressed mean with a small fixed spread: only the mean is learned.
    with torch.no_grad():
        model.quant_conv.weight[CHANNELS:] = 0
        model.quant_conv.bias[CHANNELS:] = LOG_VARIANCE
    pool = pictures(scenes(8000, seed))
    trial = scaled(pictures(scenes(200, seed + 1, held_out=True)))
    inner = [p for n, p in model.named_parameters() if p.ndim > 1 and not n.startswith("quant_conv")]
    rest = [p for n, p in model.named_parameters() if p.ndim < 2 or n.startswith("quant_conv")]
    optimizers = [
        Muon(inner, lr=2e-3, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.05, cycle_momentum=False)
        for optimizer in optimizers
    ]
    model.train()
    for step in range(1, steps + 1):
        true = scaled(pool[torch.randint(len(pool), (size,))])
        latents = linear.encode(true)
        loss = torch.zeros(())
        rough = step < 0.85 * steps  # bfloat16 is faster, and its rounding matters at the end only
        # The encoder is the easier half, and only img2img needs it: every third step is enough.
        if step % 3 == 0:
            with torch.autocast("cpu", torch.bfloat16, enabled=rough):
                mean = model.encode(true).latent_dist.mean.float()
            loss = nn.functional.mse_loss(mean, latents)
        noise = LARGEST_NOISE * torch.rand(size, 1, 1, 1) * torch.randn_like(latents)
        with torch.autocast("cpu", torch.bfloat16, enabled=rough):
            made = model.decode(latents + noise).sample.float()
        loss = loss + nn.functional.l1_loss(made, true) + nn.functional.mse_loss(made, true)
        loss.backward()
        if model.quant_conv.weight.grad is not None:
            model.quant_conv.weight.grad[CHANNELS:] = 0
            model.quant_conv.bias.grad[CHANNELS:] = 0
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
        if step % 200 == 0:
            model.eval()
            with torch.no_grad():
                latents = linear.encode(trial)
                mean = model.encode(trial).latent_dist.mean
                off = nn.functional.mse_loss(mean, latents).sqrt().item()
                decoder = psnr(model.decode(latents).sample, trial)
                whole = psnr(model.decode(mean).sample, trial)
                say(
                    f"autoencoder, step {step}: loss {loss.item():.4f}, decoder {decoder:.1f} dB "
                    f"(linear {psnr(linear.decode(latents), trial):.1f}), whole {whole:.1f} dB, latents {off:.3f}"
                )
            model.train()
            model.save_pretrained(folder)
    model.eval().save_pretrained(folder)
