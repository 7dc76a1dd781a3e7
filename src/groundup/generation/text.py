"""Generation as text: a prompt in, the continuation out, whole or piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from groundup.generation.beams import beam_search
from groundup.generation.engine import Engine, Step
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Constraint, Request
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer


@dataclass
class Completion:
    """What a model said: its tokens, their text, and whether it ended by itself ("stop") or ran
    out of tokens ("length")."""

    prompt_token_ids: list[int]
    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: Literal["stop", "length"] = "length"


def generate(model: GPT, tokenizer: Tokenizer, prompt: str, **settings: Any) -> str:
    """The continuation of `prompt`. `settings` are the fields of `SamplingConfig`, and `stop`, a
    list of strings at which to end.

    >>> generate(model, tokenizer, "Once upon a time", temperature=0.0)  # doctest: +SKIP
    ' there was a little girl'
    """
    return "".join(stream(model, tokenizer, prompt, **settings))


def stream(
    model: GPT, tokenizer: Tokenizer, prompt: str, stop: Sequence[str] = (), **settings: Any
) -> Iterator[str]:
    """`generate`, piece by piece as it is made."""
    sampling = SamplingConfig.parse(settings, "generation settings")
    completion = Completion(tokenizer.encode_prompt(prompt))
    return complete(Engine(model), tokenizer, completion, sampling, stop)


def complete(
    engine: Engine,
    tokenizer: Tokenizer,
    completion: Completion,
    sampling: SamplingConfig,
    stop: Sequence[str] = (),
    constraint: Constraint | None = None,
) -> Iterator[str]:
    """Yield the text that follows `completion.prompt_token_ids`, filling in `completion`.

    Ends at a special token such as the end of the text, or before a `stop` string; pieces never
    hold half a character, nor a beginning that may yet become a stop string. A `constraint` gives the text
    a form (`groundup.generation.schema`).
    """
    saying = Saying(tokenizer, completion, stop)
    prompt = completion.prompt_token_ids
    request = Request(prompt, sampling, saying.ends, constraint=constraint, when_full="forget")
    for step in engine.answer(request):
        if piece := saying.hear(step):
            yield piece
        if saying.is_over:
            return


def complete_all(
    engine: Engine,
    tokenizer: Tokenizer,
    completions: Sequence[Completion],
    sampling: SamplingConfig,
    stop: Sequence[str] = (),
) -> None:
    """Fill in many completions, `engine.max_batch` at once: each as `complete` would."""
    engine.check_idle()
    sayings: dict[int, Saying] = {}
    try:
        for completion in completions:
            saying = Saying(tokenizer, completion, stop)
            prompt = completion.prompt_token_ids
            request = Request(prompt, sampling, saying.ends, when_full="forget")
            sayings[engine.submit(request)] = saying
        while engine.has_work:
            for step in engine.step():
                sayings[step.request].hear(step)
                if sayings[step.request].is_over:
                    engine.cancel(step.request)
    finally:
        for id in sayings:
            engine.cancel(id)


def search(
    engine: Engine,
    tokenizer: Tokenizer,
    completion: Completion,
    beams: int,
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> str:
    """The likeliest text that so many beams find, filling in `completion`. They are searched with the
    model of the engine and a cache like its own."""
    saying = Saying(tokenizer, completion, stop)
    found = beam_search(
        engine.model, completion.prompt_token_ids, beams, max_new_tokens, saying.ends,
        kv_cache_dtype=engine.cache.dtype,
    )  # fmt: skip
    for token in found[0].ids:
        saying.feed(token)
        if saying.is_over:
            return completion.text
    saying.flush()
    return completion.text


class Saying:
    """Tokens as text while they come: fills in a completion, and knows when it is over, by a special
    token such as the end of the text or by a `stop` string."""

    def __init__(self, tokenizer: Tokenizer, completion: Completion, stop: Sequence[str] = ()):
        self.completion, self.stop = completion, stop
        self.decoder = tokenizer.decode_stream(after=completion.prompt_token_ids)
        self.ends = frozenset(tokenizer.end_ids)
        self.held = ""
        self.is_over = False

    def hear(self, step: Step) -> str:
        """The text that is certain after a step; nothing once it is over."""
        if self.is_over:
            return ""
        said = self.feed(step.token)
        if step.finished and not self.is_over:
            said += self.flush()
            self.is_over, self.completion.finish_reason = True, step.finished
        return said

    def feed(self, token: int) -> str:
        """The text that is certain now: never half a character, nor a beginning that may yet become a
        stop string."""
        if token in self.ends:
            return self._end(self.held)
        self.completion.token_ids.append(token)
        self.held += self.decoder.feed(token)
        cut = min((at for at in map(self.held.find, self.stop) if at >= 0), default=None)
        if cut is not None:
            return self._end(self.held[:cut])
        free = len(self.held) - possible_beginning(self.held, self.stop)
        said, self.held = self.held[:free], self.held[free:]
        return self._say(said)

    def flush(self) -> str:
        """What was held back, when no more tokens come."""
        said, self.held = self.held + self.decoder.flush(), ""
        return self._say(said)

    def _end(self, said: str) -> str:
        self.is_over, self.held = True, ""
        self.completion.finish_reason = "stop"
        return self._say(said)

    def _say(self, said: str) -> str:
        self.completion.text += said
        return said


def possible_beginning(text: str, stop: Sequence[str]) -> int:
    """Length of the longest end of `text` that one of the strings begins with."""
    return max(
        (n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])),
        default=0,
    )
