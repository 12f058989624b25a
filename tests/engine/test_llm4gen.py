"""The weighter `llm4gen` with real libraries, beside computations of its own and files in the published layout.

The published encoders and modules are out of reach here: these are tiny ones of the same architecture, with random
weights. `reference` is written from the formulas of arXiv:2407.00737 and shares nothing with what it is held against.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from aquatint.catalog import llm4gen, pickle_files
from aquatint.catalog.llm4gen import shapes
from aquatint.interface.cli import main
from aquatint.plan import fingerprints
from aquatint.plan.counts import counts
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import LoadFinished, OutOfMemory, Warned
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import TorchEngine, cross_adapter, llm4gen_weighter
from aquatint.runtime.torch_engine.libraries import libraries
from aquatint.runtime.verify import changed
from support import planned
from support.tiny import texts

Tiny = Callable[[str], Path]

DRAW = 'seed: 7, num_inference_steps: 2, size: 64x64, negative_prompt: "a blue boat"'


def tensors(dim: int, llm_dim: int, layers: int = 1) -> dict[str, Any]:
    """Return the tensors of a cross-adapter module, drawn; large enough for each of them to matter."""
    drawn = torch.Generator().manual_seed(dim + llm_dim)
    return {
        f"CrossFusionModule.{layer}.{name}": torch.randn(shape, generator=drawn) * 0.1
        for layer in range(layers)
        for name, shape in shapes(dim, llm_dim).items()
    }


def reference(weights: dict[str, Any], clip: Any, llm: Any) -> Any:
    """Return what the module makes of [m, dim] and [n, llm_dim], in float64 and head by head."""
    weights = {name.removeprefix("CrossFusionModule.0."): each.double() for name, each in weights.items()}

    def linear(name: str, x: Any) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normed(name: str, x: Any) -> Any:
        mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        return (x - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    clip, llm = clip.double(), linear("llm_proj", llm.double())
    query = linear("q_proj", normed("kv_norm", llm))
    key, value = (linear(name, normed("q_norm", clip)) for name in ("k_proj", "v_proj"))
    side = clip.shape[1] // 8
    heads = []
    for head in range(8):
        own = slice(head * side, (head + 1) * side)
        scores = (query[:, own] @ key[:, own].T / side**0.5).exp()
        heads.append(scores / scores.sum(1, keepdim=True) @ value[:, own])
    llm = linear("out_proj", torch.cat(heads, 1)) + llm
    inner = linear("FFN.0", normed("norm", llm))
    llm = linear("FFN.2", inner / (1 + (-1.702 * inner).exp())) + llm
    return torch.cat([clip, llm])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder as RankGen's are stored, but in safetensors, with its tokenizer; and a cross-adapter module."""
    folder = tmp_path_factory.mktemp("llm4gen")
    tokenizer = texts.t5_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        encoder = texts.t5(tokenizer)
        projection = torch.randn(128, 128)
    state = {f"t5_encoder.{name}": each.clone() for name, each in encoder.state_dict().items()}
    state.pop("t5_encoder.encoder.embed_tokens.weight")  # the same as `shared`
    tokenizer.save_pretrained(folder / "encoder")
    save_file(state | {"projection.weight": projection}, folder / "encoder" / "model.safetensors", {"format": "pt"})
    own_code = {
        "architectures": ["T5EncoderWithProjection"],
        "auto_map": {"AutoModel": "model.T5EncoderWithProjection"},
    }
    config = json.loads(encoder.config.to_json_string()) | own_code
    (folder / "encoder" / "config.json").write_text(json.dumps(config))
    (folder / "cam").mkdir()
    save_file(tensors(128, 128), folder / "cam" / "projector.safetensors")
    return folder


def weighter(parts: Path, more: str = "") -> str:
    where = f'encoder_source: "{parts / "encoder"}", projector: "{parts / "cam"}"'
    return f"weighter w {{ plugin: llm4gen, {where} {more} }}\n"


