"""The thread of the model: nothing that is asked of it ends it."""

import asyncio
import threading

import pytest

from groundup.generation.engine import Engine, Request
from groundup.generation.sampling import SamplingConfig
from groundup.model.gpt import GPT
from groundup.serve.worker import BusyError, Worker


def test_who_is_cancelled_in_the_queue_is_passed_over_and_the_next_is_served():
    may_go_on, done = threading.Event(), []

    async def ask() -> str:
        worker = Worker(None, 4)
        first = asyncio.create_task(worker.run(lambda: may_go_on.wait(30)))
        second = asyncio.create_task(worker.run(lambda: done.append("second")))
        await asyncio.sleep(0.05)
        first.cancel()  # while it is at work
        second.cancel()  # before
        await asyncio.sleep(0)
        may_go_on.set()
        said = await asyncio.wait_for(worker.run(lambda: "third"), 10)
        worker.close()
        assert not worker.is_at_work
        return said

    assert asyncio.run(ask()) == "third" and done == []


def test_an_order_that_fails_is_logged_and_the_thread_goes_on(capsys: pytest.CaptureFixture[str]):
    def broken() -> None:
        raise ValueError("broken order")

    async def ask() -> str:
        worker = Worker(None, 4)
        worker.orders.put(broken)
        said = await asyncio.wait_for(worker.run(lambda: "next"), 10)
        with pytest.raises(ValueError, match="broken order"):
            await worker.run(broken)
        worker.close()
        return said

    assert asyncio.run(ask()) == "next"
    assert "Traceback" in (logged := capsys.readouterr().err) and "broken order" in logged


def test_other_work_takes_a_place_like_an_answer_and_gives_it_back(model: GPT):
    async def ask() -> None:
        worker = Worker(Engine(model), 2)
        answer = worker.ask(Request([1, 2], SamplingConfig(max_new_tokens=1)))
        with worker.place():
            assert worker.open == 2
            with pytest.raises(BusyError), worker.place():
                pass
            with pytest.raises(BusyError):
                worker.ask(Request([1], SamplingConfig(max_new_tokens=1)))
        assert worker.open == 1
        answer.close()
        assert worker.open == 0
        worker.close()

    asyncio.run(ask())
