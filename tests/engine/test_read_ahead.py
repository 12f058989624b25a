"""What is read ahead is what reading when asked gives: the tensors, their memory, and the errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import memory, read_ahead, streaming
from aquatint.runtime.torch_engine.tensor_files import MOST, TensorFile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of many small tensors and some that a run holds alone, with nothing in some of them."""
    many = {f"small.{number}": torch.tensor(float(number)) for number in range(MOST + 500)}
    large = {f"large.{number}": torch.randn(300, 1000 + number) for number in range(4)}
    others = {"none": torch.zeros(0, 4), "half": torch.randn(3, 5).half(), "truth": torch.tensor([True, False])}
    save_file(many | large | others, tmp_path / "some.safetensors")
    return tmp_path / "some.safetensors"


@pytest.fixture(params=[1, 1 << 20, 64 << 20])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(read_ahead, "RUN", request.param)
    yield request.param


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    as_bytes = [tensor.reshape(-1).view(torch.uint8) for tensor in (one, other)]
    return (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(*as_bytes)


def test_runs_cover_the_file_in_its_order(file: Path, run: int) -> None:
    with TensorFile(torch, file) as opened:
        runs = list(opened.runs(run))
        assert [name for names in runs for name in names] == list(opened.tensors)
        for names in runs:
            held = sum(opened.tensors[name].end - opened.tensors[name].start for name in names)
            assert 0 < len(names) <= MOST and (held <= run or len(names) == 1)


def test_tensors_are_those_of_the_file_in_memory_of_their_own(file: Path, run: int) -> None:
    with TensorFile(torch, file) as opened, read_ahead.read_ahead([opened]) as ahead:
        for _ in range(2):  # the second time nothing waits, and they are read again
            taken = {name: ahead[file].read(name) for name in reversed(opened.tensors)}
            for name, tensor in taken.items():
                assert same(tensor, opened.read(name))
                assert tensor.untyped_storage().nbytes() == tensor.nbytes
                assert tensor.nbytes == 0 or tensor.data_ptr() % 64 == 0
            places = {tensor.data_ptr() for tensor in taken.values() if tensor.nbytes}
            assert len(places) == len(taken) - 1
    assert readers() == []


def test_many_may_take_at_once(file: Path) -> None:
    with TensorFile(torch, file) as opened, read_ahead.read_ahead([opened]) as ahead, ThreadPoolExecutor(4) as pool:
        taken = dict(zip(opened.tensors, pool.map(ahead[file].read, opened.tensors), strict=True))
        assert all(same(tensor, opened.read(name)) for name, tensor in taken.items())


def test_a_file_that_is_cut_is_refused_where_its_tensor_is_asked_for(tmp_path: Path, run: int) -> None:
    file = tmp_path / "some.safetensors"
    save_file({"a": torch.zeros(1000), "b": torch.zeros(1000)}, file)
    with TensorFile(torch, file) as opened:
        with file.open("r+b") as stream:
            stream.truncate(5000)
        with pytest.raises(EngineError) as plain:
            opened.read("b")
        with read_ahead.read_ahead([opened]) as ahead, pytest.raises(EngineError) as found:
            ahead[file].read("b")
    assert str(found.value) == str(plain.value) == f"`{file}` is damaged: it ends inside `b`"
    assert readers() == []


def test_what_the_system_refuses_is_raised_where_a_tensor_is_asked_for(file: Path) -> None:
    opened = TensorFile(torch, file)
    opened.close()
    with read_ahead.read_ahead([opened]) as ahead:
        for name in ("large.0", "small.1"):
            with pytest.raises(OSError, match="Bad file descriptor"):
                ahead[file].read(name)


def test_each_tensor_is_checked_before_it_is_given(file: Path) -> None:
    def refuse(name: str, data: memoryview) -> None:
        if name == "half":
            raise EngineError(f"`{name}` has {len(data)} bytes")

    with (
        TensorFile(torch, file, refuse) as opened,
        read_ahead.read_ahead([opened]) as ahead,
        pytest.raises(EngineError, match="`half` has 30 bytes"),
    ):
        ahead[file].read("half")


def test_the_threads_end_with_the_body(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "RUN", 1)
    seen: list[str] = []

    def slowly(name: str, data: memoryview) -> None:
        seen.append(name)
        time.sleep(0.01)

    with (
        pytest.raises(KeyboardInterrupt),
        TensorFile(torch, file, slowly) as opened,
        read_ahead.read_ahead([opened]) as ahead,
    ):
        ahead[file].read(next(iter(opened.tensors)))
        raise KeyboardInterrupt
    assert readers() == []
    assert 0 < len(seen) < len(opened.tensors)


def test_a_damaged_file_leaves_no_thread_and_no_changed_name(file: Path) -> None:
    from diffusers.models import modeling_utils

    before = modeling_utils.load_state_dict
    with file.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(EngineError), streaming.streaming(torch, "diffusers", [file], ahead=True):
        pass
    assert readers() == [] and modeling_utils.load_state_dict is before


def test_places_without_a_page_between_them_are_provided_together() -> None:
    page = 4096
    places = [(9 * page, 100), (page, page), (2 * page + 64, page), (5 * page, 0), (30 * page, 1)]
    assert list(memory._joined(places)) == [(page, 2 * page + 64), (9 * page, 100), (30 * page, 1)]
    assert list(memory._joined([])) == []