def by_hand(folder: Path, parts: Path, prompt: str) -> tuple[Any, Any]:
    """Return CLIP's embeddings of `prompt`, and those that a T5 loaded by hand makes, [m, dim] and [n, llm_dim]."""
    import diffusers
    from transformers import T5Config, T5EncoderModel

    made = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    encoder = T5EncoderModel(T5Config.from_pretrained(parts / "encoder")).eval()
    stored = load_file(parts / "encoder" / "model.safetensors")
    state = {name.removeprefix("t5_encoder."): each for name, each in stored.items() if name.startswith("t5_encoder.")}
    encoder.load_state_dict(state | {"encoder.embed_tokens.weight": state["shared.weight"]})
    told = texts.t5_tokenizer()("pre " + prompt, padding="max_length", max_length=256, truncation=True)
    with torch.no_grad():
        ids = made.tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        given = {name: torch.tensor([told[name]]) for name in ("input_ids", "attention_mask")}
        return made.text_encoder(ids.input_ids)[0][0], encoder(**given).last_hidden_state[0]


def encoded(engine: TorchEngine, text: str, **prompts: Any) -> list[Any]:
    """Return the prompt's and the negative prompt's embeddings of a script with one `generate`."""
    plan = planned.plan(text)
    [step] = [step for step in plan.steps if getattr(step, "weighter", None)]
    pipeline = plan.pipelines[step.pipeline]  # type: ignore[union-attr]
    live = {role: None if key is None else engine.load(plan.components[key]) for role, key in pipeline.parts.items()}
    made = engine.assemble(pipeline, live).make()
    options = step.weighter.options  # type: ignore[union-attr]
    with torch.no_grad(), llm4gen_weighter.weighing(libraries(), made, prompts, options) as given:
        found = list(
            made.encode_prompt(**given, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True)
        )
    assert "encode_prompt" not in made.__dict__
    return found


@pytest.mark.parametrize("sizes", [(32, 48, 5, 9), (128, 128, 77, 256), (768, 2048, 77, 256)])
def test_the_module_computes_the_papers_formulas(sizes: tuple[int, int, int, int]) -> None:
    dim, llm_dim, m, n = sizes
    weights = tensors(dim, llm_dim)
    if dim == 768:
        # As wide as the published one, and as large: weights that keep a layer's output of the size of its input.
        weights = {name: each * (dim**-0.5 * 10 if each.ndim > 1 else 1) for name, each in weights.items()}
    made = cross_adapter.module_class(torch)(dim, llm_dim, 1)
    made.load_state_dict(weights)
    drawn = torch.Generator().manual_seed(3)
    clip, llm = torch.randn(m, dim, generator=drawn), torch.randn(n, llm_dim, generator=drawn)
    with torch.no_grad():
        found = made(clip[None], llm[None])[0]
    wanted = reference(weights, clip, llm)
    assert found.shape == (m + n, dim) and torch.equal(found[:m], clip)
    difference = (found - wanted).abs().max() / wanted.abs().max()
    print(f"{sizes}: at most {difference:.1e} of the largest value")
    assert difference < 2e-6


def test_the_t5_reads_so_many_tokens() -> None:
    tokenizer = texts.t5_tokenizer()
    ids, mask = llm4gen_weighter.tokens(tokenizer, "a red cat")
    own = tokenizer("pre a red cat")["input_ids"]
    assert ids == [*own, *[0] * (256 - len(own))] and mask == [*[1] * len(own), *[0] * (256 - len(own))]
    ids, mask = llm4gen_weighter.tokens(tokenizer, "cat " * 400)
    assert ids == tokenizer("pre " + "cat " * 400)["input_ids"][:256] and mask == [1] * 256


