"""Weighters with real libraries: embeddings beside those of other computations, and pictures beside the pipeline's own.

The tiny tokenizers take letters for tokens, so that a chunk is 75 letters.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from aquatint.catalog import compel
from aquatint.catalog.weighting import PIPELINES
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import Event, LoadSpared, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.late_loads import encoders, nothing
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import TorchEngine, a1111_weighter, compel_weighter
from aquatint.runtime.torch_engine.libraries import libraries
from support import cases, planned
from support.lengths import one_fast

Tiny = Callable[[str], Path]

FAMILIES = ["sd", "sdxl", "sd3", "flux"]
A1111 = {"emphasis": "original", "comma_padding_backtrack": 20}
WEIGHTED = {"a1111": "a (red:1.5) cat", "compel": "a (red)1.5 cat"}
LONG = "a small house in the green tree, " * 4  # 104 letters


def pipeline(folder: Path) -> Any:
    """Return the checkpoint's pipeline, as diffusers itself loads it."""
    import diffusers

    made = diffusers.DiffusionPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


def encoded(made: Any, options: Mapping[str, Any] | None, **prompts: Any) -> list[Any]:
    """Return what `made` encodes of `prompts`: by `a1111` with these options, None for `compel`."""
    module: Any = compel_weighter if options is None else a1111_weighter
    guided = {} if "Flux" in type(made).__name__ else {"do_classifier_free_guidance": True, "device": "cpu"}
    if "num_images_per_prompt" in inspect.signature(made.encode_prompt).parameters:
        guided["num_images_per_prompt"] = 1
    if "prompt_2" in inspect.signature(made.encode_prompt).parameters:
        prompts.setdefault("prompt_2", None)
    if "prompt_3" in inspect.signature(made.encode_prompt).parameters:
        prompts.setdefault("prompt_3", None)
    with torch.no_grad(), module.weighing(libraries(), made, prompts, options or {}) as given:
        return list(made.encode_prompt(**given, **guided))


def tokens(made: Any, text: str) -> list[int]:
    return list(made.tokenizer(text, add_special_tokens=False)["input_ids"])


def states(made: Any, ids: list[int]) -> Any:
    """Return what CLIP makes of one chunk of tokens."""
    own = made.tokenizer
    padded = [own.bos_token_id, *ids, own.eos_token_id, *[own.pad_token_id] * (75 - len(ids))]
    with torch.no_grad():
        return made.text_encoder(torch.tensor([padded]))[0]


@pytest.mark.parametrize("family", one_fast(FAMILIES))
def test_a_prompt_without_weights_is_the_pipelines_own(engine: TorchEngine, folder: Tiny, family: str) -> None:
    """Also where brackets mean nothing; and one with weights makes another picture."""
    negative = "" if family == "flux" else 'negative_prompt: "a blue boat"'
    settings = f'seed: 7, num_inference_steps: 2, size: 64x64, {negative}, output: "{{{{ seed }}}}-{{}}.png"'
    settings = settings.replace("{{ seed }}", "p").replace(", ,", ",")
    script = f"""
generate m {{ prompt: "a red cat", {settings.format(0)} }}
generate m {{ prompt: "a red cat", weighter: "a1111", {settings.format(1)} }}
generate m {{ prompt: "a red cat", weighter: "compel", {settings.format(2)} }}
generate m {{ prompt: "{WEIGHTED["a1111"]}", weighter: "a1111", {settings.format(3)} }}
generate m {{ prompt: "{WEIGHTED["compel"]}", weighter: "compel", {settings.format(4)} }}
"""
    plain, a1111, compel, *weighted = planned.paint(engine, planned.model(folder(family), "", after=script))
    assert a1111 == plain
    assert compel == plain
    assert plain not in weighted and len({*weighted}) == 2


