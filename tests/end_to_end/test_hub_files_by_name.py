"""Files of the hub by their names: only they are fetched, pinned to their commit, and they are as if they lay here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from aquatint.catalog.checkpoints import locate
from support import originals
from support.folders import write_models
from support.hub import Hub, Repository, files_of

from .conftest import Answer
from .test_hub import Run, aquatint, environment, hub

__all__ = ["aquatint", "environment", "hub"]  # fixtures

ROLES = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": originals.CLIP_OF_SD}
PICTURE = 'generate m { prompt: "a red circle", seed: 1, num_inference_steps: 2, output: "circle.png" }\n'


@pytest.mark.slow
def test_a_model_is_drawn_with_as_with_the_same_file_here_and_drawn_again_from_its_commit(
    aquatint: Run, hub: Hub, tmp_path: Path
) -> None:
    shapes = locate("builtin:shapes")
    body = originals.single_file(shapes, tmp_path / "own" / "shapes.safetensors", ROLES).read_bytes()
    files = hub.repositories["some/files"] = Repository()
    first = files.commit({"all/shapes.safetensors": body, "all/another.safetensors": b"another", "README.md": b"two"})
    configs = hub.repositories["some/shapes"] = Repository()
    of_configs = configs.commit(files_of(shapes))
    script = tmp_path / "circle.aqt"

    def write(source: str) -> None:
        script.write_text(f'model m {{ source: "{source}", config: "some/shapes" }}\n{PICTURE}')

    write("some/files/all/shapes.safetensors")
    answer = aquatint("fetch", "circle.aqt", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    size = f"{len(body):>14,}"
    assert answer.out.splitlines()[:2] == [f"some/files, revision {first}", f"  {size}  all/shapes.safetensors"]
    assert not hub.sent
    answer = aquatint("run", "circle.aqt", "--quiet", "--threads", "1")
    assert (answer.code, answer.err) == (0, "")
    assert hub.sent["all/shapes.safetensors"] == len(body)
    # Of the other repository nothing comes that the file has, and of its own nothing else.
    assert {name for name in hub.sent if name.endswith((".safetensors", ".md"))} == {"all/shapes.safetensors"}
    drawn = (tmp_path / "circle.png").read_bytes()

    # Its commit is in the plan, in the picture, and in the script that the picture comes back as.
    address = f"https://huggingface.co/some/files/blob/{first}/all/shapes.safetensors"
    plan = json.loads(aquatint("plan", "--json", "circle.aqt", HF_HUB_OFFLINE="1").out)
    assert {each.get("file", address) for each in plan["components"].values()} == {address}
    (made,) = plan["pipelines"].values()
    assert (made["file"], made["source"], made["revision"]) == (address, "some/shapes", of_configs)
    again = aquatint("script", "circle.png").out
    assert f'source: "{address}"' in again and f'revision: "{of_configs}"' in again

    # The hub goes on, and both are fetched anew at the commits that the picture names.
    files.commit({"all/shapes.safetensors": b"something else"})
    configs.commit({"README.md": b"nothing"})
    shutil.rmtree(tmp_path / "home")
    answer = aquatint("replay", "circle.png", "--offline")
    assert answer.code == 2
    assert answer.err.startswith(f"error[missing-model]: `{address}` is neither a file nor in the hub's local cache\n")
    answer = aquatint("replay", "circle.png", "--strict", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "circle-replay.png").read_bytes() == drawn
    script.write_text(again)
    assert aquatint("check", "circle.aqt", HF_HUB_OFFLINE="1").code == 0

    # What lies here gives the same picture, but for what it says of where it was.
    script.write_text(f'model m {{ source: "own/shapes.safetensors", config: "builtin:shapes" }}\n{PICTURE}')
    assert aquatint("run", "circle.aqt", "--quiet", "--force", "--threads", "1").code == 0
    from PIL import Image

    with Image.open(tmp_path / "circle.png") as ours, Image.open(tmp_path / "circle-replay.png") as hubs:
        assert ours.tobytes() == hubs.tobytes()


@pytest.mark.slow
def test_submodules_are_files_of_the_hub_and_are_fetched_by_name(aquatint: Run, hub: Hub, tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    packed = (tmp_path / "models" / "originals" / "flux.gguf").read_bytes()
    files = hub.repositories["some/packed"] = Repository()
    first = files.commit({"flux-Q4_0.gguf": packed, "flux-Q8_0.gguf": b"another"})
    second = files.commit({"flux-Q4_0.gguf": b"newer"})
    hub.repositories["some/flux"] = Repository()
    hub.repositories["some/flux"].commit(files_of(tmp_path / "models" / "flux"))
    (tmp_path / "flux.aqt").write_text(
        "model m {\n"
        '    source: "models/flux"\n'
        "    transformer {\n"
        f'        source: "some/packed/flux-Q4_0.gguf", revision: "{first}", config: "some/flux"\n'
        "    }\n"
        "}\n"
        'generate m { prompt: "a cat" }\n'
    )
    assert aquatint("plan", "flux.aqt") == Answer(2, "", LACKS.format(first=first))
    assert aquatint("fetch", "flux.aqt", "--quiet") == Answer(0, "", "")
    # Of the configuration that the block names the weights stay where they are.
    assert set(hub.sent) == {"flux-Q4_0.gguf", "transformer/config.json"}
    components = json.loads(aquatint("plan", "--json", "flux.aqt", HF_HUB_OFFLINE="1").out)["components"].values()
    (transformer,) = (each for each in components if each["role"] == "transformer")
    assert transformer["file"] == f"https://huggingface.co/some/packed/blob/{first}/flux-Q4_0.gguf"
    assert transformer["stored"]["name"] == "gguf Q4_0"
    # By its name alone, on the command line; an address says its revision itself.
    hub.sent.clear()
    assert aquatint("fetch", "some/packed/flux-Q4_0.gguf", "--dry-run").out == (
        f"some/packed, revision {second}\n"
        "               5  flux-Q4_0.gguf\n"
        "5 B to fetch, in 1 of 1 files\n"
    )  # fmt: skip
    answer = aquatint("fetch", f"https://huggingface.co/some/packed/resolve/{first}/flux-Q8_0.gguf?download=true")
    assert answer.code == 0 and set(hub.sent) == {"flux-Q8_0.gguf"}


LACKS = """\
error[missing-model]: `some/packed/flux-Q4_0.gguf` is neither a file nor in the hub's local cache at revision `{first}`
 --> flux.aqt:4:17
  |
