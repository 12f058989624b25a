"""What `:set` changes: how things are shown, and what statements are planned and run with from then on.

Their names are those of the options of the command line, where there is one. A setting that decides pixels is in each
plan that is made with it, and so in what the pictures say of themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from aquatint.diagnostics import nearest
from aquatint.interface.exits import Refusal
from aquatint.interface.planning_options import budget
from aquatint.interface.progress import printable
from aquatint.interface.repl.preview import COLUMNS
from aquatint.interface.repl.terminal import Graphics, graphics
from aquatint.interface.session import Session
from aquatint.plan.render import sized
from aquatint.runtime.outputs import OutputPolicy

_SEEDS = 1 << 63


@dataclass(slots=True)
class Look:
    """How pictures are shown: in what, how many characters wide at most, and how many of a statement."""

    graphics: Graphics = Graphics.OFF
    columns: int = COLUMNS
    pictures: int = 4


@dataclass(frozen=True, slots=True)
class Preference:
    """A setting of the session: what it takes, in words and as `choices`, what it is for, how it is told and set.

    `put` raises `ValueError` for what can't be taken.
    """

    name: str
    takes: str
    help: str
    told: Callable[[Session, Look], str]
    put: Callable[[Session, Look, str], None]
    choices: tuple[str, ...] = ()


def put(name: str, value: str, session: Session, look: Look) -> None:
    """Set the setting called `name`, with `-` for `_` if one likes, to what `value` says. Raises `Refusal`."""
    found = _found(name)
    if not value:
        return
    try:
        if found.choices and value not in found.choices:
            raise ValueError
        found.put(session, look, value)
    except ValueError:
        raise Refusal("bad-command-line", f"`{found.name}` can't be `{printable(value)}`",
                      f"it is {found.takes}") from None  # fmt: skip


def listed(session: Session, look: Look, name: str = "") -> str:
    """Return the settings with their values, a line for each; only the one called `name` if that is given."""
    shown = [_found(name)] if name else PREFERENCES
    rows = [(each.name, each.told(session, look), f"{each.help}: {each.takes}") for each in shown]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}\n" for row in rows)


def _found(name: str) -> Preference:
    known = {each.name: each for each in PREFERENCES}
    found = known.get(name.lstrip("-").replace("-", "_"))
    if found is None:
        near = nearest(name, known)
        raise Refusal("bad-command-line", f"there is no setting `{printable(name)}`",
                      f"did you mean `{near}`?" if near else "`:set` lists them")  # fmt: skip
    return found


def _put_preview(session: Session, look: Look, value: str) -> None:
    look.graphics = graphics() if value == "auto" else Graphics(value)


def _put_columns(session: Session, look: Look, value: str) -> None:
    look.columns = _number(value, 2, 500)


def _put_pictures(session: Session, look: Look, value: str) -> None:
    look.pictures = _number(value, 1, 1000)


def _put_seed(session: Session, look: Look, value: str) -> None:
    session.change(replace(session.world, plan_seed=_number(value, 0, _SEEDS - 1)))


def _put_memory(session: Session, look: Look, value: str) -> None:
    before = session.world.memory
    try:
        found = None if value == "any" else budget(value, session.world.device, before.host if before else 0)
    except Refusal:
        raise ValueError from None
    session.change(replace(session.world, memory=found))


def _told_memory(session: Session, look: Look) -> str:
    memory = session.world.memory
    return "any" if memory is None else sized(memory.limit)


def _put_existing(session: Session, look: Look, value: str) -> None:
    session.change(existing=OutputPolicy(value))


def _number(text: str, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise ValueError
    return number


PREFERENCES = (
    Preference("preview", "auto, kitty, iterm2, sixel, blocks or off", "what pictures are shown in",
               lambda session, look: look.graphics.value, _put_preview, ("auto", *Graphics)),
    Preference("columns", "a number from 2 to 500", "characters that a picture is wide at most",
               lambda session, look: str(look.columns), _put_columns),
    Preference("pictures", "a number from 1 to 1000", "pictures of a statement that are shown",
               lambda session, look: str(look.pictures), _put_pictures),
    Preference("plan_seed", "a whole number that isn't negative", "what seeds are drawn with",
               lambda session, look: str(session.world.plan_seed), _put_seed),
    Preference("memory", "a size such as 8GiB, -2GiB for all that is free but that, or any",
               "what models may take", _told_memory, _put_memory),
    Preference("existing", ", ".join([*OutputPolicy][:-1]) + f" or {[*OutputPolicy][-1]}", "where an output exists",
               lambda session, look: session.options.existing.value, _put_existing, tuple(OutputPolicy)),
)  # fmt: skip
"""All settings, in the order in which they are listed."""
