"""Pickled weights: refused, unless the command line allows them, and then read without running anything of theirs."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from aquatint.catalog import checkpoints, pickle_files, single_files
from aquatint.catalog.checkpoints import CheckpointError, Tensor
from aquatint.interface.cli import main
from aquatint.runtime.engine import Counters, EngineError
from aquatint.runtime.torch_engine import loading
from aquatint.runtime.torch_engine.libraries import libraries
from support import originals
from support.scenes import component

Folder = Callable[[str], Path]
OF_DIFFUSERS = "diffusion_pytorch_model.bin"
NAMES = {"unet": OF_DIFFUSERS, "text_encoder": "pytorch_model.bin", "vae": OF_DIFFUSERS}


@pytest.fixture(scope="module")
def pickled(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline all of whose weights are pickled."""
    copy = originals.configurations(folder("sd"), tmp_path_factory.mktemp("pickled") / "sd", tuple(NAMES))
    for role, name in NAMES.items():
        torch.save(load_file(next((folder("sd") / role).glob("*.safetensors"))), copy / role / name)
    (copy / "unet" / "training.bin").write_bytes(b"left by others")
    return copy


def sizes(tensors: list[Tensor]) -> list[tuple[str, str, tuple[int, ...], int]]:
    return sorted((each.name, each.dtype, each.shape, each.end - each.start) for each in tensors)


@pytest.mark.parametrize("role", NAMES)
def test_weights_are_those_of_safetensors(folder: Folder, pickled: Path, role: str) -> None:
    with pytest.raises(CheckpointError) as told:
        checkpoints.tensors(pickled, role, None)
    assert told.value.code == "unsafe-weights"
    with pytest.raises(EngineError, match="can run code when read"):
        loading.load(libraries(), component(pickled, role), Counters())
    with pickle_files.allowed():
        assert sizes(checkpoints.tensors(pickled, role, None)) == sizes(checkpoints.tensors(folder("sd"), role, None))
        loaded = loading.load(libraries(), component(pickled, role, "sdnq;type=int8"), Counters())
    key = loaded.component.key
    other = loading.load(libraries(), component(folder("sd"), role, "sdnq;type=int8", key=key), Counters())
    ours, theirs = loaded.object.state_dict(), other.object.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (loaded.bytes, loaded.quantized_layers) == (other.bytes, other.quantized_layers)


def test_a_single_file(folder: Folder, tmp_path: Path) -> None:
    roles = {"unet": single_files.MAIN, "vae": "first_stage_model."}
    safe = originals.single_file(folder("sd"), tmp_path / "sd.safetensors", roles)
    file = tmp_path / "sd.ckpt"
    torch.save({"state_dict": load_file(safe), "global_step": 7}, file)
    with pytest.raises(CheckpointError) as told:
        checkpoints.single_header(str(file))
    assert told.value.code == "unsafe-weights"
    with pickle_files.allowed():
        assert sizes(checkpoints.single_header(str(file))) == sizes(checkpoints.read_header(safe))
        assert single_files.kind(checkpoints.single_header(str(file))) == "v1"
        ours = loading.load(libraries(), component(folder("sd"), "unet", file=str(file)), Counters())
    theirs = loading.load(libraries(), component(folder("sd"), "unet"), Counters())
    assert ours.streamed == theirs.streamed
    one, other = ours.object.state_dict(), theirs.object.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)


class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_nothing_of_a_pickle_is_run(folder: Folder, pickled: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    copy = originals.configurations(pickled, tmp_path / "sd")
    file = copy / "unet" / NAMES["unet"]
    torch.save({"weight": torch.zeros(2), "trap": Trap(sprung)}, file)
    with pickle_files.allowed():
        with pytest.raises(CheckpointError) as told:
            checkpoints.tensors(copy, "unet", None)
        assert told.value.code == "unreadable-weights"
        assert told.value.message.endswith(f"it asks for `{os.name}.mkdir`, which is no weight")
        # Nor where the engine is asked without a plan.
        with pytest.raises(EngineError):
            loading.load(libraries(), component(copy, "unet"), Counters())
    assert not sprung.exists()


def said(file: Path) -> str:
    with pickle_files.allowed(), pytest.raises(CheckpointError) as told:
        checkpoints.read_header(file)
    return told.value.message.partition(": ")[2]


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"")
    assert said(file) == "it is cut short, or in the form of before torch 1.6"
    torch.save({"weight": torch.zeros(2)}, file, _use_new_zipfile_serialization=False)
    assert said(file) == "it is cut short, or in the form of before torch 1.6"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/other", b"")
    assert said(file) == "it is no file of weights"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps([1, 2]))
    assert said(file) == "it holds no weights by name"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02ccollections\nOrderedDict\n)Rq\0c")
    assert said(file) == "its instructions can't be followed"
    torch.save({"weight": torch.zeros(2, dtype=torch.complex64)}, file)
    assert said(file) == "it has weights of a type that isn't read"


@pytest.mark.slow
def test_the_command_line_allows_them(
    folder: Folder, pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, source in (("a", pickled), ("b", folder("sd"))):
        text = f'model m {{ source: "{source}" }}\ngenerate m {{ prompt: "a cat", num_inference_steps: 2, size: 64x64, '
        Path(f"{name}.aqt").write_text(f'{text}seed: 7, output: "{name}.png" }}\n', encoding="utf-8")
    how = ["--device", "cpu", "--threads", "1"]
    assert main(["run", *how, "a.aqt"]) == 2
    assert "--allow-pickles" in capsys.readouterr().err
    assert main(["run", *how, "--allow-pickles", "a.aqt"]) == 0
    assert main(["run", *how, "b.aqt"]) == 0
    assert np.array_equal(np.asarray(Image.open("a.png")), np.asarray(Image.open("b.png")))
    assert not pickle_files.are_allowed()
    assert main(["replay", *how, "a.png", "--output", "c.png"]) == 2
    assert main(["replay", *how, "--allow-pickles", "a.png", "--output", "c.png"]) == 0
    assert np.array_equal(np.asarray(Image.open("a.png")), np.asarray(Image.open("c.png")))
