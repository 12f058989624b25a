"""Each answer in the table of compatibility that a CPU can show, held against what the libraries do.

A test is run for every kind of quantizer whose cells name it, and asks for the cell's own answer: one that changes with
a version of a library fails here. What needs two devices is tried on a second one that `second_device` makes.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from aquatint.catalog import compatibility
from aquatint.catalog.compatibility import Cell
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.runtime.torch_engine.assembled import Assembled
from aquatint.runtime.torch_engine.libraries import libraries
from support import loras as lora_files
from support.quantizer_kinds import KINDS
from support.scenes import Scene, drawn, everywhere, load, scene


def tried(test: str) -> Any:
    """Run the test for every cell of the table that names it."""
    cells = [
        compatibility.cell(kind.name, each.name) for kind in compatibility.kinds() for each in compatibility.features()
    ]
    named = [cell for cell in cells if test in cell.tried]
    assert named, f"no cell names {test}"
    return pytest.mark.parametrize("cell", named, ids=lambda cell: f"{cell.kind}-{cell.feature}")


def packs() -> bool:
    """Return whether bitsandbytes has kernels for this processor, for which it packs 4-bit weights anew."""
    return bool(libraries().bitsandbytes.functional.has_avx512bf16())


needs_packing = pytest.mark.skipif("not packs()", reason="bitsandbytes packs 4-bit weights on CPUs with AVX512-BF16")


class Studio:
    """A tiny pipeline of one kind, and the pictures that it draws."""

    def __init__(self, engine: TorchEngine, folder: Path, kind: str, packed: bool = False, **arguments: Any) -> None:
        uri = KINDS[kind]
        self.engine = engine
        self.scene: Scene = scene(folder, everywhere(folder, uri) if uri is not None else None, **arguments)
        parts = load(engine, self.scene)
        assembled = engine.assemble(self.scene.pipeline, parts)
        # A pipeline of the live modules, which users of diffusers do things to.
        objects = {role: None if part is None else part.object for role, part in parts.items()}
        self.pipeline = assembled.found(**objects, **self.scene.pipeline.options)
        self.pipeline.set_progress_bar_config(disable=True)
        # The same one for each picture.
        self.assembled = Assembled(libraries(), self.scene.pipeline, lambda **parts: self.pipeline, objects, {}, "cpu")
        if not packed:
            # As on every other processor and device.
            for layer in self.layers(libraries().bitsandbytes.nn.Linear4bit):
                layer.support_avx512bf16_for_cpu = False

    @property
    def denoiser(self) -> Any:
        return getattr(self.pipeline, "unet", None) or self.pipeline.transformer

    def layers(self, kind: type) -> list[Any]:
        modules = (each for each in self.pipeline.components.values() if isinstance(each, libraries().torch.nn.Module))
        return [layer for module in modules for layer in module.modules() if isinstance(layer, kind)]

    def draw(self) -> Any:
        """Return the picture's pixels as numbers."""
        image = drawn(self.engine, self.assembled, self.scene.generation, lambda done, total: None)
        return numpy.asarray(image).astype(int)


@pytest.fixture
def studio(engine: TorchEngine, folder: Callable[[str], Path]) -> Callable[..., Studio]:
    return lambda kind, name="sd", **options: Studio(engine, folder(name), kind, **options)


def same(one: Any, other: Any) -> bool:
    return bool((one == other).all())


def distance(one: Any, other: Any) -> float:
    """Return the mean difference of two pictures' values, which are 0 to 255."""
    return float(numpy.abs(one - other).mean())


# Offloading, on a second device ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def outcomes(folder: Callable[[str], Path], on_second_device: Callable[..., Any]) -> dict[str, Any]:
    """What `second_device` found, by kind and feature."""
    found: dict[str, Any] = on_second_device("second_device.py", folder("sd"))
    return found


STAYS = 0.05
"""The share of a model's bytes from which on it counts as left on the device: a 20th may be what wasn't yet freed."""


@pytest.mark.slow
@tried("test_offloading")
def test_offloading(outcomes: dict[str, Any], cell: Cell) -> None:
    outcome = outcomes[cell.kind][cell.feature]
    if cell.answer == "refused":
        assert outcome["error"] is not None
        return
    assert outcome["error"] is None
    assert outcome["same"], "another picture than without"
    if cell.feature in ("to-device", "host-memory"):
        has_left, is_back = outcome["share_waiting"] < STAYS, outcome["share_left"] > 1 - STAYS
        assert (has_left and is_back) == (cell.answer == "works"), outcome
    else:
        # The caveat of all of these is that quantized weights stay.
        assert (outcome["share_left"] > STAYS) == (cell.answer == "caveat")


@tried("test_streams_need_a_device_that_has_them")
def test_streams_need_a_device_that_has_them(studio: Callable[..., Studio], cell: Cell) -> None:
    made, cpu = studio(cell.kind), libraries().torch.device("cpu")
    with pytest.raises(ValueError, match="streams"):
        made.pipeline.enable_group_offload(onload_device=cpu, offload_type="leaf_level", use_stream=True)
        made.draw()


