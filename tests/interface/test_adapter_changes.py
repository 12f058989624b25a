"""What `--set` changes in a picture's adapters."""

from __future__ import annotations

import pytest

from aquatint.diagnostics import Diagnostics, render
from aquatint.interface.recipe import Recipe, text_of
from aquatint.interface.recipe_changes import change


def recipe() -> Recipe:
    """Return that of a picture that was made with three adapters."""
    return Recipe(
        "m", "StableDiffusionPipeline", ("unet", "vae"), settings={"source": "models/sd"},
        adapters={
            "lora": [{"source": "a.safetensors"}, {"source": "b.safetensors", "weight": 0.5}],
            "ip_adapter": [{"source": "c.safetensors", "scale": 0.6}],
        },
        arguments={"prompt": "a cat", "seed": 1},
    )  # fmt: skip


def test_settings_of_each_are_set() -> None:
    made, diagnostics = recipe(), Diagnostics()
    change(made, ["lora.weight=0.25", "lora-2.weight=-1", "ip_adapter.scale=1e-1"], diagnostics)
    assert not list(diagnostics)
    assert (
        text_of(made)
        == """model m {
    source: "models/sd"
    lora { source: "a.safetensors", weight: 0.25 }
    lora { source: "b.safetensors", weight: -1 }
    ip_adapter { source: "c.safetensors", scale: 0.1 }
}

generate m {
    prompt: "a cat"
    seed: 1
}
"""
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lora.wieght=1", "`lora` has no setting `wieght`\n --> --set:1:1\n"),
        ("lora_3.weight=1", "the picture's model has no submodule `lora_3`\n --> --set:1:1\n"),
    ],
)
def test_what_is_not_there_is_told(given: str, said: str) -> None:
    diagnostics = Diagnostics()
    change(recipe(), [given], diagnostics)
    [found] = diagnostics
    assert said in render(found)
