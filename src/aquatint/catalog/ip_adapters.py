"""What an IP-Adapter's file says about itself: for which layers it is, how wide they are, what its pictures become.

Reads the header of one file, and never the network. Which class of diffusers loads IP-Adapters into a pipeline is in
`pipelines`; putting one on a live denoiser is the engine's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from aquatint.catalog.adapter_files import DTYPES, Kind
from aquatint.catalog.checkpoints import CheckpointError, Tensor, read_header

KIND = Kind("ip-adapter.safetensors", "not-an-ip-adapter", may_be_pickled=True)

TIMED = "SD3IPAdapterMixin"
"""The class of diffusers that loads those of Stable Diffusion 3, of which a model has one: they know the timestep."""

MASKED = "IPAdapterMixin"
"""The class of diffusers that loads those whose layers know of masks."""

READERS = (MASKED, "FluxIPAdapterMixin", TIMED)
"""The classes of diffusers that load them."""

IMAGE_ENCODER = "image_encoder"
"""The role of what encodes the pictures that a call is given, and the folder beside an IP-Adapter that it is in."""

ARGUMENTS = ("ip_adapter_image", "ip_adapter_image_embeds")
"""The call's arguments of which an IP-Adapter needs one: its pictures, or what an image encoder makes of them."""

MASKS = "ip_adapter_masks"
"""The argument that says where in a picture each IP-Adapter counts, as diffusers calls it below its own argument."""

BESIDE = (*ARGUMENTS, MASKS)
"""All arguments that are for IP-Adapters alone, and say nothing of what else a call is given."""

_PROJECTION, _ATTENTION = "image_proj.", "ip_adapter."
_LAYER = re.compile(r"ip_adapter\.(?P<layer>\d+)\.to_k_ip\.weight")
_OTHERS = (
    ("ip_adapter_proj_model.", _PROJECTION), ("double_blocks.", _ATTENTION), (".processor.", "."),
    (".ip_adapter_double_stream_k_proj.", ".to_k_ip."), (".ip_adapter_double_stream_v_proj.", ".to_v_ip."),
)  # fmt: skip
# What those of FLUX.1 that are published by XLabs call the same.
_VALUES = re.compile(
    r"ip_adapter\.\d+\.(?:to_[kv]_ip\.(?:weight|bias)|norm_ip\.linear\.(?:weight|bias)|norm_\w+\.weight)"
)
_TIMED = "IPAdapterTimeImageProjection"
_OF_FACES_AND_PICTURES = "image_proj.perceiver_resampler."
_LORA = re.compile(r"ip_adapter\.(?P<layer>\d+)\.(?P<matrix>to_(?:q|k|v|out)_lora\.(?:down|up))\.weight")
_OF_FACES = "IPAdapterFaceIDImageProjection"


@dataclass(frozen=True, slots=True)
class Projection:
    """What brings an encoded picture to the width of a prompt's embeddings.

    `class_name` is diffusers' in `models.embeddings`; `takes` what of the image encoder's configuration says how wide
    the encoded pictures are. `width` is that of a prompt's embeddings, `image_width` that of the encoded pictures.
    """

    class_name: str
    takes: str
    width: int
    image_width: int


@dataclass(frozen=True, slots=True)
class IpAdapter:
    """An IP-Adapter: its projection, the width of each layer that it is for, its torch dtype and size."""

    projection: Projection
    layers: tuple[int, ...]
    width: int  # of what its layers attend to
    dtype: str
    bytes: int
    numel: int
    has_lora: bool = False

    @property
    def is_of_faces(self) -> bool:
        """Whether it takes what knows faces makes of one, and no encoded pictures."""
        return self.projection.class_name == _OF_FACES


def name_of(tensor: str) -> str:
    """Return the name here of a tensor called `tensor` in a file: its half of the file, then its place there."""
    for theirs, ours in _OTHERS:
        tensor = tensor.replace(theirs, ours, 1)
    return tensor