4 |         source: "some/packed/flux-Q4_0.gguf", revision: "{first}", config: "some/flux"
  |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: fetch it first: `aquatint fetch flux.aqt`; nothing is downloaded while planning or offline

1 error; nothing was loaded or written
"""


@pytest.mark.slow
def test_what_cannot_be_fetched_is_told_at_its_place(aquatint: Run, hub: Hub, tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    files = hub.repositories["some/files"] = Repository()
    files.commit({"one.safetensors": b"one", "two.safetensors": b"two", "old.ckpt": b"pickled", "README.md": b""})
    (tmp_path / "models.aqt").write_text(
        'model a { source: "some/files/onee.safetensors" }\n'
        'model b { source: "some/none/one.safetensors" }\n'
        'model c { source: "models/sd", unet { source: "some/files/old.ckpt" } }\n'
        'model d { source: "https://huggingface.co/some/files/blob/v2/one.safetensors" }\n'
        'for m in [a, b, c, d] { generate m { prompt: "a cat" } }\n'
    )
    answer = aquatint("run", "models.aqt")
    assert (answer.code, answer.err.replace(hub.address, "HUB"), hub.sent) == (2, CANNOT, {})


CANNOT = """\
error[missing-model]: `some/files` has no file `onee.safetensors`
 --> models.aqt:1:19
  |
1 | model a { source: "some/files/onee.safetensors" }
  |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: did you mean `one.safetensors`?

error[missing-model]: `some/none` is neither a folder nor a repository of the hub, unless a private one
 --> models.aqt:2:19
  |
2 | model b { source: "some/none/one.safetensors" }
  |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: is it spelt as on HUB? for a private one, log in with `hf auth login`, or set `HF_TOKEN`

error[unsafe-weights]: `some/files/old.ckpt` is no safetensors file; reading it could run code
 --> models.aqt:3:47
  |
3 | model c { source: "models/sd", unet { source: "some/files/old.ckpt" } }
  |                                               ^^^^^^^^^^^^^^^^^^^^^
  = help: take a safetensors file, or convert it to one with a program and a source that you trust

error[missing-revision]: `some/files` has no revision `v2` on the hub
 --> models.aqt:4:19
  |
4 | model d { source: "https://huggingface.co/some/files/blob/v2/one.safetensors" }
  |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: name a branch, a tag or a commit that HUB/some/files has

4 errors; nothing was loaded or written
"""
