"""What the blocks of a script take: `model`, its submodules, and the verbs.

Names only this language's; the arguments of a pipeline's call are in `pipelines`, quantizers in `quantizers`.
"""

from __future__ import annotations

from aquatint.catalog.metrics import METRICS
from aquatint.catalog.pipelines import attention_backends
from aquatint.catalog.settings import Schema, Setting

DTYPES = ("float32", "float16", "bfloat16")
"""What weights can be loaded as, by torch's names."""

OFFLOADS = ("model", "group", "sequential")
"""How a model's weights can be kept off the GPU while others have their turn, by diffusers' names."""

_ATTENTION = tuple(attention_backends())

MODEL = Schema("model", (
    Setting("source", "str", "Where the checkpoint is: `builtin:NAME`, a folder in the diffusers layout, a hub id that "
            "the local cache holds, or a single safetensors file."),
    Setting("config", "str", "Whose configurations, tokenizers and scheduler go with a `source` that is a single file: "
            "a folder or a hub id. The repository that diffusers takes for such a file unless it is set."),
    Setting("type", "str", "What the checkpoint has to be, such as `sdxl` or `flux`: a mistake unless it is."),
    Setting("subfolder", "str", "The pipeline's folder inside `source`; `source` itself unless it is set."),
    Setting("dtype", "str", "The data type in which weights that aren't quantized are held and computed with. "
            "`float32` on a CPU and `float16` elsewhere unless it is set.", choices=DTYPES),
    Setting("variant", "str", "Which of a checkpoint's sets of weight files to load, such as `fp16`."),
    Setting("revision", "str", "The revision of a hub repository: a branch, a tag or a commit."),
    Setting("quantizer", "quantizer", "The quantizer of the denoiser and of every text encoder: a quantizer's name, "
            "a URI, or `none`."),
    Setting("quantizer_map", "names", "The submodules that the model's quantizer is for, instead of the denoiser and "
            "every text encoder."),
    Setting("device", "str", "Where the model is and computes: `cpu`, `cuda`, `cuda:1`, `xpu` or `mps`. What the plan "
            "is for unless it is set.", device=True),
    Setting("offload", "str", "Hold the weights in the computer's memory and bring them to the GPU for their turn: "
            "`model` a submodule at a time, `group` a block of layers, `sequential` a layer. Each needs less of the "
            "GPU's memory than the one before it, and takes longer.", choices=OFFLOADS),
    Setting("attention", "str", "How the denoiser computes attention, by diffusers' name for that, such as `native`, "
            "`_native_math` or `sage`.", choices=_ATTENTION),
    Setting("cache", "map", "What of earlier steps the denoiser uses again: a block with `config`, one of diffusers' "
            "configurations such as `FirstBlockCacheConfig`, and its options."),
    Setting("compile", "bool", "Compile the denoiser's repeated blocks with torch, which takes a while at the first "
            "picture."),
))  # fmt: skip
"""The settings of a `model` block; its parts are the submodules, `defaults`, and the blocks of `ADAPTERS`."""

PART = Schema("submodule", (
    Setting("source", "str", "Another checkpoint, a folder with this one component, or a single safetensors file, to "
            "take the submodule from."),
    Setting("config", "str", "Whose configuration goes with a `source` that is a single file: a folder or a hub id. "
            "That of the model's own submodule unless it is set."),
    Setting("subfolder", "str", "The component's folder inside `source`; the submodule's own name unless it is set."),
    Setting("dtype", "str", "As the model's `dtype`, for this submodule alone.", choices=DTYPES),
    Setting("variant", "str", "As the model's `variant`, for this submodule alone."),
    Setting("revision", "str", "As the model's `revision`, for this submodule alone."),
    Setting("device", "str", "As the model's `device`, for this submodule alone: what it is given comes there, and "
            "what it makes goes where the denoiser is.", device=True),
    Setting("quantizer", "quantizer", "This submodule's quantizer; `none` leaves it as it is."),
    Setting("tiling", "bool", "Of a `vae`: work on a picture in tiles, which takes less memory and changes pixels."),
    Setting("slicing", "bool", "Of a `vae`: work on the pictures of a batch one by one, which takes less memory."),
    Setting("attention", "str", "As the model's `attention`, for this submodule alone.", choices=_ATTENTION),
    Setting("cache", "map", "As the model's `cache`, for this submodule alone."),
    Setting("compile", "bool", "As the model's `compile`, for this submodule alone."),
))  # fmt: skip
"""The settings of a submodule's block."""


def _file(adapter: str) -> tuple[Setting, ...]:
    """Return the settings that say where an adapter's file is."""
    return (
        Setting("source", "str",
                f"Where the {adapter} is: a safetensors file, one of the hub or an address, a folder, a hub id."),
        Setting("subfolder", "str", "The file's folder inside `source`."),
        Setting("weight_name", "str", "The file's name; needed where several could be meant."),
        Setting("revision", "str", "The revision of a hub repository: a branch, a tag or a commit."),
    )  # fmt: skip


LORA = Schema("lora", (
    *_file("LoRA"),
    Setting("weight", "float", "How much of it is added: 0 for nothing, 1 for as much as it was trained to be.", 1.0,
            minimum=-100, maximum=100),
    Setting("load_into_transformer_2", "bool", "Whether it is for the second one of two transformers, as those for low "
            "noise of Wan 2.2 are; such a file doesn't say.", False),
))  # fmt: skip
"""The settings of a `lora` block of a model, which may have several."""