def test_embeddings_and_pictures_are_those_of_a_computation_by_hand(
    engine: TorchEngine, folder: Tiny, parts: Path
) -> None:
    script = f'generate m {{ prompt: "a red cat", weighter: w, {DRAW}, output: "a.png" }}'
    text = planned.model(folder("sd"), "", before=weighter(parts), after=script)
    found = encoded(engine, text, prompt="a red cat", negative_prompt="a blue boat")
    weights, wanted = tensors(128, 128), []
    for each, prompt in zip(found, ("a red cat", "a blue boat"), strict=True):
        wanted.append(reference(weights, *by_hand(folder("sd"), parts, prompt)).float()[None])
        assert each.shape == (1, 77 + 256, 128)
        difference = (each - wanted[-1]).abs().max()
        print(f"embeddings: at most {difference:.1e}, of values up to {wanted[-1].abs().max():.1f}")
        assert difference < 1e-5
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder("sd"), safety_checker=None)
    with torch.no_grad():
        image = pipeline(
            prompt_embeds=found[0], negative_prompt_embeds=found[1], num_inference_steps=2, width=64, height=64,
            generator=torch.Generator().manual_seed(7),
        ).images[0]  # fmt: skip
    assert planned.paint(engine, text) == [image.tobytes()]
    assert planned.paint(engine, text.replace("weighter: w, ", "")) != [image.tobytes()]


def test_another_weighter_makes_clips_embeddings(engine: TorchEngine, folder: Tiny, parts: Path) -> None:
    """It has its syntax; the T5 reads the prompt without it."""
    script = f'generate m {{ prompt: "a (red:1.5) cat", weighter: "a1111", {DRAW} }}'
    text = planned.model(folder("sd"), "", before=weighter(parts, ', weighter: "a1111"'), after=script)
    text = text.replace('weighter: "a1111", seed', "weighter: w, seed")
    positive, negative = encoded(engine, text, prompt="a (red:1.5) cat", negative_prompt="a blue boat")
    bare = text.replace('weighter: "a1111" }', "}")
    plain, other = encoded(engine, bare, prompt="a red cat", negative_prompt="a blue boat")
    literal, _ = encoded(engine, bare, prompt="a (red:1.5) cat", negative_prompt="")
    assert torch.equal(negative, other)
    assert not torch.equal(positive[:, :77], plain[:, :77]) and not torch.equal(positive, literal)
    _, llm = by_hand(folder("sd"), parts, "a red cat")
    wanted = reference(tensors(128, 128), positive[0, :77], llm)
    assert (positive[0] - wanted).abs().max() < 1e-5


def test_what_another_pipeline_was_told_of_a_denoiser_sends_no_call_back(
    folder: Tiny, parts: Path, tmp_path: Path
) -> None:
    engine = TorchEngine(threads=1)
    draw = f'generate m {{ prompt: "a red cat", {DRAW},'
    perturbed = planned.plan(planned.model(folder("sd"), "", after=draw + ' pag_scale: 2.0, output: "1.png" }'))
    both = draw + ' weighter: w, output: "2.png" }\n' + draw + ' output: "3.png" }'
    plan = planned.plan(planned.model(folder("sd"), "", before=weighter(parts), after=both))
    events: list[Any] = []
    # It asks the denoiser for its attention processors before it is there, and empties what it got.
    Executor(engine, events.append, Options(tmp_path)).run(perturbed)
    finished = Executor(engine, events.append, Options(tmp_path)).run(plan)
    assert not [event for event in events if isinstance(event, Warned)]
    assert (finished.failed, finished.loads) == (0, counts(plan).loads)


@pytest.mark.slow
def test_loads_are_counted_shared_and_in_phases(engine: TorchEngine, folder: Tiny, parts: Path, tmp_path: Path) -> None:
    before = weighter(parts) + 'weighter again extends w { weighter: "compel" }\n'
    before += 'weighter less extends w { llm_quantizer: "sdnq;type=int8" }\n'
    named = zip("abcd", ("weighter: w,", "weighter: again,", "weighter: less,", ""), strict=True)
    draws = [f'generate m {{ prompt: "a red cat", {by} {DRAW}, output: "{name}.png" }}' for name, by in named]
    text = planned.model(folder("sd"), "", before=before, after="\n".join(draws))
    plan = planned.plan(text)
    events: list[Any] = []
    finished, total = Executor(engine, events.append, Options(tmp_path)).run(plan), counts(plan)
    # What is loaded out of turn, or again for want of memory, is said.
    assert not [event for event in events if isinstance(event, OutOfMemory | Warned)]
    assert (finished.failed, finished.loads, finished.reuses) == (0, total.loads, total.reuses)
    loads = [event for event in events if isinstance(event, LoadFinished)]
    assert sorted(event.role for event in loads if event.role.startswith("llm")) == [
        "llm", "llm", "llm_projector", "llm_tokenizer"
    ]  # fmt: skip
    a, b, c, d = (Image.open(tmp_path / f"{name}.png").tobytes() for name in "abcd")
    assert a == b and len({a, c, d}) == 3
    sizes = {
        component.key: component.held for component in plan.components.values() if component.role.startswith("llm")
    }
    for event in loads:
        held = sizes.get(event.component)
        if held is not None and held.most:
            assert held.least == held.most == event.bytes, event.role


