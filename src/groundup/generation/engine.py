"""The engine: token ids in, token ids out. It knows no tokenizer and no text.

Many requests at once, each with settings of its own, which come and go between two steps of the model
(continuous batching). What a request is answered with does not depend on its neighbours, nor on how its
prompt was cut into chunks, whose blocks it shared or whether it was sent away in between.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.errors import InputError
from groundup.generation.config import KvCacheDtype
from groundup.generation.fast_form import fast_form
from groundup.generation.paged import BlockPool, PagedCache, PagedPast
from groundup.generation.sampling import SamplingConfig, choose_each, ending_together, generator
from groundup.generation.scheduler import Part, Request, Scheduler, Text
from groundup.generation.speculative import Drafter
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.lora import adapter_at_work, check_row_adapter, use_adapters


@dataclass(frozen=True)
class Step:
    """One new token of one request."""

    request: int
    """The id that `submit` gave."""
    token: int
    log_prob: float | None
    """Of the token by the model, before temperature and whatever else narrows the choice; None where
    the request asked for none."""
    top: list[tuple[int, float]]
    """The likeliest tokens and their log-probabilities, as many as the request asked for."""
    finished: Literal["stop", "length"] | None
    """Whether this was the last token, and why: a stop id or a form that is complete, or no more tokens
    asked for or possible."""


class Engine:
    """Continues many requests with one model. Not for several threads at once.

    >>> engine = Engine(model)                                      # doctest: +SKIP
    >>> engine.submit(Request([1, 2, 3], SamplingConfig(max_new_tokens=2)))  # doctest: +SKIP
    0
    >>> while engine.has_work:                                           # doctest: +SKIP
    ...     for step in engine.step(): print(step.request, step.token)
    """

    def __init__(
        self,
        model: GPT,
        max_batch: int = 16,
        cache_tokens: int | None = None,
        block_size: int = 16,
        chunk_tokens: int = 256,
        drafter: Drafter | None = None,
        draft_tokens: int = 4,
        kv_cache_dtype: KvCacheDtype = "auto",
    ):
        """At most `max_batch` requests run at once. The cache has room for `cache_tokens`, in blocks of
        `block_size`; None is four full contexts, as few texts fill theirs. One step reads no more
        than `chunk_tokens` tokens of prompts. The `drafter` guesses up to `draft_tokens` tokens of
        each text, which changes nothing but the time. With "int8" keys and values take a byte each
        and a scale (`groundup.generation.paged.in_8_bits`). Raises `InputError` where a drafter does
        not go with the model."""
        self.model, self.config = model.eval(), model.config
        self.context_length, self.device = self.config.context_length, model.device
        if cache_tokens is None:
            cache_tokens = min(4, max_batch) * self.context_length
        self.cache = PagedCache(-(-cache_tokens // block_size), block_size, kv_cache_dtype)
        self.pool = BlockPool(self.cache.n_blocks)
        self.scheduler = Scheduler(
            self.pool, block_size, max_batch, chunk_tokens, self.config.has_states
        )
        self.network = fast_form(model)
        self.adapter = adapter_at_work(model)
        self.drafter, self.draft_tokens = drafter, draft_tokens
        if drafter:
            if self.config.has_states:
                raise InputError(
                    "this model has layers with a state, which cannot take back a guess",
                    "draft", "generate without a draft",
                )  # fmt: skip
            drafter.attach(self.config, self.cache)
        self.guessed_tokens = 0
        """How many tokens were guessed, since the beginning."""
        self.right_guesses = 0
        """How many of them the model said itself."""
        self._texts: dict[int, Text] = {}
        self._submitted = 0

    def submit(self, request: Request) -> int:
        """Let a request wait for its turn; returns its id. Requests with different adapters run
        together.

        It ends with "length" after `max_new_tokens`, or where the context is full and nothing is to be
        forgotten. Raises `InputError` for a prompt that is empty, longer than the context or has ids
        outside the vocabulary, an adapter that `use_adapters` would refuse, and for a request that
        could need more than the whole cache."""
        check_prompt(request.prompt, self.config)
        adapter = request.adapter or self.adapter
        if adapter != self.adapter:
            check_row_adapter(self.model, adapter)
        prompt, left = list(request.prompt), request.sampling.max_new_tokens
        # The last token that is said is never looked at, so it needs no place in the context.
        possible = self.context_length + 1 - len(prompt)
        longest = len(prompt) + min(left, possible) - 1
        room = self.cache.n_blocks * self.cache.block_size
        if longest > room:
            raise InputError(
                f"the request may come to {longest} tokens, but the cache has room for {room}",
                fix="ask for fewer new tokens, shorten the prompt or raise cache_tokens",
            )
        text = Text(
            self._submitted, request, generator(request.sampling.seed, self.device),
            left if request.when_full == "forget" else min(left, possible), prompt, adapter,
            _kind(self.config, len(prompt), adapter), len(prompt),
        )  # fmt: skip
        self._submitted += 1
        self._texts[text.id] = text
        self.scheduler.waiting.append(text)
        return text.id

    def cancel(self, id: int) -> None:
        """Forget a request and free its blocks. One that is over, or never was, is ignored."""
        if id in self._texts:
            self.scheduler.finish(self._texts.pop(id))

    @torch.inference_mode()
    def step(self) -> list[Step]:
        """Let the model work on what the scheduler chose: a pass for the texts that are talking, each
        of which gives a token (and one for each guess that was right), and one for prompts, which give
        one where they are read to the end. Nothing if there is nothing to do."""
        steps = []
        for parts in self.scheduler.plan():
            if self.drafter and parts[0].text.is_talking:
                parts = self._with_guesses(self.drafter, parts)
            steps += self._pass(parts)
        return steps

    @property
    def has_work(self) -> bool:
        """Whether a request runs or waits."""
        return bool(self._texts)

    @property
    def running(self) -> int:
        """How many requests are at work."""
        return len(self.scheduler.running)

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn, those that were sent away included."""
        return len(self.scheduler.waiting)

    @property
    def free_blocks(self) -> int:
        """How many blocks no request holds."""
        return self.pool.available

    @property
    def shared_blocks(self) -> int:
        """How many blocks several requests hold."""
        return self.pool.shared

    @property
    def preemptions(self) -> int:
        """How often a request was sent away for lack of blocks, since the beginning."""
        return self.scheduler.preemptions

    @property
    def reused_tokens(self) -> int:
        """How many tokens were not read, as others had read the same, since the beginning."""
        return self.scheduler.reused_tokens

    def stream(
        self,
        prompt: Sequence[int],
        sampling: SamplingConfig,
        stop_ids: frozenset[int] = frozenset(),
    ) -> Iterator[int]:
        """Yield new token ids one by one, up to `sampling.max_new_tokens` or a stop id (which is
        yielded, so that the caller sees why it ended). Where the context is full, its older half is
        forgotten.

        For an engine that has nothing else to do. Raises `InputError` for a prompt that `submit` would
        refuse.
        """
        request = Request(prompt, sampling, stop_ids, when_full="forget")
        return (step.token for step in self.answer(request))

    def answer(self, request: Request) -> Iterator[Step]:
        """The steps of a request, for an engine that has nothing else to do."""
        self.check_idle()
        id = self.submit(request)
        try:
            while id in self._texts:
                yield from self.step()
        finally:
            self.cancel(id)

    def batch(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        stop_ids: frozenset[int] = frozenset(),
        seeds: Sequence[int | None] | None = None,
    ) -> list[list[int]]:
        """What `stream` gives for each prompt, `max_batch` of them at once. `seeds` are those of each
        prompt, in place of the one in `sampling`."""
        self.check_idle()
        said: dict[int, list[int]] = {}
        try:
            for prompt, seed in zip(prompts, seeds or repeat(sampling.seed), strict=False):
                seeded = sampling.model_copy(update={"seed": seed})
                said[self.submit(Request(prompt, seeded, stop_ids, when_full="forget"))] = []
            while self.has_work:
                for step in self.step():
                    said[step.request].append(step.token)
        finally:
            for id in said:
                self.cancel(id)
        return list(said.values())

    def check_idle(self) -> None:
        """Raises `InputError` where other requests are at work, whose tokens would be lost."""
        if self.has_work:
            raise InputError(
                f"the engine is at work on {len(self._texts)} other requests",
                fix="use submit and step, or another engine",
            )

    def _pass(self, parts: list[Part]) -> list[Step]:
        with self._adapters([part.text for part in parts]):
            hidden = self._hidden(parts)
        for part in parts:
            self.scheduler.advance(part)
        ends = {row: part for row, part in enumerate(parts) if part.text.unknown == 0}
        steps = self._answer(list(ends.values()), hidden[list(ends)]) if ends else []
        for part in parts:
            self._leave_behind(part.text)
        return steps

    def _answer(self, parts: list[Part], hidden: Float[Tensor, "rows time d_model"]) -> list[Step]:
        """The next token of each text, and the one after each guess that was right. The model has seen
        all guesses, and `hidden` ends with them."""
        places = [
            (row, turn) for row, part in enumerate(parts) for turn in range(len(part.guesses) + 1)
        ]
        rows = torch.tensor([row for row, _ in places])
        back = torch.tensor([len(parts[row].guesses) - turn for row, turn in places])
        with self._adapters([parts[row].text for row, _ in places]):
            logits = self.network.head(hidden[rows, hidden.shape[1] - 1 - back])
        where = {place: i for i, place in enumerate(places)}
        steps, going = [], list(range(len(parts)))
        for turn in range(max(turn for _, turn in places) + 1):
            here = logits[[where[row, turn] for row in going]]
            said = self._choose([parts[row].text for row in going], here)
            steps += said
            going = [row for row, step in zip(going, said, strict=True)
                     if not step.finished and _is_guess(parts[row], turn, step.token)]  # fmt: skip
            if not going:
                break
            self.right_guesses += len(going)
            for row in going:
                self.scheduler.advance(Part(parts[row].text, 1))
        return steps

    def _choose(self, texts: list[Text], logits: Float[Tensor, "rows vocab"]) -> list[Step]:
        chosen = choose_each(
            _allowed(texts, logits),
            [text.all_ids for text in texts],
            [text.request.sampling for text in texts],
            [text.generator for text in texts],
        )
        said = zip(texts, chosen.tolist(), logits, strict=True)
        return [self._say(text, token, row) for text, token, row in said]

    def _with_guesses(self, drafter: Drafter, parts: list[Part]) -> list[Part]:
        """The parts of texts that are talking, with guesses as far as the text has room for them."""
        texts = [part.text for part in parts]
        most = [
            self.scheduler.room_for_guesses(
                text,
                min(self.draft_tokens, text.left - 1, self.context_length - len(text.ids)),
            )
            for text in texts
        ]
        guesses = drafter.propose(texts, most)
        self.guessed_tokens += sum(map(len, guesses))
        return [Part(text, 1, guess) for text, guess in zip(texts, guesses, strict=True)]

    def _adapters(self, texts: list[Text]) -> ExitStack:
        """Each text's adapter for its row, where it is not the same for all."""
        names = [text.adapter for text in texts]
        only_one = all(name == self.adapter for name in names)
        return ExitStack() if only_one else use_adapters(self.model, names)

    def _hidden(self, parts: list[Part]) -> Float[Tensor, "rows time d_model"]:
        """The model's states at the tokens of each part, at the end of its row; the cache knows the
        parts then."""
        texts = [part.text for part in parts]
        past = PagedPast(
            self.cache,
            [text.blocks for text in texts],
            [text.known for text in texts],
            [len(part.ids) for part in parts],
            [text.prompt_length for text in texts],
            self.device,
        )
        # Texts with states are talking, all of them, or read alone: they have the same ones.
        for name in texts[0].states:
            past.states[name] = torch.cat([text.states[name] for text in texts])
        ids = ending_together([part.ids for part in parts]).to(self.device)
        hidden = self.network.hidden(ids, past, past.padding)
        for row, text in enumerate(texts):
            text.states = {name: state[row : row + 1] for name, state in past.states.items()}
        return hidden

    def _leave_behind(self, text: Text) -> None:
        """Give up what no window of the text will reach, where the text alone holds it."""
        if self.config.window is None:
            return
        out_of_sight = (text.known - self.config.window + 1) // self.cache.block_size
        for block in text.blocks[text.behind : max(0, out_of_sight)]:
            if self.pool.holders[block] == 1:
                self.pool.hide(block)
                self.cache.forget(block)
        text.behind = max(text.behind, out_of_sight)

    def _forget(self, text: Text) -> None:
        """The text outgrew the context: it goes on with its newer half."""
        kept = max(1, self.context_length // 2)
        self.scheduler.shorten(text, kept)
        text.kind = _kind(self.config, kept, text.adapter)

    def _say(self, text: Text, token: int, logits: Float[Tensor, " vocab"]) -> Step:
        text.ids.append(token)
        text.left -= 1
        finished, constraint = None, text.request.constraint
        can_go_on = constraint is None or constraint.accept(token)
        if token in text.request.stop_ids or (constraint and can_go_on and constraint.is_over):
            finished = "stop"
        elif text.left == 0 or not can_go_on:
            finished = "length"
        if finished:
            self.cancel(text.id)
        elif len(text.ids) > self.context_length:
            self._forget(text)
        log_prob, top = None, []
        if text.request.top_log_probs is not None:
            log_probs = logits.float().log_softmax(-1)
            log_prob = log_probs[token].item()
            best = log_probs.topk(min(text.request.top_log_probs, len(log_probs)))
            top = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        return Step(text.id, token, log_prob, top, finished)


def check_prompt(prompt: Sequence[int], config: ModelConfig) -> None:
    """Raises `InputError` for an empty prompt, one longer than the context or an id outside the
    vocabulary."""
    if not prompt:
        raise InputError("the prompt is empty", fix="give at least one token to continue")
    if len(prompt) > config.context_length:
        raise InputError(
            f"the prompt has {len(prompt)} tokens, but this model looks at no more than "
            f"{config.context_length}",
            fix=f"shorten the prompt to {config.context_length} tokens",
        )
    outside = [token for token in prompt if not 0 <= token < config.vocab_size]
    if outside:
        raise InputError(
            f"token id {outside[0]} is outside the vocabulary of {config.vocab_size}",
            fix=f"use ids from 0 to {config.vocab_size - 1}, or the tokenizer of this model",
        )


def _allowed(texts: list[Text], logits: Float[Tensor, "rows vocab"]) -> Float[Tensor, "rows vocab"]:
    """The logits without those of tokens that a text's form does not allow."""
    narrowed = logits
    for row, text in enumerate(texts):
        if constraint := text.request.constraint:
            narrowed = logits.clone() if narrowed is logits else narrowed
            narrowed[row].masked_fill_(~constraint.allowed.to(logits.device), -math.inf)
    return narrowed


def _is_guess(part: Part, turn: int, token: int) -> bool:
    return turn < len(part.guesses) and part.guesses[turn] == token


def _kind(config: ModelConfig, prompt_length: int, adapter: str | None) -> bytes:
    """Texts of different kinds have different keys for the same tokens: those of another adapter, and
    long prompts, which LongRoPE turns otherwise from the first token on."""
    scaling = config.rope_scaling
    is_long = scaling.kind == "longrope" and prompt_length > scaling.original_context_length
    return repr((adapter, is_long)).encode()
