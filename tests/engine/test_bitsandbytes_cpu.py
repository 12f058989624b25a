"""The lifted check for a GPU is there while a diffusers model is loaded for a CPU, and at no other time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bitsandbytes
import pytest
import torch
from diffusers import BitsAndBytesConfig, UNet2DConditionModel
from diffusers.quantizers.auto import AUTO_QUANTIZER_MAPPING

from aquatint.runtime.engine import Engine, EngineError
from aquatint.runtime.torch_engine import bitsandbytes_backend, bitsandbytes_cpu
from aquatint.runtime.torch_engine.libraries import libraries
from support.scenes import component

Tiny = Callable[[str], Path]
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="diffusers refuses nothing where there is a GPU")


def mapping() -> list[type]:
    return [AUTO_QUANTIZER_MAPPING[method] for method in bitsandbytes_cpu.METHODS]


@no_gpu
def test_diffusers_still_refuses_others_after_a_load(engine: Engine, folder: Tiny) -> None:
    engine.load(component(folder("sd"), "unet", "bnb"))
    with pytest.raises(RuntimeError, match="No GPU found"):
        UNet2DConditionModel.from_pretrained(
            folder("sd") / "unet", quantization_config=BitsAndBytesConfig(load_in_8bit=True)
        )


def test_the_check_comes_back_after_a_load_that_fails(engine: Engine, folder: Tiny) -> None:
    before = mapping()
    with pytest.raises(EngineError):
        engine.load(component(folder("sd"), "unet", "bnb", class_name="AutoencoderKL"))
    assert mapping() == before


def test_it_is_lifted_only_where_it_stands_in_the_way() -> None:
    before = mapping()
    for library, device in (("transformers", "cpu"), ("diffusers", "cuda:0"), ("diffusers", "mps")):
        with bitsandbytes_backend.loading(libraries(), library, device):
            assert mapping() == before


def test_it_is_lifted_inside_and_back_outside() -> None:
    before = mapping()
    with bitsandbytes_backend.loading(libraries(), "diffusers", "cpu"):
        inside = mapping()
        assert all(issubclass(new, old) and new is not old for new, old in zip(inside, before, strict=True))
    assert mapping() == before


@pytest.mark.parametrize("uri", ["bnb", "bnb;bits=4"])
def test_no_hook_is_left_on_the_module(engine: Engine, folder: Tiny, uri: str) -> None:
    module = engine.load(component(folder("sd"), "unet", uri)).object
    assert not hasattr(module, "_hf_hook")
    assert not module.training
    assert not any(layer.training for layer in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_layers_that_the_packed_kernel_cannot_take_are_computed_by_the_general_one(
    engine: Engine, folder: Tiny
) -> None:
    # SDXL's added embedding has 176 inputs here, which blocks of 64 don't divide.
    module = engine.load(component(folder("sdxl"), "unet", "bnb;bits=4")).object
    fit = {
        layer.in_features % 64 == 0 and layer.out_features % 32 == 0: layer.support_avx512bf16_for_cpu
        for layer in module.modules() if isinstance(layer, bitsandbytes.nn.Linear4bit)
    }  # fmt: skip
    assert fit[False] is False
    assert fit[True] == bitsandbytes.functional.has_avx512bf16()
    with torch.no_grad():
        assert module.add_embedding(torch.ones(1, 176)).isfinite().all()
