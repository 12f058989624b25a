"""Which components a step uses.

When they are loaded for it is in `schedule`, what that comes to in `counts`.
"""

from __future__ import annotations

from collections.abc import Mapping

from aquatint.plan.steps import Generate, Pipeline, Save, Step


def uses(step: Step, pipelines: Mapping[str, Pipeline]) -> dict[str, str]:
    """Return the keys of the components that `step` works with, by role; none for a step that works with none."""
    match step:
        case Generate():
            roles = None
        case Save():
            roles = step.roles
        case _:
            return {}
    parts = pipelines[step.pipeline].parts
    return {role: key for role, key in parts.items() if key is not None and (roles is None or role in roles)}
