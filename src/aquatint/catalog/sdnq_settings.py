"""The settings of the `sdnq` backend.

Left out on purpose is what only training reads: `is_training`, `use_static_quantization` and `use_grad_ckpt`. A test
holds the list of settings against the library's.
"""

from __future__ import annotations

from aquatint.catalog import sdnq_types
from aquatint.catalog.settings import Schema, Setting

SCHEMA = Schema("sdnq", (
    Setting(
        "weights_dtype", "str",
        "The number type that weights are stored in, from 1 to 16 bits: intN and uintN for N up to 8 and intN up to "
        "16, floats such as float8_e4m3fn or float4_e2m1fn, and short names such as fp8. Integers lose the least at "
        "a given width; below 5 bits the unsigned ones are better than the signed.",
        default="int8", choices=sdnq_types.NAMES, aliases=("type", "dtype"),
    ),
    Setting(
        "scale_dtype", "str",
        "Store the groups' scales in this type as well; with uint8 or int8 that makes 4-bit weights about a fifth "
        "smaller at no visible loss. Scales are positive, so that signed types waste half of their values. None "
        "keeps them as they are.",
        choices=sdnq_types.NAMES,
    ),
    Setting(
        "zero_point_dtype", "str",
        "Store the groups' offsets, which unsigned types have and codebooks don't, in this type. None takes "
        "`scale_dtype`.",
        choices=sdnq_types.NAMES,
    ),
    Setting(
        "group_size", "int",
        "How many weights of a row share a scale. 0 chooses by the width of the type, -1 takes whole rows, -2 the "
        "whole tensor. Smaller groups are more exact and take more memory.",
        default=0, minimum=-2,
    ),
    Setting(
        "quant_conv", "bool",
        "Quantize convolutions too. Most of a UNet's weights are in them.",
        default=False, aliases=("conv",),
    ),
    Setting("quant_embedding", "bool", "Quantize embedding tables too.", default=False, aliases=("embedding",)),
    Setting(
        "use_quantized_matmul", "bool",
        "Quantize the inputs of Linear layers as well and multiply in `quantized_matmul_dtype`, on weights as they are "
        "stored where the types allow it. Meant for hardware that has units for such products.",
        default=False, aliases=("quantized_matmul",),
    ),
    Setting(
        "use_quantized_matmul_conv", "bool",
        "The same for convolutions, which `quant_conv` must have quantized.",
        default=False, aliases=("quantized_matmul_conv",),
    ),
    Setting(
        "quantized_matmul_dtype", "str",
        "The type that the quantized product is computed in. None chooses by `weights_dtype`.",
        choices=sdnq_types.MATMUL_NAMES, aliases=("matmul_dtype",),
    ),
    Setting(
        "use_svd", "bool",
        "Keep a low-rank part of each weight in full precision and quantize the rest (SVDQuant). Slow to quantize; it "
        "pays at 4 bits and below. The decomposition is random: it is seeded from the component, so that it repeats.",
        default=False, aliases=("svd",),
    ),
    Setting(
        "svd_rank", "int",
        "The rank of the part kept by `use_svd`. A larger one is more exact and takes more memory; at a "
        "layer's own size all of it is kept, and nothing is saved.",
        default=32, minimum=1,
    ),
    Setting("svd_steps", "int", "Iterations of the low-rank estimate of `use_svd`.", default=8, minimum=0),
    Setting(
        "use_hadamard", "bool",
        "Rotate weights by a Hadamard matrix before quantizing, which spreads outliers over their group. The forward "
        "pass gets slower.",
        default=False, aliases=("hadamard",),
    ),
    Setting(
        "hadamard_group_size", "int",
        "How many channels are rotated together by `use_hadamard`: a power of two.",
        default=256, choices=(4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
    ),
    Setting(
        "use_codebook", "bool",
        "Fit a table of values to each group (Lloyd-Max) rather than space them evenly. For unsigned integer types up "
        "to 8 bits; many times slower to quantize, and each group keeps its table in float32, which from 5 bits on "
        "costs more than it gains.",
        default=False, aliases=("codebook",),
    ),
    Setting("codebook_steps", "int", "Iterations of the fit of `use_codebook`.", default=24, minimum=1),
    Setting(
        "use_codebook_scale", "bool", "Fit a table to the scales too, where `scale_dtype` stores them.", default=False,
    ),
    Setting(
        "use_dynamic_quantization", "bool",
        "Choose a type for each layer: the first one from `weights_dtype` upwards that stays under "
        "`dynamic_loss_threshold`.",
        default=False, aliases=("dynamic_quantization", "dynamic"),
    ),
    Setting(
        "dynamic_loss_threshold", "float",
        "The relative mean squared error of a layer's weights that `use_dynamic_quantization` accepts. A layer that no "
        "type brings below it stays as it is. None derives it from the width of `weights_dtype`.",
        above=0,
    ),
    Setting(
        "dequantize_fp32", "bool",
        "Keep scales in float32 and unpack weights in float32. Without it they have the component's own `dtype`, which "
        "saves little and loses exactness; of a component in float32 it changes nothing.",
        default=True,
    ),
    Setting(
        "use_stochastic_rounding", "bool",
        "Round each weight up or down at random, the nearer value the likelier, which is meant for training on. To "
        "draw with, rounding to the nearest is more exact. It is seeded from the component, so that it repeats.",
        default=False, aliases=("stochastic_rounding",),
    ),
    Setting(
        "add_skip_keys", "bool",
        "Leave those layers alone that the library's list for the model names: embeddings, modulation, outputs.",
        default=True,
    ),
    Setting(
        "minimum_allowed_numel", "int",
        "Layers with fewer weights than this stay as they are.",
        default=16384, minimum=0,
    ),
    Setting(
        "minimum_allowed_channel_size", "int",
        "Layers with fewer input channels than this stay as they are.",
        default=32, minimum=0,
    ),
    Setting(
        "modules_to_not_convert", "names",
        'Modules to leave unquantized: a full name, any part of a path ("attn2"), ".prefix", or a pattern with `*`.',
        aliases=("skip_modules",),
    ),
    Setting(
        "modules_to_not_use_matmul", "names",
        "Modules that keep the ordinary matrix product where `use_quantized_matmul` is on.",
    ),
    Setting(
        "modules_dtype_dict", "map",
        'Other types for some modules: a type\'s name, or "minimum_6bit", to the list of modules that get it.',
    ),
    Setting(
        "modules_quant_config", "map",
        "Other settings for some modules: a module's name to a map of the settings above.",
    ),
    Setting(
        "quantization_device", "str",
        "The device that weights are quantized on, such as `cuda:0`: a layer at a time goes there. None takes the "
        "component's own. `cpu` spares a GPU the layers in full precision.",
    ),
    Setting(
        "return_device", "str",
        "The device that quantized layers are left on. None takes the component's own, which is where it will run; "
        "another one only helps a component that is moved before it runs.",
    ),
    Setting(
        "non_blocking", "bool",
        "Don't wait for copies between the CPU and a GPU while quantizing. On a CPU alone it changes nothing.",
        default=False,
    ),
))  # fmt: skip

PER_MODULE = frozenset({
    "weights_dtype", "scale_dtype", "zero_point_dtype", "quantized_matmul_dtype", "hadamard_group_size", "group_size",
    "svd_rank", "svd_steps", "codebook_steps", "dynamic_loss_threshold", "use_svd", "use_hadamard", "use_codebook",
    "use_codebook_scale", "use_quantized_matmul", "use_quantized_matmul_conv", "use_dynamic_quantization",
    "use_stochastic_rounding", "dequantize_fp32",
})  # fmt: skip
"""What `modules_quant_config` may set for a module: what `sdnq.utils.get_quant_kwargs` reads, devices apart."""

TYPE_SETTINGS = ("weights_dtype", "scale_dtype", "zero_point_dtype", "quantized_matmul_dtype")
"""Settings whose value is the name of a number type."""
