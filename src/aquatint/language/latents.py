"""Latents that scripts give to pipelines, of files and of other statements: whether a call computes with such ones.

Known in full is the shape in families whose latents are a picture's channels, rows and columns; of others, which pack
them in their own ways, how many dimensions they have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aquatint.catalog.call_checks import Configured
from aquatint.catalog.pipelines import PipelineInfo
from aquatint.catalog.tasks import Roles
from aquatint.diagnostics import Diagnostics
from aquatint.language.outside import Outside
from aquatint.language.resolution import Resolved
from aquatint.language.values import ImageValue, Result, Setting, TensorValue, sides
from aquatint.plan.steps import TensorFile

LATENTS = "latents"

_PLAIN = ("UNet2DConditionModel", "SD3Transformer2DModel", "PixArtTransformer2DModel")
_DECODER = "AutoencoderKL"


_AXES = {
    3: "[1, tokens, channels]",
    4: "[1, channels, height, width]",
    5: "those of a video, of five dimensions",
}


@dataclass(frozen=True, slots=True)
class Form:
    """What is known of the latents that a class makes: `dims` of them, and the `channels` of its VAE's."""

    dims: int
    channels: int | None
    class_name: str


def form(info: PipelineInfo, configured: Configured) -> Form | None:
    """Return what is known of the latents that a pipeline's call takes and makes, None if nothing is."""
    if info.latent_dims is None:
        return None
    found = configured("vae", "latent_channels") or configured("vae", "z_dim")
    return Form(info.latent_dims, found if isinstance(found, int) else None, info.name)


class Latents:
    """Checks the `latents` that statements are given; it is told of those that they make."""

    def __init__(self, outside: Outside, diagnostics: Diagnostics) -> None:
        self.outside = outside
        self.diagnostics = diagnostics
        self._made: dict[str, Form] = {}

    def made(self, step: str, info: PipelineInfo, configured: Configured) -> None:
        """Remember that `step` makes latents."""
        if (known := form(info, configured)) is not None:
            self._made[step] = known

    def fit(
        self, settings: Mapping[str, Setting], resolved: Resolved, configs: Mapping[str, Mapping[str, Any]],
        configured: Configured,
    ) -> bool:  # fmt: skip
        """Return whether `latents` are of the shape that a call takes, as far as that is known, or report it.

        `configs` has the configurations of components by their keys.
        """
        if not self._are_no_pictures(settings):
            return False
        given = settings.get(LATENTS)
        if given is None:
            return True
        wanted = form(resolved.info, configured)
        if isinstance(given.value, TensorFile):
            is_good = _fits_shape(settings, given, given.value, resolved, configs, self.outside, self.diagnostics)
            shape = self.outside.shape(given.value)
            if is_good and wanted is not None and len(shape) != wanted.dims:
                message = f"these `latents` are shaped {_shown(shape)}, and a `{resolved.info.name}` takes "
                help = 'make them with the same model and size: `output: "x.safetensors"`'
                self.diagnostics.error("wrong-value", message + _AXES[wanted.dims], given.span, help=help)
                return False
            return is_good
        made = self._made.get(_step(given.value) or "")
        if made is None or wanted is None:
            return True
        if made.dims != wanted.dims:
            what = f"are {_AXES[made.dims]}, and a `{wanted.class_name}` takes {_AXES[wanted.dims]}"
        elif made.channels and wanted.channels and made.channels != wanted.channels:
            what = f"have {made.channels} channels, and a `{wanted.class_name}` takes {wanted.channels}"
        else:
            return True
        self.diagnostics.error(
            "wrong-value", f"the `latents` of a `{made.class_name}` {what}", given.span,
            help="take a model that shares its VAE, or make a picture of them and give that as `image`",
        )  # fmt: skip
        return False

    def _are_no_pictures(self, settings: Mapping[str, Setting]) -> bool:
        for name, setting in settings.items():
            made = self._made.get(_step(setting.value) or "")
            if made is not None and made.dims == 3 and name != LATENTS and "latents" not in name:
                self.diagnostics.error(
                    "wrong-value", f"the `latents` of a `{made.class_name}` are packed, and no picture for `{name}`",
                    setting.span, help="leave the decoding in: give the picture",
                )  # fmt: skip
                return False
        return True


def _step(value: Any) -> str | None:
    match value:
        case Result(step=step):
            return step
        case TensorValue(ref=ref) | ImageValue(ref=ref):
            return ref.step
    return None


def _fits_shape(
    settings: Mapping[str, Setting], given: Setting, file: TensorFile, resolved: Resolved,
    configs: Mapping[str, Mapping[str, Any]], outside: Outside, diagnostics: Diagnostics,
) -> bool:  # fmt: skip
    known = _known(resolved.roles, resolved.pipeline.parts, configs)
    if known is None:
        return True
    channels, scale = known
    height, width = _sides(settings, scale)
    shape = outside.shape(file)
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
    said = sides(settings)
    height, width = (said.get(side) for side in ("height", "width"))
    height, width = (each // scale if isinstance(each, int) else None for each in (height, width))
    return height, width


def _shown(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
