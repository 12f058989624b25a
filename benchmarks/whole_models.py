"""Whole pipelines of real sizes, with random weights: what planning them takes, and loading and running them quantized.

    .venv/bin/python benchmarks/whole_models.py --model FLUX.1-dev --quantizer "bnb;bits=4;bits4-quant-type=nf4" \\
        --folder DIR

The checkpoints have the configurations of `benchmarks/estimates.py`, weights as `benchmarks/shapes.py` makes them, and
tokenizers with an alphabet for a vocabulary; they are written below `--folder` if they are not there (FLUX.1-dev:
34 GB). `aquatint plan` and `aquatint run` are whole commands with one thread; a line tells of a run what its events
say. `planned` is the most that weights and what computes with them are planned to take at a time, `measured` the most
of the process's own memory beyond what it had when the engine was there, and `rss` the most of its resident pages.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import estimates

import shapes

GB = 10**9
TOKENIZERS = {"FLUX.1-dev": ("clip", "t5"), "SDXL": ("clip", "clip"), "SD 3.5 large": ("clip", "clip", "t5")}
SCHEDULERS = {
    "FLUX.1-dev": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "use_dynamic_shifting": True}),
    "SDXL": ("EulerDiscreteScheduler", {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
    }),
    "SD 3.5 large": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
}  # fmt: skip
CLIP_VOCABULARY = 49408


def make(name: str, folder: Path) -> Path:
    """Write the pipeline called `name` below `folder` unless it is there, and return its folder."""
    home = folder / name.replace(" ", "-")
    if (home / "model_index.json").is_file():
        return home
    import diffusers
    import torch

    class_name, dtype, kinds = estimates.MODELS[name]
    generator = torch.Generator().manual_seed(0)
    index: dict[str, Any] = {"_class_name": class_name}
    for role, kind in kinds.items():
        index[role] = [kind.library, kind.class_name]
        ours = kind.library == "diffusers"
        stem = "diffusion_pytorch_model" if ours else "model"
        shapes.write_weights(home / role, stem, estimates.tensors(kind), dtype, generator)
        said = {"_class_name": kind.class_name} if ours else {"architectures": [kind.class_name], **_special(kind)}
        (home / role / "config.json").write_text(json.dumps({**said, **kind.config}))
    for number, kind_of in enumerate(TOKENIZERS[name]):
        role = "tokenizer" if not number else f"tokenizer_{number + 1}"
        tokenizer = _clip_tokenizer() if kind_of == "clip" else _t5_tokenizer()
        tokenizer.save_pretrained(home / role)
        index[role] = ["transformers", type(tokenizer).__name__]
    scheduler, options = SCHEDULERS[name]
    getattr(diffusers, scheduler)(**options).save_pretrained(home / "scheduler")
    index["scheduler"] = ["diffusers", scheduler]
    # Last: it says that the checkpoint is whole.
    (home / "model_index.json").write_text(json.dumps(index))
    return home


def _special(kind: estimates.Kind) -> dict[str, Any]:
    if kind.class_name.startswith("CLIP"):
        end = CLIP_VOCABULARY - 1
        return {"model_type": "clip_text_model", "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    return {"model_type": "t5"}


def _clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    known = [*letters, *(letter + "</w>" for letter in letters)]
    rest = [f"<unused{number}>" for number in range(CLIP_VOCABULARY - 2 - len(known))]
    begin, end = "<|startoftext|>", "<|endoftext|>"
    pieces = {piece: number for number, piece in enumerate([*known, *rest, begin, end])}
    return CLIPTokenizer(
        vocab=pieces, merges=[], bos_token=begin, eos_token=end, unk_token=end, pad_token=end, model_max_length=77
    )


def _t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\N{LOWER ONE EIGHTH BLOCK}", -99.0)]
    pieces += [(chr(code), -100.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def command(*words: str) -> tuple[str, float, float]:
    """Run `aquatint` with one thread; return what it printed, the seconds it took and the processor's seconds."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", *words], env=environment, stdout=subprocess.PIPE, text=True
    )
    took, after = time.perf_counter() - began, os.times()
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise SystemExit(f"aquatint {' '.join(words)} ended with {done.returncode}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, took, spent


def main() -> None:
    """Make the checkpoint, plan a picture of it, make that, and print a line of the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=tuple(estimates.MODELS), required=True)
    parser.add_argument("--quantizer", required=True, help="of the denoiser and every text encoder, as a URI")
    parser.add_argument("--folder", type=Path, required=True, help="where checkpoints are, and are made")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--memory", help="as `aquatint run` takes it")
    given = parser.parse_args()
    home = make(given.model, given.folder)
    script = given.folder / "picture.aqt"
    script.write_text(
        f'model m {{ source: "{home}", dtype: bfloat16, quantizer: "{given.quantizer}" }}\n'
        f'generate m {{ prompt: "a boat", seed: 1, size: {given.size}, num_inference_steps: {given.steps} }}\n'
    )
    budget = ["--memory", given.memory] if given.memory else []
    _, planning, _ = command("plan", "--device", "cpu", str(script), *budget)
    told, took, spent = command(
        "run", "--json", "--device", "cpu", "--threads", "1", "--no-store", "--existing", "overwrite", "--output-dir",
        str(given.folder), str(script), *budget,
    )  # fmt: skip
    events = [json.loads(line) for line in told.splitlines()]
    (over,) = (event for event in events if event["event"] == "run_finished")
    resident = max(event["peak_resident"] for event in events if event["event"] == "memory_used")
    loading = sum(event["seconds"] for event in events if event["event"] == "load_finished")
    print("| model | quantizer | picture | plan, s | planned | measured | rss | loading, s | in all, s | CPU s |")
    print("| --- | --- | --- |" + " ---: |" * 7)
    sizes = (over["predicted_peak"]["most"], over["measured_peak"], resident)
    print(
        f"| {given.model} | `{given.quantizer}` | {given.size}, {given.steps} step{'s' if given.steps > 1 else ''} | "
        f"{planning:.1f} | {' | '.join(f'{size / GB:.2f} GB' for size in sizes)} | {loading:.0f} | {took:.0f} | "
        f"{spent:.0f} |"
    )


if __name__ == "__main__":
    main()
