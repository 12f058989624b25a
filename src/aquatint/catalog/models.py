"""What the blocks of a script take: `model`, its submodules, `generate` and `grid`.

Names only this language's; the arguments of a pipeline's call are in `pipelines`, quantizers in `quantizers`.
"""

from __future__ import annotations

from aquatint.catalog.settings import Schema, Setting

DTYPES = ("float32", "float16", "bfloat16")
"""What weights can be loaded as, by torch's names."""

MODEL = Schema("model", (
    Setting("source", "str", "Where the checkpoint is: `builtin:NAME`, a folder in the diffusers layout, or a hub id "
            "that the local cache holds."),
    Setting("dtype", "str", "The data type in which weights that aren't quantized are held and computed with. "
            "`float32` on a CPU and `float16` elsewhere unless it is set.", choices=DTYPES),
    Setting("variant", "str", "Which of a checkpoint's sets of weight files to load, such as `fp16`."),
    Setting("revision", "str", "The revision of a hub repository: a branch, a tag or a commit."),
    Setting("quantizer", "any", "The quantizer of the denoiser and of every text encoder: a quantizer's name, a URI, "
            "or `none`."),
    Setting("quantizer_map", "names", "The submodules that the model's quantizer is for, instead of the denoiser and "
            "every text encoder."),
))  # fmt: skip
"""The settings of a `model` block; its parts are the submodules and `defaults`."""

PART = Schema("submodule", (
    Setting("source", "str", "Another checkpoint, or a folder with this one component, to take the submodule from."),
    Setting("subfolder", "str", "The component's folder inside `source`; the submodule's own name unless it is set."),
    Setting("dtype", "str", "As the model's `dtype`, for this submodule alone.", choices=DTYPES),
    Setting("variant", "str", "As the model's `variant`, for this submodule alone."),
    Setting("revision", "str", "As the model's `revision`, for this submodule alone."),
    Setting("quantizer", "any", "This submodule's quantizer; `none` leaves it as it is."),
))  # fmt: skip
"""The settings of a submodule's block."""

GENERATE = Schema("generate", (
    Setting("seed", "int", "The seed of the image's own generator, on the CPU. Without it the plan draws one.",
            minimum=0, maximum=2**63 - 1),
    Setting("images", "int", "How many images to make, with the seeds `seed`, `seed + 1` and so on.", 1, minimum=1,
            maximum=100_000),
    Setting("size", "any", "Width and height in pixels, as in `64x64`."),
    Setting("scheduler", "str", "The class name of another diffusers scheduler, made from the checkpoint's settings."),
    Setting("output", "str", "The file to write. Without it the name is made of model, quantizer, prompt and seed."),
    Setting("metadata", "bool", "Whether the file says how it was made.", True),
))  # fmt: skip
"""What `generate` takes beside the arguments of the pipeline's call."""

GRID = Schema("grid", (
    Setting("images", "any", "Results or images to lay out; without it, all that the block around has made so far."),
    Setting("columns", "any", "How many columns, or the name of the fact that the columns tell apart."),
    Setting("rows", "str", "The name of the fact that the rows tell apart."),
    Setting("labels", "names", "The captions, one per image; without it, what tells the images apart."),
    Setting("title", "str", "A line above the pictures.", ""),
    Setting("output", "str", "The file to write."),
))  # fmt: skip
"""What `grid` takes."""

RESERVED_PARTS = frozenset({"defaults"})
"""Blocks inside `model` that are no submodules."""

LATER_MODEL = ("type", "device", "offload", "subfolder", "lora", "task")
LATER_GENERATE = ("image", "mask_image", "control_image", "strength", "ip_adapter_image", "video", "images_per_batch")
"""Settings of the language's design that this version does not have."""

OUTPUT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
