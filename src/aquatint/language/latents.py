"""Latents in files that scripts give to pipelines: whether they are of the shape that a call computes with.

Known is that of families whose latents are a picture's channels, rows and columns; others pack them in their own ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aquatint.catalog.tasks import Roles
from aquatint.diagnostics import Diagnostics
from aquatint.language.outside import Outside
from aquatint.language.resolution import Resolved
from aquatint.language.values import Setting, Size
from aquatint.plan.steps import TensorFile

LATENTS = "latents"

_PLAIN = ("UNet2DConditionModel", "SD3Transformer2DModel", "PixArtTransformer2DModel")
_DECODER = "AutoencoderKL"


def fit(
    settings: Mapping[str, Setting], resolved: Resolved, configs: Mapping[str, Mapping[str, Any]], outside: Outside,
    diagnostics: Diagnostics,
) -> bool:  # fmt: skip
    """Return whether `latents` from a file are of the shape that a call takes, as far as that is known, or report it.

    `configs` has the configurations of components by their keys.
    """
    given = settings.get(LATENTS)
    if given is None or not isinstance(given.value, TensorFile):
        return True
    known = _known(resolved.roles, resolved.pipeline.parts, configs)
    if known is None:
        return True
    channels, scale = known
    height, width = _sides(settings, scale)
    shape = outside.shape(given.value)
    # Some make several guesses at once.
    calls = None if "ensemble_size" in resolved.info.arguments else 1
    wanted: list[int | None] = [calls, channels, height, width]
    if len(shape) == len(wanted) and all(there in (None, own) for there, own in zip(wanted, shape, strict=True)):
        return True
    sides = [
        f"height / {scale}" if height is None else str(height),
        f"width / {scale}" if width is None else str(width),
    ]
    diagnostics.error(
        "wrong-value", f"these `latents` are shaped {_shown(shape)}, and a `{resolved.info.name}` takes "
        f"[1, {channels}, {', '.join(sides)}]",
        given.span, help="make them with the same model and size: `output: \"x.safetensors\"`",
    )  # fmt: skip
    return False


def _known(
    roles: Roles, parts: Mapping[str, str | None], configs: Mapping[str, Mapping[str, Any]]
) -> tuple[int, int] | None:
    """Return the channels of latents and the pixels to a side of a position, None where they aren't plain."""
    denoiser = next((roles[role] for role in ("unet", "transformer") if role in roles), None)
    if denoiser not in _PLAIN or roles.get("vae") != _DECODER:
        return None
    config = configs.get(parts.get("vae") or "", {})
    channels, blocks = config.get("latent_channels", 4), config.get("block_out_channels", [64])
    if not isinstance(channels, int) or not isinstance(blocks, list | tuple) or not blocks:
        return None
    return channels, 2 ** (len(blocks) - 1)


def _sides(settings: Mapping[str, Setting], scale: int) -> tuple[int | None, int | None]:
    """Return the positions to the height and to the width, None for what no setting says."""
    size = settings["size"].value if "size" in settings else None
    found = [getattr(size, side) if isinstance(size, Size) else None for side in ("height", "width")]
    for number, side in enumerate(("height", "width")):
        if side in settings and isinstance(settings[side].value, int):
            found[number] = settings[side].value
    height, width = (None if each is None else each // scale for each in found)
    return height, width


def _shown(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
