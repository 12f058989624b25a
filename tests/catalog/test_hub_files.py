"""Which files of a repository are needed, by their names alone."""

from __future__ import annotations

from typing import Any

import pytest

from aquatint.catalog import pickle_files
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request, index_of, needed
from aquatint.catalog.language_models import PROJECTOR, ROLES
from aquatint.catalog.language_models import TOKENIZER as LLM_TOKENIZER
from aquatint.catalog.pipelines import component_roles

INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline", "requires_safety_checker": False, "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
}  # fmt: skip
NAMES = [
    ".gitattributes", "README.md", "all-in-one.safetensors", "model_index.json", "safety_checker/config.json",
    "safety_checker/model.safetensors", "scheduler/scheduler_config.json", "text_encoder/config.json",
    "text_encoder/model.bin", "text_encoder/model.fp16.safetensors", "text_encoder/model.safetensors",
    "tokenizer/.cache/x.json", "tokenizer/merges.txt", "tokenizer/more/chat.jinja", "tokenizer/vocab.json",
    "unet/config.json", "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
    "unet/diffusion_pytorch_model.safetensors.index.json", "unet/model.onnx", "unet/openvino.safetensors",
]  # fmt: skip
UNET = [
    "unet/config.json", "unet/diffusion_pytorch_model.safetensors.index.json",
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
]  # fmt: skip
TOKENIZER = ["tokenizer/merges.txt", "tokenizer/more/chat.jinja", "tokenizer/vocab.json"]


@pytest.mark.parametrize(
    ("request_", "files"),
    [
        (Request("a/b"), ["text_encoder/config.json", "text_encoder/model.safetensors", *TOKENIZER, *UNET]),
        # As diffusers does: the UNet, which has no such variant, is taken without.
        (
            Request("a/b", variant="fp16"),
            ["text_encoder/config.json", "text_encoder/model.fp16.safetensors", *TOKENIZER, *UNET],
        ),
        (Request("a/b", without=frozenset({"text_encoder"})), ["text_encoder/config.json", *TOKENIZER, *UNET]),
    ],
)
def test_a_pipeline(request_: Request, files: list[str]) -> None:
    assert index_of(request_, NAMES) == "model_index.json"
    assert needed(request_, NAMES, INDEX) == ["scheduler/scheduler_config.json", *files, "model_index.json"]


@pytest.mark.parametrize(
    "names", [["config.json", "weights.safetensors"], ["vae/config.json", "vae/weights.safetensors"]]
)
def test_a_component_by_itself_or_in_the_folder_of_its_role(names: list[str]) -> None:
    assert index_of(Request("a/b", role="vae"), names) is None
    assert needed(Request("a/b", role="vae"), [*names, "README.md", "other/config.json"], None) == [
        *names[1:],
        names[0],
    ]


PICKLED = [name for name in NAMES if not name.startswith("text_encoder/model.") or name.endswith(".bin")]
NO_INDEX = "`a/b` is not a diffusers pipeline: it has no `model_index.json`"


@pytest.mark.parametrize(
    ("request_", "names", "code", "message"),
    [
        (Request("a/b"), ["x.safetensors"], "not-a-checkpoint", NO_INDEX),
        (Request("a/b", subfolder="c"), NAMES, "not-a-checkpoint", f"{NO_INDEX} in its folder `c`"),
        (Request("a/b", subfolder="c", role="vae"), NAMES, "missing-model", "`a/b` has no folder `c`"),
        (Request("a/b", variant="fp61"), NAMES, "missing-variant", "`a/b` has no variant `fp61`"),
        (
            Request("a/b", role="unet", variant="fp16", insists=True), NAMES,
            "missing-variant", "`a/b` has no variant `fp16`",
        ),
        (
            Request("a/b"), PICKLED,
            "unsafe-weights", "`a/b` has the weights in `text_encoder/model.bin` only, which can run code when read",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used(request_: Request, names: list[str], code: str, message: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        needed(request_, names, None if index_of(request_, names) is None else INDEX)
    assert (raised.value.code, raised.value.message) == (code, message)


def test_pickled_weights_are_needed_where_they_are_allowed_and_there_are_no_others() -> None:
    pickled = ["unet/config.json", "unet/diffusion_pytorch_model.bin", "unet/optimizer.bin"]
    request = Request("a/b", role="unet", subfolder="unet")
    with pickle_files.allowed():
        assert needed(request, pickled, None) == ["unet/diffusion_pytorch_model.bin", "unet/config.json"]
        safe = [*pickled, "unet/diffusion_pytorch_model.safetensors"]
        assert needed(request, safe, None) == ["unet/diffusion_pytorch_model.safetensors", "unet/config.json"]
    with pytest.raises(CheckpointError):
        needed(request, pickled, None)


@pytest.mark.parametrize(
    ("index", "asks"),
    [
        (INDEX | {"_class_name": ["pipeline", "Mine"]}, "`a/b` asks for the pipeline `pipeline.Mine`"),
        (INDEX | {"unet": ["mine", "UNet"]}, "component `unet` of `a/b` asks for `mine.UNet`"),
    ],
)
def test_code_of_its_own_is_refused_before_anything_is_fetched(index: dict[str, Any], asks: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        needed(Request("a/b", without=frozenset({"unet"})), NAMES, index)
    assert (raised.value.code, raised.value.message) == ("own-code", f"{asks}, which is code of its own")


def test_a_language_model_is_its_weights_with_all_that_is_plain_beside_them() -> None:
    names = [
        ".gitattributes", "README.md", "config.json", "generation_config.json", "merges.txt", "model.safetensors",
        "onnx/model.onnx", "pytorch_model.bin", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
        "vocab.json",
    ]  # fmt: skip
    assert needed(Request("a/words", role="llm"), names, None) == [
        "generation_config.json", "merges.txt", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
        "vocab.json", "model.safetensors", "config.json",
    ]  # fmt: skip


def test_the_parts_of_a_weighter_are_a_tokenizer_without_weights_and_one_file() -> None:
    names = ["config.json", "pytorch_model.bin", "special_tokens_map.json", "spiece.model", "tf_model.h5"]
    tokenizer = Request("google/t5", role=LLM_TOKENIZER)
    assert needed(tokenizer, names, None) == ["config.json", "special_tokens_map.json", "spiece.model"]
    names = ["projector.pth", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "v2/other.safetensors"]
    projector = Request("a/b", role=PROJECTOR)
    with pytest.raises(CheckpointError) as told:
        needed(projector, names, None)
    assert (told.value.code, "`projector.pth` only" in told.value.message) == ("unsafe-weights", True)
    with pickle_files.allowed():
        assert needed(projector, names, None) == ["projector.pth"]
        assert needed(projector, [*names, "projector.safetensors"], None) == ["projector.safetensors"]
    named = Request("a/b", subfolder="v2", role=PROJECTOR, file="other.safetensors")
    assert needed(named, names, None) == ["v2/other.safetensors"]
    with pytest.raises(CheckpointError) as told:
        needed(Request("a/b", subfolder="unet", role=PROJECTOR), names, None)
    assert told.value.code == "missing-model"


def test_no_submodule_of_diffusers_is_called_as_a_weighters_part() -> None:
    assert component_roles().isdisjoint(ROLES)
