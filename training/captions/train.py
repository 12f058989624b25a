"""Makes the whole checkpoint: `python -m captions.train`, from training/. Seeded, a few minutes on one thread."""

import argparse
import json
import math
import os
import random
import shutil
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: spinning threads are far slower than one

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from captions import pairs, tokenizer

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "src" / "aquatint" / "checkpoints" / "captions"
CARD = Path(__file__).with_name("model_card.md")
STEPS = 2000
BATCH = 64
RATE = 3e-3
ALONE = 0.2
"""How often a whole caption is learned by itself, for a model that goes on from a text."""
SEED = 2026
LARGEST = 3_000_000  # bytes of the folder


def build(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained model."""
    torch.manual_seed(SEED)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=len(words), hidden_size=128, intermediate_size=384, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=tokenizer.MAX_LENGTH, tie_word_embeddings=True,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    ))  # fmt: skip


def batch(words: PreTrainedTokenizerFast, random_: random.Random, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens (size x longest) and what is to be learned of them: the whole captions, -100 elsewhere."""
    rows, learned = [], []
    mark = words.convert_tokens_to_ids(tokenizer.REWRITE)
    for _ in range(size):
        short, whole = pairs.pair(random_)
        answer = [*words(whole, add_special_tokens=False)["input_ids"], words.eos_token_id]
        asked = [words.bos_token_id]
        if random_.random() >= ALONE:
            asked += [*words(short, add_special_tokens=False)["input_ids"], mark]
        rows.append([*asked, *answer])
        learned.append([*[-100] * len(asked), *answer])
    longest = max(map(len, rows))
    tokens = [row + [words.pad_token_id] * (longest - len(row)) for row in rows]
    labels = [row + [-100] * (longest - len(row)) for row in learned]
    return torch.tensor(tokens), torch.tensor(labels)


def train(steps: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Return the trained model and its tokenizer."""
    torch.set_num_threads(1)
    words = tokenizer.build()
    model = build(words)
    random_ = random.Random(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / 50) * (0.5 + 0.5 * math.cos(math.pi * step / (steps + 1)))
        tokens, labels = batch(words, random_, BATCH)
        # What is behind a row's end is seen by nothing before it: attention looks back only.
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            print(f"step {step:,}, loss {loss.item():.3f}", flush=True)
    return model.eval(), words


def assemble(model: LlamaForCausalLM, words: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the checkpoint in `folder`, in float16."""
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    words.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.copyfile(CARD, folder / "README.md")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > LARGEST:
        raise ValueError(f"the checkpoint has {size} bytes, more than the {LARGEST} it may have")


def main() -> None:
    """Train and write the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m captions.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    arguments = parser.parse_args()
    assemble(*train(arguments.steps), arguments.out)


if __name__ == "__main__":
    main()
