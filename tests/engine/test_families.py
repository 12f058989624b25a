"""Where a quantizer applies, in scripts over tiny checkpoints of five families.

That the pictures are those of plain programs is held by `test_parity`, except of two quantizers in one model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aquatint.runtime.engine import Engine, Loaded
from aquatint.runtime.torch_engine import weights
from engine import plain
from support import planned

Tiny = Callable[[str], Path]

FAMILIES = {
    "sd": {"unet", "text_encoder"},
    "sdxl": {"unet", "text_encoder", "text_encoder_2"},
    "sd3": {"transformer", "text_encoder", "text_encoder_2", "text_encoder_3"},
    "flux": {"transformer", "text_encoder", "text_encoder_2"},
    "zimage": {"transformer", "text_encoder"},
}
"""What a model's quantizer is for, unless the script says otherwise."""
# For pipelines that can't draw without a picture to start from.
SAVE = 'save m { to: "saved" }'
NF4, UINT4 = "bnb;bits=4;bits4-quant-type=nf4", "sdnq;type=uint4;quant-conv=true"


def quantized(parts: dict[str, Loaded]) -> set[str]:
    """Return the roles in which a backend has replaced layers."""
    return {role for role, loaded in parts.items() if loaded.quantized_layers}


@pytest.mark.parametrize("uri", ["bnb", "sdnq;quant-conv=true"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_quantizer_is_for_the_denoiser_and_every_text_encoder(
    engine: Engine, folder: Tiny, family: str, uri: str
) -> None:
    assert quantized(planned.load(engine, planned.model(folder(family), f'quantizer: "{uri}"'))) == FAMILIES[family]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", {"unet", "text_encoder"}),
        ('quantizer_map: ["controlnet"]', {"controlnet"}),
        ('quantizer_map: ["unet", "vae", "image_encoder"]', {"unet", "vae", "image_encoder"}),
        ("controlnet { quantizer: q }", {"unet", "text_encoder", "controlnet"}),
        ("image_encoder { quantizer: q }, unet { quantizer: none }", {"text_encoder", "image_encoder"}),
    ],
)
def test_a_vae_a_controlnet_and_an_image_encoder_only_when_named(
    engine: Engine, folder: Tiny, settings: str, expected: set[str]
) -> None:
    before = "quantizer q { backend: sdnq, quant_conv: true }"
    text = planned.model(folder("controlnet"), f"quantizer: q, {settings}", before, SAVE)
    assert quantized(planned.load(engine, text)) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_a_map_restricts_and_a_submodule_has_the_last_word(engine: Engine, folder: Tiny, family: str) -> None:
    [denoiser] = FAMILIES[family] & {"unet", "transformer"}
    before = 'quantizer a = "bnb"\nquantizer b = "sdnq;type=uint4;quant-conv=true"'

    def roles(settings: str) -> set[str]:
        return quantized(planned.load(engine, planned.model(folder(family), settings, before)))

    assert roles(f'quantizer: a, quantizer_map: ["{denoiser}"]') == {denoiser}
    assert roles(f"quantizer: a, {denoiser} {{ quantizer: none }}") == FAMILIES[family] - {denoiser}
    assert roles("text_encoder { quantizer: a }") == {"text_encoder"}
    assert roles(f'quantizer: a, quantizer_map: ["{denoiser}"], vae {{ quantizer: b }}') == {denoiser, "vae"}


# Parts of names of layers that each family's denoiser has, with and without them.
LAYERS = {
    "sd": ("attn1", "attn2"),
    "sdxl": ("attn1", "attn2"),
    "sd3": ("attn", "ff"),
    "flux": ("attn", "ff"),
    "zimage": ("attention", "feed_forward"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_inside_a_submodule_layers_are_left_or_get_types_of_their_own(
    engine: Engine, folder: Tiny, family: str
) -> None:
    [denoiser] = FAMILIES[family] & {"unet", "transformer"}
    skipped, other = LAYERS[family]
    quantizer = f"""
    quantizer q {{
        backend: sdnq
        weights_dtype: uint4
        modules_to_not_convert: ["{skipped}"]
        modules_dtype_dict: {{ int6: ["{other}"] }}
    }}
    """
    module = planned.load(engine, planned.model(folder(family), f"{denoiser} {{ quantizer: q }}", quantizer))
    types: dict[str, set[str]] = {skipped: set(), other: set()}
    for name, layer in module[denoiser].object.named_modules():
        for part in types:
            if part in name.split(".") and isinstance(layer, torch.nn.Linear):
                types[part].add(layer.sdnq_dequantizer.weights_dtype if hasattr(layer, "sdnq_dequantizer") else "")
    assert types == {skipped: {""}, other: {"int6"}}


@pytest.mark.parametrize("family", FAMILIES)
def test_two_quantizers_in_one_model(engine: Engine, folder: Tiny, family: str) -> None:
    made = folder(family)
    settings = f'quantizer: "{UINT4}", text_encoder {{ quantizer: "{NF4}" }}'
    kinds = dict.fromkeys(FAMILIES[family], "sdnq-uint4") | {"text_encoder": "nf4"}
    [picture] = planned.paint(engine, planned.model(made, settings))
    assert picture == plain.paint(made, kinds)


@pytest.mark.parametrize("uri", [NF4, UINT4])
def test_one_quantizer_in_two_models(engine: Engine, folder: Tiny, uri: str) -> None:
    # The libraries write into the configuration that they are given: the second model must not see the first one's.
    one, other = (planned.model(folder(family), f'quantizer: "{uri}"') for family in ("flux", "sd3"))
    both = planned.model(folder("flux"), "quantizer: q", f'quantizer q = "{uri}"') + planned.model(
        folder("sd3"), "quantizer: q"
    ).replace("model m", "model n").replace("generate m", "generate n").replace("out.png", "other.png")
    assert planned.paint(engine, both) == [*planned.paint(engine, one), *planned.paint(engine, other)]


def test_bytes_of_a_part_do_not_depend_on_what_else_was_loaded(engine: Engine, folder: Tiny) -> None:
    text = planned.model(folder("flux"), 'quantizer: "sdnq;type=uint4;group-size=32"')
    first = planned.load(engine, text)["transformer"]
    planned.load(engine, planned.model(folder("sd3"), 'quantizer: "sdnq;type=uint4;group-size=32"'))
    second = planned.load(engine, text)["transformer"]
    one, two = ([tensor for _, _, tensor in weights.held(torch, each.object)] for each in (first, second))
    assert first.quantized_layers == second.quantized_layers
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
