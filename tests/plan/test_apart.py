"""Steps whose components are in several memories: each keeps to its own budget, whatever the others'."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.catalog.hardware import memory_of
from aquatint.plan.memory import moments
from aquatint.plan.schedule import Schedule, schedule
from aquatint.plan.steps import (
    ByteRange,
    Component,
    Evict,
    Generate,
    Load,
    Phase,
    Pipeline,
    Plan,
    Release,
    Return,
    Step,
)
from aquatint.plan.uses import uses
from support.plans import component, generate, pipeline, plan

MIB = 1 << 20


def part(key: str, role: str, mebibytes: int, device: str) -> Component:
    made = component(key, role)
    held = ByteRange(mebibytes * MIB, mebibytes * MIB)
    return msgspec.structs.replace(made, bytes=held.most, held=held, device=device)


PARTS = {
    each.key: each
    for each in (
        part("te-a", "text_encoder", 6, "cpu"), part("te-b", "text_encoder", 5, "cpu"),
        part("un-a", "unet", 10, "cuda"), part("un-b", "unet", 9, "cuda"), part("vae-a", "vae", 3, "cuda:1"),
        part("vae-b", "vae", 2, "cuda:1"),
    )
}  # fmt: skip
PIPELINES = {
    each.key: each
    for each in (
        pipeline("p", {"text_encoder": "te-a", "unet": "un-a", "vae": "vae-a"}),
        pipeline("q", {"text_encoder": "te-a", "unet": "un-b", "vae": "vae-b"}),
        pipeline("r", {"text_encoder": "te-b", "unet": "un-a", "vae": "vae-b"}),
    )
}


def scheduled(
    names: str, memory: int | None = None, host: int | None = 0, order: str = "least", **beside: int
) -> tuple[Plan, Schedule]:
    """Return the plan of a step for each of the pipelines called `names`, and its schedule; limits are in MiB."""
    steps: list[Step] = [generate(f"g{number}", name, [f"{number}.png"]) for number, name in enumerate(names, 1)]
    made = schedule(
        steps, PIPELINES, PARTS, keep=False, order="script" if order == "script" else "least", device="cuda",
        memory=None if memory is None else memory * MIB, host=None if host is None else host * MIB,
        beside={{"cuda1": "cuda:1"}.get(name, name): size * MIB for name, size in beside.items()},
    )  # fmt: skip
    used: list[Pipeline] = [PIPELINES[name] for name in dict.fromkeys(names)]
    return msgspec.structs.replace(plan(list(PARTS.values()), used, made.steps), device="cuda"), made


def most(made: Plan) -> Mapping[str, int]:
    """Return the most MiB of weights that `made` holds in each memory."""
    return {
        memory: max(size.most for size in moments(made, memory=memory)) // MIB for memory in ("cpu", "cuda", "cuda:1")
    }


def test_each_memory_has_its_own_budget() -> None:
    everything, _ = scheduled("pqrp", order="script")
    assert most(everything) == {"cpu": 11, "cuda": 19, "cuda:1": 5}
    short, made = scheduled("pqrp", 10, order="script")
    assert made.shortfall is None
    assert most(short) == {"cpu": 11, "cuda": 10, "cuda:1": 5}
    shorter, made = scheduled("pqrp", 10, order="script", cpu=6, cuda1=3)
    assert made.shortfall is None
    assert most(shorter) == {"cpu": 6, "cuda": 10, "cuda:1": 3}
    assert made.limit is not None
    assert made.limit.beside == {"cpu": 6 * MIB, "cuda:1": 3 * MIB}


def test_what_computes_in_the_computers_memory_leaves_less_for_what_waits_there() -> None:
    def evicted(host: int) -> set[str]:
        made, _ = scheduled("pqp", 10, host, order="script", cpu=host)
        return {step.component for step in made.steps if isinstance(step, Evict)}

    # A text encoder of 6 MiB is there, and the denoiser that waits has 10.
    assert evicted(16) == {"un-a"}
    assert evicted(15) == set()


def test_what_does_not_fit_says_where() -> None:
    _, made = scheduled("pq", 12, cuda1=2)
    assert made.shortfall is not None
    assert (made.shortfall.device, made.shortfall.needed, made.shortfall.memory) == ("cuda:1", 3 * MIB, 2 * MIB)


@settings(max_examples=60, deadline=None)
@given(
    names=st.text("pqr", min_size=1, max_size=7), memory=st.sampled_from([None, 10, 12]),
    cpu=st.sampled_from([None, 6, 9]), cuda1=st.sampled_from([None, 3, 4]), host=st.sampled_from([None, 0, 12]),
    order=st.sampled_from(["least", "script"]),
)  # fmt: skip
def test_every_step_has_its_parts_within_all_budgets(
    names: str, memory: int | None, cpu: int | None, cuda1: int | None, host: int | None, order: str
) -> None:
    beside = {name: size for name, size in (("cpu", cpu), ("cuda1", cuda1)) if size is not None}
    made, found = scheduled(names, memory, host, order, **beside)
    assert found.shortfall is None
    limits = {"cuda": memory, "cpu": cpu, "cuda:1": cuda1}
    assert all(limits[name] is None or size <= limits[name] for name, size in most(made).items())
    live: set[str] = set()
    hosted: set[str] = set()
    run: list[str] = []
    for step in made.steps:
        match step:
            case Load(component=key):
                assert key not in live | hosted
                live.add(key)
            case Return(component=key):
                hosted.remove(key)
                live.add(key)
            case Evict(component=key):
                assert memory_of(PARTS[key].device) != "cpu"
                live.remove(key)
                hosted.add(key)
            case Release(component=key):
                (live if key in live else hosted).remove(key)
            case Phase() | Generate():
                assert set(uses(step, made.pipelines).values()) <= live
                run += [step.id] if isinstance(step, Generate) else []
    assert sorted(run) == sorted(f"g{number}" for number in range(1, len(names) + 1))
    assert not live | hosted
