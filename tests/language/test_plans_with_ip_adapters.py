"""Plans from elsewhere: an IP-Adapter is beside the denoiser of its pipeline, and nothing else is read as one."""

from __future__ import annotations

import msgspec
import pytest

from aquatint.plan.fingerprints import planned
from aquatint.plan.keys import keyed
from aquatint.plan.steps import IpAdapterUse, LoraUse, Pipeline, Plan, PlanError
from aquatint.plan.validate import validate
from support import planned as scripts
from support.plans import component, load, pipeline, plan

WITH_TWO = """
model m {{ source: "models/attending", ip_adapter {{ source: "models/ip/sd", scale: {scale} }} }}
let cat = generate (m with {{ ip_adapter: none }}) {{ prompt: "a cat", seed: 1 }}
generate m {{ prompt: "a dog", seed: 1, ip_adapter_image: cat, output: "dog.png" }}
"""


def adapted(
    uses: dict[str, IpAdapterUse], reader: str = "IPAdapterMixin", loras: dict[str, LoraUse] | None = None
) -> None:  # fmt: skip
    """Validate a plan with an IP-Adapter in its pipeline."""
    whole: Pipeline = msgspec.structs.replace(
        pipeline("p", {"unet": "u", "ip_adapter": "i"}), ip_adapters=uses or msgspec.UNSET, loras=loras or msgspec.UNSET
    )
    own = msgspec.structs.replace(component("i", "ip_adapter"), library="diffusers.loaders", class_name=reader)
    validate(plan([component("u"), own], [whole], [load("u"), load("i")]))


def test_an_ip_adapter_beside_a_denoiser() -> None:
    adapted({"ip_adapter": IpAdapterUse(0.5, ["unet"])})


@pytest.mark.parametrize(("uses", "options", "said"), [
    ({}, {}, "pipeline `p` has no use for its `ip_adapter`"),
    ({}, {"loras": {"ip_adapter": LoraUse(1.0, ["unet"])}}, "pipeline `p` has no use for its `ip_adapter`"),
    ({"ip_adapter": IpAdapterUse(0.5, ["unet"])}, {"reader": "FluxLoraLoaderMixin"},
     "pipeline `p` has no use for its `ip_adapter`"),
    ({"ip_adapter": IpAdapterUse(float("nan"), ["unet"])}, {},
     "pipeline `p` has an IP-Adapter `ip_adapter` that can't be added to it"),
    ({"ip_adapter": IpAdapterUse(1.0, ["vae"])}, {},
     "pipeline `p` has an IP-Adapter `ip_adapter` for `vae`, which it lacks"),
])  # fmt: skip
def test_what_is_no_such_plan(uses: dict[str, IpAdapterUse], options: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError) as error:
        adapted(uses, **options)  # type: ignore[arg-type]
    assert str(error.value) == said


@pytest.mark.usefixtures("models")
def test_its_scale_decides_the_picture_and_no_component() -> None:
    one, other = (scripts.plan(WITH_TWO.format(scale=scale)) for scale in (0.5, 0.6))
    assert one.components.keys() == other.components.keys()
    assert _of_dog(one)[0] != _of_dog(other)[0]
    differing = {name for name, part in _of_dog(one)[1].items() if _of_dog(other)[1][name] != part}
    assert differing == {"scale of ip_adapter"}
    for each in (*one.pipelines.values(), *other.pipelines.values()):
        assert keyed(each) == each


def _of_dog(made: Plan) -> tuple[str, dict[str, str]]:
    """Return the key of the pipeline of the picture that is made with an IP-Adapter, and its fingerprint's parts."""
    [key] = [key for key, each in made.pipelines.items() if each.ip_adapters is not msgspec.UNSET]
    [found] = [each for each in planned(made) if each.path == "dog.png"]
    assert found.parts is not None
    return key, found.parts
