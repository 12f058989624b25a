"""Models of the hub: fetched by the real client from a hub of this machine, and drawn with, of older commits too."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aquatint.catalog.checkpoints import locate
from support.folders import SD, write_models, write_originals, write_pipeline
from support.hub import TOKEN, Hub, Repository, files_of

from .conftest import PROGRAM, Answer

UNET = "unet/diffusion_pytorch_model.safetensors"
MIB = 1 << 20

Run = Callable[..., Answer]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with nothing in it yet."""
    with Hub() as serving:
        yield serving


@pytest.fixture
def environment(tmp_path: Path, hub: Hub) -> dict[str, str]:
    """What the program sees: that hub, with an empty cache and without a login."""
    hidden = {"HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}


@pytest.fixture
def aquatint(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Run the program with `arguments`, beside the files of the test, and with more variables of the environment."""

    def run(*arguments: str, **variables: str) -> Answer:
        done = subprocess.run(
            [PROGRAM, *arguments], cwd=tmp_path, env=environment | variables, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert "Traceback" not in done.stderr + done.stdout
        assert TOKEN not in done.stderr + done.stdout
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


def pipeline(folder: Path, **options: object) -> dict[str, bytes]:
    """Return the files of a pipeline for planning, which is written into `folder`."""
    options = {"safety_checker": [None, None], "feature_extractor": [None, None], **options}
    return files_of(write_pipeline(folder, "StableDiffusionPipeline", SD, **options))


BESIDE = {
    "README.md": b"a model", ".gitattributes": b"*", "shapes.safetensors": b"all in one", "unet/model.onnx": b"another",
    "unet/diffusion_pytorch_model.bin": b"pickled", "unet/diffusion_pytorch_model.fp16.safetensors": b"another variant",
    "sample/one.png": b"a picture",
}  # fmt: skip
"""What repositories have beside what is needed."""


@pytest.mark.slow
def test_a_script_is_fetched_and_drawn_and_drawn_again_from_its_commit(aquatint: Run, hub: Hub, tmp_path: Path) -> None:
    files = {name: body for name, body in files_of(locate("builtin:shapes")).items() if name != "README.md"}
    shapes = hub.repositories["some/shapes"] = Repository()
    first = shapes.commit(files | BESIDE)
    script = tmp_path / "circle.aqt"
    script.write_text(
        'model m { source: "some/shapes", defaults { num_inference_steps: 2, seed: 1 } }\n'
        'generate m { prompt: "a red circle", output: "circle.png" }\n'
    )
    answer = aquatint("run", "circle.aqt", "--json", "--threads", "1")
    assert (answer.code, answer.err) == (0, "")
    (started,) = answer.events_called("fetch_started")
    assert started["revision"] == first and started["files"] == len(files)
    (finished,) = answer.events_called("fetch_finished")
    assert finished["done"] == started["bytes"] == sum(map(len, files.values())) and not finished["failed"]
    # The index is read before, to know what it comes to.
    expected = {name: len(body) for name, body in files.items()}
    assert hub.sent == expected | {"model_index.json": 2 * expected["model_index.json"]}
    drawn = (tmp_path / "circle.png").read_bytes()

    # The hub goes on; what is there is taken as it is, until it is fetched by its id.
    second = shapes.commit(files | {"unet/config.json": files["unet/config.json"] + b"\n"})
    hub.sent.clear()

    def revisions() -> set[str]:
        plan = json.loads(aquatint("plan", "--json", "circle.aqt").out)
        return {each["revision"] for each in plan["components"].values()} | {
            each["revision"] for each in plan["pipelines"].values()
        }

    assert revisions() == {first}
    answer = aquatint("fetch", "some/shapes")
    assert re.sub(r"[\d.]+ s$", "N s", answer.err, flags=re.M) == (
        "fetching some/shapes: 1.6 KiB in 10 files, 10.3 MiB are there ...\nfetched some/shapes  1.6 KiB  N s\n"
    )
    assert revisions() == {second}
    record = json.loads(aquatint("info", "--json", "circle.png").out)
    assert f'"{first}"' in json.dumps(record) and f'"{second}"' not in json.dumps(record)

    # The picture says which commit it was made with, which is fetched anew if it has gone.
    shutil.rmtree(tmp_path / "home" / "hub" / "models--some--shapes" / "snapshots" / first)
    answer = aquatint("replay", "circle.png", "--offline")
    assert answer.code == 2 and answer.err.startswith(
        f"error[missing-model]: `some/shapes` is neither a folder nor in the hub's local cache at revision `{first}`\n"
    )
    answer = aquatint("replay", "circle.png", "--strict", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "circle-replay.png").read_bytes() == drawn


@pytest.mark.slow
def test_a_fetch_that_was_interrupted_goes_on(
    aquatint: Run, hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    body = os.urandom(24 * MIB)
    hub.repositories["some/model"] = Repository()
    hub.repositories["some/model"].commit(pipeline(tmp_path / "model") | {UNET: body})
    hub.stall_after = 21 * MIB
    begun = subprocess.Popen([PROGRAM, "fetch", "some/model"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    assert hub.stalled.wait(60)
    cache = tmp_path / "home" / "hub" / "models--some--model"
    while not [file for file in cache.glob("blobs/*.incomplete") if file.stat().st_size == 20 * MIB]:
        assert begun.poll() is None
    begun.send_signal(signal.SIGINT)
    said = begun.communicate(timeout=5)[1].decode()
    assert begun.returncode == 130
    assert re.fullmatch(
        r"fetching some/model: 24\.3 MiB in 10 files \.\.\.\n"
        r"interrupted: 20\.\d MiB of 24\.3 MiB have come and are kept; run again to go on\ninterrupted\n",
        said,
    )
    assert not (cache / "refs").exists()

    hub.stall_after = None
    hub.sent.clear()
    answer = aquatint("fetch", "some/model", "--dry-run")
    assert answer.out.splitlines()[-1] == "4.0 MiB to fetch, in 2 of 10 files, beside 20.0 MiB of them that are there"
    assert aquatint("fetch", "some/model").code == 0
    assert hub.sent[UNET] == 4 * MIB
    (there,) = cache.glob(f"snapshots/*/{UNET}")
    assert there.read_bytes() == body


@pytest.mark.slow
def test_what_cannot_be_fetched_is_told_at_its_place(aquatint: Run, hub: Hub, tmp_path: Path) -> None:
    files = pipeline(tmp_path / "model")
    index = json.loads(files["model_index.json"])

    def serve(name: str, files: dict[str, bytes], gated: bool = False) -> None:
        repository = hub.repositories[name] = Repository(gated=gated)
        repository.commit(files)

    serve("some/model", files)
    serve("some/gated", files, gated=True)
    serve("some/pickled", {name.replace("model.safetensors", "model.bin"): body for name, body in files.items()})
    serve("some/code", files | {"model_index.json": json.dumps(index | {"unet": ["own", "UNet"]}).encode()})
    serve("some/file", {"all-in-one.safetensors": b"weights"})
    (tmp_path / "models.aqt").write_text(
        'model a { source: "some/gated" }\n'
        'model b { source: "some/pickled" }\n'
        'model c { source: "some/code" }\n'
        'model d { source: "some/file" }\n'
        'model e { source: "some/model", revision: "v2" }\n'
        'model f { source: "some/model", variant: "fp16" }\n'
        'model g { source: "some/model", vae { source: "some/none" } }\n'
        'for m in [a, b, c, d, e, f, g] { generate m { prompt: "a cat" } }\n'
    )
    answer = aquatint("run", "models.aqt", HF_TOKEN="hf_another")
    assert answer.code == 2 and not [name for name in hub.sent if name.endswith(".safetensors")]
    assert answer.err.replace(hub.address, "HUB") == CANNOT
    # With the right login, and without a hub.
    assert aquatint("fetch", "some/gated", HF_TOKEN=TOKEN).code == 0
    answer = aquatint("fetch", "some/model", HF_ENDPOINT="http://127.0.0.1:9")
    assert (answer.code, answer.err) == (
        2,
        "error[unreachable-hub]: `some/model` can't be fetched from http://127.0.0.1:9: there is no connection\n"
        "  help: try again: what has come is kept, and fetching goes on from there\n\n"
        "1 error; nothing was loaded or written\n",
    )


CANNOT = """\
error[gated-model]: `some/gated` is gated: the hub gives it to those who have accepted its conditions
 --> models.aqt:1:19
  |
1 | model a { source: "some/gated" }
  |                   ^^^^^^^^^^^^
  = help: accept them at HUB/some/gated, and log in with `hf auth login`, or set `HF_TOKEN`

error[unsafe-weights]: `some/pickled` has the weights in `text_encoder/model.bin` only, which can run code when read
 --> models.aqt:2:19
  |
2 | model b { source: "some/pickled" }
  |                   ^^^^^^^^^^^^^^
  = help: take a repository or a revision with safetensors, or convert them with a program and a source that you trust

error[own-code]: component `unet` of `some/code` asks for `own.UNet`, which is code of its own
 --> models.aqt:3:19
  |
3 | model c { source: "some/code" }
  |                   ^^^^^^^^^^^
  = help: only components of diffusers and transformers are loaded; no checkpoint's code is run

error[not-a-checkpoint]: `some/file` is not a diffusers pipeline: it has no `model_index.json`
 --> models.aqt:4:19
  |
4 | model d { source: "some/file" }
  |                   ^^^^^^^^^^^
  = help: name a repository in diffusers' layout, or one file of this one, as in `owner/name/file.safetensors`

error[missing-revision]: `some/model` has no revision `v2` on the hub
 --> models.aqt:5:19
  |
5 | model e { source: "some/model", revision: "v2" }
  |                   ^^^^^^^^^^^^
  = help: name a branch, a tag or a commit that HUB/some/model has

error[missing-variant]: `some/model` has no variant `fp16`
 --> models.aqt:6:19
  |
6 | model f { source: "some/model", variant: "fp16" }
  |                   ^^^^^^^^^^^^
  = help: leave `variant` out: it has none

error[missing-model]: `some/none` is neither a folder nor a repository of the hub, unless a private one
 --> models.aqt:7:47
  |
7 | model g { source: "some/model", vae { source: "some/none" } }
  |                                               ^^^^^^^^^^^
  = help: is it spelt as on HUB? for a private one, log in with `hf auth login`, or set `HF_TOKEN`

7 errors; nothing was loaded or written
"""


@pytest.mark.slow
def test_only_what_a_script_needs_is_listed_and_nothing_is_fetched_unasked(
    aquatint: Run, hub: Hub, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    hub.repositories["some/model"] = Repository()
    commit = hub.repositories["some/model"].commit(BESIDE | pipeline(folder, variants=(None, "fp16")))
    hub.repositories["some/vae"] = Repository()
    of_vae = hub.repositories["some/vae"].commit(files_of(folder / "vae"))
    (tmp_path / "cat.aqt").write_text(
        'model m { source: "some/model", variant: "fp16", vae { source: "some/vae" } }\n'
        'generate m { prompt: "a cat" }\n'
    )
    answer = aquatint("fetch", "cat.aqt", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == LISTED.format(commit=commit, of_vae=of_vae)
    for arguments, variables in [
        (("check", "cat.aqt"), {}),
        (("plan", "cat.aqt"), {}),
        (("run", "--offline", "cat.aqt"), {}),
        (("run", "cat.aqt"), {"HF_HUB_OFFLINE": "1"}),
    ]:
        assert aquatint(*arguments, **variables) == Answer(2, "", LACKS)
    assert aquatint("fetch", "cat.aqt", HF_HUB_OFFLINE="1").err == (
        "error[bad-command-line]: HF_HUB_OFFLINE forbids the network\n  help: unset it to fetch something\n"
    )
    assert set(hub.sent) == {"model_index.json"}
    assert aquatint("fetch", "cat.aqt", "--quiet") == Answer(0, "", "")
    assert aquatint("check", "cat.aqt").code == 0


LISTED = """\
some/model, revision {commit}
              36  scheduler/scheduler_config.json
              48  text_encoder/config.json
          65,704  text_encoder/model.fp16.safetensors
               2  tokenizer/tokenizer.json
              40  tokenizer/tokenizer_config.json
              43  unet/config.json
         262,312  unet/diffusion_pytorch_model.fp16.safetensors
              36  vae/config.json
             475  model_index.json
321.0 KiB to fetch, in 9 of 9 files
some/vae, revision {of_vae}
          65,704  diffusion_pytorch_model.fp16.safetensors
              36  config.json
64.2 KiB to fetch, in 2 of 2 files
"""

LACKS = """\
error[missing-model]: `some/model` is neither a folder nor in the hub's local cache
 --> cat.aqt:1:19
  |
1 | model m { source: "some/model", variant: "fp16", vae { source: "some/vae" } }
  |                   ^^^^^^^^^^^^
  = help: fetch it first: `aquatint fetch cat.aqt`; nothing is downloaded while planning or offline

error[missing-model]: `some/vae` is neither a folder nor in the hub's local cache
 --> cat.aqt:1:64
  |
1 | model m { source: "some/model", variant: "fp16", vae { source: "some/vae" } }
  |                                                                ^^^^^^^^^^
  = help: fetch it first: `aquatint fetch cat.aqt`; nothing is downloaded while planning or offline

2 errors; nothing was loaded or written
"""


@pytest.mark.slow
def test_of_a_repository_of_loras_the_one_that_is_meant_is_fetched(aquatint: Run, hub: Hub, tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    several = hub.repositories["some/loras"] = Repository()
    commit = several.commit(files_of(tmp_path / "models" / "loras" / "several") | {"README.md": b"two"})
    script = tmp_path / "cat.aqt"

    def write(choice: str) -> None:
        script.write_text(
            f'model m {{ source: "models/sd", lora {{ source: "some/loras"{choice} }} }}\n'
            'generate m { prompt: "a cat" }\n'
        )

    write("")
    answer = aquatint("fetch", "cat.aqt")
    assert answer.code == 2 and not hub.sent
    assert answer.err.startswith("error[missing-setting]: `some/loras` has 2 files that may be meant")
    write(', weight_name: "two.safetensors"')
    assert aquatint("fetch", "cat.aqt", "--quiet") == Answer(0, "", "")
    assert set(hub.sent) == {"two.safetensors"}
    components = json.loads(aquatint("plan", "--json", "cat.aqt", HF_HUB_OFFLINE="1").out)["components"].values()
    (lora,) = (each for each in components if each["source"] == "some/loras")
    assert lora["revision"] == commit


@pytest.mark.slow
def test_of_the_configurations_of_a_single_file_no_weights_are_fetched_that_it_has(
    aquatint: Run, hub: Hub, tmp_path: Path
) -> None:
    write_originals(tmp_path / "originals", {"safety_checker": [None, None]})
    hub.repositories["some/sd"] = Repository()
    hub.repositories["some/sd"].commit(pipeline(tmp_path / "model"))
    (tmp_path / "file.aqt").write_text(
        'model m { source: "originals/unet.safetensors", config: "some/sd" }\ngenerate m { prompt: "a cat" }\n'
    )
    answer = aquatint("fetch", "file.aqt")
    assert answer.code == 0, answer.err
    # The autoencoder's are the same bytes as the encoder's, and come once.
    assert [name for name in hub.sent if name.endswith(".safetensors")] == ["text_encoder/model.safetensors"]
    assert "unet/config.json" in hub.sent
    plan = aquatint("plan", "--device", "cpu", "file.aqt")
    assert plan.code == 0, plan.err
    assert "from originals/unet.safetensors, configuration from some/sd" in plan.out
