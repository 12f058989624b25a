"""The checkpoint that is shipped: its size, its files, and that it loads and draws without a network."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from shapes import captions, checker, evaluate

FOLDER = Path(__file__).parents[2] / "src" / "aquatint" / "checkpoints" / "shapes"


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    torch.set_num_threads(1)
    loaded = StableDiffusionPipeline.from_pretrained(FOLDER, torch_dtype=torch.float32, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_size() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 12_000_000


def test_parts() -> None:
    index = json.loads((FOLDER / "model_index.json").read_text())
    assert {name: value[1] for name, value in index.items() if isinstance(value, list) and value[1]} == {
        "scheduler": "DDIMScheduler",
        "text_encoder": "CLIPTextModel",
        "tokenizer": "CLIPTokenizer",
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
    }
    assert index["requires_safety_checker"] is False


def test_every_word_of_the_world_is_one_token(pipe: StableDiffusionPipeline) -> None:
    lengths = {word: len(pipe.tokenizer(word).input_ids) - 2 for word in captions.corpus()}
    assert {word: length for word, length in lengths.items() if length != 1} == {}
    assert pipe.tokenizer("A RED Circle").input_ids == pipe.tokenizer("a red circle").input_ids


def test_it_draws_what_it_is_asked_for(pipe: StableDiffusionPipeline) -> None:
    text = "a red circle on a blue background"
    generator = torch.Generator().manual_seed(0)
    picture = pipe(text, num_inference_steps=10, guidance_scale=4.0, generator=generator).images[0]
    assert picture.size == (64, 64)
    assert all(checker.check(picture, captions.parse(text)).values())


@pytest.mark.parametrize(("quantizer", "most"), [("sdnq-uint4", 3.5), ("bnb-nf4", 10.5)])
def test_evaluation_loads_a_quantized_denoiser(quantizer: str, most: float) -> None:
    pytest.importorskip(quantizer.split("-")[0].replace("bnb", "bitsandbytes"))
    assert evaluate.megabytes(evaluate.load_unet(FOLDER, quantizer)) < most
