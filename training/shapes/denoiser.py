"""The denoiser: a UNet trained on the chosen latents with the frozen text encoder, in one or two processes.

Scenes are drawn as they are needed and never twice. The state is saved along the way, and training goes on from it.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from shapes import text
from shapes.captions import caption
from shapes.latents import CHANNELS, Linear
from shapes.muon import Muon
from shapes.pool import pictures, scaled
from shapes.world import sample


@dataclass(frozen=True)
class Settings:
    """How long and how fast to learn."""

    steps: int = 6500
    size: int = 16  # scenes a step and process
    lr: float = 2e-3
    warmup: int = 100
    tail: float = 0.3  # the share of the steps over which the learning rate falls to nothing
    dropped: float = 0.1  # prompts left empty, for classifier-free guidance
    ema: float = 0.998
    seed: int = 3
    optimizer: str = "muon"


def build() -> UNet2DConditionModel:
    """Return an untrained UNet, wide enough that quantizers take nearly every layer."""
    model = UNet2DConditionModel(
        sample_size=16,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=text.WIDTH,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )
    nn.init.zeros_(model.conv_out.weight)
    return model


def scheduler() -> DDIMScheduler:
    """Return the noise schedule, for training and for sampling."""
    return DDIMScheduler(
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        set_alpha_to_one=True,
        clip_sample=False,
        steps_offset=1,  # without effect on trailing steps, but diffusers warns of 0
    )


@dataclass(frozen=True)
class Batch:
    """What the denoiser sees in a step and what it should answer."""

    noisy: Tensor
    times: Tensor
    hidden: Tensor
    velocity: Tensor


class Source:
    """Batches of fresh scenes; the same for the same seed, step and rank, so that resuming changes nothing."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.linear = Linear.load(folder / "latents.safetensors")
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
        self.noise = scheduler()
        self.settings = settings

    def batch(self, key: str, size: int, held_out: bool = False) -> Batch:
        """Return a batch determined by `key`."""
        random_ = random.Random(f"{self.settings.seed} {key}")
        generator = torch.Generator().manual_seed(random_.getrandbits(62))
        scenes = [sample(random_, held_out=held_out) for _ in range(size)]
        texts = ["" if random_.random() < self.settings.dropped else caption(scene, random_) for scene in scenes]
        latents = self.linear.encode(scaled(pictures(scenes)))
        hidden = text.encode(self.encoder, self.tokenizer, texts)
        times = self.times(size, generator, focused=not held_out)
        noise = torch.randn(latents.shape, generator=generator)
        noisy = self.noise.add_noise(latents, noise, times)
        return Batch(noisy, times, hidden, self.noise.get_velocity(latents, noise, times))

    def times(self, size: int, generator: torch.Generator, focused: bool) -> Tensor:
        """Return a time for each scene; `focused` prefers the middle, where shapes are decided."""
        last = self.noise.config.num_train_timesteps
        middle = round(0.7 * size) if focused else 0
        # Stratified over the batch: the loss depends on the time far more than on the scene.
        parts = []
        for count, low, high in ((middle, 0.1 * last, 0.85 * last), (size - middle, 0, last)):
            spread = (torch.arange(count) + torch.rand(count, generator=generator)) / max(1, count)
            parts.append((low + spread * (high - low)).long())
        return torch.cat(parts)


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean squared error of the predicted velocity."""
    with torch.autocast("cpu", torch.bfloat16):
        made = model(batch.noisy, batch.times, batch.hidden).sample
    return nn.functional.mse_loss(made.float(), batch.velocity)


def rate(step: int, settings: Settings) -> float:
    """Return the learning rate's factor: a warm-up, a long constant part, a cosine tail."""
    left = (settings.steps - step) / max(1.0, settings.tail * settings.steps)
    return min(1.0, step / settings.warmup) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, left))))


def optimizers(model: UNet2DConditionModel, settings: Settings) -> list[torch.optim.Optimizer]:
    """Return the optimizers: Muon for the inner matrices, AdamW for the rest (or for all)."""
    inner, rest = [], []
    for name, parameter in model.named_parameters():
        at_the_rim = name.startswith(("conv_in", "conv_out", "time_embedding"))
        (rest if parameter.ndim < 2 or at_the_rim or settings.optimizer == "adamw" else inner).append(parameter)
    lr = settings.lr
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=min(lr, 1e-3), betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    ]
    return [Muon(inner, lr=lr), *found] if inner else found


def average(parameters: list[nn.Parameter]) -> None:
    """Average the gradients over the processes, in one message."""
    if not dist.is_initialized():
        return
    grads = [parameter.grad for parameter in parameters]
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def train(
    folder: Path,
    settings: Settings,
    say: Callable[[str], None],
    rank: int = 0,
    ranks: int = 1,
    port: int = 0,
    name: str = "denoiser",
) -> None:
    """Train until `settings.steps`, from the saved state if there is one; save the averaged weights in `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    if ranks > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks)
    source = Source(folder, settings)
    model = build().train()
    average_model = build().eval().requires_grad_(False)
    average_model.load_state_dict(model.state_dict())
    parameters = list(model.parameters())
    makers = optimizers(model, settings)
    bases = [[group["lr"] for group in maker.param_groups] for maker in makers]
    state_path = folder / f"{name}.pt"
    start, spent = 0, 0.0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        start, spent = state["step"], state["spent"]
        model.load_state_dict(state["model"])
        average_model.load_state_dict(state["average"])
        for maker, saved in zip(makers, state["optimizers"], strict=True):
            maker.load_state_dict(saved)
    trial = [source.batch(f"trial {index}", 32, held_out=True) for index in range(8)]
    began = time.monotonic() - spent
    losses: list[float] = []
    for step in range(start + 1, settings.steps + 1):
        batch = source.batch(f"{step} {rank}", settings.size)
        loss = loss_of(model, batch)
        loss.backward()
        average(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for maker, lrs in zip(makers, bases, strict=True):
            for group, lr in zip(maker.param_groups, lrs, strict=True):
                group["lr"] = lr * rate(step, settings)
            maker.step()
            maker.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if rank == 0:
            weight = 1 - min(settings.ema, step / (step + 10))
            torch._foreach_lerp_(list(average_model.parameters()), parameters, weight)
            if step % 100 == 0 or step == settings.steps:
                minutes = (time.monotonic() - began) / 60
                with torch.no_grad():
                    tested = sum(loss_of(average_model, part).item() for part in trial) / len(trial)
                recent = sum(losses) / len(losses)
                say(f"{name}, step {step}, {minutes:.1f} min: loss {recent:.4f}, on held-out scenes {tested:.4f}")
                losses = []
            if step % 200 == 0 or step == settings.steps:
                state = {
                    "step": step,
                    "spent": time.monotonic() - began,
                    "model": model.state_dict(),
                    "average": average_model.state_dict(),
                    "optimizers": [maker.state_dict() for maker in makers],
                }
                torch.save(state, state_path.with_suffix(".part"))
                state_path.with_suffix(".part").replace(state_path)
                average_model.save_pretrained(folder / ("unet" if name == "denoiser" else name))
    if ranks > 1:
        dist.destroy_process_group()
