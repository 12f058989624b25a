"""Write the catalog of layers: which of a class's weights belong to something else than their shape suggests.

A header of safetensors gives names and shapes. A matrix is nearly always a Linear's weight and four dimensions are a
Conv2d's; this catalog holds the exceptions, and what the libraries leave unquantized or in float32. Every class of
diffusers' models, and of transformers' that diffusers' pipelines use, is built on torch's meta device from its default
configuration: no weights, nothing fetched.

    python scripts/make_layer_catalog.py [FILE]
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("SDNQ_USE_TORCH_COMPILE", "0")  # only sdnq's lists are read
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import diffusers
import torch
import transformers
from sdnq import common as sdnq_common
from torch import nn

CATALOG = Path(__file__).resolve().parent.parent / "src" / "aquatint" / "catalog" / "data" / "layers.json"

BY_DIMENSIONS = {2: "Linear", 3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}

# Named in no annotation of a pipeline, but what checkpoints have where an annotation says the base class.
MORE = (
    "CLIPModel", "SiglipTextModel", "GPT2Model", "T5ForConditionalGeneration", "BertForMaskedLM", "GemmaModel",
    "GemmaForCausalLM", "Gemma2Model", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "MistralModel", "MistralForCausalLM",
    "Qwen2Model", "Qwen2ForCausalLM", "Qwen2_5_VLModel", "Qwen3ForCausalLM", "SmolLM3Model", "GlmForCausalLM",
    "Phi3Model", "Phi3ForCausalLM", "LlavaModel", "Blip2Model",
)  # fmt: skip

# What a class needs that its defaults don't give; sizes are of no account, only which layers there are.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "AudioLDM2ProjectionModel": {"text_encoder_dim": 8, "text_encoder_1_dim": 8, "langauge_model_dim": 8},
    "ControlNetUnionModel": {"addition_embed_type": "text_time", "addition_time_embed_dim": 8,
                             "projection_class_embeddings_input_dim": 8},
    "EasyAnimateTransformer3DModel": {"in_channels": 16, "out_channels": 16, "patch_size": 2},
    "HiDreamImageTransformer2DModel": {"patch_size": 2, "caption_channels": [8, 8], "llama_layers": [0]},
    "HunyuanDiT2DModel": {"in_channels": 4, "sample_size": 32, "patch_size": 2},
    "HunyuanDiT2DControlNetModel": {"in_channels": 4, "sample_size": 32, "patch_size": 2},
    "LatteTransformer3DModel": {"in_channels": 4, "sample_size": 32, "patch_size": 2, "caption_channels": 8,
                                "norm_type": "ada_norm_single"},
    "LuminaNextDiT2DModel": {"num_kv_heads": 8},
    "OmniGenTransformer2DModel": {"rope_scaling": {"long_factor": [1.0] * 48, "short_factor": [1.0] * 48}},
    "StableAudioProjectionModel": {"text_encoder_dim": 8, "conditioning_dim": 8, "min_value": 0, "max_value": 1},
    "Transformer2DModel": {"in_channels": 32},
    "TransformerTemporalModel": {"in_channels": 32},
    "LearnedClassifierFreeSamplingEmbeddings": {"learnable": True, "hidden_size": 8, "length": 8},
    "UnCLIPTextProjModel": {"time_embed_dim": 8, "cross_attention_dim": 8},
    "UniDiffuserModel": {"in_channels": 4, "out_channels": 4, "sample_size": 16, "patch_size": 2,
                         "use_patch_pos_embed": True},
    "UniDiffuserTextDecoder": {"prefix_length": 8, "prefix_inner_dim": 8, "prefix_hidden_dim": 8},
    "UTransformer2DModel": {"in_channels": 4, "sample_size": 16, "patch_size": 2},
    # With its labels' table, which the default leaves out.
    "UNet2DConditionModel": {"num_class_embeds": 8},
    "UNet2DModel": {"num_class_embeds": 8},
    "ZImageControlNetModel": {"control_layers_places": [0], "control_refiner_layers_places": [0],
                              "control_in_dim": 16},
}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Write the catalog to the file that `arguments` names, or to its place in the package."""
    warnings.simplefilter("ignore")
    classes: dict[str, Any] = {}
    bases: dict[str, str] = {}
    found = sorted({*of_diffusers(), *of_transformers()}, key=lambda each: each.__name__)
    for each in found:
        model = built(each)
        if model is None:
            print(f"not built, so only its lists: {each.__name__}", file=sys.stderr)
        else:
            bases |= bases_of(model)
        classes[each.__name__] = described(each, model)
    catalog = {
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "sdnq": sdnq_common.sdnq_version,
        "bases": dict(sorted(bases.items())),
        "of_transformers": sorted(each.__name__ for each in found if issubclass(each, transformers.PreTrainedModel)),
        "ordered_by_sdnq": sdnq_common.weights_dtype_order,
        "skipped_by_sdnq": {
            "anywhere": list(sdnq_common.common_skip_keys),
            **{name: lists[0] for name, lists in sorted(sdnq_common.module_skip_keys_dict.items())},
        },
        "classes": classes,
    }
    file = Path(arguments[0]) if arguments else CATALOG
    file.write_text(json.dumps(catalog, indent=1) + "\n", encoding="utf-8")


