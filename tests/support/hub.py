"""A model hub of this machine, for huggingface_hub itself: repositories in memory, served as the real one serves them.

What it answers is what huggingface_hub asks for: a repository's files at a revision, and each file by its commit, whole
or from a byte on. It counts the bytes of files that it sends.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

TOKEN = "hf_abcdefghijklmnopqrstuvwxyzabcdefgh"
"""Of somebody who may read what is gated."""

_LARGE = 1 << 16  # bytes from which on a file is named by its SHA-256


@dataclass
class Repository:
    """Files by commit, the commits that branches are at, and whether only `TOKEN` may read."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: dict[str, bytes]) -> str:
        """Let `main` be at a new commit that has `files`, and return that."""
        commit = hashlib.sha1(repr(sorted((name, _content(body)) for name, body in files.items())).encode()).hexdigest()
        self.commits[commit] = files
        self.branches["main"] = commit
        return commit


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files below `folder`, by their names in it."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


class Hub:
    """Serves `repositories` while it is entered. `stall_after` are the bytes of a file after which it falls silent."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.sent: Counter[str] = Counter()  # bytes by the name of the file
        self.stall_after: int | None = None
        self.stalled, self.resumed = threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Answers", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.resumed.set()
        self._server.shutdown()
        self._server.server_close()


def _content(body: bytes) -> str:
    if len(body) >= _LARGE:
        return hashlib.sha256(body).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        words = [unquote(word) for word in urlsplit(self.path).path.strip("/").split("/")]
        asks_for_files = words[:2] == ["api", "models"]
        identity = "/".join(words[2:4] if asks_for_files else words[:2])
        repository = self.hub.repositories.get(identity)
        if repository is None:
            self._refuse(401, "RepoNotFound")
            return
        revision = words[5] if asks_for_files and len(words) > 5 else "main" if asks_for_files else words[3]
        commit = repository.branches.get(revision, revision)
        files = repository.commits.get(commit)
        if files is None:
            self._refuse(404, "RevisionNotFound")
        elif asks_for_files:
            self._send(
                200, json.dumps(_listing(identity, commit, files)).encode(), {"Content-Type": "application/json"}
            )
        elif repository.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(403 if "Authorization" in self.headers else 401, "GatedRepo")
        else:
            self._send_file("/".join(words[4:]), commit, files)

    def _send_file(self, name: str, commit: str, files: dict[str, bytes]) -> None:
        if name not in files:
            self._refuse(404, "EntryNotFound")
            return
        body = files[name]
        headers = {"ETag": f'"{_content(body)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range")
        if asked is None:
            self._send(200, body, headers, name)
            return
        first = int(asked.removeprefix("bytes=").rstrip("-"))
        headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self._send(206, body[first:], headers, name)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": f"no: {code}"})

    def _send(self, status: int, body: bytes, headers: dict[str, str], name: str | None = None) -> None:
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = self.hub.stall_after
        if name is not None and limit is not None and len(body) > limit:
            self._write(body[:limit], name)
            self.hub.stalled.set()
            self.hub.resumed.wait()
            self.close_connection = True
        else:
            self._write(body, name)

    def _write(self, body: bytes, name: str | None) -> None:
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:  # whoever asked has gone
            self.close_connection = True
            return
        if name is not None:
            self.hub.sent[name] += len(body)


def _listing(identity: str, commit: str, files: dict[str, bytes]) -> dict[str, Any]:
    siblings = [
        {
            "rfilename": name, "size": len(body), "blobId": hashlib.sha1(body).hexdigest() if large else _content(body),
            **({"lfs": {"sha256": _content(body), "size": len(body), "pointerSize": 134}} if large else {}),
        }
        for name, body in sorted(files.items())
        for large in [len(body) >= _LARGE]
    ]  # fmt: skip
    return {"id": identity, "sha": commit, "private": False, "gated": False, "siblings": siblings}
