"""A real HTTP server on loopback that misbehaves as told."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What is served under one path.

    Attributes:
        body: its bytes.
        kind: Content-Type.
        ranges: whether ``Range`` is honoured.
        etag: sent and compared with ``If-Range``; empty for none.
        modified: Last-Modified; empty for none.
        length: whether Content-Length is sent; without it the end of the connection is the end.
        rate: bytes a second, 0 for as fast as possible.
        actions: one for each request, first to last, then served normally; each is called with the
            handler and returns True where it has answered.
        headers: further headers.
        requests: the headers of each request so far.
    """

    body: bytes = b""
    kind: str = "application/octet-stream"
    ranges: bool = True
    etag: str = ""
    modified: str = ""
    length: bool = True
    rate: int = 0
    actions: list[Action] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.scheme = "http"

    def page(self, path: str, body: bytes = b"", **options: object) -> str:
        """Serve a page and return its address."""
        self.pages[path] = Page(body, **options)  # type: ignore[arg-type]
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
            return
        page.requests.append({key.lower(): value for key, value in self.headers.items()})
        action = page.actions.pop(0) if page.actions else None
        if action and action(self, page):
            return
        self.answer(page)

    def answer(self, page: Page, stop_after: int | None = None) -> None:
        """Answer as a good server does, but hang up after some bytes of the body."""
        start, body = 0, page.body
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if wanted and page.ranges and condition in (None, page.etag, page.modified):
            start = int(wanted[1])
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", page.kind)
        for name, value in (("ETag", page.etag), ("Last-Modified", page.modified), *page.headers.items()):
            if value:
                self.send_header(name, value)
        if page.length:
            self.send_header("Content-Length", str(len(body) - start))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        rest = memoryview(body)[start : None if stop_after is None else start + stop_after]
        step = max(page.rate // 50, 1) if page.rate else 1 << 16
        for position in range(0, len(rest), step):
            self.wfile.write(rest[position : position + step])
            if page.rate:
                time.sleep(step / page.rate)
        if stop_after is not None:
            self.close_connection = True


Action = Callable[[Handler, Page], bool]


def hang_up(after: int) -> Action:
    """Close the connection after some bytes of the body."""

    def act(handler: Handler, page: Page) -> bool:
        handler.answer(page, stop_after=after)
        return True

    return act


def say(status: int, body: bytes = b"", **headers: str) -> Action:
    """Answer with a status."""

    def act(handler: Handler, page: Page) -> bool:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    return act


def change(**values: object) -> Action:
    """Change the page from this request on, then answer normally."""

    def act(handler: Handler, page: Page) -> bool:
        for name, value in values.items():
            setattr(page, name, value)
        return False

    return act


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run a server in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
