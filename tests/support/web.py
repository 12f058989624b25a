"""A web server of this machine: what its paths answer is said by the tests, and it counts what it is asked for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Page:
    """What a path answers. `parts` are sent in the place of a body, without saying how many bytes they are."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    parts: Iterable[bytes] | None = None


class Web:
    """Serves `pages`, by their paths, while it is entered; `asked` counts the paths. What isn't there is a 404."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: Counter[str] = Counter()
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Answers", (_Handler,), {"web": self}))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def dripping(self, seconds: float) -> Iterator[bytes]:
        """Yield a byte now and then, until nobody asks any more."""
        while not self.ended.wait(seconds):
            yield b"."


class _Handler(BaseHTTPRequestHandler):
    web: Web

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.web.asked[path] += 1
        page = self.web.pages.get(path, Page(status=404))
        self.send_response(page.status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        if page.parts is None:
            self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        try:
            for part in [page.body] if page.parts is None else page.parts:
                self.wfile.write(part)
                self.wfile.flush()
        except OSError:  # whoever asked has gone
            pass
