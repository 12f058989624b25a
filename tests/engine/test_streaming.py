"""Reading tensors one at a time changes nothing: the weights are bit for bit the library's own."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aquatint.catalog import checkpoints
from aquatint.catalog.quantizers import canonical
from aquatint.plan.steps import Component
from aquatint.runtime.engine import Engine, EngineError
from aquatint.runtime.torch_engine import backend, determinism, streaming, tensor_files, weights
from aquatint.runtime.torch_engine.bitsandbytes_cpu import without_gpu_check
from aquatint.runtime.torch_engine.libraries import libraries
from aquatint.runtime.torch_engine.loading import find_class
from aquatint.runtime.torch_engine.stored import stored_by
from support.scenes import component, everywhere

Tiny = Callable[[str], Path]
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "loading.py"
FAMILIES = ["sd", "sdxl", "sd3", "flux"]
QUANTIZERS = [
    "bnb;bits=8",
    "bnb;bits=8;llm-int8-skip-modules=to_q",
    "bnb;bits=4;bits4-quant-type=nf4",
    "bnb;bits=4;bits4-quant-type=nf4;bits4-use-double-quant=true;bits4-compute-dtype=bfloat16",
    "bnb;bits=4;bits4-quant-storage=bfloat16",
    "sdnq;type=int8",
    "sdnq;type=uint4;group-size=32",
    "sdnq;type=uint4;quant-conv=true;quant-embedding=true;scale-dtype=uint8",
    # Random: the bits depend on the order in which the layers come.
    "sdnq;type=uint4;use-svd=true;svd-rank=8",
    "sdnq;type=int8;use-stochastic-rounding=true",
    'sdnq;type=uint4;modules-to-not-convert=attn2;modules-dtype-dict={"int8":["ff"],"minimum_6bit":["attn"]}',
    "sdnq;type=int8;use-quantized-matmul=true;add-skip-keys=false;minimum-allowed-numel=0",
]
SLOW = [
    "sdnq;type=uint4;use-dynamic-quantization=true;dynamic-loss-threshold=0.001",
    "sdnq;type=uint2;use-codebook=true",
]


def by_hand(wanted: Component) -> Any:
    """Return what the library's own `from_pretrained` makes of a component, in memory of its own."""
    found = libraries()
    cls = find_class(found, wanted.library, wanted.class_name)
    options: dict[str, Any] = {}
    half = stored_by(Path(wanted.source), wanted, "it")
    if wanted.quantization is not None:
        half = backend.of(wanted.quantization.backend)
        settings = canonical(wanted.quantization.backend, wanted.quantization.options)
        options["quantization_config"] = half.configuration(found, wanted.library, settings, "cpu")
    assert wanted.dtype is not None
    with determinism.seeded(torch, determinism.seed_of(wanted.key), "cpu"):
        if half is None:
            module = cls.from_pretrained(
                wanted.source, subfolder=wanted.subfolder, torch_dtype=getattr(torch, wanted.dtype)
            )
        else:
            # Not the whole context of our loads, which has quicker ways for the same bits.
            with without_gpu_check():
                module = cls.from_pretrained(
                    wanted.source, subfolder=wanted.subfolder, torch_dtype=getattr(torch, wanted.dtype), **options
                )
    module.eval().requires_grad_(False)
    weights.copy_afresh(torch, module)
    if half is not None:
        half.finish(found, module, "cpu")
    return module


