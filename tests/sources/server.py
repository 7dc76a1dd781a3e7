"""A web server on this machine that serves files, with and without ranges, and can break off."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """What the server has, how it behaves, and what it was asked."""

    files: dict[str, bytes]
    has_ranges: bool = True
    breaks_after: int | None = None
    """Bytes after which every answer ends, as from a server that loses its connections."""
    denied: set[str] = field(default_factory=set)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, its Range header) of every request."""
    tokens: list[str | None] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    """Serve `web` on loopback; its address is filled in."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            web.requests.append((path, self.headers["Range"]))
            web.tokens.append(self.headers["Authorization"])
            if path in web.denied:
                self.answer(403, b"")
            elif path not in web.files:
                self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            else:
                self.file(web.files[path])

        do_HEAD = do_GET  # noqa: N815 (the name that http.server looks for)

        def file(self, body: bytes) -> None:
            headers = {"ETag": f'"{sha256(body).hexdigest()}"'}
            unchanged = self.headers["If-Range"] in (None, headers["ETag"])
            if web.has_ranges and self.headers["Range"] and unchanged:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                self.answer(206, body[start:], headers)
            else:
                self.answer(200, body, headers)

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET" and body:
                self.wfile.write(body[: web.breaks_after])

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output quiet."""

        def handle(self) -> None:
            # A reader that seeks leaves in the middle of an answer.
            with suppress(ConnectionError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