def test_a1111_multiplies_and_keeps_each_chunks_mean(folder: Tiny) -> None:
    made = pipeline(folder("sd"))
    prompt, negative, *_ = encoded(made, A1111, prompt="a (red:1.5) [cat] \\(x\\)", negative_prompt="((blue)) boat")
    pieces = [("a", 1), ("red", 1.5), ("cat", 1 / 1.1), ("(x)", 1)]
    ids = [token for text, _ in pieces for token in tokens(made, text)]
    weights = [1.0, *(weight for text, weight in pieces for _ in tokens(made, text))]
    plain = states(made, ids)
    scaled = plain * torch.tensor([*weights, *[1.0] * (77 - len(weights))])[None, :, None]
    assert torch.allclose(prompt, scaled * (plain.mean() / scaled.mean()), atol=1e-6)
    plain = states(made, tokens(made, "blue boat"))
    scaled = plain * torch.tensor([1.0, *[1.1 * 1.1] * 4, *[1.0] * 72])[None, :, None]
    assert torch.allclose(negative, scaled * (plain.mean() / scaled.mean()), atol=1e-6)
    bare, *_ = encoded(made, {**A1111, "emphasis": "no_norm"}, prompt="(red:2)", negative_prompt="")
    assert torch.equal(bare[:, 1:4], states(made, tokens(made, "red"))[:, 1:4] * 2)


def test_a_long_prompt_is_read_in_chunks_that_end_at_commas(folder: Tiny) -> None:
    """The other prompt gets as many chunks, and the pooled embedding is the first chunk's."""
    made = pipeline(folder("sd"))
    phrase = tokens(made, "a small house in the green tree,")
    backtrack = {**A1111, "comma_padding_backtrack": 30}
    prompt, negative, *_ = encoded(made, backtrack, prompt=LONG, negative_prompt="a boat")
    chunks = [phrase * 2, phrase * 2]
    assert len(phrase) == 26
    assert torch.equal(prompt, torch.cat([states(made, chunk) for chunk in chunks], dim=1))
    assert torch.equal(negative, torch.cat([states(made, tokens(made, "a boat")), states(made, [])], dim=1))
    cut, *_ = encoded(made, A1111, prompt=LONG, negative_prompt="")  # 20: the last comma is 24 tokens away
    ids = phrase * 4
    assert torch.equal(cut, torch.cat([states(made, ids[:75]), states(made, ids[75:])], dim=1))
    broken, *_ = encoded(made, A1111, prompt="a cat BREAK a (dog:0.5)", negative_prompt="")
    assert broken.shape[1] == 154 and torch.equal(broken[:, :77], states(made, tokens(made, "a cat")))
    xl = pipeline(folder("sdxl"))
    first, _, pooled, _ = encoded(xl, A1111, prompt="a cat BREAK a dog", negative_prompt="")
    alone, _, own, _ = encoded(xl, A1111, prompt="a cat", negative_prompt="")
    assert first.shape[1] == 154 and torch.equal(first[:, :77], alone) and torch.equal(pooled, own)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_compel_makes_what_the_library_makes(folder: Tiny, family: str) -> None:
    from compel import Compel, ReturnedEmbeddingsType

    made = pipeline(folder(family))
    if family == "sd":
        theirs = Compel(made.tokenizer, made.text_encoder)
    else:
        kind = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
        theirs = Compel([made.tokenizer, made.tokenizer_2], [made.text_encoder, made.text_encoder_2],
                        returned_embeddings_type=kind, requires_pooled=[False, True])  # fmt: skip
    for prompt in ("a red++ cat", "a (red boat)1.4, a house", "a red cat-- on the tree", "(a (red)0.3 boat)+ house-"):
        ours, *_ = encoded(made, None, prompt=prompt, negative_prompt="")
        with torch.no_grad():
            expected = theirs(prompt)
        expected = expected[0] if isinstance(expected, tuple) else expected
        assert float((ours - expected).abs().max()) < 2e-6
        assert not torch.allclose(ours, encoded(made, None, prompt="a red cat", negative_prompt="")[0], atol=1e-3)


