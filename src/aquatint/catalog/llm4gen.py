"""The weighter `llm4gen`: its settings, its record, where its parts are, and what a cross-adapter module's file holds.

The parts are the encoder of a T5, its tokenizer, and the cross-adapter module (the projector). How they are loaded and
what they compute is the engine's business.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from aquatint.catalog import checkpoints, pickle_files
from aquatint.catalog.checkpoints import FLOATS, WEIGHT_SUFFIXES, CheckpointError, Found, Tensor
from aquatint.catalog.language_models import MODEL, PROJECTOR, TOKENIZER, Wanted
from aquatint.catalog.models import DTYPES
from aquatint.catalog.prompt_plugins import PromptPlugin
from aquatint.catalog.settings import Schema, Setting
from aquatint.catalog.weighting import CLIP_ENCODERS
from aquatint.diagnostics import did_you_mean

LLM4GEN_SCHEMA = Schema("llm4gen", (
    Setting("encoder", "str", "Which T5 encoder of RankGen reads the prompt.", "xl-all",
            choices=("base-all", "large-all", "xl-all", "xl-pg19")),
    Setting("encoder_source", "str", "The folder or hub id of the encoder, instead of where RankGen's is published."),
    Setting("encoder_revision", "str", "The commit, branch or tag of the encoder's hub id."),
    Setting("tokenizer", "str", "The folder or hub id of the encoder's tokenizer. Unless it is set, that of "
            "`encoder_source` if that is set, else the T5 v1.1 of Google that is as large."),
    Setting("tokenizer_revision", "str", "The commit, branch or tag of the tokenizer's hub id."),
    Setting("projector", "str", "Where the cross-adapter module is: a hub id, a folder or a file.",
            "Shui-VL/LLM4GEN-models"),
    Setting("projector_revision", "str", "The commit, branch or tag of the cross-adapter module's hub id."),
    Setting("projector_subfolder", "str", "The folder of `projector` that its file is in."),
    Setting("projector_weight_name", "str", "The name of its file; `projector.safetensors` or `projector.pth` unless "
            "it is set."),
    Setting("weighter", "str", "The weighter that makes the embeddings which those of the language model are added "
            "to; the pipeline's own text encoder unless it is set."),
    Setting("llm_dtype", "str", "The data type of the language model's weights that aren't quantized. `float32` on a "
            "CPU and `float16` elsewhere unless it is set.", choices=DTYPES),
    Setting("llm_quantizer", "quantizer", "The quantizer of the language model: a quantizer's name, a URI, or `none`."),
))  # fmt: skip

PIPELINES = frozenset({
    "LatentConsistencyModelImg2ImgPipeline", "LatentConsistencyModelPipeline",
    "StableDiffusionControlNetImg2ImgPipeline", "StableDiffusionControlNetInpaintPipeline",
    "StableDiffusionControlNetPAGInpaintPipeline", "StableDiffusionControlNetPAGPipeline",
    "StableDiffusionControlNetPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    "StableDiffusionPAGImg2ImgPipeline", "StableDiffusionPAGInpaintPipeline", "StableDiffusionPAGPipeline",
    "StableDiffusionPipeline",
})  # fmt: skip
"""Those of `weighting.PIPELINES` with one text encoder, a CLIP, whose embeddings alone the denoiser attends to."""

HEADS = 8
"""Heads of the cross-adapter module's attention, which its file doesn't tell: the published code has this number."""

USUAL_NAMES = ("projector.safetensors", "projector.pth")
"""What a cross-adapter module's file is called, that first which is looked for first."""

CLASS_NAME = "CrossAdapter"
"""What plans call the class of a cross-adapter module; it is this program's own."""

