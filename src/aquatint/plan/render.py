"""A plan as text for people: what happens in which order, and what it comes to.

The JSON form is `steps.plan_to_json`; numbers come from `counts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from msgspec import UNSET

from aquatint.catalog.hardware import memory_of
from aquatint.catalog.quantizers import label
from aquatint.plan.batches import companions, sizes
from aquatint.plan.counts import counts
from aquatint.plan.memory import held, memories, moments, peak
from aquatint.plan.steps import (
    ByteRange,
    Compare,
    Component,
    Deferred,
    Evict,
    Generate,
    Grid,
    ImageRef,
    Json,
    Limit,
    Line,
    Load,
    Output,
    Phase,
    PictureFile,
    Plan,
    Print,
    Quantization,
    Release,
    Return,
    Row,
    Save,
    Step,
    TensorFile,
    TensorRef,
    Text,
    Traffic,
    Upscale,
    User,
    VideoFile,
)
from aquatint.plan.texts import shown
from aquatint.plan.uses import (
    adapter_kind,
    computing,
    ip_adapters,
    loras,
    takes_pictures,
    textual_inversions,
    uses,
)

_WIDTH = 10  # of the verb that a line begins with

_FEW = 3
"""Prompts that are shown of phases that are told together."""


def render(plan: Plan, resident: AbstractSet[str] = frozenset()) -> str:
    """Return `plan` line by line; components with keys in `resident` are loaded already."""
    lines = [f"plan of {plan.script} for {plan.device}", ""]
    lines += _steps(plan, resident)
    if plan.batches is not UNSET:
        lines += ["", "an image's pixels depend on the whole of its batch: all of its seeds and prompts, in this order"]
    return "\n".join([*lines, "", summary(plan, resident)]) + "\n"


def summary(plan: Plan, resident: AbstractSet[str] = frozenset()) -> str:
    """Return one line with the plan's totals."""
    total = counts(plan, resident)
    sheets = sum(isinstance(step, Grid) for step in plan.steps)
    saves = sum(isinstance(step, Save) for step in plan.steps)
    parts = [
        _number(total.images, "image") + _batched(plan),
        *([_number(sheets, "sheet")] if sheets else []),
        *([_number(saves, "saved model")] if saves else []),
        f"{_number(total.loads, 'load')} ({total.quantizations} quantized)",
        _number(total.reuses, "reuse"),
        _number(total.releases, "release"),
        *([_number(total.evictions, "eviction")] if total.evictions else []),
    ]
    for memory, where in _memories(plan):
        if (most := peak(plan, resident, memory)) is not None:
            parts.append(f"peak {ranged(most.held)} of weights{where} ({most.place.file}:{most.place.line})")
    if (limit := plan.memory) is not None:
        parts.append(f"{sized(total.moved)} moved within {_limits(limit, plan.device)}")
        other = "doesn't fit" if limit.lru is None else _traffic(limit.lru)
        parts[-1] += f" (the script's order, whole statements and LRU: {other})"
    return ", ".join(parts)


def _memories(plan: Plan) -> list[tuple[str, str]]:
    """Return the memories that the weights of `plan` are in, each with the words for it where it needs some."""
    found = memories(plan)
    only = found == [memory_of(plan.device)]
    return [(name, "" if only else f" on {plan.device if name == memory_of(plan.device) else name}") for name in found]


def _limits(limit: Limit, device: str) -> str:
    """Return what may be taken of each device for which that is limited."""
    others = {} if limit.beside is UNSET else limit.beside
    if not others:
        return sized(limit.bytes or 0)
    own = {} if limit.bytes is None else {device: limit.bytes}
    return " and ".join(f"{sized(size)} on {name}" for name, size in (own | others).items())


def _traffic(traffic: Traffic) -> str:
    evictions = f", {_number(traffic.evictions, 'eviction')}" if traffic.evictions else ""
    return f"{_number(traffic.loads, 'load')}{evictions}, {sized(traffic.moved)} moved"


