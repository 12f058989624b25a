"""A session as a script: its texts, with the seeds that were drawn written out.

A seed that is drawn depends on all that the session did before: the same text in a file would draw another. What comes
out is planned afresh and compared with what was done, and a script that would make other pictures is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from aquatint.interface.exits import Refusal
from aquatint.interface.session import Done, Session
from aquatint.plan.fingerprints import planned
from aquatint.plan.steps import Generate, Plan
from aquatint.source import Source
from aquatint.syntax import nodes as n


@dataclass(frozen=True, slots=True)
class SavedSession:
    """A script, how many texts of the session it has, and how many files it writes."""

    text: str
    statements: int
    files: int


def saved_session(session: Session) -> SavedSession:
    """Return a script that makes what the texts of `session` have made, pixel for pixel. Raises `Refusal`."""
    done = session.done
    kept = [each for number, each in enumerate(done) if not _is_replaced(each, done[number + 1 :])]
    text = "".join(_with_seeds(each).rstrip() + "\n" for each in kept)
    evaluation = session.afresh(Source("<saved session>", text))
    if evaluation.plan is None:
        first = next(iter(evaluation.diagnostics))
        raise Refusal("bad-command-line", f"the session is no script: {first.message}",
                      "`:undo` takes back what stands in the way")  # fmt: skip
    made, wanted = _files([evaluation.plan]), _files([each.plan for each in kept])
    different = [path for path in wanted if made.get(path) != wanted[path]]
    if different:
        raise Refusal("bad-command-line", f"a script would make another `{different[0]}`: it has a seed, or a text "
                      "with `random`, that is drawn anew", "give the statement a `seed`")  # fmt: skip
    return SavedSession(text, len(kept), len(made))


def _is_replaced(done: Done, later: Sequence[Done]) -> bool:
    """Return whether all that `done` did was to bind names that a later text binds anew: a script binds a name once."""
    bound = _bound(done)
    again = {name for each in later for name in _bound(each)}
    return bool(bound) and not done.plan.steps and bound <= again


def _bound(done: Done) -> set[str]:
    names: set[str] = set()
    for statement in done.script.statements:
        match statement:
            case n.Let():
                names |= {name.text for name in statement.names}
            case n.Declare() | n.Derive() | n.Function() | n.Procedure():
                names.add(statement.name.text)
            case _:
                pass
    return names


def _with_seeds(done: Done) -> str:
    """Return the text, with a `seed` for each `generate` that has none and was carried out once."""
    text = done.source.text
    carried: dict[tuple[int, int], list[Generate]] = {}
    for step in done.plan.steps:
        if isinstance(step, Generate) and step.place.file == done.source.name:
            carried.setdefault((step.place.line, step.place.column), []).append(step)
    # From behind, so that places stay.
    for action in sorted(_generates(done.script), key=lambda action: -action.block.span.start):
        steps = carried.get(done.source.position(action.span.start), [])
        seeded = any(isinstance(item, n.Attribute) and item.name.text == "seed" for item in action.block.items)
        if len(steps) == 1 and not seeded and steps[0].outputs:
            at = action.block.span.start + 1
            comma = "," if action.block.items else ""
            text = f"{text[:at]} seed: {steps[0].outputs[0].seed}{comma}{text[at:]}"
    return text


def _generates(script: n.Script) -> Iterator[n.Action]:
    waiting: list[n.Node] = list(script.statements)
    while waiting:
        node = waiting.pop()
        if isinstance(node, n.Action) and node.verb.text == "generate":
            yield node
        waiting += n.children(node)


def _files(plans: Sequence[Plan]) -> dict[str, str | None]:
    """Return the fingerprint of each file that `plans` write, of which later ones may take what earlier ones made."""
    if not plans:
        return {}
    whole = msgspec.structs.replace(
        plans[-1],
        steps=[step for plan in plans for step in plan.steps],
        pipelines={key: each for plan in plans for key, each in plan.pipelines.items()},
        components={key: each for plan in plans for key, each in plan.components.items()},
        batches=msgspec.UNSET if len(plans) > 1 else plans[-1].batches,  # names of batches are a plan's own
    )
    found = {file.path: file.fingerprint for file in planned(whole)}
    alone = {file.path: file.fingerprint for plan in plans for file in planned(plan)}
    return found | {path: fingerprint for path, fingerprint in alone.items() if fingerprint is not None}