def aligned(folder: Path, copy: Path) -> Path:
    """Copy a pipeline so that its tensors begin in their files where torch would lay them; return the copy.

    sdnq finds singular vectors with matrix products, which round by where a float32 weight lies. A library that maps
    the file has it where the file does.
    """
    shutil.copytree(folder, copy)
    for file in copy.glob("*/*.safetensors"):
        tensors = load_file(file)
        entries: dict[str, Any] = {}
        end = 0
        for name in sorted(tensors, key=lambda name: (tensors[name].nbytes % weights.ALIGNMENT != 0, name)):
            kind = {torch.float32: "F32", torch.int64: "I64"}[tensors[name].dtype]
            begin, end = end, end + tensors[name].nbytes
            entries[name] = {"dtype": kind, "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
        header = json.dumps(entries | {"__metadata__": {"format": "pt"}}).encode()
        header += b" " * (-(8 + len(header)) % weights.ALIGNMENT)
        data = b"".join(bytes(tensors[name].view(-1).view(torch.uint8).numpy()) for name in entries)
        file.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return copy


def same(ours: Any, theirs: Any) -> None:
    """Hold two modules to be the same: layers, names, and every tensor's type, layout and bits, and where it begins."""
    assert [(name, type(each)) for name, each in ours.named_modules()] == [
        (name, type(each)) for name, each in theirs.named_modules()
    ]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    pairs = zip(weights.held(torch, ours), weights.held(torch, theirs), strict=True)
    for (_, name, one), (_, other_name, other) in pairs:
        assert (name, one.dtype, one.shape, one.stride()) == (other_name, other.dtype, other.shape, other.stride())
        assert torch.equal(one.contiguous().view(-1).view(torch.uint8), other.contiguous().view(-1).view(torch.uint8))
        assert one.data_ptr() % weights.ALIGNMENT == 0


def parts(folder: Path, uri: str | None, dtype: str) -> Iterator[Component]:
    """Yield every component of a pipeline that has weights, the denoiser and the text encoders quantized."""
    quantized = {} if uri is None else everywhere(folder, uri)
    for role, part in checkpoints.read_checkpoint(str(folder)).parts.items():
        if part is not None and part.has_weights and (uri is None or role in quantized):
            yield component(folder, role, quantized.get(role), dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("uri", [None, *QUANTIZERS, *(pytest.param(uri, marks=pytest.mark.slow) for uri in SLOW)])
@pytest.mark.parametrize("family", FAMILIES)
def test_streamed_weights_are_the_librarys_own(
    engine: Engine, folder: Tiny, tmp_path: Path, family: str, uri: str | None, dtype: str
) -> None:
    source = aligned(folder(family), tmp_path / family) if uri and "svd" in uri else folder(family)
    for wanted in parts(source, uri, dtype):
        loaded = engine.load(wanted)
        assert loaded.streamed, wanted.role
        assert uri is None or loaded.quantized_layers or wanted.role == "text_encoder"
        theirs = by_hand(wanted)
        same(loaded.object, theirs)
        # Loading adds to it: the skip list, and what was chosen for each layer.
        configurations = [getattr(module.config, "quantization_config", None) for module in (loaded.object, theirs)]
        assert str(configurations[0]) == str(configurations[1])


@pytest.mark.parametrize("shard", [None, "200KB"])
@pytest.mark.parametrize("uri", ["bnb;bits=8", "bnb;bits=4;bits4-use-double-quant=true", "sdnq;type=uint4"])
@pytest.mark.parametrize(("family", "role"), [("sd", "unet"), ("flux", "transformer"), ("flux", "text_encoder_2")])
def test_a_stored_copy_is_streamed_too(
    engine: Engine, folder: Tiny, tmp_path: Path, family: str, role: str, uri: str, shard: str | None
) -> None:
    first = engine.load(component(folder(family), role, uri))
    first.object.save_pretrained(tmp_path / role, **({} if shard is None else {"max_shard_size": shard}))
    files = sorted((tmp_path / role).glob("*.safetensors"))
    assert (len(files) > 1) == (shard is not None)
    wanted = component(folder(family), role, source=str(tmp_path))
    if uri.startswith("bnb;bits=4") and shard is not None and wanted.library == "diffusers":
        pytest.skip("diffusers looks for a 4-bit weight's scales in the weight's own file")
    second = engine.load(wanted)
    # A scale is seen once on the way and once with its weight, nothing more often.
    declared = sum(len(checkpoints.read_header(file)) for file in files)
    assert declared <= second.streamed < 2 * declared
    same(second.object, by_hand(wanted))
    same(second.object, first.object)


def test_files_in_pieces_are_streamed(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    for role in ("unet", "text_encoder"):
        engine.load(component(folder("sd"), role)).object.save_pretrained(tmp_path / role, max_shard_size="300KB")
        assert len(list((tmp_path / role).glob("*.safetensors"))) > 1
        wanted = component(folder("sd"), role, "sdnq;type=uint4", source=str(tmp_path))
        loaded = engine.load(wanted)
        assert loaded.streamed
        same(loaded.object, by_hand(wanted))


def test_no_tensor_is_read_twice(engine: Engine, folder: Tiny) -> None:
    file = folder("sd") / "unet" / "diffusion_pytorch_model.safetensors"
    for uri in (None, "bnb;bits=8", "bnb;bits=4", "sdnq"):
        assert engine.load(component(folder("sd"), "unet", uri)).streamed == len(checkpoints.read_header(file))


def test_other_files_are_opened_as_ever(folder: Tiny) -> None:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    for library, cls, role in (
        ("diffusers", UNet2DConditionModel, "unet"),
        ("transformers", CLIPTextModel, "text_encoder"),
    ):
        with streaming.streaming(torch, library, []) as streamed:
            cls.from_pretrained(folder("sd"), subfolder=role)
        # The engine takes what was mapped for what it is, and copies it.
        assert streamed.tensors == 0


def test_the_libraries_get_their_functions_back(folder: Tiny) -> None:
    from diffusers.models import model_loading_utils, modeling_utils
    from transformers import modeling_utils as others

    before = (modeling_utils.load_state_dict, model_loading_utils.load_state_dict, others.safe_open)
    for library in ("diffusers", "transformers"):
        with pytest.raises(ZeroDivisionError), streaming.streaming(torch, library, []):
            raise ZeroDivisionError
    assert (modeling_utils.load_state_dict, model_loading_utils.load_state_dict, others.safe_open) == before


def test_tensors_come_in_the_order_asked_for_and_are_checked_first(tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    stored = {
        "half": torch.randn(3, 5).half(), "none": torch.zeros(0, 4), "number": torch.tensor(2.5),
        "truth": torch.tensor([True, False]), "eight": torch.randn(7).to(torch.float8_e4m3fn),
    }  # fmt: skip
    save_file(stored, file)
    seen: list[tuple[str, int]] = []
    order = ["truth", "half", "none", "number", "eight"]
    read = dict(tensor_files.tensors(torch, file, order, lambda name, data: seen.append((name, len(data)))))
    assert list(read) == order
    assert seen == [(name, stored[name].nbytes) for name in order]
    for name, tensor in read.items():
        assert tensor.dtype == stored[name].dtype and tensor.shape == stored[name].shape
        assert torch.equal(tensor.view(-1).view(torch.uint8), stored[name].view(-1).view(torch.uint8))
        assert tensor.untyped_storage().nbytes() == tensor.nbytes

    def refuse(name: str, data: memoryview) -> None:
        raise EngineError(f"`{name}` is not what it was")

    with pytest.raises(EngineError, match="`half` is not what it was"):
        list(tensor_files.tensors(torch, file, ["half"], refuse))


@pytest.mark.parametrize(
    ("entries", "data", "message"),
    [
        ({"a": ("U8", [2], (0, 4))}, 4, "`a` has another size than its shape says"),
        ({"a": ("U8", [-2], (0, 2))}, 2, "`a` has another size than its shape says"),
        ({"a": ("U8", [2], (-2, 0))}, 2, "`a` does not begin where the header ends"),
        ({"a": ("U8", [2], (0, 2)), "b": ("U8", [2], (1, 3))}, 4, "`b` does not begin where `a` ends"),
        ({"a": ("F6_E2M3", [4], (0, 3))}, 3, "`a` is of the type `F6_E2M3`, which torch doesn't have"),
        ({"a": ("U8", [8], (0, 8))}, 4, "it has"),
    ],
)
def test_a_file_that_lies_is_refused(
    tmp_path: Path, entries: dict[str, tuple[str, list[int], tuple[int, int]]], data: int, message: str
) -> None:
    header = {name: {"dtype": kind, "shape": shape, "data_offsets": at} for name, (kind, shape, at) in entries.items()}
    text = json.dumps(header).encode()
    file = tmp_path / "some.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    with pytest.raises(EngineError, match=f"^`{re.escape(str(file))}` is damaged: {re.escape(message)}"):
        list(tensor_files.tensors(torch, file))


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    save_file({"a": torch.zeros(1000), "b": torch.zeros(1000)}, file)
    reading = tensor_files.tensors(torch, file)
    next(reading)
    with file.open("r+b") as stream:
        stream.truncate(5000)
    with pytest.raises(EngineError, match="it ends inside `b`"):
        next(reading)


@pytest.mark.parametrize("role", ["unet", "text_encoder"])
def test_a_damaged_checkpoint_is_an_error_of_the_engine(
    engine: Engine, folder: Tiny, tmp_path: Path, role: str
) -> None:
    engine.load(component(folder("sd"), role)).object.save_pretrained(tmp_path / role)
    (file,) = (tmp_path / role).glob("*.safetensors")
    header = file.read_bytes()
    file.write_bytes(header.replace(b'"F32"', b'"F16"', 1))
    with pytest.raises(EngineError, match=r"is damaged: `.*` has another size than its shape says"):
        engine.load(component(folder("sd"), role, source=str(tmp_path)))


@pytest.mark.parametrize(
    ("role", "setting", "message"),
    [
        ("unet", "in_channels", "for `conv_in.weight` of 64x7x3x3 numbers, and its file has 64x4x3x3"),
        ("text_encoder", "max_position_embeddings", "for weights of other shapes than its files have"),
    ],
)
def test_a_configuration_of_other_weights_is_told_in_our_words(
    engine: Engine, folder: Tiny, tmp_path: Path, role: str, setting: str, message: str
) -> None:
    shutil.copytree(folder("sd") / role, tmp_path / role)
    config = tmp_path / role / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | {setting: 7}), encoding="utf-8")
    with pytest.raises(EngineError) as raised:
        engine.load(component(folder("sd"), role, source=str(tmp_path)))
    assert str(raised.value).endswith(f": its configuration asks {message}")
    assert raised.value.help == (
        "take the configuration and the weights from one checkpoint: one of them was changed, or is of another"
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is measured in /proc")
def test_a_load_needs_little_more_memory_than_what_it_leaves() -> None:
    # Bytes only: seconds are the machine's.
    with tempfile.TemporaryDirectory() as folder:
        for uri in QUANTIZERS[0], QUANTIZERS[2], "sdnq;type=int8", "sdnq;type=uint4":
            command = [
                sys.executable, str(BENCHMARK), "--shape", "small-unet", "--quantizer", uri, "--folder", folder,
                "--only", "aquatint",
            ]  # fmt: skip
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            line = next(line.split() for line in told.splitlines() if line.startswith("aquatint"))
            held, peak, part_of_limit, mapped = (float(number) for number in line[1:5])
            assert held < 400, told
            # The limit is for components of gigabytes: here the buffers of one tensor weigh more.
            assert part_of_limit * 1.15 <= 1.3, told
            assert peak >= held, told
            # Pages of the checkpoint, of 585 MB.
            assert mapped < 50, told
