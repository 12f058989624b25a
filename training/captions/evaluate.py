"""How well the checkpoint rewrites: `python -m captions.evaluate`, from training/."""

import argparse
import random
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from captions import pairs
from captions.train import CHECKPOINT

SEED = 7


def main() -> None:
    """Print the share of short captions of which the model keeps all, and makes a whole one."""
    parser = argparse.ArgumentParser(prog="python -m captions.evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=CHECKPOINT)
    parser.add_argument("--prompts", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    random_, kept = random.Random(SEED), 0
    for _ in range(arguments.prompts):
        short, _ = pairs.pair(random_)
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": short}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = model.generate(**asked, do_sample=True, temperature=0.7, max_new_tokens=40)
        whole = tokenizer.decode(made[0, asked["input_ids"].shape[1] :], skip_special_tokens=True).strip()
        if pairs.is_kept(short, whole):
            kept += 1
        else:
            print(f"{short!r} became {whole!r}")
    print(f"{kept} of {arguments.prompts} kept")


if __name__ == "__main__":
    main()
