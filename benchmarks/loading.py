"""Memory and time of loading a large component quantized, beside the library's own `from_pretrained`.

    .venv/bin/python benchmarks/loading.py --shape sdxl-unet --quantizer "sdnq;weights-dtype=int8" --folder DIR

Makes the checkpoint below `--folder` if it is not there (`benchmarks/shapes.py`), and loads it in a fresh process for
each line of the table: `library` is `from_pretrained` with the same configuration, `aquatint` the engine's `load`. With
`--stored` a copy is saved quantized, loaded again, and its bytes are read without doing anything with them. With
`--step` the loaded denoiser is called three times; each time has its peak, own pages above the baseline (20 looks a
second).

A process's baseline is taken when everything is imported, before anything is loaded. `peak` is the most anonymous
memory above it (`RssAnon`, which the system can't drop, sampled every 2 ms), `file` the most of mapped files. The limit
of the peak is 1.15 x (bytes of the quantized component + its largest tensor as it is stored). With one thread, seconds
of the processor are what can be compared; `wall` is whatever else the machine did.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import measured

import shapes

LIMIT = 1.15
WAYS = ("library", "aquatint")
MB = 10**6


@dataclass(frozen=True)
class Measured:
    """What one process came to; sizes in bytes, times in seconds."""

    peak: int
    file: int
    cpu: float
    wall: float
    told: dict[str, Any]


def main() -> None:
    """Print the table, or, for a process that the table is made of, do its part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=shapes.SHAPES, default="small-unet")
    parser.add_argument("--quantizer", help="a quantizer's URI; none loads the component as it is")
    parser.add_argument("--folder", type=Path, required=True, help="where checkpoints are, and are made")
    parser.add_argument("--only", choices=WAYS, help="measure this way alone")
    parser.add_argument("--stored", action="store_true", help="load from a copy that is saved quantized as well")
    parser.add_argument("--step", action="store_true", help="call the denoiser once")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        _part(given.part, given.shape, given.quantizer, given.folder, given.step)
    else:
        _table(given)


def _table(given: argparse.Namespace) -> None:
    source = shapes.make(given.shape, given.folder)
    files = sorted((source / shapes.SHAPES[given.shape].role).glob("*.safetensors"))
    largest = max(tensor.end - tensor.start for file in files for tensor in _header(file))
    print(f"{given.shape}, {given.quantizer or 'not quantized'}: {sum(f.stat().st_size for f in files) / MB:.0f} MB")
    print(f"{'':<14}{'held MB':>9}{'peak MB':>9}{'of limit':>9}{'file MB':>9}{'cpu s':>9}{'wall s':>9}")
    seconds = {}
    for way in WAYS if given.only is None else (given.only,):
        measured = _measure(given, way)
        held = measured.told["bytes"]
        _line(way, measured, held, measured.peak / (LIMIT * (held + largest)))
        seconds[way] = measured.cpu
        if "steps" in measured.told:
            for step in measured.told["steps"]:
                print(f"{'':<14}one step: {step}")
    if len(seconds) == 2:
        print(f"cpu, aquatint / library: {seconds['aquatint'] / seconds['library']:.2f}")
    if given.stored:
        _stored(given)


def _stored(given: argparse.Namespace) -> None:
    _measure(given, "save")
    seconds = {}
    for way in ("read", "stored"):
        measured = _measure(given, way)
        _line(way, measured, measured.told["bytes"], None)
        seconds[way] = measured.cpu
    print(f"cpu, stored / read: {seconds['stored'] / seconds['read']:.2f}")


def _line(way: str, measured: Measured, held: int, ratio: float | None) -> None:
    print(
        f"{way:<14}{held / MB:>9.0f}{measured.peak / MB:>9.0f}{'' if ratio is None else f'{ratio:.2f}':>9}"
        f"{measured.file / MB:>9.0f}{measured.cpu:>9.1f}{measured.wall:>9.1f}", flush=True,
    )  # fmt: skip


def _header(file: Path) -> list[Any]:
    from aquatint.catalog.checkpoints import read_header

    return read_header(file)


def _measure(given: argparse.Namespace, part: str) -> Measured:
    command = [sys.executable, __file__, "--part", part, "--shape", given.shape, "--folder", str(given.folder)]
    command += ["--quantizer", given.quantizer] if given.quantizer else []
    command += ["--step"] if given.step else []
    told, (peak, file) = measured(command, ["RssAnon", "RssFile"])
    return Measured(peak, file, told["cpu"], told["wall"], told)


