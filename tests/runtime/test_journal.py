"""The journal: what it reads of itself after anything happened to it, and how it deals with others who write."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.runtime import journal as journals
from aquatint.runtime.journal import Content, EngineEntry, Entry, Journal, content_of_bytes, content_of_folder

ENGINE = EngineEntry("e", {"engine": "fake"}, {"device": "cpu"})


def entry(name: str, body: bytes = b"", **parts: str) -> Entry:
    return Entry(name, name, "x.aqt", "e", content_of_bytes(body), parts or {"seed": "1"})


def add(journal: Journal, *entries: Entry | EngineEntry) -> None:
    with journal.alone():
        journal.add(*entries)


def all_of(journal: Journal, *names: str) -> list[Entry]:
    return [entry for name in names for entry in journal.of_output(name)]


def test_what_was_added_is_read_by_the_next_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert (all_of(journal, "a"), journal.facts("e"), list(tmp_path.iterdir())) == ([], {}, [])
    first, second = entry("a", b"1"), entry("a", b"2")
    add(journal, ENGINE, first)
    add(journal, second, entry("b"))
    for each in (journal, Journal(tmp_path)):
        assert all_of(each, "a") == [second, first]
        assert list(each.of_file(tmp_path / "b")) == [entry("b")]
        assert each.facts("e") == {"engine": "fake"}
        assert each.knows(ENGINE) and not each.knows(EngineEntry("e", ENGINE.facts, {"device": "cuda"}))
    add(journal, first)
    assert all_of(Journal(tmp_path), "a") == [first, second]


def test_a_file_is_held_as_long_as_it_has_the_bytes_that_were_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    file = tmp_path / "a"
    told = entry("a", b"picture")
    assert not journal.holds(told)
    file.write_bytes(b"picture")
    assert journal.holds(told)
    about = file.stat()
    file.write_bytes(b"pictura")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert not journal.holds(told)
    file.write_bytes(b"longer than it was")
    assert not journal.holds(told)
    file.unlink()
    assert not journal.holds(told)
    file.mkdir()
    assert not journal.holds(told)


def test_a_folder_is_held_with_all_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "w").write_bytes(b"12")
    (folder / "index").write_bytes(b"3")
    told = Entry("m", "m", "x.aqt", "e", content_of_folder(folder))
    assert told.content.size == 3
    assert Journal(tmp_path).holds(told)
    (folder / "unet" / "w").write_bytes(b"13")
    assert not Journal(tmp_path).holds(told)
    (folder / "unet" / "w").write_bytes(b"12")
    assert Journal(tmp_path).holds(told)
    (folder / "index").rename(folder / "other")
    assert not Journal(tmp_path).holds(told)


def test_a_file_that_may_not_be_read_any_more_is_not_held() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "a").write_bytes(b"picture")
        assert Journal(folder).holds(entry("a", b"picture"))
        (folder / "a").chmod(0)
        own = os.geteuid()
        if own == 0:  # who may read everything
            os.seteuid(65534)
        try:
            assert not Journal(folder).holds(entry("a", b"picture"))
        finally:
            os.seteuid(own)


def test_names_are_relative_to_the_folder_as_long_as_they_are_in_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out")
    assert journal.name(tmp_path / "out" / "x" / "a.png") == "x/a.png"
    assert journal.name(tmp_path / "out-2" / "a.png") == str(tmp_path / "out-2" / "a.png")
    outside = Entry("~/a", str(tmp_path / "a"), "x.aqt", "e", Content(0, ""))
    assert journal.locate(outside) == tmp_path / "a"


@given(st.data())
@settings(deadline=None)  # the machine may be busy
def test_whatever_is_cut_off_or_garbled_no_other_line_is_lost(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    entries = [entry(f"file {number}", bytes(number)) for number in range(5)]
    add(journal, *entries)
    whole = journal.path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    if data.draw(st.booleans()):
        spoilt = whole[:at]
        lost = whole[at + 1 :].count(b"\n")  # without its line break a line is whole
    else:
        spoilt = whole[:at] + data.draw(st.binary(min_size=1, max_size=9)) + whole[at + 1 :]
        lost = None
    journal.path.write_bytes(spoilt)
    torn = Journal(folder)
    add(torn, entry("later"))
    again = Journal(folder)
    assert all_of(again, "later") == [entry("later")]
    found = [told for number in range(5) for told in all_of(again, f"file {number}") if told in entries]
    if lost is not None:
        assert found == entries[: 5 - lost]
    else:
        lines = spoilt.splitlines()
        intact = [told for told, line in zip(entries, whole.splitlines(), strict=True) if line in lines]
        # One with a blank more may say the same.
        assert [told for told in found if told in intact] == intact


def test_lines_of_other_versions_and_of_nothing_known_are_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    add(journal, entry("a"))
    with open(journal.path, "ab") as file:
        line = journal.path.read_bytes()
        file.write(line.replace(b'"a"', b'"b"').replace(b"}\n", b',"version":99}\n').replace(b"}}", b"}"))
        file.write(b'{"entry":"news"}\n[]\n\xff\xfe\n\n' + line.replace(b'"a"', b'"c"'))
    again = Journal(tmp_path)
    assert [len(all_of(again, name)) for name in "abc"] == [1, 0, 1]


def test_a_journal_that_is_removed_under_a_run_comes_back_with_what_is_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (tmp_path / "a").write_bytes(b"1")
    add(journal, ENGINE, entry("a", b"1"), entry("gone", b"2"))
    journal.path.unlink()
    add(journal, entry("b"))
    again = Journal(tmp_path)
    assert [len(all_of(again, name)) for name in ("a", "gone", "b")] == [1, 0, 1]
    assert again.facts("e") == {"engine": "fake"}


def test_a_long_journal_is_written_anew_without_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "COMPACT_AT", 20_000)
    journal, other = Journal(tmp_path), Journal(tmp_path)
    (tmp_path / "kept").write_bytes(b"x")
    add(journal, ENGINE, entry("kept", b"x"))
    sizes = []
    for number in range(500):
        latest = entry("over and over", b"%d" % number)
        add(journal, latest)
        # Its file isn't there yet, which is no reason to forget it.
        assert all_of(Journal(tmp_path), "over and over")[0] == latest
        sizes.append(journal.path.stat().st_size)
    assert max(sizes) < 21_000 and any(after < before for before, after in pairwise(sizes))
    add(other, entry("by another one"))
    for each in (other, Journal(tmp_path)):
        assert all_of(each, "kept") == [entry("kept", b"x")]
        assert each.knows(ENGINE)
        assert all_of(each, "by another one") == [entry("by another one")]


def test_what_the_disk_refuses_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    """With a limit on the size of files, which is as a full disk is: a part of the line is written."""
    program = """