@pytest.mark.slow
def test_the_store_gives_a_quantized_encoder_back(folder: Tiny, parts: Path, tmp_path: Path) -> None:
    script = f'generate m {{ prompt: "a red cat", weighter: w, {DRAW} }}'
    before = weighter(parts, ', llm_quantizer: "sdnq;type=int8"')
    plan = planned.plan(planned.model(folder("sd"), "", before=before, after=script))
    [component] = [each for each in plan.components.values() if each.role == "llm"]
    first, again = (
        TorchEngine(threads=1, store=Store(tmp_path, minimum=0, reserve=0)).load(component) for _ in range(2)
    )
    assert (first.from_store, again.from_store, again.warnings) == (False, True, ())
    ids = torch.tensor([[5, 6, 7, 1]])
    with torch.no_grad():
        assert torch.equal(first.object(ids).last_hidden_state, again.object(ids).last_hidden_state)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtype_is_that_of_encoder_and_projector(engine: TorchEngine, folder: Tiny, parts: Path, dtype: str) -> None:
    script = f'generate m {{ prompt: "a red cat", weighter: w, {DRAW} }}'
    text = planned.model(folder("sd"), "", before=weighter(parts, f', llm_dtype: "{dtype}"'), after=script)
    plan = planned.plan(text)
    own = [each for each in plan.components.values() if each.role in ("llm", "llm_projector")]
    for component in own:
        loaded = engine.load(component)
        wide = {name for name, each in loaded.object.named_parameters() if each.dtype != getattr(torch, dtype)}
        # transformers keeps these of a T5.
        assert all(name.endswith(".wo.weight") for name in wide) and component.dtype == dtype
        assert component.held is not None and component.held.most == loaded.bytes
    [embeddings, _] = encoded(engine, text, prompt="a red cat", negative_prompt="")
    assert embeddings.dtype == torch.float32 and embeddings.isfinite().all()


