"""The recipe of a picture that only says in A1111's form how it was made: as much of it as that form tells.

Which model that was it names in a word that nobody can load, and so the script asks for it: `param source`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from aquatint.catalog import a1111, schedulers
from aquatint.interface.recipe import Recipe, Written
from aquatint.language.refusals import SIDE_STEP
from aquatint.runtime.infotext import Infotext
from aquatint.runtime.metadata import SAMPLERS, SCHEDULE_TYPES

_SCHEDULERS = {name.lower(): scheduler for scheduler, name in SAMPLERS.items()}
_SPACINGS = {name.lower(): option for option, name in SCHEDULE_TYPES.items()}
_REMARK = 200  # characters of a field that is quoted in a comment


def of_infotext(text: Infotext) -> tuple[Recipe, list[str]]:
    """Return the recipe of the picture, and a line about each field that it leaves out."""
    recipe = Recipe("picture", params=["param source: string"], settings={"source": Written("source")})
    recipe.arguments["prompt"] = text.prompt
    if text.negative_prompt:
        recipe.arguments["negative_prompt"] = text.negative_prompt
    if _is_weighted(text):
        recipe.arguments["weighter"] = "a1111"
    left: list[str] = []
    for name, value in text.fields.items():
        read = _FIELDS.get(name)
        if name == "Schedule type" and _is_spaced(recipe, value):  # it stands after the sampler
            continue
        found = None if read is None else read(value)
        if found is None:
            left.append(f"{name}: {value if len(value) <= _REMARK else value[:_REMARK] + '...'}")
        else:
            recipe.arguments |= found
    return recipe, left


def _is_weighted(text: Infotext) -> bool:
    """Return whether its prompts give words weights, as A1111's do, and nothing in them is beyond its weighter."""
    if text.fields.get("Version", "").startswith("aquatint"):
        return False
    readings = [a1111.read(prompt) for prompt in (text.prompt, text.negative_prompt)]
    fragments = [fragment for reading in readings for part in reading.parts for fragment in part]
    is_weighted = any(fragment.weight != 1.0 for fragment in fragments) or any(len(r.parts) > 1 for r in readings)
    return is_weighted and not any(reading.mistakes for reading in readings)


def _is_spaced(recipe: Recipe, spacing: str) -> bool:
    """Space the noise levels of the recipe's scheduler by A1111's name for that; return whether it can be done."""
    scheduler, option = recipe.arguments.get("scheduler"), _SPACINGS.get(spacing.lower())
    if scheduler is None or option is None or schedulers.schema(scheduler).find(option) is None:
        return False
    recipe.arguments["scheduler"] = schedulers.Scheduler(scheduler, {option: True}).text
    return True


def _steps(text: str) -> Mapping[str, Any] | None:
    found = _whole(text, 10_000)
    return {"num_inference_steps": found} if found else None


def _guidance(text: str) -> Mapping[str, Any] | None:
    if not re.fullmatch(r"\d{1,4}(\.\d{1,9})?", text):
        return None
    return {"guidance_scale": float(text) if "." in text else int(text)}


def _seed(text: str) -> Mapping[str, Any] | None:
    found = _whole(text, 2**63 - 1)
    return None if found is None else {"seed": found}


def _size(text: str) -> Mapping[str, Any] | None:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = (int(found[1]), int(found[2])) if found else (0, 0)
    return {"width": sides[0], "height": sides[1]} if all(s and s % SIDE_STEP == 0 for s in sides) else None


def _sampler(text: str) -> Mapping[str, Any] | None:
    found = _SCHEDULERS.get(text.lower())
    return None if found is None else {"scheduler": found}


def _whole(text: str, most: int) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,19}", text, re.ASCII) and int(text) <= most else None


_FIELDS: Mapping[str, Callable[[str], Mapping[str, Any] | None]] = {
    "Steps": _steps, "CFG scale": _guidance, "Seed": _seed, "Size": _size, "Sampler": _sampler,
}  # fmt: skip
"""What is carried over; a reader returns None for a value that has no place in a script."""
