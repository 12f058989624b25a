"""What options of quantizers ask of the hardware: notes that the checker gives for a plan's device.

A note is about one option's value; what a whole kind of quantizer can't do on a device is in `compatibility`. Third
parties' backends have no notes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

DEVICES = ("cpu", "cuda", "xpu", "mps")
"""The kinds of device that a plan can be for, by torch's names; AMD's ROCm devices are called `cuda`, too."""

SHARED_MEMORY = ("cpu", "mps")
"""Those that compute in the computer's own memory: there is nowhere to offload to."""

DEVICES_HELP = "devices: " + ", ".join(f"`{each}`" for each in DEVICES) + "; one of several has its number: `cuda:1`"


def is_device(text: str) -> bool:
    """Return whether `text` names a device, such as "cpu" or "cuda:1", that there may be somewhere."""
    return re.fullmatch(r"cpu|mps|(cuda|xpu)(:\d{1,2})?", text, re.ASCII) is not None


def named(device: str, here: str) -> str:
    """Return the one name of `device` in a plan for `here`: the first one of a kind goes with and without its number.

    As "cuda" and "cuda:0" are one, so `device` is called as `here` is if it is that.
    """
    return here if device.removesuffix(":0") == here.removesuffix(":0") else device.removesuffix(":0")


def memory_of(device: str) -> str:
    """Return the name of the memory that weights on `device` are in: "cpu" is the computer's own."""
    return "cpu" if device.partition(":")[0] in SHARED_MEMORY else device


_TORCH_FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
"""The number types that sdnq stores as a type of torch's; its other floats are bits in whole bytes."""

_SDNQ_PAGE = "https://github.com/Disty0/sdnq/blob/main/README.md"
_SDNQ_KERNELS = "https://github.com/Disty0/sdnq/blob/main/src/sdnq/kernel_wrappers.py"


@dataclass(frozen=True, slots=True)
class Note:
    """What `setting` of `backend` means on `devices` where it has one of `values` and `also` holds of the others.

    `severity` "error" is for what fails there, "warning" for what is slow or needs a device that not everyone has.
    `source` is where that is said; a test's name where it was tried.
    """

    backend: str
    devices: tuple[str, ...]
    setting: str
    values: tuple[Any, ...]
    severity: Literal["error", "warning"]
    text: str
    help: str
    source: str
    also: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def is_about(self, backend: str, options: Mapping[str, Any], device: str) -> bool:
        """Return whether a quantizer with all its `options`, after defaults, gets this note on a kind of `device`."""
        return (
            backend == self.backend
            and device in self.devices
            and all(options.get(name) in values for name, values in ((self.setting, self.values), *self.also))
        )


NOTES = (
    Note(
        "sdnq", ("cpu",), "quantized_matmul_dtype", ("float8_e4m3fn", "float16"), "warning",
        "a CPU takes many times as long for it as for the ordinary product",
        "take `int8`, or leave `use_quantized_matmul` out", "test_products_in_floats_take_long_on_a_cpu",
        also=(("use_quantized_matmul", (True,)),),
    ),
    Note(
        "sdnq", ("mps",), "use_quantized_matmul", (True,), "warning",
        "sdnq has its fast quantized products for NVIDIA, AMD and Intel GPUs and for CPUs, not for `mps`",
        "leave it out", _SDNQ_PAGE,
    ),
    Note(
        "sdnq", ("xpu", "mps"), "quantized_matmul_dtype", ("float8_e4m3fn",), "warning",
        "no such device multiplies in float8: sdnq does it in a wider type",
        "take `int8`, or leave it out", _SDNQ_KERNELS,
        also=(("use_quantized_matmul", (True,)),),
    ),
    Note(
        "sdnq", ("cuda",), "quantized_matmul_dtype", ("float8_e4m3fn",), "warning",
        "products in float8 need an NVIDIA GPU of compute capability 8.9 or more, or an AMD GPU gfx94x or gfx12",
        "take `int8` for older GPUs", _SDNQ_KERNELS,
        also=(("use_quantized_matmul", (True,)),),
    ),
    *(
        Note(
            "sdnq", ("mps",), setting, _TORCH_FLOAT8, "error",
            "torch has no float8 types on `mps`",
            "take `float8_e4m3fn_sdnq`, which holds the same numbers in whole bytes, or an integer type",
            "https://github.com/pytorch/pytorch/issues/148420",
        )
        for setting in ("weights_dtype", "scale_dtype", "zero_point_dtype")
    ),
    Note(
        "sdnq", ("cuda", "xpu", "mps"), "weights_dtype", ("bfloat16",), "warning",
        "its scales are denormal numbers, and where they are taken for zero pictures come out as noise",
        "take `float16`, which is of the same size and more exact",
        "test_bfloat16_is_wrong_where_denormal_numbers_are_taken_for_zero",
    ),
    Note(
        "bnb", ("cpu",), "llm_int8_enable_fp32_cpu_offload", (True,), "warning",
        "transformers leaves text encoders on a CPU unquantized",
        "leave it out", "test_a_setting_arrives_and_does_what_is_said",
    ),
)  # fmt: skip


def notes(backend: str, options: Mapping[str, Any], device: str) -> tuple[Note, ...]:
    """Return what to know of a quantizer with all its `options`, after defaults, on `device` ("cuda:1", "cpu")."""
    kind = device.partition(":")[0]
    return tuple(note for note in NOTES if note.is_about(backend, options, kind))
