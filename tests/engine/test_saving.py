"""Saved models: plain diffusers programs make the same pictures with them, and so does this one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from aquatint.catalog import checkpoints, quantizers
from aquatint.catalog.stored import differences, rounded
from aquatint.runtime.engine import Engine, EngineError, Form
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import TorchEngine, weights
from engine import plain_saved
from support.scenes import component, drawn, everywhere, load, paint, scene

Tiny = Callable[[str], Path]

URIS = {
    "none": None,
    "bnb8": "bnb",
    "nf4": "bnb;bits=4;bits4-quant-type=nf4;bits4-use-double-quant=true",
    "int8": "sdnq;type=int8;quant-conv=true",
    "uint4": "sdnq;type=uint4;quant-conv=true",
    "svd": "sdnq;type=uint4;use-svd=true;svd-rank=8",
}
CASES = [
    *((name, kind) for name in ("sd", "sdxl", "flux") for kind in URIS),
    *(("sd3", kind) for kind in ("nf4", "int8")),
    *(("zimage", kind) for kind in ("bnb8", "nf4", "uint4")),
]


@pytest.fixture(scope="module")
def saved(engine: Engine, folder: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Every case, saved; its quantizer is on the denoiser and the text encoders."""
    root = tmp_path_factory.mktemp("saved")
    made = {}
    for name, kind in CASES:
        source, uri = folder(name), URIS[kind]
        drawn = scene(source, everywhere(source, uri) if uri else None)
        target = root / f"{name}-{kind}"
        target.mkdir()
        engine.save(drawn.pipeline, load(engine, drawn), target, Form())
        made[name, kind] = target
    return made


