"""Plans made by hand for tests of what runs them, and a strategy for arbitrary valid ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from aquatint.plan.steps import (
    PLAN_VERSION,
    Cell,
    Component,
    Evict,
    Generate,
    Grid,
    ImageRef,
    Load,
    Output,
    Pipeline,
    Place,
    Plan,
    Print,
    Quantization,
    Release,
    Return,
    Save,
    Step,
)


def component(key: str, role: str = "unet", *, quantized: bool = False) -> Component:
    """Return a component; `key` stands for everything that decides its weights."""
    quantization = Quantization("sdnq", {"group_size": 0, "weights_dtype": "int8"}, "q8") if quantized else None
    return Component(
        key, role, "diffusers", "UNet2DConditionModel", "builtin:shapes", role, None, None, "float32", "cpu",
        quantization, f"sha256:{key}", 4_500_000,
    )  # fmt: skip


def pipeline(key: str, parts: Mapping[str, str | None]) -> Pipeline:
    """Return a pipeline of the components with the keys in `parts`."""
    return Pipeline(key, "StableDiffusionPipeline", "builtin:shapes", None, dict(parts), {})


def place(line: int) -> Place:
    """Return a place in the script that all plans here claim to come from."""
    return Place("shapes.aqt", line, 1)


def load(key: str) -> Load:
    """Return a load step; its id is `load-` and the key."""
    return Load(f"load-{key}", key, place(1))


def release(key: str) -> Release:
    """Return a release step."""
    return Release(f"release-{key}", key)


def evict(key: str) -> Evict:
    """Return an evict step."""
    return Evict(f"evict-{key}", key)


def bring_back(key: str) -> Return:
    """Return the step that brings a component back."""
    return Return(f"return-{key}", key, place(1))


def generate(id: str, pipeline: str, paths: Sequence[str], *, metadata: bool = True, **arguments: Any) -> Generate:
    """Return a generate step with one output per path, seeds from 1; its line is the number in its id."""
    outputs = [Output(seed, path) for seed, path in enumerate(paths, 1)]
    line = int("".join(filter(str.isdigit, id)) or 1)
    arguments = {"prompt": "a red circle", "num_inference_steps": 2, "width": 16, "height": 16} | arguments
    return Generate(
        id, pipeline, "shapes", {"unet": "q8"}, arguments, None, outputs, metadata, place(line),
        f'generate shapes {{ prompt: "{arguments["prompt"]}" }}',
    )  # fmt: skip


def grid(id: str, path: str, cells: Sequence[tuple[str, int]], columns: int = 2) -> Grid:
    """Return a grid step of the images `cells`, each labelled by its step and number."""
    shown = [Cell(ImageRef(step, index), f"{step} {index}") for step, index in cells]
    return Grid(id, shown, columns, [], [], "A sheet", path, place(90))


def save(id: str, pipeline: str, path: str, roles: Sequence[str] | None = None) -> Save:
    """Return a save step of the whole pipeline, or of `roles` alone."""
    only = None if roles is None else list(roles)
    return Save(
        id, pipeline, "shapes", {"unet": "q8"}, only, path, None, None, place(1), f'save shapes {{ to: "{path}" }}'
    )


def plan(components: Sequence[Component], pipelines: Sequence[Pipeline], steps: Sequence[Step]) -> Plan:
    """Return the plan of `steps`."""
    return Plan(
        PLAN_VERSION, "0.1.0", "shapes.aqt", {}, 0, "cpu",
        {item.key: item for item in components}, {item.key: item for item in pipelines}, list(steps),
    )  # fmt: skip


def simple_plan(*steps: Step) -> Plan:
    """Return a plan with a pipeline `p` of unet `u` (quantized), vae `v` and no safety checker, and `q` with unet `w`.

    Without `steps` it makes two images with `p` in one statement.
    """
    parts = [component("u", quantized=True), component("v", "vae"), component("w")]
    pipelines = [
        pipeline("p", {"unet": "u", "vae": "v", "safety_checker": None}),
        pipeline("q", {"unet": "w", "vae": "v", "safety_checker": None}),
    ]
    default = [load("u"), load("v"), generate("g1", "p", ["out/1.png", "out/2.png"]), release("u"), release("v")]
    return plan(parts, pipelines, list(steps) or default)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a valid plan: every part is loaded before its use, early or late, again after a release, or needlessly.

    Equal keys are of equal components and pipelines across all drawn plans, so that they can follow each other.
    """
    components = [component(f"c{i}", quantized=i % 2 == 0) for i in range(draw(st.integers(1, 5)))]
    keys = st.sampled_from([item.key for item in components])
    roles = ["unet", "vae", "text_encoder", "safety_checker"]
    drawn = draw(st.lists(st.dictionaries(st.sampled_from(roles), st.none() | keys), min_size=1, max_size=3))
    pipelines = [pipeline(str(sorted(parts.items())), parts) for parts in drawn]
    by_key = {item.key: item for item in pipelines}
    steps: list[Step] = []
    live: set[str] = set()
    hosted: set[str] = set()
    made: list[tuple[str, int]] = []

    def loaded(key: str) -> None:
        steps.append(bring_back(key) if key in hosted else load(key))
        live.add(key)
        hosted.discard(key)

    for number in range(draw(st.integers(0, 8))):
        match draw(st.sampled_from(["generate"] * 4 + ["load", "release", "evict", "grid", "print", "save"])):
            case "load":
                loaded(draw(keys))
            case "release":
                key = draw(keys)
                steps.append(release(key))
                live.discard(key)
                hosted.discard(key)
            case "evict" if live:
                key = draw(st.sampled_from(sorted(live)))
                steps.append(evict(key))
                live.discard(key)
                hosted.add(key)
            case "grid" if made:
                cells = draw(st.lists(st.sampled_from(made), min_size=1, max_size=4))
                steps.append(grid(f"s{number}", f"sheet{number}.png", cells))
            case "print":
                steps.append(Print(f"s{number}", "text", place(number + 1)))
            case "generate" | "save" as verb:
                chosen = draw(st.sampled_from(sorted(by_key)))
                for key in by_key[chosen].parts.values():
                    if key is not None and (key not in live or draw(st.integers(0, 4)) == 0):
                        loaded(key)
                if verb == "save":
                    there = [role for role, key in by_key[chosen].parts.items() if key is not None]
                    only = draw(st.none() | st.lists(st.sampled_from(there), unique=True)) if there else None
                    steps.append(save(f"k{number}", chosen, f"saved{number}", only))
                    continue
                count = draw(st.integers(1, 2))
                paths = [f"{number}-{i}.png" for i in range(count)]
                steps.append(generate(f"g{number}", chosen, paths, width=8, height=8))
                made += [(f"g{number}", i) for i in range(count)]
            case _:
                pass
    steps += [release(key) for key in sorted(hosted)]
    # Ids are unique in a plan; repeated loads and releases of one component need more than its key.
    return plan(components, pipelines, [_renamed(step, number) for number, step in enumerate(steps)])


def _renamed(step: Step, number: int) -> Step:
    match step:
        case Load():
            return Load(f"{step.id}-{number}", step.component, step.place)
        case Release():
            return Release(f"{step.id}-{number}", step.component)
        case Evict():
            return Evict(f"{step.id}-{number}", step.component)
        case Return():
            return Return(f"{step.id}-{number}", step.component, step.place)
        case _:
            return step
