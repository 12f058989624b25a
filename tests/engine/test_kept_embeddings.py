"""Embeddings on the disk: the bits are those of pipelines that encode, and no encoder is loaded for what is there."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aquatint.runtime import late_loads
from aquatint.runtime.events import Event, LoadFinished, LoadSpared, StatementFailed, Warned
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.runtime.torch_engine.encoded import Encoded, LeftOut, Unknown, read
from aquatint.runtime.torch_engine.kept_embeddings import KeptEmbeddings
from aquatint.runtime.torch_engine.libraries import libraries
from aquatint.runtime.torch_engine.remembering import Memory
from support import planned
from support.scenes import component
from support.tiny import PIPELINES

Folder = Callable[[str], Path]

FAMILIES = [name for name in PIPELINES if name != "controlnet"]
# StableDiffusionPipeline's `clip_skip` asks transformers 5 for a layer that it has no more.
MORE = {"sdxl": "clip_skip: 1", "sd3": "max_sequence_length: 64", "flux": "max_sequence_length: 16"}


def script(folder: Path, more: str = "", settings: str = "", prompts: str = '["a red cat", "a small house"]') -> str:
    """Return a script that draws two pictures of each prompt."""
    return f"""
model m {{
    source: "{folder}"
    {settings}
    defaults {{ num_inference_steps: 2, size: 64x64 }}
}}
for prompt in {prompts} {{
    generate m {{
        prompt: prompt, seed: 3, images: 2, output: "{{{{ prompt | slug }}}}.png", metadata: false
        {more}
    }}
}}
"""


class Run:
    """What a new engine makes of a script, with the embeddings in `store` or without any."""

    def __init__(self, text: str, folder: Path, store: Store | None) -> None:
        self.events: list[Event] = []
        self.engine = TorchEngine(threads=1, embeddings=store)
        lately = late_loads.nothing if store is None else late_loads.encoders
        executor = Executor(self.engine, self.events.append, Options(output_dir=folder, may_be_spared=lately))
        self.finished = executor.run(planned.plan(text))
        assert [event for event in self.events if isinstance(event, StatementFailed)] == []
        self.files = hashes(folder)
        self.warnings = [event.message for event in self.events if isinstance(event, Warned)]

    @property
    def loaded(self) -> set[str]:
        return {event.role for event in self.events if isinstance(event, LoadFinished)}

    @property
    def spared(self) -> set[str]:
        return {event.role for event in self.events if isinstance(event, LoadSpared)}

    @property
    def hits(self) -> int:
        return 0 if self.engine.kept is None else self.engine.kept.hits


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.png"))}


def kept(folder: Path, budget: int = 1 << 30) -> Store:
    return Store(folder, budget=budget, minimum=0, reserve=0)


def another_process(text: str, folder: Path, store: Store) -> list[dict[str, Any]]:
    """Return the events of a run of `text` by the program itself, in a process of its own."""
    folder.mkdir()
    (folder / "a.aqt").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", "run", "a.aqt", "--json", "--threads", "1"], cwd=folder, check=True,
        capture_output=True, text=True, env=os.environ | {"AQUATINT_EMBEDDINGS": str(store.folder)},
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "family", [name if name == "sd" else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_another_process_takes_them_and_loads_no_encoder(folder: Folder, tmp_path: Path, family: str) -> None:
    text = script(folder(family))
    expected = Run(text, tmp_path / "unsplit", None)
    encoders = {role for role in expected.loaded if role.startswith("text_encoder")}
    assert encoders and len(expected.files) == 4
    store = kept(tmp_path / "kept")
    first = Run(text, tmp_path / "first", store)
    assert (first.files, first.hits, first.spared, first.warnings) == (expected.files, 0, set(), [])
    assert encoders < first.loaded
    events = another_process(text, tmp_path / "second", store)
    assert hashes(tmp_path / "second") == expected.files
    assert {event["role"] for event in events if event["event"] == "load_spared"} == encoders
    assert not encoders & {event["role"] for event in events if event["event"] == "load_finished"}
    assert events[-1]["loads"] == first.finished.loads - len(encoders)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [
    "dtype: bfloat16", 'quantizer: "sdnq;type=int8"',
    'quantizer: "bnb;bits=8", dtype: bfloat16',
    'quantizer: "bnb;bits=4;bits4-quant-type=nf4", dtype: bfloat16',
])  # fmt: skip
def test_types_quantizers_and_what_a_call_asks_for(folder: Folder, tmp_path: Path, family: str, settings: str) -> None:
    text = script(folder(family), MORE.get(family, ""), settings)
    expected = Run(text, tmp_path / "unsplit", None)
    store = kept(tmp_path / "kept")
    assert Run(text, tmp_path / "first", store).files == expected.files
    second = Run(text, tmp_path / "second", store)
    assert second.files == expected.files
    assert second.spared == {role for role in expected.loaded if role.startswith("text_encoder")}


@pytest.mark.slow
def test_all_that_decides_an_embedding_is_in_its_address(folder: Folder, tmp_path: Path) -> None:
    """Each of these makes other embeddings, or might: none is taken for another's."""
    plain = folder("sd")
    tuned = shutil.copytree(plain, tmp_path / "tuned")
    weights = tuned / "text_encoder" / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-3] ^= 1
    weights.write_bytes(body)
    words = shutil.copytree(plain, tmp_path / "words")
    tokenizer = words / "tokenizer" / "tokenizer.json"
    pieces = json.loads(tokenizer.read_text())
    vocabulary = pieces["model"]["vocab"]
    vocabulary["a</w>"], vocabulary["b</w>"] = vocabulary["b</w>"], vocabulary["a</w>"]
    tokenizer.write_text(json.dumps(pieces))
    # Nothing but the prompt itself: an empty negative prompt would be the same for the two tokenizers.
    alone = "guidance_scale: 1.0"
    prompts = '["a red cat"]'
    variants = {
        "plain": script(plain, alone, prompts=prompts),
        "prompt": script(plain, alone, prompts='["a red dog"]'),
        "dtype": script(plain, alone, "dtype: bfloat16", prompts),
        "int8": script(plain, alone, 'quantizer: "sdnq;type=int8"', prompts),
        "uint4": script(plain, alone, 'quantizer: "sdnq;type=uint4"', prompts),
        "weights": script(tuned, alone, prompts=prompts),
        "tokenizer": script(words, alone, prompts=prompts),
    }
    store = kept(tmp_path / "kept")
    for name, text in variants.items():
        before = len(store.entries())
        first = Run(text, tmp_path / name, store)
        assert (first.hits, first.spared) == (0, set()), name
        assert len(store.entries()) > before, name
    for name, text in variants.items():
        again = Run(text, tmp_path / f"{name} again", store)
        assert (again.files, again.spared) == (hashes(tmp_path / name), {"text_encoder"}), name


