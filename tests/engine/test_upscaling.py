"""Upscalers rewrite prompts with real language models: the bundled one, which is talked to, and a GPT-2."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.catalog.checkpoints import builtins_folder
from aquatint.catalog.language_models import MODEL
from aquatint.catalog.layers import Network
from aquatint.catalog.working import working
from aquatint.interface.cli import main
from aquatint.plan.memory import taken
from aquatint.plan.steps import Plan
from aquatint.runtime.engine import EngineError, Rewriting, Rewritten
from aquatint.runtime.events import LoadFinished, Printed, PromptsRewritten, Released, StatementFailed, Warned
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.torch_engine import TorchEngine, magicprompt
from aquatint.runtime.torch_engine.magicprompt import truncated
from support import cases, planned

PROMPTS = ["a circle", "a star", "a red heart", "two squares", "a cross on a white background", "a triangle",
           "a green star above a circle", "draw a heart"]  # fmt: skip
QUANTIZERS = {"bnb-int8": "bnb;bits=8", "bnb-nf4": "bnb;bits=4;bits4-quant-type=nf4", "sdnq-int8": "sdnq;type=int8",
              "sdnq-uint4": "sdnq;type=uint4"}  # fmt: skip

# Bytes of what the bundled model computes when it is made, the frequencies of rotary positions, which are in no file.
ROTARY = 128


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with random weights and no chat template."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, set_seed

    folder = tmp_path_factory.mktemp("gpt2")
    set_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(builtins_folder() / "captions")
    tokenizer.chat_template = None
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=128, n_layer=2, n_head=4, n_positions=64, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(engine: TorchEngine, plan: Plan, folder: Path) -> list[Any]:
    """Return the events of a run."""
    events: list[Any] = []
    finished = Executor(engine, events.append, Options(folder)).run(plan)
    assert finished.failed == len([event for event in events if isinstance(event, StatementFailed)])
    return events


def script(prompts: list[str], settings: str = "", more: str = "variations: 3, seed: 1") -> str:
    listed = ", ".join(f'"{prompt}"' for prompt in prompts)
    return (
        f'upscaler u {{ plugin: magicprompt, model: "builtin:captions", {settings} }}\n'
        f"let ps = upscale u {{ prompts: [{listed}], {more} }}\nprint ps\n"
    )


def strings(engine: TorchEngine, text: str, folder: Path) -> list[tuple[str, str]]:
    """Return (prompt, string) of each string that a script's upscalers write."""
    told = [event for event in run(engine, planned.plan(text), folder) if isinstance(event, PromptsRewritten)]
    return [pair for each in told for pair in zip(each.prompts, each.texts, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_eight_prompts_in_three_variations(engine: TorchEngine, tmp_path: Path, quantizer: str) -> None:
    settings = f'quantizer: "{QUANTIZERS[quantizer]}"'
    plan = planned.plan(script(PROMPTS, settings))
    events = run(engine, plan, tmp_path)
    [loaded] = [event for event in events if isinstance(event, LoadFinished) and event.role == "llm"]
    component = next(each for each in plan.components.values() if each.role == "llm")
    assert component.held is not None
    assert component.held.least == component.held.most == loaded.bytes - ROTARY
    assert loaded.quantized_layers == 21
    assert loaded.bytes < component.bytes
    assert [event.role for event in events if isinstance(event, Released)] == ["llm_tokenizer", "llm"]

    [told] = [event for event in events if isinstance(event, PromptsRewritten)]
    made = list(zip(told.prompts, told.texts, strict=True))
    assert [prompt for prompt, _ in made] == [prompt for prompt in PROMPTS for _ in range(3)]
    assert len({text for _, text in made}) > 12
    # Neither how many are written at once nor the order of the prompts nor what else there is decides anything.
    assert strings(engine, script(PROMPTS, f"{settings}, max_batch: 5"), tmp_path) == made
    turned = strings(engine, script(PROMPTS[::-1], f"{settings}, batch: false"), tmp_path)
    assert sorted(turned) == sorted(made)
    assert strings(engine, script(PROMPTS[2:3], settings, "variations: 3, seed: 2"), tmp_path) != made[6:9]
    assert strings(engine, script(PROMPTS[2:3], settings), tmp_path) == made[6:9]


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 with random weights, whose chat template has a system's message."""
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("qwen2")
    set_seed(5)
    tokenizer = AutoTokenizer.from_pretrained(builtins_folder() / "captions")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
def test_other_models_in_three_variations(
    engine: TorchEngine, tmp_path: Path, request: pytest.FixtureRequest, kind: str, quantizer: str
) -> None:
    """One that is talked to with a system's message, and one of `Conv1D` layers, of which sdnq takes none."""
    folder = request.getfixturevalue(kind)
    settings = f'model: "{folder}", quantizer: "{QUANTIZERS[quantizer]}", max_length: 12'
    system = ', system: "be brief"' if kind == "qwen2" else ""

    def written(seed: int, more: str = system, prompts: list[str] = PROMPTS) -> list[Any]:
        text = script(prompts, settings + more, f"variations: 3, seed: {seed}").replace(
            'model: "builtin:captions", ', ""
        )
        plan = planned.plan(text)
        events = run(engine, plan, tmp_path)
        [loaded] = [event for event in events if isinstance(event, LoadFinished) and event.role == "llm"]
        component = next(each for each in plan.components.values() if each.role == "llm")
        assert component.held is not None
        own = ROTARY if kind == "qwen2" else 0
        assert component.held.least == component.held.most == loaded.bytes - own
        assert (loaded.quantized_layers > 0) == (kind == "qwen2" or quantizer.startswith("bnb"))
        [told] = [event for event in events if isinstance(event, PromptsRewritten)]
        return list(zip(told.prompts, told.texts, strict=True))

    first = written(1)
    assert len(first) == 24
    assert written(1, prompts=PROMPTS[3:5]) == first[9:15]
    assert written(2) != first
    if system:
        assert written(1, ', system: "be long"') != first


def test_what_is_loaded_once(engine: TorchEngine, tmp_path: Path) -> None:
    """Variations, seed and temperature are no matter of the language model; dtype and quantizer are."""
    text = """
        upscaler a { plugin: magicprompt, model: "builtin:captions", variations: 2 }
        upscaler b extends a { temperature: 0.1, seed: 4 }
        upscaler c extends a { dtype: "bfloat16" }
        let xs = upscale a { prompts: "a circle", seed: 1 }
        let ys = upscale b { prompts: "a {{ xs[0] }}" }
        let zs = upscale c { prompts: "a star", seed: 1 }
        print len(xs), len(ys), len(zs)
    """
    plan = planned.plan(text)
    assert sorted(each.dtype or "" for each in plan.components.values()) == ["", "bfloat16", "float32"]
    loads = [event for event in run(engine, plan, tmp_path) if isinstance(event, LoadFinished)]
    assert sorted(event.role for event in loads) == ["llm", "llm", "llm_tokenizer"]


@pytest.mark.slow
def test_pictures_say_what_was_written_and_what_became_of_it(
    engine: TorchEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
        upscaler better { plugin: magicprompt, model: "builtin:captions", variations: 2 }
        model m { source: "builtin:shapes", defaults { num_inference_steps: 1, seed: 1 } }
        for i, p in enumerate(upscale better { prompts: "a circle", seed: 5 }) {
            generate m { prompt: "draw {{ p | upper }}", output: "{{ i }}.png" }
        }
    """
    events = run(engine, planned.plan(text), tmp_path)
    [told] = [event for event in events if isinstance(event, PromptsRewritten)]
    for variation, wrote in enumerate(told.texts):
        about = read_metadata(tmp_path / f"{variation}.png")
        record: Any = about["aquatint"]
        assert record["arguments"]["prompt"] == f"draw {wrote.upper()}"
        rewritten = record["rewritten"]["prompt"]
        assert rewritten["written"] == "draw A CIRCLE"
        [by] = rewritten["by"]
        assert (by["plugin"], by["name"], by["seed"], by["variation"]) == ("magicprompt", "better", 5, variation)
        assert by["options"]["model"] == "builtin:captions"
        parts = {each.role: each.identity for each in planned.plan(text).components.values()}
        assert {role: part["identity"] for role, part in by["components"].items()} == {
            role: parts[role] for role in ("llm", "llm_tokenizer")
        }
        first, fields = str(about["parameters"]).split("\n", 1)
        assert first == f"draw {wrote.upper()}"
        assert "Written prompt: draw A CIRCLE, Upscaler prompt: magicprompt" in fields
        main(["info", str(tmp_path / f"{variation}.png")])
        assert (
            f"rewritten by          better (magicprompt), seed 5, variation {variation + 1}\n"
            in capsys.readouterr().out
        )
        Image.open(tmp_path / f"{variation}.png").verify()


def loaded(engine: TorchEngine, text: str) -> dict[str, Any]:
    """Return the live parts of a script's one upscaler, by role."""
    return {role: each.object for role, each in planned.load(engine, text).items()}


def options(**changes: Any) -> dict[str, Any]:
    from aquatint.catalog.prompt_plugins import prompt_plugin

    plugin = prompt_plugin("upscaler", "magicprompt")
    assert plugin is not None
    return plugin.canonical(changes)


def rewritten(engine: TorchEngine, parts: dict[str, Any], *prompts: str, **changes: Any) -> Rewritten:
    return magicprompt.rewrite(engine._libraries, parts, Rewriting(options(**changes), prompts, 1, 3))


@pytest.fixture(scope="module")
def talking(engine: TorchEngine) -> dict[str, Any]:
    """The bundled language model."""
    return loaded(engine, script(["a"]))


@pytest.fixture(scope="module")
def going_on(engine: TorchEngine, gpt2: Path) -> dict[str, Any]:
    """A model without a chat template."""
    return loaded(engine, f'upscaler u {{ plugin: magicprompt, model: "{gpt2}" }}\nprint upscale u {{ prompts: "a" }}')


@pytest.mark.parametrize("which", ["talking", "going_on"])
def test_keys_and_values_take_what_is_planned(request: pytest.FixtureRequest, which: str) -> None:
    """Of 3 strings of 7 tokens, beside one layer's that are copied; a Llama and a GPT-2 call all of it otherwise."""
    import torch

    model = request.getfixturevalue(which)["llm"]
    with torch.inference_mode():
        kept = model(torch.ones(3, 7, dtype=torch.long), use_cache=True).past_key_values
    held = sum(each.keys.nbytes + each.values.nbytes for each in kept.layers)
    config = json.loads(json.dumps(model.config.to_dict()))
    planned = working(MODEL, Network("transformers", type(model).__name__, "float32", config), [], 0, False)
    assert 3 * 7 * planned.each == held * (len(kept.layers) + 1) // len(kept.layers)
    assert planned.row == 16 * model.config.vocab_size
    assert planned.most == model.config.max_position_embeddings


def test_more_strings_at_once_are_planned_to_take_more_memory() -> None:
    plans = {size: planned.plan(script(PROMPTS, f"max_batch: {size}")) for size in (1, 12, 24, 50)}
    peaks = {size: taken(plan) for size, plan in plans.items()}
    most = {size: peak.most for size, peak in peaks.items() if peak is not None}
    assert most[1] < most[12] < most[24] == most[50]  # there are 24 strings
    [model] = [each.working for each in plans[1].components.values() if each.role == MODEL]
    assert model is not None
    told = 32 + len(max(PROMPTS, key=len)) // 3
    assert most[24] - most[12] == model.rewriting(24, told, told + 100) - model.rewriting(12, told, told + 100)


def test_a_model_without_a_template_goes_on_from_the_prompt(engine: TorchEngine, going_on: dict[str, Any]) -> None:
    [text] = rewritten(engine, going_on, "A circle", max_length=8).texts
    assert text.startswith("A circle")
    [rest] = rewritten(engine, going_on, "A circle", max_length=8, remove_prompt=True).texts
    assert text.removeprefix("A circle").strip() == rest
    [after] = rewritten(engine, going_on, "a circle", max_length=8, preamble="two red stars, ").texts
    assert after.startswith("a circle")
    assert after.removeprefix("a circle").strip() != rest
    short = rewritten(engine, going_on, "a red circle", max_length=3)
    assert (list(short.texts), list(short.warnings)) == (
        ["a red circle"], ["'a red circle' has `max_length` tokens already, and stays as it is"],
    )  # fmt: skip
    with pytest.raises(EngineError, match="and the language model takes 64"):
        rewritten(engine, going_on, "red " * 70)


def test_a_preamble_keeps_a_chat_model_from_being_talked_to(engine: TorchEngine, talking: dict[str, Any]) -> None:
    [told] = rewritten(engine, talking, "a circle", temperature=0.01).texts
    assert not told.startswith("a circle")
    [on] = rewritten(engine, talking, "a red circle", temperature=0.01, preamble="").texts
    assert on.startswith("a red circle ")


def test_a_template_that_refuses_a_system_s_message_is_told(engine: TorchEngine, talking: dict[str, Any]) -> None:
    tokenizer = copy.deepcopy(talking["llm_tokenizer"])
    tokenizer.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}x"
    parts = talking | {"llm_tokenizer": tokenizer}
    with pytest.raises(EngineError, match="chat template can't be used: no system") as told:
        rewritten(engine, parts, "a circle", system="be brief")
    assert told.value.help is not None and "leave `system` out" in told.value.help
    assert len(rewritten(engine, parts, "a circle").texts) == 1


def test_a_long_prompt_is_cut_in_messages(engine: TorchEngine, talking: dict[str, Any]) -> None:
    with pytest.raises(EngineError) as told:
        rewritten(engine, talking, "red " * 500)
    assert len(str(told.value)) < 200


def test_what_is_done_with_what_a_chat_model_wrote(engine: TorchEngine, talking: dict[str, Any]) -> None:
    [plain] = rewritten(engine, talking, "a circle").texts
    assert list(rewritten(engine, talking, "a circle", prepend_prompt=True).texts) == [f"a circle {plain}"]
    [cleaned] = rewritten(engine, talking, "a circle", cleanup=["background$", "^a +"]).texts
    assert cleaned == plain.removeprefix("a ").removesuffix(" background")
    nothing = rewritten(engine, talking, "a circle", cleanup=[".*"])
    assert (list(nothing.texts), len(nothing.warnings)) == (["a circle"], 1)


@pytest.mark.slow
def test_what_a_regular_expression_blocks_is_written_anew(engine: TorchEngine, talking: dict[str, Any]) -> None:
    [plain] = rewritten(engine, talking, "a circle").texts
    [other] = rewritten(engine, talking, "a circle", block_regex=f"^{plain}$", max_attempts=50).texts
    assert other != plain
    blocked = rewritten(engine, talking, "a circle", block_regex="circle", max_attempts=2)
    assert list(blocked.warnings) == ["`block_regex` still matches what became of 'a circle' after 2 attempts"]
    with pytest.raises(EngineError, match="takes more than 2 s for one text"):
        rewritten(engine, talking, "a circle", block_regex=r"(?:(?:[a-z ]|[a-z ]{2})+)+[!?]$")


def test_few_tokens_and_the_likeliest(engine: TorchEngine, talking: dict[str, Any]) -> None:
    """One token to draw among is the same whatever the seed: greedy, by three settings."""
    asked = [Rewriting(options(**how), ["a circle", "a star"], 2, seed) for seed in (1, 2)
             for how in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6})]  # fmt: skip
    made = [tuple(magicprompt.rewrite(engine._libraries, talking, each).texts) for each in asked]
    assert len(set(made)) == 1
    assert made[0][0] == made[0][1]


