"""The text encoder, taught alone to say what a caption asks for: a stand-in for CLIP's pretraining.

The denoiser then sees it frozen, so what it must read has to be plain in the hidden states.
"""

import random
import string
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from shapes.captions import Request, caption, parse
from shapes.tokenizer import MAX_LENGTH
from shapes.world import BACKGROUNDS, COLOURS, SHAPES, sample

WIDTH = 128
STEPS = 1200
# The last positions are padding in every caption that fits; each is taught to hold one of the two things,
# so that cross-attention finds a thing with its colour and its shape together.
FIRST_THING = range(MAX_LENGTH - 8, MAX_LENGTH - 4)
SECOND_THING = range(MAX_LENGTH - 4, MAX_LENGTH)

PLACES = (None, "left", "above", "beside")
SIZES = {
    "background": len(BACKGROUNDS) + 1,
    "count": 3,
    "place": len(PLACES),
    "first colour": len(COLOURS) + 1,
    "first shape": len(SHAPES) + 1,
    "second colour": len(COLOURS) + 1,
    "second shape": len(SHAPES) + 1,
}


def build(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return an untrained text encoder."""
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # With the default of 0.02 the words are ignored for a long time.
    for name, parameter in model.named_parameters():
        if "token_embedding" in name:
            nn.init.normal_(parameter, std=0.5)
        elif "position_embedding" in name:
            nn.init.normal_(parameter, std=0.1)
    return model


def answers(request: Request | None) -> list[int]:
    """Return what the encoder should say of a request, as classes in the order of SIZES; None is the empty prompt."""
    if request is None:
        return [0] * len(SIZES)
    request = request.ordered()
    background = 0 if request.background is None else 1 + BACKGROUNDS.index(request.background)
    things = []
    for wanted in (*request.wanted, None)[:2]:
        things.append(0 if wanted is None or wanted.colour is None else 1 + COLOURS.index(wanted.colour))
        things.append(0 if wanted is None else 1 + SHAPES.index(wanted.shape))
    return [background, len(request.wanted), PLACES.index(request.relation), *things]


class Readers(nn.Module):
    """Linear readers of the attributes, used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.ModuleDict({name: nn.Linear(WIDTH, size) for name, size in SIZES.items()})
        self.first = nn.ModuleDict({name: nn.Linear(WIDTH, SIZES[name]) for name in _of("first")})
        self.second = nn.ModuleDict({name: nn.Linear(WIDTH, SIZES[name]) for name in _of("second")})

    def loss(self, hidden: Tensor, ends: Tensor, wanted: Tensor) -> Tensor:
        """Return the cross entropy of reading `wanted` (batch x attributes) at the end of each caption and after it."""
        after = (torch.arange(hidden.shape[1]) >= ends[:, None]) & (torch.arange(hidden.shape[1]) < FIRST_THING.start)
        total = hidden.new_zeros(())
        names = list(SIZES)
        for readers, states, rows in (
            (self.all, hidden[after], after.nonzero()[:, 0]),
            (self.first, hidden[:, FIRST_THING].flatten(0, 1), torch.arange(len(hidden)).repeat_interleave(4)),
            (self.second, hidden[:, SECOND_THING].flatten(0, 1), torch.arange(len(hidden)).repeat_interleave(4)),
        ):
            for name, reader in readers.items():
                total = total + nn.functional.cross_entropy(reader(states), wanted[rows, names.index(name)])
        return total / len(names)

    def correct(self, hidden: Tensor, wanted: Tensor) -> dict[str, float]:
        """Return the share of captions whose attribute is read rightly at every one of the things' positions."""
        scores = {}
        for readers, positions in ((self.first, FIRST_THING), (self.second, SECOND_THING)):
            for name, reader in readers.items():
                truth = wanted[:, list(SIZES).index(name), None]
                scores[name] = (reader(hidden[:, positions]).argmax(-1) == truth).all(1).float().mean().item()
        return scores


def _of(which: str) -> list[str]:
    return ["background", "count", "place", f"{which} colour", f"{which} shape"]


def _stray_word(random_: random.Random) -> str:
    return "".join(random_.choices(string.ascii_lowercase, k=random_.randint(3, 7)))


def batch(random_: random.Random, size: int, held_out: bool) -> tuple[list[str], Tensor]:
    """Return captions and what should be read from them."""
    texts, wanted = [], []
    for _ in range(size):
        kind = random_.choices(("one", "pair", "two", "empty"), (0.25, 0.2, 0.54, 0.01))[0]
        if kind == "empty":
            texts.append("")
            wanted.append(answers(None))
            continue
        text = caption(sample(random_, kind, held_out), random_)
        wanted.append(answers(parse(text)))
        if random_.random() < 0.08:  # a word that means nothing here should change nothing
            words = text.split(" ")
            words.insert(random_.randint(0, len(words)), _stray_word(random_))
            text = " ".join(words)
        texts.append(text)
    return texts, torch.tensor(wanted)


def tokens(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Return token numbers, padded as the pipeline pads them."""
    padded = tokenizer(texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    ids: Tensor = padded.input_ids
    return ids


@torch.no_grad()
def encode(model: CLIPTextModel, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Return the hidden states that the denoiser attends to."""
    parts = [model(tokens(tokenizer, texts[i : i + 512])).last_hidden_state for i in range(0, len(texts), 512)]
    return torch.cat(parts)


def train(
    tokenizer: CLIPTokenizer, folder: Path, say: Callable[[str], None], steps: int = STEPS, seed: int = 1
) -> None:
    """Train a text encoder and save it in `folder`."""
    torch.manual_seed(seed)
    random_ = random.Random(seed)
    model, readers = build(tokenizer), Readers()
    model.train()
    parameters = [*model.parameters(), *readers.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps, pct_start=0.05)
    for step in range(1, steps + 1):
        texts, wanted = batch(random_, 128, held_out=False)
        ids = tokens(tokenizer, texts)
        ends = (ids == tokenizer.eos_token_id).int().argmax(1)
        hidden = model(ids).last_hidden_state
        # The noise asks for a margin: what is read must stand out, as a quantized encoder will be a little off.
        loss = readers.loss(hidden + 0.2 * torch.randn_like(hidden), ends, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            texts, wanted = batch(random_, 1000, held_out=True)
            scores = readers.correct(encode(model.eval(), tokenizer, texts), wanted)
            model.train()
            worst = min(scores, key=scores.__getitem__)
            say(f"text encoder, step {step}: loss {loss.item():.4f}, worst held out {worst} {scores[worst]:.3f}")
    model.eval().save_pretrained(folder)
