"""Who may ask, how large a request may be, how long it may take, and what is written down of it: around the
whole app."""

import asyncio
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.serve.errors import ApiError, response
from groundup.serve.metrics import Metrics
from groundup.serve.streaming import last_event

PROBES = {"/health", "/ready", "/metrics"}
OPEN_PATHS = PROBES | {"/"}
OPEN_FOLDER = "/page/"
SECONDS_FOR_LAST_EVENT = 0.5


class Admission:
    """The requests that are on their way, and how long they may take. When the server stops, first
    nothing new is taken on, then what is still there is broken off."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.open: set[asyncio.Timeout] = set()
        self.is_closing = self.is_over = False

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """Around a request. Raises `ApiError` where it takes too long or the server is over."""
        limit = asyncio.timeout(self.seconds)
        self.open.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._broken_off() from None
        finally:
            self.open.discard(limit)

    def _broken_off(self) -> ApiError:
        if self.is_over:
            return ApiError(503, "broken off, as the server stops")
        return ApiError(504, f"broken off after {self.seconds:g} seconds")

    def end(self) -> None:
        """Break off what is on its way."""
        self.is_closing = self.is_over = True
        for limit in self.open:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())


class Access:
    """ASGI middleware: checks the key, reads the body up to a limit, ends what takes too long, counts and
    logs. What is said in requests and answers is never logged."""

    def __init__(
        self,
        app: ASGIApp,
        api_key: str | None,
        most_bytes: int,
        metrics: Metrics,
        admission: Admission,
    ):
        self.app, self.api_key, self.most_bytes = app, api_key, most_bytes
        self.metrics, self.admission = metrics, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # the client left before anything was answered
        head: Message | None = None

        async def sending(message: Message) -> None:
            nonlocal status, head
            if message["type"] == "http.response.start":
                status, head = message["status"], message
            await send(message)

        try:
            if error := self._refusal(scope):
                await response(error)(scope, receive, sending)
            else:
                async with self.admission.limited():
                    await self._with_body(scope, receive, sending)
        except ApiError as error:  # none of the app's: those are answered there
            await _end_with(error, head, scope, receive, sending)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> ApiError | None:
        """Why a request is turned away, if its headers say enough for that."""
        if self.admission.is_closing and scope["path"] not in PROBES:
            return ApiError(503, "the server stops, and takes on nothing new")
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


async def _end_with(
    error: ApiError, head: Message | None, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer with an error what was broken off: a stream that has begun, with its last event."""
    if head is None:
        await response(error)(scope, receive, send)
    elif b"text/event-stream" in dict(head["headers"]).get(b"content-type", b""):
        last = {"type": "http.response.body", "body": last_event(error).encode()}
        with suppress(TimeoutError):  # who reads nothing hears nothing
            async with asyncio.timeout(SECONDS_FOR_LAST_EVENT):
                await send(last)


def _is_open(path: str) -> bool:
    """Whether a path says nothing of the model, so that it needs no key: the page, which asks for it."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
