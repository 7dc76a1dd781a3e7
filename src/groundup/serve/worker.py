"""The thread in which the model works, and the way of the tokens from it to those who asked.

One thread owns the engine. Others leave orders in a queue (take this on, forget that); between two steps
the thread carries them out. What the engine says goes back, through the event loop, to a queue of each
request's own, so nobody can read another's tokens, and a slow reader holds up nobody.
"""

import asyncio
import queue
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TypeVar

from groundup.errors import GroundupError
from groundup.generation.engine import Engine, Request, Step

T = TypeVar("T")
SECONDS_TO_END = 0.5


class BusyError(GroundupError):
    """As many requests as the server takes on are waiting already."""


class Answer:
    """The tokens of one request, as they come. To be closed when nobody wants more of them."""

    def __init__(self, worker: "Worker", request: Request):
        self.worker, self.request = worker, request
        self.steps: asyncio.Queue[Step | Exception] = asyncio.Queue()
        self.id: int | None = None
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[Step]:
        """Raises what the engine refuses the request with."""
        while True:
            step = await self.steps.get()
            if isinstance(step, Exception):
                raise step
            yield step
            if step.finished:
                return

    def close(self) -> None:
        """Nobody wants more: the engine forgets the request."""
        if not self.is_closed:
            self.is_closed = True
            self.worker.forget(self)


class Worker:
    """Runs an engine in a thread of its own; a classifier has none, and only work that is given to `run`.
    `most` requests are open at once, running or waiting."""

    def __init__(self, engine: Engine | None, most: int):
        self.engine, self.most = engine, most
        self.orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.answers: dict[int, Answer] = {}
        self.open = 0
        self.loop = asyncio.get_running_loop()
        self.is_closing = False
        self.thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self.thread.start()

    def ask(self, request: Request) -> Answer:
        """Take a request on. Raises `BusyError` where too many are open."""
        self._enter()
        answer = Answer(self, request)
        self.orders.put(lambda: self._take_on(answer))
        return answer

    def forget(self, answer: Answer) -> None:
        """The other end of `ask`."""
        self.open -= 1
        self.orders.put(lambda: self._drop(answer))

    @contextmanager
    def place(self) -> Iterator[None]:
        """For as long as a request gives work to `run`, it is one of those that are open. Raises
        `BusyError` where too many are."""
        self._enter()
        try:
            yield
        finally:
            self.open -= 1

    async def run(self, work: Callable[[], T]) -> T:
        """Something else that needs the model, between two steps. Who is cancelled before its turn has
        come is passed over."""
        done: Future[T] = Future()

        def carry_out() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        self.orders.put(carry_out)
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """End the thread, after the step that it is at; that of a long text is not waited for."""
        self.orders.put(self._stop)
        self.thread.join(SECONDS_TO_END)

    @property
    def is_at_work(self) -> bool:
        """Whether the thread is still there."""
        return self.thread.is_alive()

    def _enter(self) -> None:
        if self.open >= self.most:
            raise BusyError(f"{self.open} requests are waiting already", None, "try again later")
        self.open += 1

    # What follows runs in the thread.

    def _work(self) -> None:
        while not self.is_closing:
            self._carry_out_orders()
            try:
                steps = self.engine.step() if self.engine and self.engine.has_work else []
            except Exception as error:  # whatever it is, those who wait must hear of it
                self._fail(error)
                continue
            for step in steps:
                self._deliver(self.answers[step.request], step)

    def _carry_out_orders(self) -> None:
        """All that are there; where there is nothing else to do, wait for one."""
        wait = not (self.engine and self.engine.has_work)
        while wait or not self.orders.empty():
            order = self.orders.get()
            try:
                order()
            except Exception:  # a bug of ours, which the next order has no part in
                traceback.print_exc(file=sys.stderr)
            wait = False

    def _take_on(self, answer: Answer) -> None:
        if answer.is_closed or self.engine is None:
            return
        try:
            answer.id = self.engine.submit(answer.request)
        except Exception as error:  # whatever it is, who asked must hear of it
            self._deliver(answer, error)
        else:
            self.answers[answer.id] = answer

    def _drop(self, answer: Answer) -> None:
        if self.engine and answer.id is not None:
            self.engine.cancel(answer.id)
            del self.answers[answer.id]

    def _deliver(self, answer: Answer, step: Step | Exception) -> None:
        with suppress(RuntimeError):  # the loop is over, and nobody there to be told
            self.loop.call_soon_threadsafe(answer.steps.put_nowait, step)

    def _fail(self, error: Exception) -> None:
        for id_, answer in self.answers.items():
            if self.engine:
                self.engine.cancel(id_)
            self._deliver(answer, error)

    def _stop(self) -> None:
        self.is_closing = True