@pytest.mark.parametrize("prompt", [
    "a cat++ dog", "cat+, dog", "(two words)1.3 x", "(a (b)1.2 c)++", "cat-", "well-known thing", "a - b", "C++ code",
    r"\(cat\) x", r"\(cat\)+ x", "(cat)+-", "(cat)1.3+", '"quoted words"++ b', '"quoted words" b', "(cat)-1.2",
    "it's+ 5", "a, b,c", "(cat)0", "+ b", "(a, b)1.5, c", "(cat)1.3, (dog)++.", "()+", "cat+dog", "(cat)+dog",
    '"a', "cat++!",
    "(cat (dog)- bird)0.5", "a_b+ x", "cat+. dog", "caf\u00e9++ x", "100%+ x", "x+ ,y",
])  # fmt: skip
def test_compel_reads_what_the_library_reads(prompt: str) -> None:
    from compel.prompt_parser import PromptParser

    prompts = PromptParser().parse_conjunction(prompt).prompts
    theirs = [(each.text, each.weight) for each in prompts[0].children] if prompts else []
    [part] = compel.read(prompt).parts
    assert _words([(each.text, each.weight) for each in part]) == _words(theirs)


def _words(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return neighbours of one weight as one, without spaces: tokenizers of CLIP see none beside punctuation."""
    made: list[tuple[str, float]] = []
    for text, weight in (("".join(text.split()), round(weight, 6)) for text, weight in pieces):
        if text and made and made[-1][1] == weight:
            made[-1] = made[-1][0] + text, weight
        elif text:
            made.append((text, weight))
    return made


@pytest.mark.parametrize(("family", "names"), [
    ("sdxl", ["prompt", "prompt_2", "negative_prompt", "negative_prompt_2"]),
    ("sd3", ["prompt", "prompt_2", "prompt_3", "negative_prompt_3"]),
    ("flux", ["prompt_2"]),
])  # fmt: skip
@pytest.mark.parametrize("weighter", WEIGHTED)
def test_every_prompt_is_weighted_for_its_own_encoder(
    folder: Tiny, family: str, names: list[str], weighter: str
) -> None:
    made = pipeline(folder(family))
    options = A1111 if weighter == "a1111" else None
    plain = {name: "a red cat" for name in ["prompt", *names]}
    plain |= {each.replace("negative_", ""): "a red cat" for each in plain if each.startswith("negative_")}
    if family in ("sdxl", "sd3"):
        plain |= {f"negative_{name}": "a red cat" for name in ("prompt", "prompt_2")}
    if family == "sd3":
        plain |= {"prompt_3": "a red cat", "negative_prompt_3": "a red cat"}
    before = encoded(made, options, **plain)
    for name in names:
        after = encoded(made, options, **{**plain, name: WEIGHTED[weighter]})
        at = 1 if name.startswith("negative_") else 0
        changed = (before[at] != after[at]).any(dim=0)
        others = [index for index in range(len(before)) if index != at and before[index] is not None]
        assert all(torch.equal(before[index], after[index]) for index in others)  # pooled ones have no weights
        rows, columns = (set(changed.any(dim=way).nonzero().flatten().tolist()) for way in (1, 0))
        width = 128
        if name.endswith("_3") or family == "flux":
            first = 77 if family == "sd3" else 0
            assert rows and min(rows) >= first
        else:
            own = width if name.endswith("_2") else 0
            assert rows and max(rows) < 77 and own <= min(columns) and max(columns) < own + width


def test_the_pipeline_is_left_as_it_was(folder: Tiny) -> None:
    made = pipeline(folder("sd"))
    parts = dict(made.__dict__)
    config = dict(made.config)
    encoded(made, A1111, prompt="a (red:1.5) cat", negative_prompt="")
    with pytest.raises(EngineError) as raised:
        encoded(made, A1111, prompt="a (red:x) cat", negative_prompt="")
    assert str(raised.value) == 'the prompt "a (red:x) cat": `x` is no weight'
    assert made.__dict__ == parts and dict(made.config) == config


def test_a_pipeline_that_reads_prompts_otherwise_is_refused_before_loading(folder: Tiny) -> None:
    draw = 'generate m { prompt: "a cat", weighter: "a1111", seed: 1 }'
    evaluation = cases.evaluate(planned.model(folder("zimage"), "", after=draw), cases.options_of(""))
    [wrong] = evaluation.diagnostics
    assert wrong.message == "the weighter plugin `a1111` can't weight the prompts of a `ZImagePipeline`"
    assert wrong.span is not None and wrong.span.text == '"a1111"'


SCRIPT = """
model m {{
    source: "{folder}"
    {settings}
    defaults {{ num_inference_steps: 2, size: 64x64 }}
}}
weighter w {{ plugin: a1111 }}
for n, prompt in enumerate(["a (red:1.5) cat", "a (red:0.7) cat", "a red cat"]) {{
    generate m {{ prompt: prompt, weighter: w, seed: 3, output: "{{{{ n }}}}.png", metadata: false }}
}}
generate m {{ prompt: "a red-- cat", weighter: "compel", seed: 3, output: "c.png", metadata: false }}
generate m {{ prompt: "a red cat", seed: 3, output: "p.png", metadata: false }}
"""


def run(text: str, folder: Path, order: str = "", store: Store | None = None) -> tuple[dict[str, str], list[Event]]:
    """Return a hash of each file that a new engine makes of a script, and what it said."""
    events: list[Event] = []
    engine = TorchEngine(threads=1, embeddings=store)
    options = Options(output_dir=folder, may_be_spared=nothing if store is None else encoders)
    Executor(engine, events.append, options).run(planned.plan(text))
    assert [event for event in events if isinstance(event, StatementFailed)] == []
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}, events


@pytest.mark.slow
@pytest.mark.parametrize(("family", "settings"), [
    ("sd", 'quantizer: "sdnq;type=int8;quant-conv=true"'), ("sd3", 'quantizer: "bnb;bits=4"'),
])  # fmt: skip
def test_phases_and_kept_embeddings_change_no_bit(folder: Tiny, tmp_path: Path, family: str, settings: str) -> None:
    """Quantized encoders, too. The second run loads no encoder, and the kept ones are those without weights."""
    text = SCRIPT.format(folder=folder(family), settings=settings)
    assert any(step.__class__.__name__ == "Phase" for step in planned.plan(text).steps)
    offloaded, _ = run(text.replace("source:", 'offload: "model", source:'), tmp_path / "offloaded")
    split, _ = run(text, tmp_path / "split")
    assert split == offloaded
    assert split["2.png"] == split["p.png"] and len({*split.values()}) == 4
    first, _ = run(text, tmp_path / "first", store=Store(tmp_path / "store", 1 << 30))
    again, events = run(text, tmp_path / "again", store=Store(tmp_path / "store", 1 << 30))
    assert first == again == split
    spared = [event.role for event in events if isinstance(event, LoadSpared)]
    assert spared and all(role.startswith("text_encoder") for role in spared)


def _code(kind: Any, name: str) -> str | None:
    """Return a method's statements without what differs in words only."""
    if not hasattr(kind, name):
        return None
    [function] = ast.parse(textwrap.dedent(inspect.getsource(getattr(kind, name)))).body
    assert isinstance(function, ast.FunctionDef)
    text = "\n".join(ast.unparse(statement) for statement in function.body[1:])
    return re.sub(r"\w*LoraLoaderMixin", "LoraLoaderMixin", text)


@pytest.mark.slow
def test_the_pipelines_encode_as_the_first_of_their_family_does() -> None:
    import diffusers

    methods = ("encode_prompt", "_get_clip_prompt_embeds", "_get_t5_prompt_embeds")
    firsts = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline")
    known = [[_code(getattr(diffusers, first), name) for name in methods] for first in firsts]
    others = [name for name in PIPELINES if [_code(getattr(diffusers, name), each) for each in methods] not in known]
    assert others == []