def read(file: Path) -> IpAdapter:
    """Return what the header of `file` says of an IP-Adapter. Raises `CheckpointError`."""
    tensors = read_header(file)
    found = {name_of(each.name): each for each in tensors}
    if odd := next((name for name in found if name.startswith(_OF_FACES_AND_PICTURES)), None):
        raise CheckpointError(
            "not-supported-yet", f"`{file}` is an IP-Adapter for faces that are given in two ways (FaceID Plus), which "
            f"this version doesn't load: it has `{odd}`", "take a FaceID without Plus, or one that is for pictures",
        )  # fmt: skip
    pairs = {(match["layer"], match["matrix"]) for name in found if (match := _LORA.fullmatch(name))}
    layers = {int(match["layer"]): each for name, each in found.items() if (match := _LAYER.fullmatch(name))}
    projection = _projection({name.removeprefix(_PROJECTION): each for name, each in found.items()
                              if name.startswith(_PROJECTION)})  # fmt: skip
    others = [
        name for name in found
        if not name.startswith(_PROJECTION) and not _VALUES.fullmatch(name) and not _LORA.fullmatch(name)
    ]  # fmt: skip
    if pairs and len(pairs) != 8 * 2 * len(layers):
        raise CheckpointError(KIND.code, f"`{file}` has a LoRA for some layers of attention only",
                              "fetch or write that file again")  # fmt: skip
    widths = {each.shape[-1] for each in layers.values()}
    if projection is None or len(widths) != 1 or others or any(len(each.shape) != 2 for each in layers.values()):
        why = f": it has no use for `{others[0]}`" if others else ""
        raise CheckpointError(
            "not-an-ip-adapter", f"`{file}` is no IP-Adapter{why}",
            "take a file whose tensors begin with `image_proj.` and `ip_adapter.`",
        )  # fmt: skip
    dtypes = sorted({each.dtype for each in tensors})
    if len(dtypes) != 1 or dtypes[0] not in DTYPES:
        raise CheckpointError("not-an-ip-adapter", f"`{file}` is of the data types {', '.join(dtypes)}",
                              "one of `float32`, `float16` and `bfloat16` is taken")  # fmt: skip
    return IpAdapter(
        projection, tuple(layers[number].shape[0] for number in sorted(layers)), widths.pop(), DTYPES[dtypes[0]],
        sum(each.end - each.start for each in tensors), sum(each.numel for each in tensors), bool(pairs),
    )  # fmt: skip


def _projection(tensors: Mapping[str, Tensor]) -> Projection | None:
    """Return the projection that has `tensors`, None if nothing that is known has."""

    def side(name: str, axis: int) -> int:
        each = tensors.get(name)
        return each.shape[axis] if each is not None and each.shape else 0

    if "proj.weight" in tensors:
        made = Projection("ImageProjection", "projection_dim", side("norm.weight", 0), side("proj.weight", -1))
    elif "proj.3.weight" in tensors:
        made = Projection(
            "IPAdapterFullImageProjection", "hidden_size", side("proj.3.weight", 0), side("proj.0.weight", 0)
        )
    elif "proj.0.weight" in tensors and "norm.weight" in tensors:
        made = Projection(_OF_FACES, "", side("norm.weight", 0), side("proj.0.weight", -1))
    elif "latents" in tensors and "time_embedding.linear_1.weight" in tensors:
        made = Projection(_TIMED, "hidden_size", side("proj_out.weight", 0), side("proj_in.weight", -1))
    elif "latents" in tensors:
        made = Projection(
            "IPAdapterPlusImageProjection", "hidden_size", side("proj_out.weight", 0), side("proj_in.weight", -1)
        )
    else:
        return None
    return made if made.width and made.image_width else None


def layers_of(weights: Iterable[tuple[str, tuple[int, ...]]]) -> list[int]:
    """Return how wide those layers of a denoiser are that an IP-Adapter is for, sorted.

    `weights` are names and shapes of its tensors. In a UNet the layers are those that attend to the prompt, in a
    transformer those that attend to it beside the picture, and in one of Stable Diffusion 3.5 the second ones, too.
    """
    wanted = re.compile(r"(?!.*motion_modules).*(?:attn2\.to_k|transformer_blocks\.\d+\.attn\.add_k_proj)\.weight")
    return sorted(shape[0] for name, shape in weights if wanted.fullmatch(name))


def mismatch(
    read: IpAdapter, reader: str, config: Mapping[str, Any], layers: list[int], has_shapes: bool
) -> str | None:
    """Return why an IP-Adapter isn't for a denoiser with this configuration and `layers`; None if it is.

    `reader` is the class that loads them into its pipeline. Without `has_shapes` the layers are stored in a form of
    which only their number tells.
    """
    is_timed = read.projection.class_name == _TIMED
    if is_timed != (reader == TIMED):
        return "it is for Stable Diffusion 3" if is_timed else "it is none for Stable Diffusion 3"
    own, whose = _width(config, is_timed)
    for width in (read.projection.width, read.width):
        if isinstance(own, int) and own != width:
            return f"it makes embeddings {width} wide, and those of {whose} are {own} here"
    if len(layers) != len(read.layers):
        return f"it is for {len(read.layers)} layers, and here are {len(layers)}"
    if has_shapes and (odd := [(a, b) for a, b in zip(sorted(read.layers), layers, strict=True) if a != b]):
        return f"a layer of it is {odd[0][0]} wide, and here it is {odd[0][1]}"
    return None


def _width(config: Mapping[str, Any], is_timed: bool) -> tuple[Any, str]:
    """Return how wide what an IP-Adapter makes has to be, None if that isn't said, and what else is that wide."""
    if is_timed:
        sides: list[Any] = [config.get(name) for name in ("attention_head_dim", "num_attention_heads")]
        return (prod(sides) if all(isinstance(each, int) for each in sides) else None), "a layer"
    named = next((name for name in ("cross_attention_dim", "joint_attention_dim") if name in config), None)
    return (None if named is None else config[named]), "a prompt"


def image_width(projection: Projection, config: Mapping[str, Any]) -> int | None:
    """Return how wide what an image encoder with this configuration makes for `projection` is, None if it says none."""
    inner = config.get("vision_config", config)
    own = inner.get(projection.takes) if isinstance(inner, Mapping) else None
    return own if isinstance(own, int) else None
