"""The layer of Kandinsky's decoders that no backend may take: diffusers gives it its input in its weight's own type."""

from __future__ import annotations

import pytest

from aquatint.catalog import coverage, estimates
from aquatint.catalog.checkpoints import Tensor
from aquatint.catalog.layers import Network
from aquatint.catalog.quantizers import backend, canonical

TENSORS = [
    Tensor(f"{name}.weight", "F32", (256, 256), 0, 4 * 256 * 256)
    for name in ("encoder_hid_proj.image_embeds", "mid_block.attentions.0.to_q")
]


@pytest.mark.parametrize(
    ("name", "setting"), [("sdnq", "modules_to_not_convert"), ("bnb", "llm_int8_skip_modules")]
)  # fmt: skip
def test_it_is_named_with_what_leaves_it_out(name: str, setting: str) -> None:
    network = Network("diffusers", "UNet2DConditionModel", "float32", {})
    found = backend(name)
    assert found is not None
    estimate = estimates.quantized(network, TENSORS, found, canonical(name, {}))
    assert [(each.layers, each.help) for each in coverage.failing(estimate)] == [
        ("`encoder_hid_proj.image_embeds`", f'set `{setting}: ["encoder_hid_proj"]`')
    ]
    spared = estimates.quantized(network, TENSORS, found, canonical(name, {setting: ("encoder_hid_proj",)}))
    assert (spared.unfit, spared.quantized) == ((), 1)
