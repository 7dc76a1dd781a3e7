"""Streams of events, and work that is only done for as long as somebody waits for it."""

import asyncio
import json
import sys
import threading
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import aclosing, closing, suppress
from typing import Any, TypeVar

from fastapi import Request

from groundup.serve.errors import ApiError, as_api_error, error_body

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 0.25
DONE = "data: [DONE]\n\n"
NO_CACHE = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def events(chunks: AsyncIterator[dict]) -> AsyncIterator[str]:
    """Chunks as server-sent events; what goes wrong on the way is the last one, and a bug of ours is
    logged. (sse-starlette would break streams off as soon as the server is told to stop, and here they
    may end.)"""
    try:
        async for chunk in chunks:
            yield _event(chunk)
    except Exception as error:
        told = as_api_error(error)
        if told.status == 500:
            traceback.print_exception(error, file=sys.stderr)
        yield last_event(told)
    else:
        yield DONE


def last_event(error: ApiError) -> str:
    """What a stream ends with where something goes wrong."""
    return _event(error_body(error.status, error.message, error.param, error.code)) + DONE


def _event(content: dict) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is broken off when the client leaves."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=SECONDS_BETWEEN_LOOKS)
            if not task.done() and await request.is_disconnected():
                raise ApiError(499, "the client left")
        return task.result()
    finally:
        task.cancel()


async def begun(request: Request, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same pieces, once the first is there: whatever is refused is known then, and can be an error
    with its status."""
    first = await unless_gone(request, anext(pieces, None))

    async def all_of_them() -> AsyncGenerator[T, None]:
        async with aclosing(pieces):
            if first is not None:
                yield first
            async for piece in pieces:
                yield piece

    return all_of_them()


async def in_turn(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """The result of work that gives the model orders and no prompt: it takes a place in the queue as an
    answer does, and is broken off when the client leaves. Raises `BusyError` where no place is free."""
    with request.app.state.worker.place():
        return await unless_gone(request, work())


def in_thread(pieces: Generator[T, Any, Any], done: Callable[[], None]) -> AsyncGenerator[T, None]:
    """What a generator gives, made in a thread of its own that begins at once. When nobody reads on, the
    generator is closed after the piece that it is at; then `done` is called, in the thread."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[T | Exception | None] = asyncio.Queue()
    is_left = threading.Event()

    def put(item: T | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is over, and nobody there to be told
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        end: Exception | None = None
        try:
            with closing(pieces):
                for piece in pieces:
                    if is_left.is_set():
                        break
                    put(piece)
        except Exception as error:
            end = error
        finally:
            done()
            put(end)

    async def reading() -> AsyncGenerator[T, None]:
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            is_left.set()

    threading.Thread(target=work, name="pieces", daemon=True).start()
    return reading()
