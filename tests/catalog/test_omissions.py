"""Which submodules pipelines can do without."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import version

import pytest

from aquatint.catalog.omissions import SERVED, can_do_without
from aquatint.catalog.pipelines import catalog_version, pipeline, pipeline_names

HELPERS = {
    "audio_scheduler", "audio_token_detokenizer", "audio_tokenizer", "audio_vae", "caption_generator",
    "caption_processor", "duration_head", "feature_extractor", "guider", "image_encoder", "image_processor",
    "inverse_scheduler", "latent_upscaler", "melgan", "motion_adapter", "ocr_guider", "pe", "pe_tokenizer",
    "prior_feature_extractor", "prior_image_encoder", "processor", "prompt_enhancer", "prompt_enhancer_head",
    "safety_checker", "sound_tokenizer", "vocoder", "watermarker",
}  # fmt: skip


def test_what_can_be_left_out_is_no_part_of_reading_a_prompt_or_of_drawing() -> None:
    """Held as a list, so that a role that comes with a newer diffusers is looked at before it is accepted."""
    spared = {
        (name if role in ("text_encoder_3", "tokenizer_3") else "", role)
        for name in pipeline_names()
        if (info := pipeline(name)) is not None
        for role in info.components
        if can_do_without(info, role, set(info.components))
    }
    third = {(name, role) for name, role in spared if name}
    assert {role for name, role in spared if not name} == HELPERS
    assert {role for _, role in third} == {"text_encoder_3", "tokenizer_3"}
    assert all(name.startswith("StableDiffusion3") for name, _ in third)


@pytest.mark.parametrize(("role", "needs"), SERVED.items())
def test_what_serves_another_goes_with_it(role: str, needs: str) -> None:
    info = pipeline("StableDiffusion3Pipeline" if role == "tokenizer_3" else "StableDiffusionPipeline")
    assert info is not None
    assert not can_do_without(info, role, {role})
    assert can_do_without(info, role, {role, needs})


def test_sd3_puts_zeros_where_its_third_encoder_is_missing() -> None:
    from diffusers import StableDiffusion3Pipeline

    assert version("diffusers") == catalog_version()
    source = inspect.cleandoc(inspect.getsource(StableDiffusion3Pipeline._get_t5_prompt_embeds))
    tests = [ast.unparse(node.test) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.If)]
    assert "self.text_encoder_3 is None" in tests
