"""What the files of a checkpoint hold, remembered as long as they are untouched; and where the store is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aquatint.runtime.store import Store, chosen_embeddings, chosen_store, contents
from aquatint.runtime.store.folder import BUDGET, MINIMUM
from aquatint.runtime.store.place import bytes_of


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Files of a test are always younger than that.
    monkeypatch.setattr(contents, "SETTLED", 0.0)
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(contents.WORTHWHILE))
    return path


def content(file: Path, memory: Path) -> str:
    return contents.content(contents.stamps([file]), file.parent, memory)


def test_a_change_that_keeps_size_and_time_is_seen(file: Path, memory: Path) -> None:
    before = content(file, memory)
    assert len(os.listdir(memory)) == 1
    assert content(file, memory) == before
    times = file.stat()
    time.sleep(0.05)  # more than a tick of the kernel's clock
    with open(file, "r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"x")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content(file, memory) != before


def test_a_remembered_file_is_not_read(file: Path, memory: Path) -> None:
    before = content(file, memory)
    stamp = contents.stamp(file)
    [known] = memory.iterdir()
    known.write_bytes(known.read_bytes().replace(b'"xxh3":"', b'"xxh3":"not-read-'))
    assert content(file, memory) != before
    assert contents.stamp(file) == stamp


def test_a_file_that_changed_just_now_is_not_remembered(
    file: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SETTLED", 60.0)
    content(file, memory)
    assert os.listdir(memory) == []


def test_a_file_that_is_another_than_it_was_is_refused(file: Path, memory: Path) -> None:
    stamps = contents.stamps([file])
    time.sleep(0.05)
    file.write_bytes(file.read_bytes())
    with pytest.raises(contents.Changed):
        contents.content(stamps, file.parent, memory)


def test_a_memory_that_cannot_be_written_or_read_changes_nothing(file: Path, memory: Path, tmp_path: Path) -> None:
    expected = content(file, memory)
    [known] = memory.iterdir()
    known.write_bytes(b"{}")
    assert content(file, memory) == expected
    assert content(file, tmp_path / "none") == expected


def test_names_and_bytes_both_count(tmp_path: Path, memory: Path) -> None:
    found = set()
    for name, body in [("a", b"1"), ("b", b"1"), ("a", b"2"), ("a/b", b"1")]:
        root = tmp_path / f"{len(found)}"
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(body)
        found.add(contents.content(contents.stamps([root / name]), root, memory))
    assert len(found) == 4


def test_what_is_gone_is_forgotten(file: Path, memory: Path) -> None:
    content(file, memory)
    (memory / "half-written.tmp").write_bytes(b"{")
    assert contents.forget(memory) == 1
    file.unlink()
    assert contents.forget(memory) == 1
    assert os.listdir(memory) == []


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("20G", 20 << 30), ("20GiB", 20 << 30), ("1.5 gb", 3 << 29), ("512", 512), ("64 MiB", 64 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1e9", "1 P", "1 GiBs", "٣G" * 2, "1.2.3"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        bytes_of(text)


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AQUATINT_STORE", raising=False)
    monkeypatch.delenv("AQUATINT_STORE_BUDGET", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert chosen_store() == Store(tmp_path / "aquatint" / "store", BUDGET, MINIMUM)
    monkeypatch.setenv("AQUATINT_STORE", str(tmp_path / "named"))
    monkeypatch.setenv("AQUATINT_STORE_BUDGET", "1G")
    assert chosen_store() == Store(tmp_path / "named", 1 << 30, 0)
    assert chosen_store(tmp_path / "other", 5) == Store(tmp_path / "other", 5, 0)


def test_where_embeddings_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AQUATINT_STORE", "AQUATINT_EMBEDDINGS", "AQUATINT_EMBEDDINGS_BUDGET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    usual = Store(tmp_path / "aquatint" / "embeddings", 4 << 30, 0)
    assert (chosen_embeddings(), chosen_embeddings(False), chosen_embeddings(True)) == (None, None, usual)
    assert chosen_embeddings(True, tmp_path / "other", 5) == Store(tmp_path / "other" / "embeddings", 5, 0)
    monkeypatch.setenv("AQUATINT_STORE", str(tmp_path / "kept"))
    assert chosen_embeddings(True) == Store(tmp_path / "kept" / "embeddings", 4 << 30, 0)
    for off in ("AQUATINT_STORE", "AQUATINT_EMBEDDINGS"):
        monkeypatch.setenv(off, "off")
    assert (chosen_embeddings(), chosen_embeddings(True)) == (None, usual)
    monkeypatch.setenv("AQUATINT_EMBEDDINGS", "on")
    monkeypatch.setenv("AQUATINT_EMBEDDINGS_BUDGET", "1G")
    assert chosen_embeddings() == Store(usual.folder, 1 << 30, 0)
    monkeypatch.setenv("AQUATINT_EMBEDDINGS", str(tmp_path / "named"))
    assert (chosen_embeddings(False), chosen_embeddings()) == (None, Store(tmp_path / "named", 1 << 30, 0))