import resource, sys
from pathlib import Path
from aquatint.runtime.journal import Content, Entry, Journal
journal = Journal(Path(sys.argv[1]))
with journal.alone():
    journal.add(Entry("a", "a", "x.aqt", "e", Content(0, "")))
size = journal.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
try:
    with journal.alone():
        journal.add(Entry("b", "b", "x.aqt", "e", Content(0, "")))
except OSError as error:
    print(error.strerror, journal.path.stat().st_size == size)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("File too large True\n", "")
    assert [len(all_of(Journal(tmp_path), name)) for name in "ab"] == [1, 0]


def test_many_processes_write_at_once(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from aquatint.runtime import journal as journals
from aquatint.runtime.journal import Content, Entry, Journal
journals.COMPACT_AT = 5_000
folder, own = Path(sys.argv[1]), sys.argv[2]
journal = Journal(folder)
for number in range(40):
    name = f"{own}-{number}"
    (folder / name).touch()
    with journal.alone():
        journal.add(Entry(name, name, "x.aqt", "e", Content(0, "x")))
"""
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(own)]) for own in range(4)]
    assert [each.wait() for each in running] == [0] * 4
    journal = Journal(tmp_path)
    assert sum(len(all_of(journal, f"{own}-{number}")) for own in range(4) for number in range(40)) == 160
