"""Types of models: which pipeline classes a short name stands for."""

from __future__ import annotations

import pytest

from aquatint.catalog.model_types import FAMILIES, is_of_type, is_type, type_names, type_of
from aquatint.catalog.pipelines import pipeline_names


@pytest.mark.parametrize(
    ("class_name", "type"),
    [
        ("StableDiffusionPipeline", "sd"), ("StableDiffusionControlNetPipeline", "sd"),
        ("StableDiffusionXLPipeline", "sdxl"), ("StableDiffusionXLInpaintPipeline", "sdxl"),
        ("StableDiffusion3Pipeline", "sd3"), ("StableDiffusionInstructPix2PixPipeline", "pix2pix"),
        ("StableDiffusionXLInstructPix2PixPipeline", "sdxl-pix2pix"), ("StableDiffusionUpscalePipeline", "upscaler-x4"),
        ("StableDiffusionLatentUpscalePipeline", "upscaler-x2"), ("FluxPipeline", "flux"),
        ("FluxControlNetPipeline", "flux"), ("FluxFillPipeline", "flux-fill"), ("Flux2KleinPipeline", "flux2"),
        ("IFPipeline", "if"), ("IFSuperResolutionPipeline", "ifs"), ("IFImg2ImgSuperResolutionPipeline", "ifs-img2img"),
        ("KolorsPipeline", "kolors"), ("StableCascadePriorPipeline", "s-cascade"), ("ZImagePipeline", "z-image"),
        ("SanaPipeline", "sana"), ("StableVideoDiffusionPipeline", "stablevideodiffusion"),
    ],
)  # fmt: skip
def test_a_class_is_of_the_type_that_its_name_begins_with(class_name: str, type: str) -> None:
    assert type_of(class_name) == type
    assert is_of_type(class_name, type)


def test_every_family_has_classes_and_every_class_one_type() -> None:
    types = {name: type_of(name) for name in pipeline_names()}
    assert set(FAMILIES) <= set(types.values())
    for name, type in types.items():
        assert [other for other in FAMILIES if is_of_type(name, other)] == ([type] if type in FAMILIES else [])


def test_every_name_is_a_type_in_any_spelling() -> None:
    # Every name is compared with every other: one in three of the classes will do.
    for name in [*type_names(), *pipeline_names()[::3]]:
        assert is_type(name.replace("-", "_").upper())
    assert not is_type("sdxxl")
    assert not is_type("")