_TENSOR = re.compile(r"CrossFusionModule\.(?P<layer>\d+)\.(?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Projector:
    """A cross-adapter module: embeddings `llm_dim` wide go in beside those that are `dim` wide, `layers` times."""

    dim: int
    llm_dim: int
    layers: int
    numel: int
    reads: int  # bytes of its tensors in the file


def parts(options: Mapping[str, Any]) -> tuple[Wanted, ...]:
    """Return the parts that canonical `options` ask for, and where they are."""
    encoder, own = options["encoder"], options["encoder_source"]
    size = encoder.partition("-")[0]
    return (
        Wanted(MODEL, own or f"kalpeshk2011/rankgen-t5-{encoder}", options["encoder_revision"],
               setting="encoder_source" if own else "encoder", revision_setting="encoder_revision"),
        Wanted(TOKENIZER, options["tokenizer"] or own or f"google/t5-v1_1-{size}", options["tokenizer_revision"],
               setting="tokenizer" if options["tokenizer"] else "encoder_source" if own else "encoder",
               revision_setting="tokenizer_revision"),
        Wanted(PROJECTOR, options["projector"], options["projector_revision"], options["projector_subfolder"] or "",
               options["projector_weight_name"], setting="projector", revision_setting="projector_revision"),
    )  # fmt: skip


def find(wanted: Wanted) -> tuple[Found, str]:
    """Return where a cross-adapter module is, and its file as a path in it, empty for the source itself.

    Raises `CheckpointError`.
    """
    own = Path(os.path.expanduser(wanted.source))
    if wanted.source.strip() and own.is_file():
        if named := next((name for name in (wanted.subfolder, wanted.file) if name), None):
            raise CheckpointError("missing-model", f"`{wanted.source}` is a file, and has no `{named}` in it",
                                  "leave `projector_weight_name` and `projector_subfolder` out")  # fmt: skip
        return Found(own, None), ""
    root = checkpoints.find(wanted.source, wanted.revision)
    folder = root.folder / wanted.subfolder
    if not folder.is_dir():
        raise checkpoints.missing_folder(root.folder, wanted.subfolder)
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    return root, str(PurePosixPath(wanted.subfolder) / chosen(names, wanted.source, wanted.file))


def chosen(names: Iterable[str], source: str, weight_name: str | None) -> str:
    """Return which of the files `names` in a folder of `source` is the cross-adapter module. Raises `CheckpointError`.

    Whether it may be read is said when it is.
    """
    there = set(names)
    for name in USUAL_NAMES if weight_name is None else (weight_name,):
        if name in there:
            return name
    wanted = weight_name or USUAL_NAMES[0]
    found = sorted(name for name in there if name.endswith(WEIGHT_SUFFIXES))
    help = did_you_mean(wanted, found, "its files") if found else "name the file, or its folder"
    raise CheckpointError("missing-model", f"`{source}` has no file `{wanted}`", help)


def path(source: str, revision: str | None, inside: str) -> Path:
    """Return the file that `find` found. Raises `CheckpointError` if there is none any more, or it may not be read."""
    own = Path(os.path.expanduser(source))
    found = own if not inside and own.is_file() else checkpoints.locate(source, revision) / inside
    if not found.is_file():
        raise CheckpointError("missing-model", f"there is no file `{found}`", "fetch it again, or plan anew")
    if found.suffix != ".safetensors" and not pickle_files.is_pickle(found):
        raise CheckpointError("unsafe-weights", f"`{found}` is no safetensors file", "name a file in that form")
    return checkpoints.single_file(str(found))


def identity(file: Path) -> str:
    """Return a fingerprint of a cross-adapter module's file, the same on every machine that has the same file."""
    told = json.dumps(["projector", checkpoints.fingerprint(file)])
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def read(file: Path) -> Projector:
    """Return what the header of `file` says of a cross-adapter module. Raises `CheckpointError`."""
    tensors = checkpoints.read_header(file)
    found = {each.name: each for each in tensors}
    first = found.get("CrossFusionModule.0.llm_proj.weight")
    if first is None or len(first.shape) != 2:
        raise _other(file, "it has no `CrossFusionModule.0.llm_proj.weight`, a matrix")
    dim, llm_dim = first.shape
    layers = 1 + max(int(match["layer"]) for each in tensors if (match := _TENSOR.fullmatch(each.name)))
    wanted = {
        f"CrossFusionModule.{layer}.{name}": shape
        for layer in range(min(layers, len(tensors))) for name, shape in shapes(dim, llm_dim).items()
    }  # fmt: skip
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise _other(file, f"it has no `{name}`")
        if name not in wanted:
            raise _other(file, f"it has no use for `{name}`")
        if (held := found[name]).shape != wanted[name] or held.dtype not in FLOATS:
            raise _other(file, f"its `{name}` is {held.dtype} of {_sides(held)}")
    if dim % HEADS:
        raise _other(file, f"its width {dim} can't be divided into {HEADS} heads")
    return Projector(dim, llm_dim, layers, sum(each.numel for each in tensors),
                     sum(each.end - each.start for each in tensors))  # fmt: skip


def shapes(dim: int, llm_dim: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of one layer of a cross-adapter module, by name."""
    linear = {"llm_proj": (dim, llm_dim), "FFN.0": (4 * dim, dim), "FFN.2": (dim, 4 * dim)}
    linear |= dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), (dim, dim))
    made: dict[str, tuple[int, ...]] = {}
    for name, shape in linear.items():
        made |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in ("q_norm", "kv_norm", "norm"):
        made |= {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}
    return made


def _other(file: Path, why: str) -> CheckpointError:
    return CheckpointError("wrong-component", f"`{file}` is no cross-adapter module of LLM4GEN: {why}",
                           "take the `projector` of a repository of LLM4GEN")  # fmt: skip


def _sides(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


LLM4GEN = PromptPlugin(
    kind="weighter",
    name="llm4gen",
    help="Adds what a language model makes of the prompt to the embeddings of Stable Diffusion 1.5 (LLM4GEN, "
    "arXiv:2407.00737).",
    schema=LLM4GEN_SCHEMA,
    engine="aquatint.runtime.torch_engine.llm4gen_weighter",
    pipelines=PIPELINES,
    encoders=CLIP_ENCODERS,
    parts=parts,
)