def test_lengths_are_told_apart(folder: Folder, tmp_path: Path) -> None:
    store = kept(tmp_path / "kept")
    for length in (16, 24):
        run = Run(script(folder("flux"), f"max_sequence_length: {length}"), tmp_path / str(length), store)
        # CLIP's embedding has one length whatever is asked of T5.
        assert run.spared == (set() if length == 16 else {"text_encoder"})


def test_machines_and_versions_are_told_apart(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = component(folder("sd"), "text_encoder")
    facts = TorchEngine(threads=1).describe()

    def address(**changes: Any) -> str | None:
        return KeptEmbeddings(kept(tmp_path), libraries(), lambda: facts | changes)._address(encoder, "call")

    found = [
        address(), address(threads=2), address(cpu="AVX2"), address(versions={**facts["versions"], "torch": "2.14.0"}),
    ]  # fmt: skip
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    found.append(address())
    monkeypatch.setenv("SDNQ_USE_TORCH_COMPILE", "1")
    found.append(address())
    assert None not in found and len(set(found)) == len(found)


def test_a_damaged_one_is_found_and_made_anew(folder: Folder, tmp_path: Path) -> None:
    text, store = script(folder("sd")), kept(tmp_path / "kept")
    expected = Run(text, tmp_path / "first", store).files
    spoilt = store.entries()
    for number, entry in enumerate(spoilt):
        file = entry.folder / ("form.json" if number % 2 else "tensors.safetensors")
        body = bytearray(file.read_bytes())
        body[len(body) // 2] ^= 1
        file.write_bytes(body)
    second = Run(text, tmp_path / "second", store)
    assert (second.files, second.hits, second.spared) == (expected, 0, set())
    assert len(second.warnings) == len(spoilt)
    assert second.warnings[0].startswith("a kept embedding of `text_encoder` is damaged (its file `")
    third = Run(text, tmp_path / "third", store)
    assert (third.files, third.spared, third.warnings) == (expected, {"text_encoder"}, [])


def test_files_that_change_under_a_run_are_never_taken_for_the_old_ones(folder: Folder, tmp_path: Path) -> None:
    source = shutil.copytree(folder("sd"), tmp_path / "changing")
    text, store = script(source), kept(tmp_path / "kept")
    Run(text, tmp_path / "first", store)
    plan = planned.plan(text)
    weights = source / "text_encoder" / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-3] ^= 1
    weights.write_bytes(body)
    # The plan's key is the old files' one, as that of a large file would be that is sampled.
    engine = TorchEngine(threads=1, embeddings=store)
    Executor(engine, lambda event: None, Options(output_dir=tmp_path, may_be_spared=late_loads.encoders)).run(plan)
    assert engine.kept is not None and engine.kept.hits == 0
    assert len(store.entries()) == 6  # two prompts and the empty one, of either


def test_the_budget_holds_and_what_was_used_longest_ago_goes(folder: Folder, tmp_path: Path) -> None:
    encoder, found = component(folder("sd"), "text_encoder"), libraries().transformers.CLIPTextModel
    store = kept(tmp_path / "kept", budget=200_000)
    output = torch.randn(10_000)
    for number in range(12):
        keeper = TorchEngine(threads=1, embeddings=store).kept
        assert keeper is not None
        if number:  # the first one is used each time
            assert torch.equal(keeper.find(encoder, found, "0", lambda: None), output)
        keeper.keep(encoder, found, f"{number}", output)
        time.sleep(0.01)  # a file system's clock may be coarse
        assert sum(entry.bytes for entry in store.entries()) <= store.budget
    there = [keeper.find(encoder, found, f"{number}", lambda: None) is not None for number in range(12)]
    assert there == [True, *[False] * 8, *[True] * 3]
    keeper.keep(encoder, found, "large", torch.zeros(20_000))  # more than a quarter of the budget
    assert keeper.find(encoder, found, "large", lambda: None) is None


@pytest.mark.slow
def test_no_room_and_no_folder_are_warnings(folder: Folder, tmp_path: Path) -> None:
    text = script(folder("sd"))
    expected = Run(text, tmp_path / "unsplit", None).files
    (tmp_path / "file").touch()
    for number, store in enumerate((Store(tmp_path / "full", reserve=1 << 60), kept(tmp_path / "file"))):
        run = Run(text, tmp_path / str(number), store)
        assert (run.files, run.spared) == (expected, set())
        assert (
            run.warnings
            == [
                "no more embeddings are kept: the disk is nearly full",
                "embeddings are neither taken nor kept: file exists",
            ][number : number + 1]
        )


@pytest.mark.slow
def test_two_processes_at_once(folder: Folder, tmp_path: Path) -> None:
    text, store = script(folder("sd")), kept(tmp_path / "kept")
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.aqt").write_text(text)
    command = [sys.executable, "-m", "aquatint", "run", "a.aqt", "--quiet", "--threads", "1"]
    around = os.environ | {"AQUATINT_EMBEDDINGS": str(store.folder)}
    running = [subprocess.Popen(command, cwd=tmp_path / name, env=around) for name in ("one", "other")]
    assert [process.wait() for process in running] == [0, 0]
    assert hashes(tmp_path / "one") == hashes(tmp_path / "other")
    assert len(store.entries()) == 3  # two prompts and the empty one
    assert os.listdir(store.folder / "unfinished") == []


@pytest.mark.slow
def test_kill_9_while_they_are_kept(folder: Folder, tmp_path: Path) -> None:
    """What is there after a kill is whole, and what is not is swept out by the next one that keeps any."""
    encoder, store = component(folder("sd"), "text_encoder"), kept(tmp_path / "kept", budget=1 << 20)
    engine = TorchEngine(threads=1, embeddings=store)
    keeper, found, rounds, left = engine.kept, libraries().transformers.CLIPTextModel, 25, 0
    assert keeper is not None

    def keep_for_ever() -> None:
        try:
            for number in range(1 << 30):
                keeper.keep(encoder, found, f"{number % 30}", torch.full((1, 77, 64), float(number % 30)))
                keeper.find(encoder, found, f"{random.randrange(30)}", lambda: None)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    keeper.find(encoder, found, "0", lambda: None)  # the files are hashed once, for all children
    for _ in range(rounds):
        child = os.fork()
        if child == 0:
            keep_for_ever()
        time.sleep(random.uniform(0.02, 0.3))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        left += bool((store.folder / "unfinished").exists() and os.listdir(store.folder / "unfinished"))
        for number in range(30):
            tensor = keeper.find(encoder, found, f"{number}", lambda: None)
            assert tensor is None or torch.equal(tensor, torch.full((1, 77, 64), float(number)))
    assert keeper.warnings == []
    assert keeper.hits > rounds and left > 0  # else nothing was seen
    store.make_room(0)
    assert os.listdir(store.folder / "unfinished") == []
    assert sum(entry.bytes for entry in store.entries()) <= store.budget


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    known = libraries()
    outputs = known.transformers.modeling_outputs
    state = torch.randn(2, 5, 8).to(torch.bfloat16).transpose(1, 2)
    output = outputs.BaseModelOutputWithPast(
        last_hidden_state=state, past_key_values=known.transformers.DynamicCache(),
        hidden_states=(torch.randn(3), state, torch.zeros(0, 4, dtype=torch.int64)),
    )  # fmt: skip
    value = [output, {"a": None, "b": 1.5}, ("text", True, torch.tensor(7))]
    found, asked = known.transformers.Qwen3Model, []

    def again() -> Any:
        asked.append(1)
        return value

    encoded = Encoded(known, found, value)
    encoded.write(tmp_path)
    assert encoded.bytes == state.nbytes + 12 + 8
    back = read(known, found, tmp_path, again)
    assert type(back[0]) is type(output) and list(back[0]) == list(output)
    for one, other in [
        (back[0][0], state), *zip(back[0].hidden_states, output.hidden_states, strict=True), (back[2][2], value[2][2]),
    ]:  # fmt: skip
        assert (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.clone().stride())
        assert torch.equal(one, other)
    assert back[0].hidden_states[1] is not back[0].last_hidden_state  # a pipeline may write into either
    assert (back[1], back[2][:2]) == (value[1], value[2][:2])
    left_out = back[0].past_key_values
    assert isinstance(left_out, LeftOut) and asked == []
    assert left_out.get_seq_length() == 0 and len(left_out.layers) == 0 and asked == [1]
    for unknown in (torch.nn.Parameter(state), {1: 2}, object(), float("nan")):
        with pytest.raises(Unknown):
            Encoded(known, found, unknown)


def test_calls_that_draw_random_numbers_are_not_remembered(folder: Folder) -> None:
    """Who is spared such a call would go on with other numbers."""
    engine = TorchEngine(threads=1)
    place = engine._place(engine.load(component(folder("sd"), "text_encoder")), "cpu")
    memory = Memory(libraries())
    ids = torch.zeros(1, 77, dtype=torch.int64)
    for _ in range(2):
        memory(place, (), (ids,), {})
    assert memory.hits == 1
    place.live.register_forward_pre_hook(lambda module, given: torch.rand(1) and None)
    for _ in range(2):
        memory(place, (), (ids + 1,), {})
    assert memory.hits == 1
    with torch.autocast("cpu", torch.bfloat16):
        memory(place, (), (ids,), {})
    assert memory.hits == 1
