"""What comes from the store is what was quantized, bit for bit, in its tensors and in what it computes.

Engines with a store stand for processes: nothing but the folder goes from one to the other.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from aquatint.catalog import quantizers, sdnq_types
from aquatint.catalog.bnb import BNB
from aquatint.catalog.sdnq import SDNQ
from aquatint.plan.steps import Component
from aquatint.runtime.engine import Engine, Loaded
from aquatint.runtime.store import Store, contents
from aquatint.runtime.store.manifest import NAME, read, written
from aquatint.runtime.torch_engine import TorchEngine, storable
from aquatint.runtime.torch_engine.fingerprint import fingerprint, state
from support.lengths import at_length, one_fast
from support.scenes import component, everywhere, paint, scene

Tiny = Callable[[str], Path]

URIS = [
    "bnb",
    "bnb;llm-int8-threshold=0.5;llm-int8-skip-modules=attn2,wo",
    "bnb;llm-int8-enable-fp32-cpu-offload=true",
    "bnb;bits=4",
    "bnb;bits=4;quant-type=nf4;double-quant=true;bits4-compute-dtype=bfloat16",
    "bnb;bits=4;bits4-quant-storage=int8",
    "sdnq",
    "sdnq;type=uint4;quant-conv=true;quant-embedding=true",
    "sdnq;type=uint4;group-size=32;add-skip-keys=false;minimum-allowed-numel=0;minimum-allowed-channel-size=0",
    "sdnq;type=uint4;scale-dtype=uint8;use-codebook-scale=true",
    "sdnq;type=uint4;zero-point-dtype=int8",
    "sdnq;type=uint4;svd=true;svd-rank=8;svd-steps=2",
    "sdnq;type=uint4;svd=true;svd-rank=8;quantized-matmul=true",
    "sdnq;type=int4;hadamard=true;hadamard-group-size=64",
    "sdnq;type=uint3;codebook=true;codebook-steps=2",
    "sdnq;type=int8;use-stochastic-rounding=true",
    "sdnq;type=int8;non-blocking=true;quantization-device=cpu;return-device=cpu",
    "sdnq;type=uint4;dynamic=true;dynamic-loss-threshold=0.001",
    "sdnq;type=int8;dequantize-fp32=false",
    "sdnq;type=int8;quantized-matmul=true;modules-to-not-use-matmul=attn2,o",
    "sdnq;type=uint4;quantized-matmul=true;quantized-matmul-dtype=float16",
    "sdnq;type=float8_e4m3fn;quantized-matmul=true",
    "sdnq;type=int8;conv=true;quantized-matmul=true;quantized-matmul-conv=true",
    'sdnq;type=uint4;modules-to-not-convert=attn2;modules-dtype-dict={"int8":["attn1","q"],"minimum_6bit":["ff"]}',
    'sdnq;type=uint4;modules-quant-config={"attn1":{"use_svd":true,"svd_rank":4},"q":{"group_size":16}}',
]
PARTS = [("sd", "unet"), ("flux", "transformer"), ("flux", "text_encoder_2")]
DTYPES = sorted(storable.DTYPES)

# Every case meets one part and one dtype in the quick run, and over the cases all of them.
ALL = list(itertools.product(URIS, PARTS, DTYPES))
QUICK = [(uri, PARTS[number % 3], DTYPES[number // 3 % 3]) for number, uri in enumerate(URIS)]
CASES = [
    pytest.param(*case, id=" ".join((case[0], *case[1], case[2])), marks=() if case in QUICK else pytest.mark.slow)
    for case in ALL
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", minimum=0, reserve=0)


def process(store: Store) -> TorchEngine:
    return TorchEngine(threads=1, store=store)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def output(loaded: Loaded) -> torch.Tensor:
    """Return what the component computes for some input."""
    module, dtype = loaded.object, getattr(torch, loaded.component.dtype or "float32")
    with torch.no_grad():
        match loaded.component.role:
            case "unet":
                found = module(draw(1, 4, 16, 16).to(dtype), 5, encoder_hidden_states=draw(1, 7, 128).to(dtype))
            case "transformer":
                found = module(
                    hidden_states=draw(1, 16, 16).to(dtype), encoder_hidden_states=draw(1, 7, 128).to(dtype),
                    pooled_projections=draw(1, 128).to(dtype), timestep=torch.tensor([0.5]).to(dtype),
                    img_ids=draw(16, 3), txt_ids=torch.zeros(7, 3),
                )  # fmt: skip
            case _:
                found = module(torch.tensor([[3, 5, 6, 1]]))
    return found[0]  # type: ignore[no-any-return]


def _fails_anyway(asked: Component) -> bool:
    # T5 computes with its `wo` layers in the type that it finds them stored in, unless that is int8.
    options = asked.quantization.options if asked.quantization else {}
    return asked.class_name == "T5EncoderModel" and options.get("add_skip_keys") is False


def assert_same(first: Loaded, second: Loaded) -> None:
    assert list(state(torch, first.object)) == list(state(torch, second.object))
    assert (first.component, first.bytes, first.layers) == (second.component, second.bytes, second.layers)
    assert first.quantized_layers == second.quantized_layers
    if not _fails_anyway(first.component):
        assert torch.equal(output(first), output(second))


@pytest.mark.parametrize(("uri", "part", "dtype"), CASES)
def test_the_reload_is_what_was_quantized(
    store: Store, folder: Tiny, uri: str, part: tuple[str, str], dtype: str
) -> None:
    asked = component(folder(part[0]), part[1], uri, dtype)
    one, two = process(store), process(store)
    first, second = one.load(asked), two.load(asked)
    assert first.warnings == second.warnings == ()
    assert not first.from_store and second.from_store == storable.is_covered(asked)
    assert (one.counters.loads, one.counters.quantizations, one.counters.stored) == (1, 1, second.from_store)
    assert (two.counters.loads, two.counters.quantizations, two.counters.restored) == (
        1, not second.from_store, second.from_store,
    )  # fmt: skip
    assert_same(first, second)


def test_the_cases_set_every_option_that_is_covered() -> None:
    for backend in (BNB, SDNQ):
        default = quantizers.canonical(backend.name, {})
        parsed = [quantizers.parse_uri(uri) for uri in URIS]
        set_ = {
            name
            for found, options in parsed if found == backend.name
            for name, value in quantizers.canonical(found, options).items() if value != default[name]
        }  # fmt: skip
        assert set_ == storable.OPTIONS[backend.name] == set(backend.schema.names())


@pytest.mark.slow
@pytest.mark.parametrize("number_type", sorted(set(sdnq_types.BITS) - set(sdnq_types.REFUSED)))
def test_every_number_type(store: Store, folder: Tiny, number_type: str) -> None:
    for part, dtype in zip(PARTS, DTYPES, strict=True):
        asked = component(folder(part[0]), part[1], f"sdnq;type={number_type};conv=true", dtype)
        first, second = process(store).load(asked), process(store).load(asked)
        assert second.from_store
        assert_same(first, second)


@pytest.mark.parametrize("name", one_fast(["sd", "sdxl", "sd3", "flux"]))
def test_a_second_process_quantizes_nothing_and_draws_the_same(store: Store, folder: Tiny, name: str) -> None:
    uri = {"sd": "sdnq;type=uint4;conv=true", "sdxl": "bnb", "sd3": "sdnq;svd=true", "flux": "bnb;bits=4"}[name]
    drawn = scene(folder(name), everywhere(folder(name), uri))
    one, two = process(store), process(store)
    assert paint(one, drawn) == paint(two, drawn)
    assert one.counters.quantizations == one.counters.stored == two.counters.restored > 1
    assert two.counters.quantizations == two.counters.stored == 0
    assert one.counters.loads == two.counters.loads


def test_the_state_tells_modules_apart(engine: Engine, folder: Tiny) -> None:
    # Options that change nothing of a component in float32 on a CPU.
    idle = ("quant-storage", "offload", "dequantize-fp32", "non-blocking")
    uris = [uri for uri in URIS if not any(option in uri for option in idle)]
    found = {fingerprint(torch, engine.load(component(folder("sd"), "unet", uri)).object) for uri in uris}
    assert len(found) == len(uris)
    module = engine.load(component(folder("sd"), "unet", "sdnq;type=int8")).object
    before = fingerprint(torch, module)
    layer = next(layer for layer in module.modules() if hasattr(layer, "sdnq_dequantizer"))
    for spoil in (
        lambda: (
            layer.scale.data.view(-1)
            .view(torch.uint8)
            .bitwise_xor_(torch.tensor([1, 0, 0, 0] * layer.scale.numel(), dtype=torch.uint8))
        ),
        lambda: setattr(layer.sdnq_dequantizer, "group_size", 7),
        lambda: layer.train(),
    ):
        spoil()
        after = fingerprint(torch, module)
        assert after != before
        before = after


def _first(store: Store, pattern: str) -> Path:
    [entry] = store.entries()
    return sorted(entry.folder.glob(pattern))[0]


def _flip(file: Path, at: float) -> None:
    body = bytearray(file.read_bytes())
    body[int(len(body) * at)] ^= 0x04
    file.write_bytes(body)


DAMAGES: dict[str, Callable[[Store], object]] = {
    "a bit of the weights": lambda store: _flip(_first(store, "*.safetensors"), 0.7),
    "the last bit": lambda store: _flip(_first(store, "*.safetensors"), 0.9999999),
    "the length of the header": lambda store: _flip(_first(store, "*.safetensors"), 0.0),
    "the header": lambda store: _flip(_first(store, "*.safetensors"), 0.008),
    "cut weights": lambda store: os.truncate(_first(store, "*.safetensors"), 5000),
    "empty weights": lambda store: os.truncate(_first(store, "*.safetensors"), 0),
    "no weights": lambda store: _first(store, "*.safetensors").unlink(),
    "a bit of the configuration": lambda store: _flip(_first(store, "config.json"), 0.5),
    "no configuration": lambda store: _first(store, "config.json").unlink(),
    "a bit of the manifest": lambda store: _flip(_first(store, NAME), 0.5),
    "no manifest": lambda store: _first(store, NAME).unlink(),
}


@pytest.mark.parametrize("name", one_fast(DAMAGES))
def test_a_damaged_entry_is_found_and_made_anew(store: Store, folder: Tiny, name: str) -> None:
    asked = component(folder("sd"), "unet", "sdnq;type=uint4;conv=true", "float16")
    first = process(store).load(asked)
    DAMAGES[name](store)
    second = process(store).load(asked)
    assert not second.from_store
    [warning] = second.warnings
    assert warning.startswith("the stored copy of `unet` is damaged (it")
    assert warning.endswith("); it is quantized again")
    third = process(store).load(asked)
    assert third.from_store and not third.warnings
    assert_same(first, second)
    assert_same(first, third)


def test_what_does_not_load_as_it_was_is_given_up(store: Store, folder: Tiny) -> None:
    asked = component(folder("sd"), "unet", "sdnq;type=uint4")
    first = process(store).load(asked)
    [entry] = store.entries()
    about = msgspec.structs.replace(read(entry.folder).about, state="of another module")
    (entry.folder / NAME).unlink()
    written(entry.folder, entry.address, about, time.time())
    second = process(store).load(asked)
    assert second.warnings == ("`unet` does not load as it was stored; it is quantized each time",)
    assert store.entries() == []
    third = process(store).load(asked)
    assert (third.from_store, third.warnings, store.entries()) == (False, (), [])
    assert_same(first, second)
    assert_same(first, third)


def test_a_change_of_the_last_byte_of_a_checkpoint_is_seen(store: Store, folder: Tiny, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder("sd"), copy)
    asked = component(copy, "unet", "sdnq")
    first = process(store).load(asked)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    times = weights.stat()
    _flip(weights, 0.9999999)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = process(store).load(asked)
    assert not second.from_store
    assert fingerprint(torch, first.object) != fingerprint(torch, second.object)
    assert len(store.entries()) == 2


def test_a_checkpoint_is_hashed_once(store: Store, folder: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SETTLED", 0.0)  # the checkpoint of a test is younger than that
    process(store).load(component(folder("sd"), "unet", "sdnq"))
    remembered = os.listdir(store.contents)
    assert len(remembered) == 1
    assert process(store).load(component(folder("sd"), "unet", "sdnq")).from_store
    assert os.listdir(store.contents) == remembered


@pytest.mark.parametrize(
    "changes", [{"key": "another"}, {"dtype": "bfloat16"}, {"revision": "main"}, {"source": "{copy}"}, {"threads": 2},
                {"environment": "SDNQ_USE_TENSORWISE_FP8_MM"}], ids=str
)  # fmt: skip
def test_what_decides_the_bits_is_in_the_address(
    store: Store, folder: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    process(store).load(component(folder("sd"), "text_encoder", "sdnq"))
    values = dict(changes)
    threads = values.pop("threads", 1)
    if (name := values.pop("environment", None)) is not None:
        monkeypatch.setenv(name, "0")
    if "source" in values:
        (tmp_path / "copy").symlink_to(folder("sd"))
        values["source"] = str(tmp_path / "copy")
    asked = msgspec.structs.replace(component(folder("sd"), "text_encoder", "sdnq"), **values)
    try:
        other = TorchEngine(threads=threads, store=store)
        assert not other.load(asked).from_store
    finally:
        torch.set_num_threads(1)
    assert len(store.entries()) == 2


def test_what_the_store_is_not_for(store: Store, folder: Tiny) -> None:
    small = process(Store(store.folder, minimum=1 << 30)).load(component(folder("sd"), "unet", "sdnq"))
    assert (small.warnings, store.entries()) == ((), [])
    one = process(store)
    for asked in (
        component(folder("sd"), "unet"),
        component(folder("sd"), "tokenizer"),
        component(folder("sd"), "unet", "sdnq;type=uint4;scale-dtype=uint8"),
        component(folder("sd"), "unet", "bnb;bits=4;bits4-quant-storage=float32"),
    ):
        assert not storable.is_covered(asked)
        assert one.load(asked).warnings == ()
    assert store.entries() == []
    asked = component(folder("sd"), "unet", "sdnq")
    for changes in ({"device": "cuda"}, {"dtype": "float64"}, {"library": "elsewhere"}):
        assert not storable.is_covered(msgspec.structs.replace(asked, **changes))
    options = asked.quantization.options if asked.quantization else {}
    newer = msgspec.structs.replace(asked.quantization, options=options | {"comes_later": True})
    assert not storable.is_covered(msgspec.structs.replace(asked, quantization=newer))


def _refused(store: Store, asked: Component) -> str:
    loaded = process(store).load(asked)
    assert loaded.quantized_layers
    [warning] = loaded.warnings
    return warning


def test_a_store_that_can_t_be_used_is_a_warning(tmp_path: Path, folder: Tiny) -> None:
    asked = component(folder("sd"), "unet", "sdnq")
    (tmp_path / "file").touch()
    assert _refused(Store(tmp_path / "file", minimum=0), asked) == "the store is not used for `unet`: not a directory"
    full = Store(tmp_path / "full", minimum=0, reserve=1 << 60)
    assert _refused(full, asked) == "`unet` is not kept in the store: the disk is nearly full"
    little = Store(tmp_path / "little", budget=1000, minimum=0)
    assert _refused(little, asked) == (
        "`unet` is not kept in the store: it takes more than the store's budget of 0.0 GiB"
    )
    assert full.entries() == little.entries() == []


def test_the_stores_folder_leaves_no_trace_on_a_component(store: Store, folder: Tiny) -> None:
    for role in ("unet", "text_encoder"):
        asked = component(folder("sd"), role, "sdnq")
        loaded = [process(store).load(asked) for _ in range(2)]
        assert loaded[1].from_store
        assert str(store.folder) not in repr(vars(loaded[1].object)) + repr(loaded[1].object.config)


@pytest.mark.parametrize("rounds", [3, pytest.param(at_length(100, ci=25), marks=pytest.mark.slow)])
def test_kills_while_quantizing_and_storing(store: Store, folder: Tiny, rounds: int) -> None:
    asked = component(folder("sd"), "unet", "sdnq;type=uint4;svd=true;conv=true")
    fresh = process(Store(store.folder / "of-another", minimum=0, reserve=0))
    started = time.monotonic()
    expected = fingerprint(torch, fresh.load(asked).object)
    longest = time.monotonic() - started
    drawn = random.Random(rounds)
    for _ in range(rounds):
        child = os.fork()
        if child == 0:
            process(store).load(asked)
            os._exit(0)
        time.sleep(drawn.uniform(0, 1.3 * longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for entry in store.entries():
            assert entry.damage is None
        if drawn.random() < 0.3:
            loaded = process(store).load(asked)
            assert loaded.warnings == ()
            assert fingerprint(torch, loaded.object) == expected
            store.remove(lambda entry: "once more")
    loaded = [process(store).load(asked) for _ in range(2)][1]
    assert loaded.from_store
    assert fingerprint(torch, loaded.object) == expected
    assert os.listdir(store.folder / "unfinished") == []
