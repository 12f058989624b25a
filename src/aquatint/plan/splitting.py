"""Into which phases a generate step falls apart, and what each of them works with.

A phase is no more than the parts that are loaded for it: a call goes on as far as it gets with them, so that a part in
the wrong phase costs memory or a load, and never a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aquatint.catalog.ip_adapters import IMAGE_ENCODER
from aquatint.catalog.language_models import ROLES
from aquatint.catalog.pipelines import is_denoiser, is_text_encoder
from aquatint.plan.memory import held
from aquatint.plan.steps import Component, Generate, Pipeline
from aquatint.plan.uses import LAST, adapters, ip_adapters, takes_pictures
from aquatint.plan.working import pixels, work


@dataclass(frozen=True, slots=True)
class Part:
    """A phase of a step: its name, its roles; in bytes, what waits for the next phase, and what it takes to work."""

    name: str
    roles: list[str]
    result: int
    work: int = 0


def split(
    step: Generate,
    pipeline: Pipeline,
    components: Mapping[str, Component],
    fine: bool,
    images: int,
    together: int,
) -> list[Part]:
    """Return the phases of `step`, the last of which ends it; one alone where it can't be split.

    `images` are those of its calls: its own, and others' that are in a batch with them; `together` are the most of one.

    A step can be split if text encoders, denoisers and the rest are different components, and none is offloaded. Unless
    it is to be `fine`, its picture is decoded as soon as it is denoised, so that pictures appear one by one.
    """
    roles = [
        role for role, key in pipeline.parts.items() if key is not None and (step.roles is None or role in step.roles)
    ]
    by_role = {role: components[key] for role, key in pipeline.parts.items() if key is not None}
    # A weighter's own parts work where the prompt is read, and an IP-Adapter's pictures are encoded there.
    beside = (*ROLES, IMAGE_ENCODER) if ip_adapters(pipeline) else ROLES
    encoders = [role for role in roles if is_text_encoder(role) or role in beside]
    denoisers = [role for role in roles if is_denoiser(role)]
    last = [role for role in roles if role in LAST]
    if pipeline.offload is not None or not denoisers or not (encoders or last):
        return [Part("generate", roles, 0, work(step, roles, pipeline, components, together))]
    # A pipeline is made of them before anything else.
    weightless = [role for role in roles if by_role[role].dtype is None]
    adapting = adapters(pipeline)
    # A call may come to these at any time.
    always = [role for role in roles if role not in (*encoders, *denoisers, *last, *weightless, *adapting)]
    # 16 channels of 32 bits for 8 x 8 pixels.
    latents = images * (pixels(step, pipeline, components) // 64 * 64)
    phases = [
        Part("encode", encoders + always, _embeddings(by_role, encoders, images)),
        Part("denoise", denoisers + always + (last if takes_pictures(step) else []), latents),
        Part("generate", last + always, 0),
    ]  # fmt: skip
    if not fine:
        phases[1:] = [Part("generate", phases[1].roles + phases[2].roles, 0)]
    phases = [phase for phase in phases if phase.roles]
    # An adapter is where the components are that it is for.
    phases = [
        replace(phase, roles=phase.roles + [role for role in adapting if {*adapting[role]} & {*phase.roles}])
        for phase in phases
    ]
    first = phases[0]
    phases[0] = replace(first, roles=first.roles + weightless)
    return [
        replace(
            phase,
            roles=[role for role in roles if role in phase.roles],
            work=work(step, phase.roles, pipeline, components, together),
        )
        for phase in phases
    ]


def _embeddings(by_role: Mapping[str, Component], encoders: list[str], images: int) -> int:
    """Return about how many bytes the prompts' embeddings take.

    A hundredth of the encoders' weights, at most 8 MiB an image: a T5-XXL's for two prompts of 512 tokens in 16 bits
    are 8 MiB, and 0.1 % of its weights; a CLIP-L's for two of 77 tokens in 32 bits 0.5 MiB, and 0.1 %.
    """
    weights = sum(held(by_role[role]).most for role in encoders)
    return images * min(8 << 20, weights // 100)