def quantized(quantization: Quantization) -> str:
    """Return a quantization's name and what it is: `q8 (sdnq int8+conv)`."""
    short = label(quantization.backend, quantization.options)
    return quantization.name if short in quantization.name else f"{quantization.name} ({short})"


def _steps(plan: Plan, resident: AbstractSet[str]) -> Iterator[str]:
    fresh: set[str] = set()
    live = set(resident)
    sizes = {where: moments(plan, resident, memory) for memory, where in _memories(plan)}
    files: dict[ImageRef, str] = {}
    for number, step in enumerate(plan.steps):
        match step:
            case Load():
                if step.component not in live:
                    fresh.add(step.component)
                    live.add(step.component)
                    yield _line("load", _loaded(plan.components[step.component], plan.device))
            case Phase():
                if number == 0 or not _goes_on(plan.steps[number - 1], step):
                    yield from _begun(plan, number, fresh)
                fresh.clear()
            case Generate():
                yield from _generated(plan, step, fresh, files)
                fresh.clear()
            case Upscale():
                yield from _rewritten(plan, step, fresh)
                fresh.clear()
            case Compare():
                yield from _compared(step)
            case Grid():
                yield _line("grid", f"{_number(len(step.cells), 'image')}, {_number(step.columns, 'column')}")
                yield _line("  write", step.path)
            case Save():
                yield from _saved(plan, step, fresh)
                fresh.clear()
            case Print():
                yield _line("print", _quoted(step.text))
            case Release() if step.component in live:
                live.remove(step.component)
                yield _line("release", _name(plan, step.component))
            case Evict() if step.component in live:
                live.remove(step.component)
                yield _line("evict", f"{_name(plan, step.component)}, to the computer's memory")
            case Return() if step.component not in live:
                fresh.add(step.component)
                live.add(step.component)
                yield _line("return", f"{_name(plan, step.component)}, from the computer's memory")
        yield from _in_memory(plan, sizes, number)


def _in_memory(plan: Plan, sizes: Mapping[str, list[ByteRange]], number: int) -> Iterator[str]:
    """Say what is held after what comes, or what goes, that step `number` is the last of, if that changed it.

    `sizes` has what is held after each step, by the words for its memory.
    """
    way = _way(plan.steps[number])
    if way is None or (number + 1 < len(plan.steps) and _way(plan.steps[number + 1]) == way):
        return
    first = number
    while first > 0 and _way(plan.steps[first - 1]) == way:
        first -= 1
    changed = any(held[number].most and (not first or held[number] != held[first - 1]) for held in sizes.values())
    there = {where: held[number] for where, held in sizes.items() if held[number].most}
    if changed and there:
        yield _line("memory", ", ".join(f"{ranged(size)} of weights{where}" for where, size in there.items()))


def _way(step: Step) -> str | None:
    """Return whether something comes to the device with `step` or goes, None if neither."""
    return "comes" if isinstance(step, Load | Return) else "goes" if isinstance(step, Release | Evict) else None


def _generated(plan: Plan, step: Generate, fresh: set[str], files: dict[ImageRef, str]) -> Iterator[str]:
    settings = {name: json.dumps(value, ensure_ascii=False) for name, value in step.arguments.items()}
    settings |= {name: _given(value, files) for name, value in step.deferred.items()}
    prompt = settings.pop("prompt", "")
    yield _line("generate", f"{step.model} {prompt}")
    if takes_pictures(step):
        settings["pipeline"] = plan.pipelines[step.pipeline].class_name
    if step.scaled is not None:
        settings["size"] = "{}x{}".format(*step.scaled)
    if step.fps is not UNSET:
        settings["fps"] = f"{step.fps:g}"
    settings = dict(sorted(settings.items()))
    for role, use in loras(plan.pipelines[step.pipeline]).items():
        settings[role] = f"{json.dumps(use.weight)} ({', '.join(use.roles)})"
    for role, learned in textual_inversions(plan.pipelines[step.pipeline]).items():
        vectors = "1 vector" if learned.vectors == 1 else f"{learned.vectors} vectors"
        settings[role] = f"{json.dumps(learned.token, ensure_ascii=False)} ({vectors}, {', '.join(learned.tensors)})"
    for role, pictured in ip_adapters(plan.pipelines[step.pipeline]).items():
        settings[role] = f"{json.dumps(pictured.scale)} ({', '.join(pictured.roles)})"
    for role, own in computing(plan.pipelines[step.pipeline]).items():
        settings |= {f"{role} {name}": _of_computing(value) for name, value in own.items()}
    if step.scheduler is not None:
        settings["scheduler"] = json.dumps(step.scheduler)
    if step.weighter is not None:
        name, plugin = step.weighter.name, step.weighter.plugin
        # A URI says itself which plugin it is of.
        settings["weighter"] = json.dumps(name) if name.partition(";")[0] == plugin else f"{name} ({plugin})"
    if settings:
        yield _line("", ", ".join(f"{name} {value}" for name, value in settings.items()))
    yield from _reused(plan, step, fresh)
    for index, output in enumerate(step.outputs):
        files[ImageRef(step.id, index)] = output.path or f"{step.id}[{index}]"
        what = (
            _line("  write", output.path)
            if output.path is not None
            else _line("  keep", files[ImageRef(step.id, index)])
        )
        yield f"{what}, seed {output.seed}{_in_batch(plan, output)}"


