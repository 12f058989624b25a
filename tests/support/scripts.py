"""Scripts for property tests: mutated real ones, soups of tokens, and ones made from the grammar's shapes.

`sources` are the scripts that mutations start from: the examples and every case of `tests/spec`.
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from support import cases

ROOT = Path(__file__).parents[2]

_TOKEN = re.compile(r'"""|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z_]\w*|\d[\w.]*|[^\w\s]|\n|[ \t]+')

_VOCABULARY = r"""
let param quantizer model upscaler weighter override extends with for in if else def task include as generate upscale
compare grid save print assert and or not true false none step x y m q xs backend sdnq bnb bits source prompt seed
output size defaults unet vae text_encoder dtype weights_dtype int8 nf4 len range slug device 0 1 2 7.5 1e3 64x64 8GiB
1_000 "models/sd" "cat" "{{x}}" "out/{{seed}}.png" 'raw' \"\"\" " ' { } ( ) [ ] , : ; = == != < <= > >= + - * / // % **
.. . \ # & ? {{ }} {% %}
"""
WORDS = (*_VOCABULARY.split(), "\n", "\n", "\n", "\t", "\0", "\r", "\ufeff", "\N{SNOWMAN}")
_SETTINGS = """
source dtype variant quantizer quantizer_map backend bits weights_dtype group_size quant_conv prompt seed images size
width output scheduler metadata num_inference_steps guidance_scale clip_skip timesteps sigmas rows columns labels title
negative_prompt cross_attention_kwargs eta subfolder revision
"""
_OPERATORS = "+ - * / // % ** == != < <= > >= in and or"
_FUNCTIONS = "len range zip enumerate product seeds join slug min max sum sorted unique str int float size x q"


@cache
def sources() -> tuple[str, ...]:
    """Return the scripts of the examples and of the cases."""
    texts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "examples").glob("*.aqt"))]
    for file in sorted((ROOT / "tests" / "spec").glob("*.md")):
        # Those that are there to reach a limit take their time.
        texts += [case.script.text for case in cases.read_cases(file) if not case.heading.startswith("Too")]
    return tuple(texts)


def soups() -> st.SearchStrategy[str]:
    """Texts of words of the language in any order."""
    return st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)


def mutants() -> st.SearchStrategy[str]:
    """Real scripts with a few tokens taken out, doubled, swapped, put in, or cut off."""
    return st.builds(mutated, st.sampled_from(sources()), st.randoms(use_true_random=False), st.integers(1, 4))


def mutated(text: str, draw: random.Random, times: int) -> str:
    """Return `text` after so many mutations."""
    tokens = _TOKEN.findall(text)
    for _ in range(times):
        if not tokens:
            break
        place, other = draw.randrange(len(tokens)), draw.randrange(len(tokens))
        match draw.randrange(7):
            case 0:
                del tokens[place]
            case 1:
                tokens.insert(place, tokens[other])
            case 2:
                tokens[place], tokens[other] = tokens[other], tokens[place]
            case 3:
                tokens[place] = draw.choice(WORDS)
            case 4:
                tokens.insert(place, draw.choice(WORDS))
            case 5:
                tokens[place] = tokens[place][:-1] or "x"
            case 6:
                tokens = tokens[:place] if draw.randrange(4) == 0 else tokens[place:]
    return "".join(tokens)


# Scripts that parse, built from the leaves up. With a random source rather than strategies of strategies, which take
# a hundred times as long.

_NAMES = ("x", "y", "xs", "q", "m", "n", "step")
_LEAVES = (
    "-3", "0", "1", "2", "64", "300", "0.5", "1e5", "true", "false", "none", "64x64", "8x16", "1KiB", "int8", "nf4",
    "sdnq", "bnb", "1..3", "0..4 step 2", '"models/sd"', '"models/sdxl"', '"a cat"', "'raw'", '""', '"a.png"',
    '"sdnq;weights-dtype=uint4"', '"{{ x }}"', '"{{ xs | random }}-{{ q.name }}"', '"{{ x + 1 }}"', '"{{ x }}.png"',
    '"{% for i in xs %}{{ i }}{% endfor %}"', '"{{ m.source | slug }}"', '"{{ [1, 2] | shuffle }}"', *_NAMES, *_NAMES,
)  # fmt: skip
_EXPRESSIONS = (
    "(E O E)", "(E O E)", "[]", "[E]", "[E, E, E]", "F(E)", "F(E, E)", "F()", "E[E]", "E[E:]", "E[:E]", "E.A",
    "(E if E else E)", "[E for x in E if E]", "[E for x in E for y in E]", "{ a: E, b: E }", "(not E)", "(-E)",
    "(N with B)", "(generate N B)",
)  # fmt: skip
_STATEMENTS = (
    "let N = E", "let N, N = E", "override N B", "quantizer N B", "model N B", "quantizer N = E", "model N extends N B",
    "generate N B", "grid B", "print E", "assert E, E", "param N = E", "for N in E {\nS\nS\n}", "for N, N in E { S }",
    "if E { S } else { S }",
)  # fmt: skip
_BLOCKS = ("{ }", "{ K: E }", "{ K: E, K: E }", "{ P { K: E } }", "{ K: E, P { K: E }, K: E }")
_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "defaults")
_MEMBERS = ("name", "path", "images", "label", "width", "a")

PREAMBLE = """\
let xs = [1, 2, "three"]
let x = 3
quantizer q { backend: sdnq, weights_dtype: int8 }
model m { source: "models/sd", defaults { prompt: "a cat", seed: 1 } }
"""


def made(template: str, draw: random.Random, depth: int) -> str:
    """Return `template` with its capital letters replaced by what they stand for, so deep at most."""

    def one(letter: re.Match[str]) -> str:
        match letter[0]:
            case "E":
                is_leaf = depth <= 0 or draw.random() < 0.4
                return draw.choice(_LEAVES) if is_leaf else made(draw.choice(_EXPRESSIONS), draw, depth - 1)
            case "S":
                return made(draw.choice(_STATEMENTS[:-3] if depth <= 0 else _STATEMENTS), draw, depth - 1)
            case "B":
                return made(draw.choice(_BLOCKS), draw, depth - 1)
        words = {"N": _NAMES, "O": (*_OPERATORS.split(), "not in"), "F": _FUNCTIONS.split(), "A": _MEMBERS,
                 "K": _SETTINGS.split(), "P": _PARTS}  # fmt: skip
        return draw.choice(words[letter[0]])

    return re.sub(r"\b[A-Z]\b", one, template)


def scripts() -> st.SearchStrategy[str]:
    """Scripts that parse; most have mistakes in what they mean, made inside a block, over the names before it."""

    def script(draw: random.Random) -> str:
        return PREAMBLE + "if true {\n" + "\n".join(made("S", draw, 3) for _ in range(draw.randrange(1, 8))) + "\n}\n"

    return st.randoms(use_true_random=False).map(script)


def expressions() -> st.SearchStrategy[str]:
    """Expressions over the names of `PREAMBLE`."""
    return st.randoms(use_true_random=False).map(lambda draw: made("E", draw, 4))
