"""Adapters of the hub by the names of their files, and from addresses: fetched once, pinned, and drawn with again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.catalog.checkpoints import locate
from support import loras, originals
from support.hub import Hub, Repository
from support.web import Page, Web

from .test_hub import Run, aquatint, environment, hub

__all__ = ["aquatint", "environment", "hub"]  # fixtures

WORDS = 'prompt: "a red circle <ink>", seed: 1, num_inference_steps: 2'


@pytest.fixture
def web(environment: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    """A server with nothing yet, and an empty folder for what is fetched."""
    environment["AQUATINT_DOWNLOADS"] = str(tmp_path / "kept")
    with Web() as serving:
        yield serving


def pixels(file: Path) -> bytes:
    with Image.open(file) as image:
        return image.convert("RGB").tobytes()


def written(tmp_path: Path) -> dict[str, bytes]:
    """Return the files of three LoRAs and a textual inversion for the shapes, which are in the folder `own`, too."""
    import torch
    from diffusers import DiffusionPipeline
    from safetensors.torch import save_file

    own = tmp_path / "own"
    pipeline: Any = DiffusionPipeline.from_pretrained(locate("builtin:shapes"))
    for seed, name in ((1, "ink"), (2, "chalk"), (3, "another")):
        (loras.write(pipeline, own, seed, ["unet"]) / loras.NAME).rename(own / f"{name}.safetensors")
    width = pipeline.text_encoder.config.hidden_size
    save_file({"<ink>": torch.linspace(-1, 1, width)[None]}, own / "word.safetensors")
    return {file.name: file.read_bytes() for file in own.iterdir()}


def script(ink: str, chalk: str, word: str) -> str:
    return (
        'model m {\n    source: "builtin:shapes"\n'
        f"    lora {{ {ink} }}\n    lora {{ {chalk}, weight: 0.5 }}\n    textual_inversion {{ {word} }}\n}}\n"
        f'generate m {{ {WORDS}, output: "out.png" }}\n'
    )


@pytest.mark.slow
def test_adapters_are_fetched_and_drawn_with_as_with_the_same_files_here(
    aquatint: Run, hub: Hub, web: Web, tmp_path: Path
) -> None:
    files = written(tmp_path)
    inks = hub.repositories["some/inks"] = Repository()
    first = inks.commit({"all/ink.safetensors": files["ink.safetensors"], "all/other.safetensors": b"another"})
    web.pages["/chalk"] = Page(status=302, headers={"Location": "/files/7"})
    web.pages["/files/7"] = Page(files["chalk.safetensors"])
    web.pages["/word.safetensors"] = Page(files["word.safetensors"])
    x = tmp_path / "x.aqt"
    x.write_text(script('source: "some/inks/all/ink.safetensors"', f'source: "{web.address}/chalk"',
                        f'source: "{web.address}/word.safetensors"'))  # fmt: skip

    # Planning asks nobody, nor does a run that is told not to.
    for command in (["plan"], ["run", "--offline"]):
        answer = aquatint(*command, "x.aqt")
        assert answer.code == 2
        heads = [line for line in answer.err.splitlines() if line.startswith("error[")]
        assert heads == [
            "error[missing-model]: `some/inks/all/ink.safetensors` is neither a file nor in the hub's local cache",
            f"error[missing-file]: `{web.address}/chalk` has not been fetched yet",
            f"error[missing-file]: `{web.address}/word.safetensors` has not been fetched yet",
        ]
        assert answer.err.count("fetch it first: `aquatint fetch x.aqt`") == 3
    assert not web.asked and not hub.sent
    answer = aquatint("fetch", "x.aqt", "--dry-run")
    assert f"some/inks, revision {first}\n" in answer.out and f"{web.address}/chalk\n" in answer.out
    assert not web.asked and not hub.sent

    answer = aquatint("run", "x.aqt", "--json", "--threads", "1")
    assert (answer.code, answer.err) == (0, "")
    started = {event["address"] for event in answer.events_called("download_started")}
    assert started == {f"{web.address}/chalk", f"{web.address}/word.safetensors"}
    assert set(hub.sent) == {"all/ink.safetensors"}
    drawn = (tmp_path / "out.png").read_bytes()

    # The hub's commit is in the plan, and the content of what came from addresses.
    plan = json.loads(aquatint("plan", "--json", "x.aqt", HF_HUB_OFFLINE="1").out)
    found = {each["source"]: each for each in plan["components"].values() if each["library"] == "diffusers.loaders"}
    assert found.keys() == {"some/inks", f"{web.address}/chalk", f"{web.address}/word.safetensors"}
    assert (found["some/inks"]["revision"], found["some/inks"]["subfolder"]) == (first, "all/ink.safetensors")
    asked = dict(web.asked)
    assert asked == {"/chalk": 1, "/files/7": 1, "/word.safetensors": 1}

    # What the picture says of itself comes back as a script, is fetched anew, and draws it again.
    again = aquatint("script", "out.png").out
    assert f'source: "{web.address}/chalk"' in again
    assert f'source: "some/inks", subfolder: "all", weight_name: "ink.safetensors", revision: "{first}"' in (
        " ".join(again.replace("\n", ", ").split()).replace("{ ,", "{").replace(", ,", ",")
    )
    inks.commit({"all/ink.safetensors": b"something else"})
    shutil.rmtree(tmp_path / "home")
    shutil.rmtree(tmp_path / "kept")
    answer = aquatint("replay", "out.png", "--strict", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "out-replay.png").read_bytes() == drawn

    # The same files here give the same pixels.
    here = script(*(f'source: "own/{name}.safetensors"' for name in ("ink", "chalk", "word")))
    (tmp_path / "here.aqt").write_text(here.replace("out.png", "here.png"))
    assert aquatint("run", "here.aqt", "--quiet", "--threads", "1").code == 0
    assert pixels(tmp_path / "here.png") == pixels(tmp_path / "out.png")

    # Where an address gives another LoRA by now, that is said.
    web.pages["/files/7"] = Page(files["another.safetensors"])
    shutil.rmtree(tmp_path / "kept")
    answer = aquatint("replay", "out.png", "--strict", "--quiet")
    assert answer.code == 2
    assert "not-as-recorded" in answer.err


@pytest.mark.slow
def test_a_model_is_a_file_from_an_address(aquatint: Run, web: Web, tmp_path: Path) -> None:
    roles = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}
    file = originals.single_file(locate("builtin:shapes"), tmp_path / "own" / "shapes.safetensors", roles)
    web.pages["/7"] = Page(file.read_bytes())
    words = 'prompt: "a red circle", seed: 1, num_inference_steps: 2'
    (tmp_path / "x.aqt").write_text(
        "\n".join(
            f'model {name} {{ source: "{source}", config: "builtin:shapes" }}\n'
            f'generate {name} {{ {words}, output: "{name}.png" }}'
            for name, source in (("away", f"{web.address}/7"), ("here", "own/shapes.safetensors"))
        )
    )
    answer = aquatint("plan", "x.aqt")
    assert answer.code == 2 and f"`{web.address}/7` has not been fetched yet" in answer.err
    assert aquatint("fetch", "x.aqt", "--quiet").code == 0
    answer = aquatint("run", "x.aqt", "--offline", "--quiet", "--threads", "1")
    assert (answer.code, answer.err) == (0, "")
    assert pixels(tmp_path / "away.png") == pixels(tmp_path / "here.png")
    drawn = (tmp_path / "away.png").read_bytes()
    assert aquatint("replay", "away.png", "--strict", "--quiet").code == 0
    assert (tmp_path / "away-replay.png").read_bytes() == drawn
    assert web.asked == {"/7": 1}
