"""Denoisers from GGUF files: as diffusers loads them, known from the header, and refused where they can't be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from PIL import Image
from safetensors.torch import load_file

from aquatint.catalog import checkpoints, estimates, gguf_files
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.interface.cli import main
from aquatint.runtime.engine import Counters, EngineError
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.torch_engine import loading
from aquatint.runtime.torch_engine.libraries import libraries
from support.scenes import component

Folder = Callable[[str], Path]
TYPES = [Kind.Q8_0, Kind.Q4_0, Kind.Q5_1, Kind.BF16, Kind.F16]


def write(folder: Path, file: Path, kind: Kind) -> Path:
    """Write the transformer of a pipeline as GGUF, its matrices in the type `kind`; return the file."""
    writer = gguf.GGUFWriter(file, "flux")
    writer.add_string("general.name", "tiny")
    writer.add_array("general.tags", ["one", "two"])
    for name, tensor in load_file(next((folder / "transformer").glob("*.safetensors"))).items():
        values = tensor.numpy()
        if values.ndim == 2 and values.shape[-1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def theirs(file: Path, flux: Path) -> Any:
    from diffusers import FluxTransformer2DModel, GGUFQuantizationConfig

    return FluxTransformer2DModel.from_single_file(
        str(file), config=str(flux), subfolder="transformer", torch_dtype=torch.float32,
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
    )  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_weights_and_bytes(folder: Folder, tmp_path: Path, kind: Kind) -> None:
    flux = folder("flux")
    file = write(flux, tmp_path / "flux.gguf", kind)
    loaded = loading.load(libraries(), component(flux, "transformer", file=str(file)), Counters())
    ours, other = loaded.object.state_dict(), theirs(file, flux).state_dict()
    assert list(ours) == list(other)
    for name, tensor in other.items():
        assert (ours[name].dtype, getattr(ours[name], "quant_type", None)) == (
            tensor.dtype, getattr(tensor, "quant_type", None),
        ), name  # fmt: skip
        assert torch.equal(torch.Tensor(ours[name].float()), torch.Tensor(tensor.float())), name
    part = checkpoints.over(checkpoints.read_checkpoint(str(flux)), str(file)).parts["transformer"]
    assert part is not None and part.stored is not None
    assert part.stored.name == f"gguf {kind.name}"
    network, tensors = estimates.read(flux, part, None, "float32")
    estimate = estimates.as_read(part, network, tensors)
    assert (estimate.most, estimate.quantized) == (loaded.bytes, loaded.quantized_layers)


@pytest.mark.slow
def test_a_picture_is_that_of_diffusers_and_comes_back(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import FluxPipeline

    monkeypatch.chdir(tmp_path)
    flux = folder("flux")
    file = write(flux, tmp_path / "flux.gguf", Kind.Q4_0)
    script = f"""
model m {{ source: "{flux}", transformer {{ source: "flux.gguf" }} }}
generate m {{ prompt: "a red cat", num_inference_steps: 2, size: 64x64, seed: 7, output: "a.png" }}
"""
    Path("a.aqt").write_text(script, encoding="utf-8")
    assert main(["run", "--device", "cpu", "--threads", "1", "a.aqt"]) == 0
    pipeline = FluxPipeline.from_pretrained(flux, transformer=theirs(file, flux))
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(
        "a red cat", num_inference_steps=2, width=64, height=64, generator=torch.Generator("cpu").manual_seed(7)
    ).images[0]
    ours = np.asarray(Image.open("a.png"))
    assert np.array_equal(ours, np.asarray(picture))
    told = read_metadata(Path("a.png"))
    assert "Quantizer transformer: gguf Q4_0" in told["parameters"]
    assert told["aquatint"]["components"]["transformer"]["file"] == "flux.gguf"
    assert main(["replay", "--device", "cpu", "--threads", "1", "a.png", "--output", "b.png"]) == 0
    assert np.array_equal(ours, np.asarray(Image.open("b.png")))


def test_a_quantizer_is_refused(folder: Folder, tmp_path: Path) -> None:
    flux = folder("flux")
    file = write(flux, tmp_path / "flux.gguf", Kind.Q8_0)
    wanted = component(flux, "transformer", "sdnq;type=int8", file=str(file))
    with pytest.raises(EngineError, match="is quantized already"):
        loading.load(libraries(), wanted, Counters())


def test_every_type_is_as_large_as_the_package_says() -> None:
    sizes = {number: gguf.GGML_QUANT_SIZES[Kind(number)] for number in gguf_files.TYPES}
    assert {number: (block, width) for number, (_, block, width) in gguf_files.TYPES.items()} == sizes
    assert all(Kind(number).name == name for number, (name, _, _) in gguf_files.TYPES.items())
    from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES

    known = {Kind[name] for name, _, _ in gguf_files.TYPES.values()}
    assert known == {Kind.F32, Kind.F16, *SUPPORTED_GGUF_QUANT_TYPES}


def damaged(file: Path, change: Callable[[bytes], bytes]) -> str:
    """Return what is said of a file after `change`."""
    other = file.with_name("damaged.gguf")
    other.write_bytes(change(file.read_bytes()))
    with pytest.raises(CheckpointError) as told:
        checkpoints.single_header(str(other))
    return told.value.message.partition(": ")[2]


def test_damaged_files(folder: Folder, tmp_path: Path) -> None:
    file = write(folder("flux"), tmp_path / "flux.gguf", Kind.Q8_0)
    assert damaged(file, lambda body: b"") == "it is no GGUF file"
    assert damaged(file, lambda body: body[:6]) == "its header is cut short or can't be read"
    assert damaged(file, lambda body: body[:200]) == "its header is cut short or can't be read"
    assert "where its header promises" in damaged(file, lambda body: body[:-1000])
    assert damaged(file, lambda body: b"GGUF" + struct.pack("<I", 9) + body[8:]) == "it is of version 9 of the format"
    many = struct.pack("<IQQ", 3, 1 << 60, 1)
    assert damaged(file, lambda body: b"GGUF" + many) == "it declares more than any model has"
    length = struct.pack("<IQQQ", 3, 0, 1, 1 << 60)
    assert damaged(file, lambda body: b"GGUF" + length) == "a name in its header is too long"
    array = struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 4, 1 << 60)
    assert damaged(file, lambda body: b"GGUF" + array) == "its header is cut short"
    nested = struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 9, 1)
    assert damaged(file, lambda body: b"GGUF" + nested) == "a list in its header can't be read"
    odd = struct.pack("<IQQQ", 3, 1, 0, 1) + b"a" + struct.pack("<IQIQ", 1, 64, 99, 0) + bytes(64)
    assert damaged(file, lambda body: b"GGUF" + odd) == "`a` is of type 99 of the format"
    wide = struct.pack("<IQQQ", 3, 1, 0, 1) + b"a" + struct.pack("<IQIQ", 1, 33, 8, 0) + bytes(64)
    assert damaged(file, lambda body: b"GGUF" + wide) == "`a` is no whole number of blocks wide"
    large = struct.pack("<IQQQ", 3, 1, 0, 1) + b"a" + struct.pack("<IQIQ", 1, 1 << 50, 8, 0)
    assert damaged(file, lambda body: b"GGUF" + large) == "`a` is larger than the file"
