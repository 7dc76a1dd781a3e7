"""From a request to text: the engine's tokens as pieces, with what OpenAI's protocol wants to know of
them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from groundup.generation.engine import Request, Step
from groundup.generation.scheduler import Constraint
from groundup.generation.text import Completion, Saying
from groundup.serve.metrics import Metrics
from groundup.serve.openai import Generation
from groundup.serve.tools import CallReader
from groundup.serve.worker import Answer, Worker
from groundup.tokenizer.tokenizer import Tokenizer

Finish = Literal["stop", "length", "tool_calls"]


@dataclass
class Piece:
    """What one or more tokens have added to an answer."""

    index: int
    """Of which answer."""
    text: str
    steps: list[Step] = field(default_factory=list)
    finish: Finish | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Functions that the model calls."""

    def add(self, more: "Piece") -> None:
        """What comes next in the same answer."""
        self.text += more.text
        self.steps += more.steps
        self.calls += more.calls
        self.finish = more.finish


@dataclass
class Choice:
    """One of the answers to a request, while it is made."""

    index: int
    completion: Completion
    answer: Answer
    saying: Saying
    reader: CallReader | None = None
    """Where the model may call functions."""
    tokens: int = 0
    """How many the model has made, the one that ends the answer included."""

    async def pieces(self, is_chat: bool) -> AsyncGenerator[Piece, None]:
        """The text as it comes. The space that a template puts before an answer is none of its text."""
        begun = not is_chat
        try:
            async for step in self.answer:
                self.tokens += 1
                text = self.saying.hear(step)
                finish = self.completion.finish_reason if self.saying.is_over else None
                shown = text if begun else text.lstrip()
                begun = begun or bool(shown)
                steps = [] if step.token in self.saying.ends else [step]
                yield self._piece(shown, steps, finish)
                if finish:
                    return
        finally:
            self.answer.close()

    def _piece(self, text: str, steps: list[Step], finish: Finish | None) -> Piece:
        if self.reader is None:
            return Piece(self.index, text, steps, finish)
        said, calls = self.reader.feed(text, is_last=finish is not None)
        if finish == "stop" and self.reader.count:
            finish = "tool_calls"
        return Piece(self.index, said, steps, finish, calls)


def choices(
    body: Generation,
    prompts: Sequence[list[int]],
    tokenizer: Tokenizer,
    worker: Worker,
    context_length: int,
    top: int | None,
    constraints: Sequence[Constraint | None],
    reader: Callable[[], CallReader | None],
) -> list[Choice]:
    """Ask the engine for all answers to a request: `n` to each prompt, each with one of the `constraints`
    and a `reader` of its own, where it may hold calls of functions. If it cannot take on all of them, it
    takes on none."""
    asked: list[Choice] = []
    try:
        for prompt in prompts:
            for number in range(body.n):
                sampling = body.sampling(context_length - len(prompt), number)
                request = Request(
                    prompt,
                    sampling,
                    frozenset(tokenizer.end_ids),
                    top,
                    constraint=constraints[number],
                )
                completion = Completion(list(prompt))
                saying = Saying(tokenizer, completion, body.stops)
                asked.append(Choice(len(asked), completion, worker.ask(request), saying, reader()))
    except Exception:
        close(asked)
        raise
    return asked


def close(asked: Sequence[Choice]) -> None:
    """Nobody wants these any more."""
    for choice in asked:
        choice.answer.close()


async def together(
    asked: Sequence[Choice], is_chat: bool, metrics: Metrics
) -> AsyncGenerator[Piece, None]:
    """The pieces of all answers in the order in which they come."""
    pieces: asyncio.Queue[Piece | Exception] = asyncio.Queue()

    async def read(choice: Choice) -> None:
        watched = metrics.watch()
        try:
            async with aclosing(choice.pieces(is_chat)) as stream:
                async for piece in stream:
                    watched.token()
                    await pieces.put(piece)
        except Exception as error:
            await pieces.put(error)

    tasks = [asyncio.create_task(read(choice)) for choice in asked]
    try:
        running = len(tasks)
        while running:
            piece = await pieces.get()
            if isinstance(piece, Exception):
                raise piece
            running -= piece.finish is not None
            yield piece
    finally:
        for task in tasks:
            task.cancel()
        close(asked)
