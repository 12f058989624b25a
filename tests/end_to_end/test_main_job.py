"""The main job with the real libraries: a script becomes a plan, the plan becomes pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from aquatint.catalog.checkpoints import builtins_folder
from aquatint.plan.counts import counts
from aquatint.plan.steps import plan_from_json

from .conftest import SWEEP, Answer, Aquatint


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of each picture below `folder`, with its metadata."""
    return {str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*.png")}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer, bytes]:
    """A folder with the pictures of the sweep, what the run said, and its plan as JSON."""
    from .conftest import PROGRAM

    folder = tmp_path_factory.mktemp("sweep")
    (folder / "sweep.aqt").write_text(SWEEP)
    plan = subprocess.run([PROGRAM, "plan", "--json", "sweep.aqt"], cwd=folder, capture_output=True, check=True).stdout
    (folder / "plan.json").write_bytes(plan)
    done = subprocess.run([PROGRAM, "run", "sweep.aqt", "--json"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, Answer(done.returncode, done.stdout, done.stderr), plan


def test_the_sweep_makes_every_picture_with_the_fewest_loads(sweep: tuple[Path, Answer, bytes]) -> None:
    folder, answer, _ = sweep
    assert sorted(digests(folder)) == sorted(
        [f"{q}/{prompt}-{seed}.png" for q in ("q8", "u4", "nf") for seed in (1, 2)
         for prompt in ("a-red-circle-on-a-white-background", "a-blue-star-on-a-black-background")] + ["sheet.png"]
    )  # fmt: skip
    # Scheduler, tokenizer, VAE and text encoder once, and three UNets; each quantized as it is loaded.
    loads = answer.events_called("load_finished")
    assert sorted(load["role"] for load in loads) == [
        "scheduler", "text_encoder", "tokenizer", "unet", "unet", "unet", "vae",
    ]  # fmt: skip
    assert [load["quantized_layers"] > 0 for load in loads if load["role"] in ("unet", "text_encoder")] == [True] * 4


def test_plan_and_run_agree(sweep: tuple[Path, Answer, bytes]) -> None:
    _, answer, plan = sweep
    planned = counts(plan_from_json(plan))
    finished = answer.events_called("run_finished")[0]
    assert {name: finished[name] for name in ("images", "loads", "quantizations", "reuses", "releases")} == {
        "images": planned.images, "loads": planned.loads, "quantizations": planned.quantizations,
        "reuses": planned.reuses, "releases": planned.releases,
    }  # fmt: skip
    assert (planned.images, planned.loads, planned.quantizations) == (12, 7, 4)
    assert len(answer.events_called("reused")) == planned.reuses


@pytest.mark.slow
def test_again_and_from_its_plan_the_same_files_come_out(
    sweep: tuple[Path, Answer, bytes], aquatint: Aquatint, tmp_path: Path
) -> None:
    folder, _, _ = sweep
    answer = aquatint("run", "plan.json", "--quiet", "--output-dir", str(tmp_path), cwd=folder)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert digests(tmp_path) == digests(folder)


def test_every_picture_says_how_it_was_made(sweep: tuple[Path, Answer, bytes]) -> None:
    folder, _, _ = sweep
    with Image.open(folder / "nf" / "a-blue-star-on-a-black-background-2.png") as image:
        text = dict(image.info)
    assert text["parameters"].startswith("a blue star on a black background\nSteps: 4, Sampler: DDIM, ")
    assert "Seed: 2, Size: 64x64, Model: shapes" in text["parameters"]
    record = json.loads(text["aquatint"])
    quantized = {role: part.get("quantization") for role, part in record["components"].items()}
    assert quantized["unet"]["backend"] == "bnb"
    assert quantized["unet"]["options"]["bits4_quant_type"] == "nf4"
    assert quantized["text_encoder"]["options"]["weights_dtype"] == "int8"
    assert quantized["vae"] is None


PLAIN = """
import sys, torch, sdnq
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

folder, target = sys.argv[1:]

def fresh(module):
    module.eval()
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()
    return module

def quantized(kind, part):
    config = sdnq.SDNQConfig(weights_dtype="int8", quant_conv=True)
    return kind.from_pretrained(folder, subfolder=part, quantization_config=config, **options)

options = dict(torch_dtype=torch.float32, use_safetensors=True)
pipeline = StableDiffusionPipeline(
    vae=fresh(AutoencoderKL.from_pretrained(folder, subfolder="vae", **options)),
    text_encoder=fresh(quantized(CLIPTextModel, "text_encoder")),
    tokenizer=CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer"),
    unet=fresh(quantized(UNet2DConditionModel, "unet")),
    scheduler=DDIMScheduler.from_pretrained(folder, subfolder="scheduler"),
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
)
generator = torch.Generator("cpu").manual_seed(2)
image = pipeline("a blue star on a black background", num_inference_steps=4, generator=generator)
image.images[0].save(target)
"""


@pytest.mark.slow
def test_a_plain_diffusers_program_makes_the_same_pixels(sweep: tuple[Path, Answer, bytes], tmp_path: Path) -> None:
    folder, _, _ = sweep
    target = tmp_path / "plain.png"
    program = tmp_path / "plain.py"
    program.write_text(PLAIN)
    subprocess.run([sys.executable, program, builtins_folder() / "shapes", target], check=True, capture_output=True)
    with Image.open(target) as plain, Image.open(folder / "q8" / "a-blue-star-on-a-black-background-2.png") as ours:
        assert plain.convert("RGB").tobytes() == ours.tobytes()


@pytest.mark.slow
def test_pictures_show_what_their_prompts_ask_for(aquatint: Aquatint, tmp_path: Path) -> None:
    from shapes.captions import parse
    from shapes.checker import check

    prompts = ["a red circle on a white background", "a blue square on a black background"]
    script = f"""
        model m {{ source: "builtin:shapes", quantizer: "sdnq;type=int8;quant-conv=true" }}
        for prompt in {json.dumps(prompts)} {{
            generate m {{ prompt: prompt, seed: 1, output: "{{{{ prompt | slug }}}}.png" }}
        }}
    """
    assert aquatint("run", "-", stdin=script).code == 0
    for prompt in prompts:
        with Image.open(tmp_path / f"{prompt.replace(' ', '-')}.png") as image:
            marks = check(image.convert("RGB"), parse(prompt))
        # Shapes are for the table in docs/shapes.md: a checkpoint this small misses some.
        assert marks["background"] and marks["count"] and marks["colour"], marks
