"""Work in a thread that ends when nobody waits for it."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import aclosing
from itertools import count

import pytest

from groundup.serve.streaming import in_thread


def test_an_endless_work_ends_when_its_reader_leaves():
    closed, done = threading.Event(), threading.Event()

    def endless() -> Generator[int, None, None]:
        try:
            yield from count()
        finally:
            assert not done.is_set()  # what it holds is free before the next may begin
            closed.set()

    async def read() -> list[int]:
        got = []
        async with aclosing(in_thread(endless(), done.set)) as pieces:
            async for piece in pieces:
                got.append(piece)
                if piece == 5:
                    break
        assert await asyncio.to_thread(done.wait, 30)
        return got

    assert asyncio.run(read()) == list(range(6))
    assert closed.is_set()


def test_what_goes_wrong_in_the_thread_is_raised_when_the_place_is_free():
    done = threading.Event()

    def failing() -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    async def read() -> None:
        pieces = in_thread(failing(), done.set)
        assert await anext(pieces) == 1
        with pytest.raises(ValueError, match="broken"):
            await anext(pieces)
        assert done.is_set()

    asyncio.run(read())


def test_the_event_loop_goes_on_meanwhile():
    may_end = threading.Event()

    def slow() -> Generator[int, None, None]:
        assert may_end.wait(30)  # the loop itself says when
        yield 1

    async def read() -> list[int]:
        asyncio.get_running_loop().call_soon(may_end.set)
        return [piece async for piece in in_thread(slow(), lambda: None)]

    assert asyncio.run(read()) == [1]