def _part(part: str, name: str, uri: str | None, folder: Path, step: bool) -> None:
    """Do one line of the table in this process: import all, say so, wait, load, tell."""
    from aquatint.catalog import quantizers
    from aquatint.runtime.memory_probe import Meter, usage
    from aquatint.runtime.torch_engine import TorchEngine, backend, tensor_files
    from aquatint.runtime.torch_engine.bitsandbytes_cpu import without_gpu_check
    from aquatint.runtime.torch_engine.libraries import libraries

    shape = shapes.SHAPES[name]
    source = folder / name
    saved = folder / f"{name}-{''.join(c if c.isalnum() else '-' for c in uri or 'plain')}"
    found = libraries()
    engine = TorchEngine(threads=1)
    component = _component(saved if part == "stored" else source, shape, None if part == "stored" else uri)
    cls = getattr(found.diffusers, shape.class_name)
    half = configuration = None
    if component.quantization is not None:
        half = backend.of(component.quantization.backend)
        options = quantizers.canonical(component.quantization.backend, component.quantization.options)
        configuration = half.configuration(found, "diffusers", options, "cpu")
    meter = Meter(usage)
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, wall = _cpu(), time.perf_counter()
    module: Any = None
    if part == "library":
        wanted = {} if configuration is None else {"quantization_config": configuration}
        # diffusers refuses bitsandbytes on a CPU; nothing else of what our loads do is done for the library.
        with without_gpu_check():
            module = cls.from_pretrained(
                source,
                subfolder=shape.role,
                torch_dtype=getattr(found.torch, shape.dtype),
                use_safetensors=True,
                **wanted,
            )
    elif part == "read":
        kept = [
            tensor for file in sorted((saved / shape.role).glob("*.safetensors"))
            for _, tensor in tensor_files.tensors(found.torch, file)
        ]  # fmt: skip
    else:
        module = engine.load(component).object
    told = {"cpu": _cpu() - cpu, "wall": time.perf_counter() - wall}
    if module is None:
        told["bytes"] = sum(tensor.nbytes for tensor in kept)
    else:
        from aquatint.runtime.torch_engine.weights import total_bytes

        told["bytes"] = total_bytes(found.torch, module)
    print(json.dumps(told), flush=True)
    if part == "save":
        module.save_pretrained(saved / shape.role)
        (saved / "model_index.json").write_text((source / "model_index.json").read_text())
    if step and part == "aquatint":
        print(json.dumps({"steps": list(_steps(found.torch, module, shape, meter))}), flush=True)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _component(source: Path, shape: shapes.Shape, uri: str | None) -> Any:
    from aquatint.catalog import checkpoints, estimates, quantizer_backends, quantizers
    from aquatint.plan.steps import ByteRange, Component, Quantization

    part = checkpoints.read_checkpoint(str(source)).parts[shape.role]
    assert part is not None
    estimate = estimates.as_filed(source, part, None, shape.dtype)
    size, quantization = estimate.most, None
    if uri is not None:
        name, given = quantizers.parse_uri(uri)
        options = quantizers.canonical(name, given)
        quantization = Quantization(name, options, uri)
        half = quantizer_backends.backend(name)
        assert half is not None
        estimate = estimates.quantized(*estimates.read(source, part, None, shape.dtype), half, options)
    return Component(
        key="0" * 64, role=shape.role, library="diffusers", class_name=shape.class_name, source=str(source),
        subfolder=shape.role, variant=None, revision=None, dtype=shape.dtype, device="cpu", quantization=quantization,
        identity="", bytes=size, held=ByteRange(estimate.least, estimate.most),
    )  # fmt: skip


def _steps(torch: Any, module: Any, shape: shapes.Shape, meter: Any) -> Iterator[str]:
    """Yield what each of three calls took, with what they leave given back between them as a run does it."""
    from aquatint.runtime.torch_engine.memory import Slack

    slack = Slack()
    for _ in range(3):
        begun = _cpu()
        meter.begin()
        with torch.inference_mode():
            told, finite = _step(torch, module, shape)
        meter.end()
        yield f"{_cpu() - begun:.1f} cpu s, {meter.above().own / MB:.0f} MB at most, {told}, finite: {finite}"
        slack.look()


def _step(torch: Any, module: Any, shape: shapes.Shape) -> tuple[list[int], bool]:
    """Call the denoiser for a small picture (256 pixels a side) and return the shape of what comes out."""
    dtype = getattr(torch, shape.dtype)
    generator = torch.Generator().manual_seed(1)

    def noise(*sides: int) -> Any:
        return torch.randn(sides, generator=generator).to(dtype)

    if shape.role == "unet":
        out = module(
            noise(1, 4, 32, 32), torch.tensor(500), encoder_hidden_states=noise(1, 77, 2048),
            added_cond_kwargs={"text_embeds": noise(1, 1280), "time_ids": torch.zeros(1, 6, dtype=dtype)},
        )  # fmt: skip
    else:
        out = module(
            hidden_states=noise(1, 256, 64), encoder_hidden_states=noise(1, 64, 4096),
            pooled_projections=noise(1, 768), timestep=torch.tensor([0.5], dtype=dtype),
            guidance=torch.tensor([3.5], dtype=dtype), txt_ids=torch.zeros(64, 3), img_ids=torch.zeros(256, 3),
        )  # fmt: skip
    return list(out.sample.shape), bool(torch.isfinite(out.sample).all())


if __name__ == "__main__":
    main()
