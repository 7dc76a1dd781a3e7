"""Who may ask, how large a request may be, and what is written down of it: around the whole app."""

import hmac
import json
import sys
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.serve.errors import ApiError, response
from groundup.serve.metrics import Metrics

OPEN_PATHS = {"/health", "/ready", "/metrics", "/"}
OPEN_FOLDER = "/page/"


class Access:
    """ASGI middleware: checks the key, reads the body up to a limit, counts and logs. What is said in
    requests and answers is never logged."""

    def __init__(self, app: ASGIApp, api_key: str | None, most_bytes: int, metrics: Metrics):
        self.app, self.api_key, self.most_bytes = app, api_key, most_bytes
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # the client left before anything was answered

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if error := self._refusal(scope):
                await response(error)(scope, receive, sending)
            else:
                await self._with_body(scope, receive, sending)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> ApiError | None:
        """Why a request is turned away, if its headers say enough for that."""
        headers = dict(scope["headers"])
        if self.api_key and not _is_open(scope["path"]):
            given = headers.get(b"authorization", b"")
            # Compared in constant time, so that nobody can guess it letter by letter.
            if not hmac.compare_digest(given, f"Bearer {self.api_key}".encode()):
                return ApiError(401, "missing or wrong API key: send it as 'Authorization: Bearer KEY'",
                                code="invalid_api_key")  # fmt: skip
        length = headers.get(b"content-length", b"0")
        return self._too_large() if length.isdigit() and int(length) > self.most_bytes else None

    def _too_large(self) -> ApiError:
        return ApiError(413, f"a request may have {self.most_bytes:,} bytes")

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the app a body that was read up to the limit, whatever its headers promised."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.most_bytes:
                await response(self._too_large())(scope, receive, send)
                return
        given = False

        async def receive_whole() -> Message:
            nonlocal given
            if given:
                return await receive()  # tells when the client leaves
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, receive_whole, send)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.requests.labels(route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        line = {
            "time": time.time(), "method": scope["method"], "path": scope["path"], "status": status,
            "seconds": round(seconds, 4), "client": (scope.get("client") or [None])[0],
        }  # fmt: skip
        print(json.dumps(line), file=sys.stderr, flush=True)


def _is_open(path: str) -> bool:
    """Whether a path says nothing of the model, so that it needs no key: the page, which asks for it."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