def of_diffusers() -> Iterator[type]:
    """Yield the models that diffusers exports, and those that its pipelines have beside them, of either kind."""
    for name in dir(diffusers):
        found = getattr(diffusers, name, None)
        if isinstance(found, type) and issubclass(found, diffusers.ModelMixin) and found is not diffusers.ModelMixin:
            yield found
    root = Path(diffusers.__file__).parent
    for path in sorted((root / "pipelines").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.ClassDef) and any(
                "PreTrainedModel" in base or base == "ModelMixin" for base in bases
            ):
                if hasattr(diffusers, node.name):
                    continue
                module = ".".join(("diffusers", *path.relative_to(root).with_suffix("").parts))
                try:
                    yield getattr(importlib.import_module(module), node.name)
                except ImportError as error:
                    print(f"left out: {node.name}: {error}", file=sys.stderr)


def of_transformers() -> Iterator[type]:
    """Yield the models of transformers that the source of diffusers' pipelines names, and `MORE`."""
    names = set(MORE)
    for path in (Path(diffusers.__file__).parent / "pipelines").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "transformers":
                names |= {alias.name for alias in node.names}
    for name in sorted(names):
        found = getattr(transformers, name, None)
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel) and found.config_class:
            yield found


def built(found: Any) -> Any | None:
    """Return a model of that class without weights, or None where its defaults make none."""
    try:
        with torch.device("meta"):
            if issubclass(found, transformers.PreTrainedModel):
                return found(found.config_class())
            return found(**ARGUMENTS.get(found.__name__, {}))
    except Exception as error:
        print(f"{found.__name__}: {type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)
        return None


def described(found: Any, model: Any | None) -> dict[str, Any]:
    """Return what the catalog says of a class: nothing where its layers are what their shapes suggest.

    `is_built` is false where only the class's own lists are known.
    """
    of = found if model is None else model
    told: dict[str, Any] = {
        "kinds": {} if model is None else exceptions(model),
        "positions": [] if model is None else positions(model),
        "float32": sorted(of._keep_in_fp32_modules or ()),
        "sdnq_skips": sorted(getattr(found, "_skip_layerwise_casting_patterns", None) or ()),
    }
    if issubclass(found, transformers.PreTrainedModel):
        strict = of._keep_in_fp32_modules_strict or ()
        tied = found._tied_weights_keys
        told |= {
            "float32_always": sorted(strict),
            "tied": dict(sorted(tied.items())) if isinstance(tied, dict) else {},
            "tied_always": ties_always(found),
            "tied_by_default": bool(found._tied_weights_keys and getattr(found.config_class(), _TIES, False)),
            "ignored": ignored(found, model),
        }
        if model is not None:
            told["last"] = last(model)
            told["output"] = output(model)
    shown = {name: value for name, value in told.items() if value}
    if model is None:
        shown["is_built"] = False
    return shown


def exceptions(model: Any) -> dict[str, list[str]]:
    """Return kind -> the shortest ends of names by which the class's exceptions can be told."""
    kinds: dict[tuple[str, int], str] = {}
    for name, layer in model.named_modules():
        weight = layer._parameters.get("weight")
        if weight is not None and weight.ndim in BY_DIMENSIONS:
            kinds[re.sub(r"\d+", "#", name), weight.ndim] = type(layer).__name__
    found: dict[str, set[str]] = {}
    for (name, dimensions), kind in kinds.items():
        if kind != BY_DIMENSIONS[dimensions]:
            found.setdefault(kind, set()).add(shortest_end(name, dimensions, kind, kinds))
    return {kind: sorted(names) for kind, names in sorted(found.items())}


def ignored(found: Any, model: Any | None) -> list[str]:
    """Return patterns of names in files that the class doesn't read: it passes over them where it has none of them."""
    own = [] if model is None else [name for name, _ in model.named_parameters()]
    patterns = []
    for pattern in getattr(found, "_keys_to_ignore_on_load_unexpected", None) or ():
        if any(re.search(pattern, name) for name in own):
            # `attn.bias` is meant for a mask, and is in `c_attn.bias` too.
            pattern = rf"(?:^|\.){re.escape(pattern)}$"
        patterns.append(pattern)
    return sorted(patterns)


def positions(model: Any) -> list[str]:
    """Return the embeddings beside which the class holds a number for each of their rows that no file has."""
    found = set()
    for layer in model.modules():
        for name in layer._non_persistent_buffers_set:
            buffer = layer._buffers[name]
            if buffer is not None and buffer.dtype == torch.int64:
                found |= {
                    re.sub(r"\d+", "#", child) for child, table in layer.named_children()
                    if isinstance(table, nn.Embedding) and table.num_embeddings == buffer.numel()
                }  # fmt: skip
    return sorted(found)


def shortest_end(name: str, dimensions: int, kind: str, kinds: dict[tuple[str, int], str]) -> str:
    """Return the fewest last parts of `name` that no layer of another kind with as many dimensions ends with."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        alike = {
            other for (path, sides), other in kinds.items()
            if sides == dimensions and (path == end or path.endswith(f".{end}"))
        }  # fmt: skip
        if alike == {kind}:
            return end
    return name


def bases_of(model: Any) -> dict[str, str]:
    """Return, for classes of layers that derive from one of torch's, that one's name."""
    plain = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    found = {}
    for layer in model.modules():
        base = next((each for each in plain if isinstance(layer, each)), None)
        if base is not None and type(layer).__name__ != base.__name__:
            found[type(layer).__name__] = base.__name__
    return found


_TIES = "tie_word_embeddings"


def ties_always(found: Any) -> bool:
    """Return whether the class shares its weights even where a configuration says otherwise."""
    if not found._tied_weights_keys:
        return False
    try:
        return bool(getattr(found.config_class(**{_TIES: False}), _TIES))
    except (AttributeError, TypeError):
        return False


def last(model: Any) -> str:
    """Return the name of the last parameter, which transformers takes for the head and leaves alone."""
    names = [name for name, _ in model.named_parameters()]
    return re.sub(r"\d+", "#", names[-1].removesuffix(".weight")) if names else ""


def output(model: Any) -> str:
    """Return the name of the output embedding, which transformers leaves alone."""
    head = model.get_output_embeddings()
    return next((name for name, layer in model.named_modules() if layer is head), "") if head is not None else ""


if __name__ == "__main__":
    main(sys.argv[1:])
