"""The store's folder: entries whole or not there, within the budget, with several processes at once."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from aquatint.runtime.store import Damaged, NoRoom, Store
from aquatint.runtime.store.manifest import NAME
from support.stores import BIG, NAMES, about, content, filler, keep, whole

ENTRY = 2 * BIG + 4096  # bytes that an entry takes at most


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", minimum=0, reserve=0)


def unfinished(store: Store) -> list[str]:
    return os.listdir(store.folder / "unfinished")


def damage_of(store: Store, address: str, whole: bool = False) -> str | None:
    try:
        with store.reading(address) as reading:
            assert reading is not None
            reading.look_over(whole)
    except Damaged as damage:
        return str(damage)
    return None


def test_an_entry_is_what_was_written(store: Store) -> None:
    with store.reading("a") as reading:
        assert reading is None
    assert not store.has_like("a")
    assert keep(store, "a-1")
    assert store.has_like("a-") and not store.has_like("b")
    with store.reading("a-1") as reading:
        assert reading is not None
        reading.look_over(whole=True)
        assert reading.manifest.about == about()
        assert {name: (reading.folder / name).read_bytes() for name in NAMES} == content("a-1")
    assert unfinished(store) == []


def test_the_first_of_two_equal_entries_stays(store: Store) -> None:
    assert keep(store, "a")
    before = (store.folder / "entries" / "a" / NAME).stat().st_ino
    assert not keep(store, "a")
    assert (store.folder / "entries" / "a" / NAME).stat().st_ino == before
    assert unfinished(store) == []


def _flip(file: Path) -> None:
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 0x10
    file.write_bytes(body)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of the configuration": (
        lambda entry: _flip(entry / NAMES[0]), f"its file `{NAMES[0]}` has other content than was written",
    ),
    "a cut file": (
        lambda entry: os.truncate(entry / NAMES[1], BIG - 1),
        f"its file `{NAMES[1]}` has 2,097,151 bytes and not 2,097,152",
    ),
    "a missing file": (lambda entry: (entry / NAMES[2]).unlink(), f"its file `{NAMES[2]}` is missing"),
    "a file too many": (lambda entry: (entry / "z.bin").touch(), "it has a file `z.bin` too many"),
    "no manifest": (lambda entry: (entry / NAME).unlink(), "its manifest is missing"),
    "an empty manifest": (lambda entry: os.truncate(entry / NAME, 0), "its manifest can't be read"),
    "a bit of the manifest": (
        lambda entry: (entry / NAME).write_text((entry / NAME).read_text().replace("unet", "uneu")),
        "its manifest is not the one that was written",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_before_anything_is_loaded(store: Store, name: str) -> None:
    spoil, told = DAMAGES[name]
    keep(store, "a")
    spoil(store.folder / "entries" / "a")
    assert damage_of(store, "a") == told
    assert [(entry.address, why) for entry, why in store.remove(lambda entry: "damaged").entries] == [("a", "damaged")]
    assert store.entries() == []
    assert unfinished(store) == []


def test_another_entrys_files_are_not_taken_for_an_entrys_own(store: Store) -> None:
    keep(store, "a")
    os.rename(store.folder / "entries" / "a", store.folder / "entries" / "b")
    assert damage_of(store, "b") == "its manifest is not the one that was written"


def test_a_bit_of_the_weights_is_found_by_looking_at_all_of_them(store: Store) -> None:
    keep(store, "a")
    _flip(store.folder / "entries" / "a" / NAMES[1])
    # The engine finds it on the live module: reading everything twice would cost as much again as the load.
    assert damage_of(store, "a") is None
    assert damage_of(store, "a", whole=True) == f"its file `{NAMES[1]}` has other content than was written"


def test_only_the_entry_that_was_read_is_discarded(store: Store) -> None:
    keep(store, "a")
    with store.reading("a") as reading:
        assert reading is not None
        read = reading.manifest
    store.discard("a", read)
    assert whole(store) == []
    keep(store, "a")
    store.discard("a", read)
    store.discard("a", None)
    assert whole(store) == ["a"]


def test_nothing_is_left_of_a_write_that_fails(store: Store) -> None:
    def fill(folder: Path) -> None:
        filler("a")(folder)
        raise RuntimeError("the library says no")

    with pytest.raises(RuntimeError, match="says no"):
        store.keep("a", about(), 1, fill)
    assert store.entries() == []
    assert unfinished(store) == []


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    store = Store(tmp_path, budget=3 * ENTRY, minimum=0, reserve=0)
    for number, address in enumerate("abc"):
        keep(store, address)
        os.utime(store.folder / "entries" / address / NAME, (number, number))
    with store.reading("a") as reading:
        assert reading is not None
        reading.used()
    keep(store, "d")
    assert whole(store) == ["a", "c", "d"]
    # Smaller than what is there: a budget may have been lowered.
    keep(Store(tmp_path, budget=ENTRY, minimum=0, reserve=0), "e")
    assert whole(store) == ["e"]


def test_what_is_being_read_stays(tmp_path: Path) -> None:
    store = Store(tmp_path, budget=ENTRY, minimum=0, reserve=0)
    keep(store, "a")
    with store.reading("a") as reading:
        assert reading is not None
        with pytest.raises(NoRoom, match="the rest of the store's budget is in use"):
            keep(store, "b")
        assert store.remove(lambda entry: "cleared").entries == ()
        reading.look_over(whole=True)
    assert keep(store, "b")
    assert whole(store) == ["b"]


def test_what_does_not_fit_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match=r"it takes more than the store's budget of 0\.0 GiB"):
        keep(Store(tmp_path, budget=100), "a")
    with pytest.raises(NoRoom, match="the disk is nearly full"):
        keep(Store(tmp_path, reserve=1 << 60), "a")
    assert Store(tmp_path).entries() == []


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file is in the way")
    store = Store(tmp_path / "store")
    with pytest.raises(OSError):
        keep(store, "a")
    with pytest.raises(OSError):
        store.has_like("a")


def test_a_write_that_the_system_refuses_leaves_nothing(store: Store) -> None:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (BIG // 2, BIG // 2))
        try:
            keep(store, "a")
        except OSError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert store.entries() == []
    assert unfinished(store) == []


def _keep_at_once(store: Store, barrier: Barrier) -> bool:
    barrier.wait()
    return keep(store, "a")


def _child(store: Store, barrier: Barrier) -> None:
    sys.exit(int(_keep_at_once(store, barrier)))


def test_of_two_processes_that_write_an_entry_one_does(store: Store) -> None:
    fork = get_context("fork")
    for _ in range(10):
        barrier = fork.Barrier(2)
        children = [fork.Process(target=_child, args=(store, barrier)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert sorted(child.exitcode or 0 for child in children) == [0, 1]
        assert whole(store) == ["a"]
        assert unfinished(store) == []
        store.remove(lambda entry: "done")


def test_only_what_dead_writers_left_is_swept(store: Store) -> None:
    keep(store, "a")
    writer = os.fork()
    if writer == 0:

        def fill(folder: Path) -> None:
            (folder / "begun").touch()
            signal.pause()

        store.keep("b", about(), 1, fill)
    while not list((store.folder / "unfinished").glob("*/begun")):
        pass
    assert store.sweep() == 0
    assert len(unfinished(store)) == 2  # the folder and its lock
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    keep(store, "c")
    assert unfinished(store) == []
    assert whole(store) == ["a", "c"]


def test_removing_says_what_and_why(store: Store) -> None:
    keep(store, "a", about(torch="2.6"))
    keep(store, "b", about(torch="2.13"))
    old = store.remove(lambda entry: "old" if entry.manifest and "2.6" in str(entry.manifest.about.engine) else None)
    assert [(entry.address, why) for entry, why in old.entries] == [("a", "old")]
    assert (whole(store), old.leftovers) == (["b"], 0)
    assert Store(store.folder / "none").remove(lambda entry: "all").entries == ()


def test_the_store_imports_no_torch() -> None:
    command = "import sys, aquatint.runtime.store; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)