@pytest.fixture(scope="module")
def elsewhere(saved: dict[tuple[str, str], Path]) -> dict[tuple[str, str], str]:
    """The hashes of the pictures that a plain program makes with what was saved, in a process of its own."""
    done = subprocess.run(
        [sys.executable, plain_saved.__file__, *map(str, saved.values())],
        env=os.environ | {"PYTHONHASHSEED": "17"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(saved, done.stdout.split(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_same_pixels_elsewhere_and_here(
    engine: Engine,
    folder: Tiny,
    saved: dict[tuple[str, str], Path],
    elsewhere: dict[tuple[str, str], str],
    name: str,
    kind: str,
) -> None:
    source, uri = folder(name), URIS[kind]
    first = paint(engine, scene(source, everywhere(source, uri) if uri else None))
    assert elsewhere[name, kind] == hashlib.sha256(first).hexdigest()
    before = engine.counters.quantizations
    assert paint(engine, scene(saved[name, kind])) == first
    assert engine.counters.quantizations == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bnb8", "nf4", "int8", "svd"])
def test_what_was_made_with_a_model_leaves_no_trace_in_its_files(
    engine: Engine, folder: Tiny, saved: dict[tuple[str, str], Path], tmp_path: Path, kind: str
) -> None:
    source = folder("flux")
    asked = scene(source, everywhere(source, URIS[kind] or ""))
    parts = load(engine, asked)
    pipeline = engine.assemble(asked.pipeline, parts)
    first = drawn(engine, pipeline, asked.generation, lambda done, total: None).tobytes()
    engine.save(asked.pipeline, parts, tmp_path, Form())
    assert content(tmp_path) == content(saved["flux", kind])
    assert drawn(engine, pipeline, asked.generation, lambda done, total: None).tobytes() == first


@pytest.mark.slow
def test_nothing_of_this_machine_is_written(saved: dict[tuple[str, str], Path], folder: Tiny) -> None:
    for (name, _), made in saved.items():
        texts = [file.read_text(encoding="utf-8") for file in made.rglob("*.json")]
        assert [text for text in texts if str(folder(name).parent) in text or "_name_or_path" in text] == []


@pytest.mark.slow
def test_the_index_is_that_of_diffusers(saved: dict[tuple[str, str], Path], folder: Tiny) -> None:
    for (name, _), made in saved.items():
        index, original = (json.loads((each / "model_index.json").read_text()) for each in (made, folder(name)))
        assert index == original


def test_some_parts_under_other_names(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    source = folder("flux")
    drawn = scene(source, everywhere(source, "sdnq;type=int8"))
    parts = {role: part for role, part in load(engine, drawn).items() if role in ("transformer", "text_encoder_2")}
    form = Form(roles=["transformer", "text_encoder_2"], variant="int8", max_shard_size=200_000)
    engine.save(drawn.pipeline, parts, tmp_path, form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text_encoder_2", "transformer"]
    for role in parts:
        files = checkpoints.weight_files(tmp_path, role, "int8")
        assert len(files) > 2
        made, again = drawn.components[role], component(source, role, source=str(tmp_path), variant="int8")
        assert made is not None
        loaded = engine.load(again)
        assert (loaded.bytes, loaded.quantized_layers) == (parts[role].bytes, parts[role].quantized_layers)  # type: ignore[union-attr]
    mixed = replace(drawn, components=drawn.components | {
        role: component(source, role, source=str(tmp_path), variant="int8", key=f"saved {role}") for role in parts
    })  # fmt: skip
    keys = {role: part and part.key for role, part in mixed.components.items()}
    assert paint(engine, replace(mixed, pipeline=msgspec.structs.replace(drawn.pipeline, parts=keys))) == paint(
        engine, drawn
    )


def test_what_the_disk_refuses_is_told_as_that(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    drawn = scene(folder("sd"))
    parts = load(engine, drawn)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(OSError) as error:
            engine.save(drawn.pipeline, parts, tmp_path, Form())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.errno == errno.EFBIG


def test_a_library_that_fails_is_an_engine_error(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    drawn = scene(folder("sd"))
    form: Any = Form(max_shard_size="many")  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="can't save `text_encoder`"):
        engine.save(drawn.pipeline, load(engine, drawn), tmp_path, form)


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` by its name there."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


OPTIONS = [
    "bnb;bits=8;llm-int8-threshold=4.5;skip-modules=proj_out,wo",
    "bnb;bits=4;bits4-compute-dtype=bfloat16;skip-modules=proj_out",
    "sdnq;type=int8;use-quantized-matmul=true;skip-modules=attn2,wo",
    "sdnq;type=uint4;dynamic=true;dynamic-loss-threshold=0.001",
    'sdnq;type=int8;modules-dtype-dict={"uint4":["ff","DenseReluDense"]}',
    'sdnq;type=uint4;modules-quant-config={"attn":{"group_size":32}}',
    "sdnq;type=uint4;group-size=32;use-hadamard=true;hadamard-group-size=64",
    "sdnq;type=uint3;use-codebook=true;codebook-steps=2",
    "sdnq;type=float8_e4m3fn;add-skip-keys=false;dequantize-fp32=false",
    "sdnq;type=uint4;quant-embedding=true",
]


@pytest.mark.parametrize("uri", OPTIONS)
@pytest.mark.parametrize("role", ["transformer", "text_encoder_2"])
def test_every_option_is_read_back(engine: Engine, folder: Tiny, tmp_path: Path, role: str, uri: str) -> None:
    source = folder("flux")
    drawn = scene(source)
    first = engine.load(component(source, role, uri))
    engine.save(drawn.pipeline, {role: first}, tmp_path, Form(roles=[role]))
    second = engine.load(component(source, role, source=str(tmp_path)))
    assert second.quantized_layers == first.quantized_layers > 0
    held = [[tensor for _, _, tensor in weights.held(torch, each.object)] for each in (first, second)]
    assert [bits(tensor) for tensor in held[0]] == [bits(tensor) for tensor in held[1]]
    part = checkpoints.read_component(tmp_path, role, like(source, role))
    assert part.stored is not None
    backend, options = quantizers.parse_uri(uri)
    assert part.stored.name == quantizers.label(backend, options)
    assert differences(part.stored, backend, options) == []
    assert differences(part.stored, backend, options | other(backend)) != []


HALF = [
    "bnb;bits=4;bits4-use-double-quant=true", "bnb", "sdnq;type=int8", "sdnq;type=uint4;group-size=32",
    "sdnq;type=int8;dequantize-fp32=false", "sdnq;type=uint4;dequantize-fp32=false",
    "sdnq;type=uint4;use-hadamard=true;dequantize-fp32=false",
]  # fmt: skip


@pytest.mark.parametrize("uri", HALF)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("role", ["transformer", "text_encoder_2"])
def test_what_is_read_back_rounded_is_known(
    engine: Engine, folder: Tiny, tmp_path: Path, role: str, dtype: str, uri: str
) -> None:
    source = folder("flux")
    asked = component(source, role, uri, dtype)
    first = engine.load(asked)
    engine.save(scene(source).pipeline, {role: first}, tmp_path, Form(roles=[role]))
    second = engine.load(component(source, role, dtype=dtype, source=str(tmp_path)))
    held = [[bits(tensor) for _, _, tensor in weights.held(torch, each.object)] for each in (first, second)]
    quantization = asked.quantization
    assert quantization is not None
    is_rounded = rounded(quantization.backend, quantization.options, asked.library, dtype)
    assert (held[0] != held[1]) == bool(is_rounded)
    assert is_rounded in ({}, {"dequantize_fp32": False})


def other(backend: str) -> dict[str, object]:
    """Return an option that none of `OPTIONS` has."""
    return {"bits4_quant_type": "nf4", "bits": 4} if backend == "bnb" else {"weights_dtype": "int6"}


def like(source: Path, role: str) -> checkpoints.Part:
    """Return the part of that role."""
    part = checkpoints.read_checkpoint(str(source)).parts[role]
    assert part is not None
    return part


def bits(tensor: torch.Tensor) -> bytes:
    """Return what a tensor holds, and in which form."""
    body = tensor.detach().contiguous().reshape(-1)
    return f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + body.view(torch.uint8).numpy().tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_what_comes_from_a_store_is_saved_alike(
    folder: Tiny, saved: dict[tuple[str, str], Path], tmp_path: Path, kind: str
) -> None:
    source = folder("flux")
    # Each stands for a process of its own.
    engines = [TorchEngine(threads=1, store=Store(tmp_path / "store", minimum=0)) for _ in range(2)]
    drawn = scene(source, everywhere(source, URIS[kind] or ""))
    for number, each in enumerate(engines):
        target = tmp_path / str(number)
        target.mkdir()
        each.save(drawn.pipeline, load(each, drawn), target, Form())
        # sdnq takes note that it has read a list of modules to which it had added.
        alike = {
            name: body.replace(b'"add_skip_keys": false', b'"add_skip_keys": true')
            for name, body in content(target).items()
        }
        assert alike == content(saved["flux", kind])
    assert engines[1].counters.restored > 0
    assert paint(engines[1], scene(tmp_path / "1")) == paint(engines[1], drawn)


@pytest.mark.parametrize("kind", ["bnb8", "nf4", "uint4"])
def test_what_was_stored_quantized_is_saved_again(
    engine: Engine, saved: dict[tuple[str, str], Path], tmp_path: Path, kind: str
) -> None:
    stored = scene(saved["flux", kind])
    engine.save(stored.pipeline, load(engine, stored), tmp_path, Form())
    weights_of = [{name: body for name, body in content(each).items() if name.endswith(".safetensors")}
                  for each in (tmp_path, saved["flux", kind])]  # fmt: skip
    assert weights_of[0] == weights_of[1]
    assert paint(engine, scene(tmp_path)) == paint(engine, stored)