@tried("test_groups_on_a_disk")
def test_groups_on_a_disk(studio: Callable[..., Studio], cell: Cell, tmp_path: Path) -> None:
    expected = studio(cell.kind).draw()
    assert same(to_disk(studio(cell.kind), tmp_path).draw(), expected)
    assert list(tmp_path.glob("**/*.safetensors"))


@needs_packing
@tried("test_packed_weights_are_not_what_is_on_the_disk")
def test_packed_weights_are_not_what_is_on_the_disk(studio: Callable[..., Studio], cell: Cell, tmp_path: Path) -> None:
    expected = studio(cell.kind, packed=True).draw()
    assert distance(to_disk(studio(cell.kind, packed=True), tmp_path).draw(), expected) > 5


def to_disk(made: Studio, folder: Path) -> Studio:
    """Return `made` with the weights of its modules in `folder`, a file for each layer."""
    for role, module in made.pipeline.components.items():
        if isinstance(module, libraries().torch.nn.Module):
            from diffusers.hooks import apply_group_offloading

            apply_group_offloading(
                module, onload_device=libraries().torch.device("cpu"), offload_type="leaf_level",
                offload_to_disk_path=str(folder / role),
            )  # fmt: skip
    return made


# LoRA -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def loras(engine: TorchEngine, folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two LoRAs for the tiny Stable Diffusion, with random weights."""
    import torch
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    made = Studio(engine, folder("sd"), "none")
    root = tmp_path_factory.mktemp("loras")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name in ("one", "two"):
            targets = ["to_q", "to_k", "to_v", "to_out.0"]
            config = LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, target_modules=targets)
            made.denoiser.add_adapter(config, adapter_name=name)
            weights = get_peft_model_state_dict(made.denoiser, adapter_name=name)
            made.pipeline.save_lora_weights(root / name, unet_lora_layers=weights, safe_serialization=True)
    return [root / "one", root / "two"]


# peft tells of what is tried here on purpose: two at once, and fusing into rounded weights.
@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@tried("test_lora")
def test_lora(studio: Callable[..., Studio], loras: list[Path], cell: Cell) -> None:
    made = studio(cell.kind)
    plain = made.draw()
    made.pipeline.load_lora_weights(str(loras[0]), adapter_name="one")
    drawn = made.draw()
    match cell.feature:
        case "lora":
            reference = studio("none")
            reference.pipeline.load_lora_weights(str(loras[0]), adapter_name="one")
            assert distance(drawn, reference.draw()) < distance(drawn, plain)
        case "lora-weights":
            made.pipeline.set_adapters(["one"], [0.0])
            assert same(made.draw(), plain)
            made.pipeline.load_lora_weights(str(loras[1]), adapter_name="two")
            made.pipeline.set_adapters(["one", "two"], [0.5, 0.5])
            assert not same(made.draw(), plain) and not same(made.draw(), drawn)
            made.pipeline.disable_lora()
            assert same(made.draw(), plain)
        case "lora-unload":
            made.pipeline.unload_lora_weights()
            assert same(made.draw(), plain)
        case "lora-fuse":
            fuse(made, cell)


