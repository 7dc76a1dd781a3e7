"""The two forms that answers have on the wire: of conversations and of plain completions, each whole or in
chunks."""

from abc import ABC, abstractmethod
from codecs import IncrementalDecoder, getincrementaldecoder
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

from groundup.generation.engine import Step
from groundup.serve.answering import Choice, Piece
from groundup.serve.openai import ChatRequest, CompletionRequest, Generation, new_id, now, usage
from groundup.serve.served import Served, text_of
from groundup.tokenizer.tokenizer import Tokenizer


class Form(ABC):
    """What both have in common: an id, a time, the model's name, the numbers of tokens."""

    is_chat: bool
    prefix: str
    kinds: tuple[str, str]
    """What OpenAI calls the whole, and a chunk."""

    def __init__(self, body: Generation, served: Served):
        self.body, self.served = body, served
        self.id, self.created = new_id(self.prefix), now()

    @abstractmethod
    def choice(self, choice: Choice, piece: Piece) -> dict[str, Any]:
        """A finished answer, all of it in one piece."""

    @abstractmethod
    def delta(self, piece: Piece) -> dict[str, Any]:
        """What a piece adds to an answer."""

    async def whole(self, pieces: AsyncIterator[Piece], asked: Sequence[Choice]) -> dict[str, Any]:
        """The answer when all of it is there."""
        wholes = [Piece(choice.index, "") for choice in asked]
        async for piece in pieces:
            wholes[piece.index].add(piece)
        done = [self.choice(choice, whole) for choice, whole in zip(asked, wholes, strict=True)]
        return self._head(self.kinds[0]) | {"choices": done, "usage": self._usage(asked)}

    async def chunks(
        self, pieces: AsyncIterator[Piece], asked: Sequence[Choice]
    ) -> AsyncIterator[dict[str, Any]]:
        """The answer as it comes; at the end the numbers of tokens, if they are wanted."""
        for opening in self.openings(asked):
            yield self._chunk(opening)
        async for piece in pieces:
            if piece.text or piece.steps or piece.calls or piece.finish:
                yield self._chunk(self.delta(piece))
        if self.body.wants_usage:
            yield self._head(self.kinds[1]) | {"choices": [], "usage": self._usage(asked)}

    def openings(self, asked: Sequence[Choice]) -> list[dict[str, Any]]:
        """What is sent before the first token."""
        return []

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        more = {"usage": None} if self.body.wants_usage else {}
        return self._head(self.kinds[1]) | {"choices": [choice]} | more

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id, "object": kind, "created": self.created, "model": self.served.name
        }  # fmt: skip

    def _usage(self, asked: Sequence[Choice]) -> dict[str, int]:
        """A prompt that gets several answers counts once."""
        prompts = sum(len(choice.completion.prompt_token_ids) for choice in asked[:: self.body.n])
        return usage(prompts, sum(choice.tokens for choice in asked))


class ChatForm(Form):
    """`/v1/chat/completions`"""

    is_chat, prefix = True, "chatcmpl"
    kinds = ("chat.completion", "chat.completion.chunk")
    body: ChatRequest

    def choice(self, choice: Choice, piece: Piece) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": piece.text, "refusal": None}
        if piece.calls:
            calls = [{k: v for k, v in call.items() if k != "index"} for call in piece.calls]
            message |= {"content": piece.text or None, "tool_calls": calls}
        return {
            "index": choice.index, "message": message, "finish_reason": piece.finish,
            "logprobs": self._log_probs(piece.steps),
        }  # fmt: skip

    def openings(self, asked: Sequence[Choice]) -> list[dict[str, Any]]:
        delta = {"role": "assistant", "content": ""}
        return [self._delta(choice.index, delta, None, ()) for choice in asked]

    def delta(self, piece: Piece) -> dict[str, Any]:
        delta: dict[str, Any] = {"content": piece.text} if piece.text else {}
        if piece.calls:
            delta["tool_calls"] = piece.calls
        return self._delta(piece.index, delta, piece.finish, piece.steps)

    def _delta(
        self, index: int, delta: dict[str, Any], finish: str | None, steps: Sequence[Step]
    ) -> dict[str, Any]:
        return {
            "index": index, "delta": delta, "finish_reason": finish, "logprobs": self._log_probs(steps)
        }  # fmt: skip

    def _log_probs(self, steps: Sequence[Step]) -> dict[str, Any] | None:
        if self.body.top is None:
            return None
        tokenizer = self.served.tokenizer
        return {"content": [
            _named(tokenizer, step.token, step.log_prob)
            | {"top_logprobs": [_named(tokenizer, *likely) for likely in step.top]}
            for step in steps
        ]}  # fmt: skip


class TextForm(Form):
    """`/v1/completions`"""

    is_chat, prefix = False, "cmpl"
    kinds = ("text_completion", "text_completion")
    body: CompletionRequest

    def __init__(self, body: CompletionRequest, served: Served):
        super().__init__(body, served)
        self.heard = defaultdict[int, int](int)
        """How many characters of each answer have come."""
        utf8 = getincrementaldecoder("utf-8")
        self.decoders = defaultdict[int, IncrementalDecoder](lambda: utf8("replace"))

    def choice(self, choice: Choice, piece: Piece) -> dict[str, Any]:
        text = self._prompt(choice) + piece.text
        return self._choice(choice.index, text, piece.finish, piece.steps)

    def openings(self, asked: Sequence[Choice]) -> list[dict[str, Any]]:
        if not self.body.echo:
            return []
        return [self._choice(choice.index, self._prompt(choice), None, ()) for choice in asked]

    def delta(self, piece: Piece) -> dict[str, Any]:
        return self._choice(piece.index, piece.text, piece.finish, piece.steps)

    def _prompt(self, choice: Choice) -> str:
        ids = choice.completion.prompt_token_ids
        return self.served.tokenizer.decode(ids) if self.body.echo else ""

    def _choice(
        self, index: int, text: str, finish: str | None, steps: Sequence[Step]
    ) -> dict[str, Any]:
        log_probs = None if self.body.top is None else self._log_probs(index, steps)
        return {"index": index, "text": text, "finish_reason": finish, "logprobs": log_probs}

    def _log_probs(self, index: int, steps: Sequence[Step]) -> dict[str, Any]:
        """OpenAI's older form: lists side by side."""
        names = [text_of(self.served.tokenizer, step.token) for step in steps]
        return {
            "tokens": names, "token_logprobs": [step.log_prob for step in steps],
            "top_logprobs": [
                {text_of(self.served.tokenizer, token): log_prob for token, log_prob in step.top}
                for step in steps
            ],
            "text_offset": [self._offset(index, step.token) for step in steps],
        }  # fmt: skip

    def _offset(self, index: int, token: int) -> int:
        """Where a token begins in its answer, in characters; where it is a part of one, that one's."""
        begins = self.heard[index]
        known = self.served.tokenizer.known_bytes(token)
        self.heard[index] += len(self.decoders[index].decode(known))
        return begins


def _named(tokenizer: Tokenizer, token: int, log_prob: float | None) -> dict[str, Any]:
    known = tokenizer.known_bytes(token)
    return {
        "token": known.decode("utf-8", "replace"), "logprob": log_prob, "bytes": list(known)
    }  # fmt: skip
