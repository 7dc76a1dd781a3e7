"""From a request to text: the engine's tokens as pieces, with what OpenAI's protocol wants to know of
them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from groundup.generation.engine import Request, Step
from groundup.generation.text import Completion, Saying
from groundup.serve.metrics import Metrics
from groundup.serve.openai import Generation
from groundup.serve.worker import Answer, Worker
from groundup.tokenizer.tokenizer import Tokenizer

Finish = Literal["stop", "length"]


@dataclass
class Piece:
    """What one or more tokens have added to an answer."""

    index: int
    """Of which answer."""
    text: str
    steps: list[Step] = field(default_factory=list)
    finish: Finish | None = None


@dataclass
class Choice:
    """One of the answers to a request, while it is made."""

    index: int
    completion: Completion
    answer: Answer
    saying: Saying
    tokens: int = 0
    """How many the model has made, the one that ends the answer included."""

    async def pieces(self, is_chat: bool) -> AsyncGenerator[Piece, None]:
        """The text as it comes. The space that a template puts before an answer is none of its text."""
        begun = not is_chat
        try:
            async for step in self.answer:
                self.tokens += 1
                text = self.saying.feed(step.token)
                shown = text if begun else text.lstrip()
                begun = begun or bool(shown)
                steps = [] if step.token in self.saying.ends else [step]
                if self.saying.is_over:
                    yield Piece(self.index, shown, steps, "stop")
                    return
                if step.finished:
                    yield Piece(self.index, shown + self.saying.flush(), steps, "length")
                    return
                yield Piece(self.index, shown, steps)
        finally:
            self.answer.close()


def choices(
    body: Generation,
    prompts: Sequence[list[int]],
    tokenizer: Tokenizer,
    worker: Worker,
    context_length: int,
    top: int | None,
) -> list[Choice]:
    """Ask the engine for all answers to a request: `n` to each prompt. If it cannot take on all of
    them, it takes on none."""
    asked: list[Choice] = []
    try:
        for prompt in prompts:
            for number in range(body.n):
                sampling = body.sampling(context_length - len(prompt), number)
                request = Request(prompt, sampling, frozenset(tokenizer.end_ids), top)
                completion = Completion(list(prompt))
                saying = Saying(tokenizer, completion, body.stops)
                asked.append(Choice(len(asked), completion, worker.ask(request), saying))
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
) -> AsyncIterator[Piece]:
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
