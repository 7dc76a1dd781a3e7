"""What is asked of a model to measure it: three questions about texts, whoever answers them.

Every evaluation goes through this interface, which is lm-evaluation-harness's (`lm_eval.api.model.LM`):
how likely is a text after another, how likely is a text from its beginning, and what does it say?
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from groundup.evaluate.likelihood import (
    BATCH,
    Likelihood,
    Window,
    score_windows,
    sliding_windows,
)
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete_all
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer

Pair = tuple[str, str]


@runtime_checkable
class Scorer(Protocol):
    """Whoever finds one text likelier than another: a model, or the simplest baseline."""

    def log_likelihoods(self, pairs: Sequence[Pair]) -> list[Likelihood]:
        """How likely each continuation is after its context, of pairs (context, continuation)."""
        ...


@runtime_checkable
class Subject(Scorer, Protocol):
    """A language model that is measured."""

    def rolling_log_likelihoods(
        self, texts: Sequence[str], stride: int | None = None
    ) -> list[list[Likelihood]]:
        """How likely each text is from its very beginning: of its parts, in order. A model that sees
        a part of a text at a time goes on by `stride` tokens (default: by all that it can see)."""
        ...

    def generate(
        self, prompts: Sequence[str], sampling: SamplingConfig, stop: Sequence[str] = ()
    ) -> list[str]:
        """What follows each prompt, up to a string of `stop`."""
        ...


class LocalModel:
    """A model that is loaded here.

    >>> LocalModel(model, tokenizer).log_likelihoods([("2 + 2 =", " 4")])  # doctest: +SKIP
    [Likelihood(nats=1.2, tokens=1, is_greedy=True, cut=0)]
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        batch: int = BATCH,
        progress: Callable[[int, int], None] | None = None,
    ):
        """`batch` windows go through the model at once; `progress` is told how many of how many are
        done."""
        self.model, self.tokenizer = model, tokenizer
        self.batch, self.progress = batch, progress
        self.context_length = model.config.context_length
        self.cut_prompts = 0
        """How many prompts of `generate` were too long, so that only their ends were read."""

    def log_likelihoods(self, pairs: Sequence[Pair]) -> list[Likelihood]:
        """Of a context longer than the model looks back, the end is read; the rest is counted in
        `cut`. Continuations longer than that are scored window by window."""
        return [Likelihood.joined(parts) for parts in self._score([*map(self._pair, pairs)])]

    def rolling_log_likelihoods(
        self, texts: Sequence[str], stride: int | None = None
    ) -> list[list[Likelihood]]:
        """A text begins after the token that this model begins texts with, or that ends the one
        before. Special tokens in it are text like any other."""
        return self._score([self._text(text, stride) for text in texts])

    def generate(
        self, prompts: Sequence[str], sampling: SamplingConfig, stop: Sequence[str] = ()
    ) -> list[str]:
        """Of a prompt that leaves no room for `max_new_tokens`, the end is read."""
        completions = [self._beginning(prompt, sampling) for prompt in prompts]
        engine = Engine(self.model, max_batch=self.batch)
        complete_all(engine, self.tokenizer, completions, sampling, stop)
        return [completion.text for completion in completions]

    def _pair(self, pair: Pair) -> list[Window]:
        context, continuation = self._encode_pair(*pair)
        begin = self.tokenizer.begin_ids
        given = len(context) if begin else max(1, len(context))
        ids = [*(context or self._before_text()), *continuation]
        return [*sliding_windows(ids, given, self.context_length, begin_ids=begin)]

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Context and continuation are encoded together and cut at the context's length, as
        lm-evaluation-harness does: the spaces between them go with the continuation."""
        kept = context.rstrip()
        continuation, context = context[len(kept) :] + continuation, kept
        before = self.tokenizer.encode(context)
        after = self.tokenizer.encode(context + continuation)[len(before) :]
        # Nothing is left where a token reaches over the cut.
        return before, after or self.tokenizer.encode(continuation, begins=not before)

    def _text(self, text: str, stride: int | None) -> list[Window]:
        ids = [*self._before_text(), *self.tokenizer.encode(text, allow_special=False)]
        begin = self.tokenizer.begin_ids
        given = len(self._before_text())
        return [*sliding_windows(ids, given, self.context_length, stride, begin)]

    def _before_text(self) -> list[int]:
        """What stands before a text where no token begins every window: the end of the text before,
        or of a line."""
        if self.tokenizer.begin_ids:
            return []
        end = self.tokenizer.end_of_text_id
        return self.tokenizer.encode("\n")[:1] if end is None else [end]

    def _score(self, texts: Sequence[Sequence[Window]]) -> list[list[Likelihood]]:
        """The likelihoods of the windows of each text. Long windows go first, with others of about
        their length; those of the same context stand together."""
        windows = [window for text in texts for window in text]
        order = sorted(range(len(windows)), key=lambda i: (-len(windows[i].ids), windows[i].ids))
        scored: dict[int, Likelihood] = {}
        for start in range(0, len(order), self.batch):
            group = order[start : start + self.batch]
            likelihoods = score_windows(self.model, [windows[i] for i in group])
            scored |= zip(group, likelihoods, strict=True)
            if self.progress:
                self.progress(len(scored), len(windows))
        in_order = iter(scored[i] for i in range(len(windows)))
        return [[next(in_order) for _ in text] for text in texts]

    def _beginning(self, prompt: str, sampling: SamplingConfig) -> Completion:
        begin = self.tokenizer.begin_ids
        ids = self.tokenizer.encode(prompt) or self._before_text()
        room = max(1, self.context_length - sampling.max_new_tokens - len(begin))
        self.cut_prompts += len(ids) > room
        return Completion([*begin, *ids[-room:]])
