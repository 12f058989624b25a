"""What addresses on the web give: kept if it is what it is to be, and why it isn't otherwise."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
from PIL import Image

from aquatint.catalog import addresses, picture_files, tensor_files
from aquatint.catalog.addresses import Download
from aquatint.catalog.tensor_files import Tensor
from aquatint.runtime.downloads import Limits, fetch
from aquatint.runtime.events import DownloadFinished, DownloadStarted, Event
from support.web import Page, Web


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = png(8, 6)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server with nothing yet, and an empty folder for what is fetched."""
    monkeypatch.setenv("AQUATINT_DOWNLOADS", str(tmp_path / "kept"))
    with Web() as serving:
        yield serving


def fetched(web: Web, path: str, kind: addresses.Kind = "picture", limits: Limits | None = None) -> str:
    """Return what is said of a path of the server: nothing if it is kept then, as it is there."""
    wanted = Download(web.address + path, kind)
    told: list[Event] = []
    failures = fetch([wanted], told.append, limits)
    started, finished = told
    assert isinstance(started, DownloadStarted) and isinstance(finished, DownloadFinished)
    assert finished.failed == bool(failures)
    file = addresses.kept(wanted.address)
    if not failures:
        assert finished.bytes == file.stat().st_size
        return ""
    assert not file.exists() and list(file.parent.glob(".*")) == []
    error = failures[wanted]
    return f"{error.code}: {error.message}".replace(web.address, "WEB")


def test_a_picture_is_kept_under_its_address_and_fetched_anew(web: Web) -> None:
    web.pages["/a.png"] = Page(PICTURE)
    web.pages["/moved"] = Page(status=302, headers={"Location": "/a.png"})
    assert fetched(web, "/a.png?size=8#top") == ""
    assert fetched(web, "/moved") == ""
    for path in ("/a.png?size=8#top", "/moved"):
        assert addresses.kept(web.address + path).read_bytes() == PICTURE
    other = web.pages["/a.png"].body = png(16, 6)
    assert fetched(web, "/moved") == ""
    assert addresses.kept(f"{web.address}/moved").read_bytes() == other
    assert web.asked == {"/a.png": 3, "/moved": 2}


def test_tensors_are_kept_too(web: Web) -> None:
    web.pages["/a"] = Page(tensor_files.packed({"latents": Tensor("F32", (1,), b"\0" * 4)}, {}))
    web.pages["/b"] = Page(PICTURE)
    assert fetched(web, "/a", "tensors") == ""
    assert fetched(web, "/b", "tensors") == ("malformed-file: what `WEB/b` gives is damaged, or no safetensors file")


def test_weights_are_kept_whatever_their_size(web: Web) -> None:
    body = tensor_files.packed({"lora": Tensor("F32", (1,), b"\0" * 4)}, {})
    web.pages["/a"] = Page(body, parts=[body[:9], body[9:]])
    web.pages["/b"] = Page(PICTURE)
    web.pages["/cut"] = Page(body[:-1])
    assert fetched(web, "/a", "weights") == ""
    assert addresses.kept(f"{web.address}/a").read_bytes() == body
    for path in ("/b", "/cut"):
        said = f"malformed-file: what `WEB{path}` gives is damaged, or no safetensors file"
        assert fetched(web, path, "weights") == said


def test_what_gives_no_picture(web: Web) -> None:
    web.pages["/page"] = Page(b"<html>a picture</html>")
    web.pages["/cut"] = Page(PICTURE[:20])
    web.pages["/private"] = Page(status=403)
    web.pages["/round"] = Page(status=302, headers={"Location": "/round"})
    web.pages["/away"] = Page(status=302, headers={"Location": "ftp://example.org/a.png"})
    assert [fetched(web, path) for path in ("/nothing", "/page", "/cut", "/private", "/round", "/away")] == [
        "missing-file: there is nothing at `WEB/nothing`: its server answers 404",
        "malformed-file: what `WEB/page` gives is no picture of a kind that is read: PNG, JPEG, WEBP, BMP, TIFF, GIF",
        "malformed-file: what `WEB/cut` gives is damaged, or cut short",
        "unreachable-address: `WEB/private` can't be fetched: its server answers 403",
        "unreachable-address: `WEB/round` can't be fetched: it leads on more than 5 times",
        "unreachable-address: `WEB/away` can't be fetched: it leads to what is no address on the web",
    ]


def test_what_is_too_large_or_too_slow_is_left(web: Web) -> None:
    web.pages["/large"] = Page(parts=repeat(bytes(1 << 16), 17))
    web.pages["/said"] = Page(headers={"Content-Length": str(picture_files.BYTES_LIMIT + 1)}, parts=[])
    web.pages["/drips"] = Page(parts=web.dripping(0.05))
    web.pages["/silent"] = Page(parts=web.dripping(60))
    assert fetched(web, "/large", limits=Limits(bytes=1 << 20)) == "too-large: `WEB/large` gives more than 1 MiB"
    assert fetched(web, "/said") == "too-large: `WEB/said` gives more than 256 MiB"
    assert fetched(web, "/drips", limits=Limits(whole=0.2)) == (
        "unreachable-address: `WEB/drips` can't be fetched: it takes longer than 0.2 seconds"
    )
    assert fetched(web, "/silent", limits=Limits(silence=0.2)) == (
        "unreachable-address: `WEB/silent` can't be fetched: it takes too long to answer"
    )


def test_a_server_that_isn_t_there(web: Web) -> None:
    with Web() as other:
        pass
    web.address = other.address
    assert fetched(web, "/a.png") == (
        "unreachable-address: `WEB/a.png` can't be fetched: there is no connection, or it has broken"
    )


def test_a_folder_that_can_t_be_written(web: Web, tmp_path: Path) -> None:
    web.pages["/a.png"] = Page(PICTURE)
    (tmp_path / "kept").write_text("a file")
    wanted = Download(f"{web.address}/a.png", "picture")
    (error,) = fetch([wanted], lambda event: None).values()
    assert (error.code, error.help) == ("unwritable-file", "name another folder with `AQUATINT_DOWNLOADS`")


def test_where_what_is_fetched_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AQUATINT_DOWNLOADS")
    monkeypatch.setenv("AQUATINT_STORE", "off")
    assert addresses.folder().parts[-2:] == ("aquatint", "downloads")
    monkeypatch.setenv("AQUATINT_STORE", str(tmp_path))
    assert addresses.folder() == tmp_path / "downloads"
    monkeypatch.setenv("AQUATINT_DOWNLOADS", str(tmp_path / "own"))
    assert addresses.folder() == tmp_path / "own"