@pytest.fixture(scope="session")
def lora_for_words(engine: TorchEngine, folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    made = Studio(engine, folder("sd"), "none")
    return str(lora_files.write(made.pipeline, tmp_path_factory.mktemp("lora"), 0, ["text_encoder"]))


@tried("test_lora_for_a_text_encoder")
def test_lora_for_a_text_encoder(studio: Callable[..., Studio], lora_for_words: str, cell: Cell) -> None:
    made = studio(cell.kind)
    plain = made.draw()
    if cell.answer == "refused":
        with pytest.raises(ValueError, match="cast"):
            made.pipeline.load_lora_weights(lora_for_words, adapter_name="one")
        return
    made.pipeline.load_lora_weights(lora_for_words, adapter_name="one")
    assert not same(made.draw(), plain)
    made.pipeline.unload_lora_weights()
    assert same(made.draw(), plain)


def fuse(made: Studio, cell: Cell) -> None:
    """Fuse the one LoRA that `made` has, unfuse it, and hold what remains against the cell's answer."""
    torch = libraries().torch
    if cell.kind.startswith("sdnq"):
        with pytest.raises(RuntimeError):
            made.pipeline.fuse_lora()
        return
    layer = made.denoiser.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    before = weight(layer)
    made.pipeline.fuse_lora()
    fused = weight(layer)
    made.pipeline.unfuse_lora()
    lost, changed = (float((weight(layer) - before).abs().max()), float((fused - before).abs().max()))
    assert not torch.equal(fused, before)
    if cell.answer == "refused":
        assert lost > changed / 1000, "unfusing brings the weights back"
    else:
        assert 0 < lost < changed / 100_000


def weight(layer: Any) -> Any:
    """Return the weights that a layer with a LoRA computes with, in float32."""
    from peft.utils.integrations import dequantize_module_weight

    return dequantize_module_weight(layer.base_layer).detach().float().clone()


@needs_packing
@tried("test_a_lora_changes_packed_weights")
def test_a_lora_changes_packed_weights(studio: Callable[..., Studio], loras: list[Path], cell: Cell) -> None:
    made = studio(cell.kind, packed=True)
    plain = made.draw()
    made.pipeline.load_lora_weights(str(loras[0]), adapter_name="one")
    made.draw()
    made.pipeline.unload_lora_weights()
    again = made.draw()
    assert not same(again, plain)
    assert distance(again, plain) < 1


# torch.compile --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@tried("test_compile")
def test_compile(studio: Callable[..., Studio], cell: Cell) -> None:
    expected = studio(cell.kind, "flux", num_inference_steps=1).draw()
    made = studio(cell.kind, "flux", num_inference_steps=1)
    graphs = compiled(made, cell.feature)
    # Fused kernels round otherwise.
    assert distance(made.draw(), expected) < 0.5
    assert graphs() > 0


@pytest.mark.slow
@needs_packing
@tried("test_packed_weights_can_not_be_compiled")
def test_packed_weights_can_not_be_compiled(studio: Callable[..., Studio], cell: Cell) -> None:
    made = studio(cell.kind, "flux", packed=True, num_inference_steps=1)
    compiled(made, cell.feature)
    with pytest.raises(EngineError):
        made.draw()


def compiled(made: Studio, feature: str) -> Callable[[], int]:
    """Have the denoiser compiled at its first call; return the function that counts the graphs that were."""
    torch = libraries().torch
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    match feature:
        case "compile":
            made.denoiser.compile()
        case "compile-fullgraph":
            made.denoiser.compile(fullgraph=True)
        case "compile-regional":
            made.denoiser.compile_repeated_blocks(fullgraph=True)
    return lambda: int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


# Devices and dtypes ---------------------------------------------------------------------------------------------------


@tried("test_another_dtype")
def test_another_dtype(studio: Callable[..., Studio], cell: Cell) -> None:
    made, bfloat16 = studio(cell.kind), libraries().torch.bfloat16
    if cell.answer == "works":
        expected = made.draw()
        made.pipeline.to(bfloat16)
        assert made.denoiser.dtype == bfloat16
        assert 0 < distance(made.draw(), expected) < 5
        return
    with pytest.raises((ValueError, EngineError)):
        made.pipeline.to(bfloat16)
        made.draw()


@tried("test_on_the_cpu")
def test_on_the_cpu(studio: Callable[..., Studio], cell: Cell) -> None:
    expected = studio("none").draw()
    drawn = studio(cell.kind, packed=True).draw()
    # Four bits of weights that are random, and so have no pattern, are the worst of these.
    assert distance(drawn, expected) < 10
    assert same(drawn, expected) == (cell.kind == "none")


@tried("test_8_bits_on_a_cpu_take_three_dimensions")
def test_8_bits_on_a_cpu_take_three_dimensions(studio: Callable[..., Studio], cell: Cell) -> None:
    torch = libraries().torch
    layer = studio(cell.kind).layers(libraries().bitsandbytes.nn.Linear8bitLt)[0]
    rows = torch.ones(2, 3, layer.in_features)
    assert layer(rows).shape == (2, 3, layer.out_features)
    with pytest.raises(RuntimeError):
        layer(rows.unsqueeze(0))


@needs_packing
@tried("test_packed_weights_are_multiplied_in_bfloat16")
def test_packed_weights_are_multiplied_in_bfloat16(studio: Callable[..., Studio], cell: Cell) -> None:
    torch = libraries().torch
    kind = libraries().bitsandbytes.nn.Linear4bit
    plain, packed = (studio(cell.kind, packed=each).layers(kind)[0] for each in (False, True))
    rows = torch.linspace(-1, 1, 4 * plain.in_features).reshape(4, -1)
    exact, rounded = plain(rows), packed(rows)
    error = float((exact - rounded).norm() / exact.norm())
    # bfloat16 has 8 bits of mantissa, float32 24.
    assert 2**-16 < error < 2**-6


@tried("test_products_in_floats_take_long_on_a_cpu")
def test_products_in_floats_take_long_on_a_cpu(studio: Callable[..., Studio], cell: Cell) -> None:
    torch, sdnq = libraries().torch, libraries().sdnq
    assert sdnq is not None
    from sdnq.quantizer import apply_sdnq_to_module

    def seconds(**options: Any) -> float:
        layer, _ = apply_sdnq_to_module(
            torch.nn.Sequential(torch.nn.Linear(256, 256)).eval(), sdnq.SDNQConfig(weights_dtype="int8", **options)
        )
        rows = torch.ones(256, 256)
        with torch.no_grad():
            layer(rows)
            gc.collect()
            started = time.process_time()
            layer(rows)
            return time.process_time() - started

    ordinary = min(seconds() for _ in range(5))
    for kind in ("float8_e4m3fn", "float16"):
        assert min(seconds(use_quantized_matmul=True, quantized_matmul_dtype=kind) for _ in range(5)) > 2 * ordinary