def _of_computing(value: Json) -> str:
    """Return a setting of how a part computes; of a cache what its configuration is called."""
    return str(value["config"]) if isinstance(value, dict) else json.dumps(value)


def _batched(plan: Plan) -> str:
    """Return how many images are in batches, in brackets after all of them."""
    found = sizes(plan.steps)
    return f" ({found.total():,} in {_plural(len(found), 'batch', 'batches')})" if found else ""


def _in_batch(plan: Plan, output: Output) -> str:
    if output.batch is None:
        return ""
    return f", {output.batch.name} ({output.batch.index + 1} of {len(companions(plan, output))})"


def _goes_on(before: Step, step: Phase) -> bool:
    """Return whether `step` is of the same kind as the one before it, and told together with it."""
    return isinstance(before, Phase) and (before.name, before.pipeline) == (step.name, step.pipeline)


def _begun(plan: Plan, first: int, fresh: set[str]) -> Iterator[str]:
    """Tell the phases that begin at step number `first`, alike and one after the other, as one."""
    step = plan.steps[first]
    assert isinstance(step, Phase)
    generates = {each.id: each for each in plan.steps[first:] if isinstance(each, Generate)}
    together: list[Generate] = []
    for each in plan.steps[first:]:
        if not (isinstance(each, Phase) and _goes_on(step, each)):
            break
        together.append(generates[each.generate])
    prompts = list(dict.fromkeys(filter(None, map(_prompt, together))))
    shown = ", ".join(prompts[:_FEW]) + (f" and {len(prompts) - _FEW} more" if len(prompts) > _FEW else "")
    images = sum(len(each.outputs) for each in together)
    yield _line(
        step.name, f"{together[0].model} {shown}".rstrip() + (f", {_number(images, 'image')}" if images > 1 else "")
    )
    yield from _reused(plan, step, fresh)


def _prompt(step: Generate) -> str:
    """Return the prompt, an empty string for a step that has none."""
    deferred, known = step.deferred.get("prompt"), step.arguments.get("prompt")
    if deferred is not None:
        return _given(deferred, {})
    return "" if known is None else json.dumps(known, ensure_ascii=False)


def _given(value: Deferred | Row | None, files: Mapping[ImageRef, str]) -> str:
    """Return an argument that another step yields: a picture by its file, unless an earlier script made it."""
    match value:
        case None:
            return "none"
        case ImageRef(step=name, index=index):
            return files.get(value, f"{name}[{index}]")
        case TensorRef():
            return f"{files.get(value.image, f'{value.step}[{value.index}]')} ({value.name})"
        case PictureFile() | VideoFile():
            return value.path
        case TensorFile():
            return f"{value.path} ({value.name})"
        case Text():
            return _quoted(value)
        case list():
            return "[" + ", ".join(_given(item, files) for item in value) + "]"


def _quoted(line: Line) -> str:
    return json.dumps(shown(line), ensure_ascii=False)