@pytest.fixture
def hub(tmp_path: Path, parts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the model hub in which the parts are published: pickled weights, a tokenizer of sentencepiece."""
    import sentencepiece
    from huggingface_hub import constants

    def cached(repository: str) -> Path:
        folder = tmp_path / "hub" / ("models--" + repository.replace("/", "--"))
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("0123456789abcdef0123456789abcdef01234567")
        (folder / "snapshots" / "0123456789abcdef0123456789abcdef01234567").mkdir(parents=True)
        return folder / "snapshots" / "0123456789abcdef0123456789abcdef01234567"

    encoder = cached("kalpeshk2011/rankgen-t5-base-all")
    torch.save(load_file(parts / "encoder" / "model.safetensors"), encoder / "pytorch_model.bin")
    (encoder / "config.json").write_bytes((parts / "encoder" / "config.json").read_bytes())
    torch.save(load_file(parts / "cam" / "projector.safetensors"), cached("Shui-VL/LLM4GEN-models") / "projector.pth")
    tokenizer, model = cached("google/t5-v1_1-base"), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a small red cat", "the green house", "pre a blue boat"]), model_writer=model,
        vocab_size=50, hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    (tokenizer / "spiece.model").write_bytes(model.getvalue())
    (tokenizer / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}')
    (tokenizer / "config.json").write_text('{"model_type": "t5"}')
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield tmp_path


@pytest.mark.slow
def test_what_is_published_is_pickled_and_needs_leave(
    engine: TorchEngine, folder: Tiny, parts: Path, hub: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A picture's record then names the commits, and the picture can be made again."""
    monkeypatch.chdir(hub)
    draw = f'prompt: "a red cat", weighter: "llm4gen;encoder=base-all", {DRAW}, output: "a.png"'
    Path("a.aqt").write_text(planned.model(folder("sd"), "", after=f"generate m {{ {draw} }}"))
    how = ["--device", "cpu", "--threads", "1"]
    assert main(["run", *how, "a.aqt"]) == 2
    told = capsys.readouterr().err
    assert told.count("error[unsafe-weights]") == 2 and "pytorch_model.bin" in told and "projector.pth" in told
    assert not Path("a.png").exists()
    assert main(["run", *how, "--allow-pickles", "a.aqt"]) == 0
    capsys.readouterr()
    assert main(["script", "a.png"]) == 0
    script = capsys.readouterr().out
    revision = '"0123456789abcdef0123456789abcdef01234567"'
    for name in ("encoder", "projector", "tokenizer"):
        assert f"    {name}_revision: {revision}\n" in script
    assert "model m {" in script and "llm {" not in script and "llm_tokenizer" not in script
    assert main(["replay", *how, "--allow-pickles", "a.png", "--output", "b.png"]) == 0
    assert Image.open("a.png").tobytes() == Image.open("b.png").tobytes()
    # Other files at the same commit are noticed, each part's own.
    snapshot = next(hub.rglob("projector.pth")).parent
    weights = tensors(128, 128)
    weights["CrossFusionModule.0.q_proj.bias"][0] += 1
    torch.save(weights, snapshot / "projector.pth")
    next(hub.rglob("tokenizer_config.json")).write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 1}')
    capsys.readouterr()
    assert main(["replay", *how, "--allow-pickles", "a.png", "--output", "c.png", "--strict"]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert told == [
        f"error[not-as-recorded]: the files of `{role}` of `{source}` have changed since the picture was made"
        for role, source in (("llm_tokenizer", "google/t5-v1_1-base"), ("llm_projector", "Shui-VL/LLM4GEN-models"))
    ]


def test_other_files_are_other_components_and_are_noticed(
    engine: TorchEngine, folder: Tiny, parts: Path, tmp_path: Path
) -> None:
    (tmp_path / "p").mkdir()
    file = tmp_path / "p" / "projector.safetensors"
    save_file(tensors(128, 128), file)
    script = f'generate m {{ prompt: "a red cat", weighter: w, {DRAW}, output: "a.png" }}'
    text = planned.model(folder("sd"), "", before=weighter(parts), after=script).replace(str(parts / "cam"), str(file))
    before = planned.plan(text)

    def projector(plan: Any) -> Component:
        return next(each for each in plan.components.values() if each.role == "llm_projector")

    weights = tensors(128, 128)
    weights["CrossFusionModule.0.q_proj.bias"][0] += 1
    save_file(weights, file)
    assert projector(planned.plan(text)).key != projector(before).key
    assert changed(projector(planned.plan(text))) is None
    assert changed(projector(before)) == (
        f"the files of `llm_projector` of `{file}` have changed since the plan was made"
    )
    [was], [now] = (fingerprints.planned(plan) for plan in (before, planned.plan(text)))
    assert was.parts is not None and now.parts is not None
    assert [name for name in was.parts if was.parts[name] != now.parts[name]] == ["component llm_projector"]


def test_a_plan_without_the_parts_is_refused_with_a_reason(engine: TorchEngine, folder: Tiny) -> None:
    plan = planned.plan(planned.model(folder("sd"), ""))
    [pipeline] = plan.pipelines.values()
    live = {role: None if key is None else engine.load(plan.components[key]) for role, key in pipeline.parts.items()}
    made = engine.assemble(pipeline, live).make()
    weighing = llm4gen_weighter.weighing(libraries(), made, {}, {"weighter": None})
    with pytest.raises(EngineError, match="the plan has no `llm` for the weighter"), weighing:
        pass


def test_a_pickled_module_holds_what_the_safe_one_does(parts: Path, tmp_path: Path) -> None:
    torch.save(tensors(128, 128), tmp_path / "projector.pth")
    with pickle_files.allowed():
        found = llm4gen.read(llm4gen.path(str(tmp_path / "projector.pth"), None, ""))
    assert found == llm4gen.read(parts / "cam" / "projector.safetensors")