TEXTUAL_INVERSION = Schema("textual_inversion", (
    *_file("textual inversion"),
    Setting("token", "str", "The word that stands for it in prompts; the one that the file names unless it is set."),
))  # fmt: skip
"""The settings of a `textual_inversion` block of a model, which may have several."""

IP_ADAPTER = Schema("ip_adapter", (
    *_file("IP-Adapter"),
    Setting("image_encoder_folder", "str", "Where inside `source` the image encoder is, for a model that has none: a "
            "folder beside the file, or, with a `/` in it, a path from `source`. `image_encoder` unless it is set."),
    Setting("scale", "float", "How much its pictures count beside the prompt: 0 for nothing, 1 for as much as it was "
            "trained to let them.", 1.0, minimum=-100, maximum=100),
))  # fmt: skip
"""The settings of an `ip_adapter` block of a model, which may have several."""

ADAPTERS = {LORA.name: LORA, TEXTUAL_INVERSION.name: TEXTUAL_INVERSION, IP_ADAPTER.name: IP_ADAPTER}
"""The blocks of a model that may be there several times, and are no submodules."""

BATCH_LIMIT = 1000
"""Images that one call can be asked for."""

GENERATE = Schema("generate", (
    Setting("seed", "int", "The seed of the image's own generator, on the CPU. Without it the plan draws one.",
            minimum=0, maximum=2**63 - 1),
    Setting("images", "int", "How many images to make, with the seeds `seed`, `seed + 1` and so on.", 1, minimum=1,
            maximum=100_000),
    Setting("images_per_batch", "int", "How many images one call of the pipeline may make, of this statement and of "
            "others that differ in seed and prompts alone. Faster on a large GPU; an image's pixels then depend on all "
            "that its call makes.", 1, minimum=1, maximum=BATCH_LIMIT),
    Setting("size", "any", "Width and height in pixels, as in `64x64`."),
    Setting("scheduler", "str", "Another scheduler of diffusers, made from the settings of the checkpoint's, and its "
            "options: `CLASS;option=value`, or `+;option=value` for the checkpoint's own."),
    Setting("output", "str", "The file to write. Without it the name is made of model, quantizer, prompt and seed."),
    Setting("fps", "float", "Of a video, the frames in a second; without it, what the pipeline is told, or what it was "
            "made for.", minimum=1, maximum=240),
    Setting("metadata", "bool", "Whether the file says how it was made.", True),
    Setting("weighter", "any", "What turns the prompt into embeddings, instead of the pipeline itself: a `weighter`."),
    Setting("sidecar", "bool", "Whether a file beside the image, called like it with `.json` behind, says how it was "
            "made.", False),
))  # fmt: skip
"""What `generate` takes beside the arguments of the pipeline's call."""

GRID = Schema("grid", (
    Setting("images", "any", "Results or images to lay out; without it, all that the block around has made so far."),
    Setting("columns", "any", "How many columns, or the name of the fact that the columns tell apart."),
    Setting("rows", "str", "The name of the fact that the rows tell apart."),
    Setting("labels", "names", "The captions, one per image; without it, what tells the images apart.", deferred=True),
    Setting("title", "str", "A line above the pictures.", "", deferred=True),
    Setting("output", "str", "The file to write."),
    Setting("sidecar", "bool", "Whether a file beside the sheet, called like it with `.json` behind, says what is on "
            "it.", False),
))  # fmt: skip
"""What `grid` takes."""

UPSCALE = Schema("upscale", (
    Setting("prompts", "names", "The prompts to rewrite, one or several.", deferred=True),
    Setting("part", "str", "What the prompts are: an upscaler that is for the other `part` alone leaves them as they "
            "are.", "positive", choices=("positive", "negative")),
    Setting("variations", "int", "How many strings to make of each; as the upscaler says unless it is set.", minimum=1,
            maximum=10_000),
    Setting("seed", "int", "The seed of what is drawn; the upscaler's, or one that the plan draws, unless it is set.",
            minimum=0, maximum=2**63 - 1),
))  # fmt: skip
"""What `upscale` takes."""

COMPARE = Schema("compare", (
    Setting("metrics", "names", "The measures to take.", ("psnr",), choices=tuple(METRICS)),
    Setting("labels", "names", "What the table calls the images, one per pair; without it, what tells them apart.",
            deferred=True),
    Setting("output", "str", "The file to write: `.csv`, `.json` or `.md`. Without it the table is printed."),
))  # fmt: skip
"""What `compare` takes."""

SAVE = Schema("save", (
    Setting("to", "str", "The folder to write."),
    Setting("components", "names", "The submodules to write; without it, the whole pipeline."),
    Setting("variant", "str", "What the names of the weight files are to say, such as `fp16`."),
    Setting("max_shard_size", "int", "The bytes after which a weight file ends and the next one begins, as in `2GB`; "
            "without it, as the libraries do.", minimum=1),
))  # fmt: skip
"""What `save` takes."""

RESERVED_PARTS = frozenset({"defaults", *ADAPTERS})
"""Blocks inside `model` that are no submodules."""

OF_TASKS = {
    "image": None, "mask_image": None, "strength": None, "video": None,
    "control_image": "give the model a controlnet: `controlnet { source: ... }`",
}  # fmt: skip
"""Arguments by which tasks are known, and what to do where no pipeline for a checkpoint takes one."""

TABLE_SUFFIXES = (".csv", ".json", ".md")

OUTPUT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