def _rewritten(plan: Plan, step: Upscale, fresh: set[str]) -> Iterator[str]:
    upscaler = step.upscaler
    made = len(step.prompts) * step.variations
    names = f"{step.id}[0]" if made == 1 else f"{step.id}[0] to {step.id}[{made - 1}]"
    by = "" if upscaler.quantization is None else f", quantized by {quantized(upscaler.quantization)}"
    yield _line("upscale", f"{upscaler.name} ({upscaler.plugin}{by}): {names}")
    each = f", {step.variations} variations each" if step.variations > 1 else ""
    yield _line("", ", ".join(map(_quoted, step.prompts)) + f"{each}, seed {step.seed}")
    yield from _reused(plan, step, fresh)


def _compared(step: Compare) -> Iterator[str]:
    yield _line("compare", f"{_number(len(step.pairs), 'pair')}, {', '.join(step.metrics)}")
    if step.path is not None:
        yield _line("  write", step.path)


def _saved(plan: Plan, step: Save, fresh: set[str]) -> Iterator[str]:
    only = "" if step.roles is None else " " + ", ".join(step.roles)
    yield _line("save", step.model + only)
    yield from _reused(plan, step, fresh)
    # One component in two roles is written twice.
    sizes = [held(plan.components[key]) for key in uses(step, plan.pipelines).values()]
    total = ByteRange(sum(size.least for size in sizes), sum(size.most for size in sizes))
    yield _line("  write", f"{step.path}/, {ranged(total)} of weights")


def _reused(plan: Plan, step: User, fresh: set[str]) -> Iterator[str]:
    used = uses(step, plan.pipelines).items()
    reused = [_called(role, plan.components[key]) for role, key in used if key not in fresh]
    if reused:
        yield _line("  reuse", ", ".join(reused))


def _loaded(component: Component, here: str) -> str:
    # A component is in the folder of its role, or in a source that is nothing but the component, unless this is told.
    inside = f" ({component.subfolder})" if component.subfolder not in ("", component.role) else ""
    # Of an adapter the class is only that which reads it.
    name = adapter_kind(component) or component.class_name
    parts = [f"{component.role:<16} {name}"]
    if component.single_file is not None:
        parts += [f"from {component.single_file}", f"configuration from {component.source}{inside}"]
    else:
        parts.append(f"from {component.source}{inside}")
    if component.revision is not None:
        parts.append(f"revision {component.revision[:7]}")
    if component.dtype is not None:
        parts.append(component.dtype)
        parts.append(sized(component.bytes))
        if component.reads not in (0, component.bytes):
            parts.append(f"reads {sized(component.reads)}")
    if component.stored is not None:
        parts.append(f"stored quantized: {component.stored.name}")
    if component.quantization is not None:
        parts.append(f"quantized by {quantized(component.quantization)}")
    if held(component) != ByteRange(component.bytes, component.bytes):
        parts.append(f"held in {ranged(held(component))}")
    if component.offload is not None:
        parts.append(f"offload {component.offload}")
    if component.dtype is not None and component.device != here:
        parts.append(f"on {component.device}")
    return ", ".join(parts)


def _called(role: str, component: Component) -> str:
    quantizer = component.quantization or component.stored
    return role if quantizer is None else f"{role} ({quantizer.name})"


def _name(plan: Plan, key: str) -> str:
    return _called(plan.components[key].role, plan.components[key])


def _line(verb: str, text: str) -> str:
    return f"{verb:<{_WIDTH}}{text}".rstrip()


def _number(count: int, noun: str) -> str:
    return _plural(count, noun, noun + "s")


def _plural(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def sized(count: int) -> str:
    """Return a number of bytes for people, in the units that memory is sold in: `15.2 MiB`."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def ranged(size: ByteRange) -> str:
    """Return a number of bytes for people that may not be known but for its bounds: `3.1 MiB to 15.2 MiB`."""
    if size.least == size.most:
        return sized(size.most)
    return f"{sized(size.least)} to {sized(size.most)}" if size.least else f"at most {sized(size.most)}"