def test_a_text_is_cut_after_its_last_phrase() -> None:
    assert truncated("a cat, oil on canvas, by a pain") == "a cat, oil on canvas"
    assert truncated("A cat. It is of") == "A cat."
    assert truncated("a cat on a ma") == "a cat on a"
    assert truncated("cat") == "cat"


def test_layers_that_no_backend_takes_are_told_in_bytes(engine: TorchEngine, gpt2: Path, tmp_path: Path) -> None:
    """GPT-2's layers are of the class Conv1D, which bitsandbytes converts and sdnq doesn't know."""
    lines = f'upscaler u {{{{ plugin: magicprompt, model: "{gpt2}", quantizer: "{{}}" }}}}\n'
    lines += 'print upscale u {{ prompts: "a circle", seed: 1 }}\n'
    plan = planned.plan(lines.format("bnb;bits=8"))
    events = run(engine, plan, tmp_path)
    [told] = [event for event in events if isinstance(event, LoadFinished) and event.role == "llm"]
    component = next(each for each in plan.components.values() if each.role == "llm")
    assert component.held is not None
    assert (told.quantized_layers, component.held.least) == (8, told.bytes)
    assert len([event for event in events if isinstance(event, Printed)]) == 1
    assert [event for event in events if isinstance(event, Warned)] == []

    evaluation = cases.evaluate(lines.format("sdnq;type=int8"), cases.options_of(""))
    left = "in `llm` sdnq leaves 8 of 8 layers (1,572,864 bytes) as they are, since it does not know the class `Conv1D`"
    assert [(each.code, each.severity, each.message.partition(": `transf")[0]) for each in evaluation.diagnostics] == [
        ("nothing-to-quantize", "warning", "quantizer `sdnq;type=int8` finds no layer of `llm` to quantize"),
        ("layers-left", "warning", left),
    ]  # fmt: skip
    assert evaluation.plan is not None
    events = run(engine, evaluation.plan, tmp_path)
    [told] = [event for event in events if isinstance(event, LoadFinished) and event.role == "llm"]
    assert (told.quantized_layers, told.layers) == (0, 9)  # with the output, which is the embedding
