"""The settings of the `bnb` backend, bitsandbytes.

Left out on purpose: `llm_int8_has_fp16_weight` keeps the weights in full precision for training, which is no
quantization to whoever only draws.
"""

from __future__ import annotations

from aquatint.catalog.settings import Schema, Setting

SCHEMA = Schema("bnb", (
    Setting(
        "bits", "int",
        "The width that Linear layers are stored in. 8 is LLM.int8: one scale per row, with the columns of large "
        "inputs computed in float16. 4 stores blocks of 64 weights in a 4-bit float, `bits4_quant_type`.",
        default=8, choices=(8, 4),
    ),
    Setting(
        "bits4_compute_dtype", "str",
        "The type that 4-bit weights are unpacked to and multiplied in. bfloat16 is faster on most GPUs; on a CPU "
        "float32 is both the fastest and the most exact.",
        default="float32", choices=("float32", "float16", "bfloat16"), aliases=("bnb_4bit_compute_dtype",),
    ),
    Setting(
        "bits4_quant_type", "str",
        "The 4-bit number type. nf4 places its 16 values by the normal distribution that weights tend to have and "
        "is the better choice in nearly all cases; fp4 is a small float and the library's default.",
        default="fp4", choices=("fp4", "nf4"), aliases=("bnb_4bit_quant_type", "quant_type"),
    ),
    Setting(
        "bits4_use_double_quant", "bool",
        "Quantize the blocks' scales as well: about 0.4 bits per weight less, at hardly any loss.",
        default=False, aliases=("bnb_4bit_use_double_quant", "double_quant", "bits4_double_quant"),
    ),
    Setting(
        "bits4_quant_storage", "str",
        "The type of the tensors that the 4-bit weights are packed in. It changes no result. Diffusers can't read "
        "back a saved model that has another one than uint8.",
        default="uint8", choices=("uint8", "int8", "float16", "bfloat16", "float32"),
        aliases=("bnb_4bit_quant_storage",),
    ),
    Setting(
        "llm_int8_threshold", "float",
        "Inputs larger than this are outliers: their columns are multiplied in float16 rather than int8. Lower is "
        "slower and more exact; 0 switches the treatment of outliers off.",
        default=6.0, minimum=0,
    ),
    Setting(
        "llm_int8_skip_modules", "names",
        "Modules to leave unquantized, for 8 and for 4 bits: a full name, or any part of a path. With none the library "
        "leaves a language model's output head alone; any list, even an empty one, replaces that choice.",
        aliases=("skip_modules", "modules_to_not_convert"),
    ),
    Setting(
        "llm_int8_enable_fp32_cpu_offload", "bool",
        "Let what is placed on the CPU stay unquantized, in float32, while the rest is quantized on a GPU. Components "
        "are whole on one device here: on a GPU it changes nothing, and on a CPU transformers leaves all of a text "
        "encoder unquantized. It is kept in the configuration of a saved component, for programs that split it.",
        default=False, aliases=("fp32_cpu_offload",),
    ),
))  # fmt: skip
