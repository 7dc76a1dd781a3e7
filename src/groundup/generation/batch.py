"""Texts that go on together: one pass of the model gives each its next token.

They end at the same place, so shorter ones stand behind padding, which nothing looks at. What a text
goes on with does not depend on its neighbours: each draws with a generator of its own.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from groundup.generation.cache import Cache
from groundup.generation.sampling import SamplingConfig, choose
from groundup.model.gpt import GPT


class Batch:
    """The texts, as rows of `ids`, and what the model remembers of them."""

    def __init__(
        self,
        model: GPT,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        seeds: Sequence[int | None],
    ):
        """`seeds` of each prompt; None is one that nobody knows."""
        self.model, self.sampling = model, sampling
        self.context_length = model.config.context_length
        device = model.embedding.weight.device
        self.ids = _padded(prompts).to(device)
        self.generators = [_generator(seed, device) for seed in seeds]
        self.cache = Cache(min(self.context_length, self.ids.shape[1] + sampling.max_new_tokens))
        # How many tokens at the end of each row the model knows of, the last one included.
        self.remembered = [len(prompt) for prompt in prompts]
        self.padding: Tensor | None = None

    def step(self) -> Int[Tensor, " rows"]:
        """The next token of each row, which is a part of its text from now on."""
        unseen = self._unseen()
        hidden = self.model.hidden(unseen, self.cache, self.padding)
        self.cache.advance(unseen.shape[1])
        logits = self.model.head(hidden[:, -1])
        chosen = choose(logits, self.ids, self.sampling, self.generators)
        self.ids = torch.cat([self.ids, chosen[:, None]], dim=1)
        self.remembered = [count + 1 for count in self.remembered]
        return chosen

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows only."""
        chosen = torch.tensor(rows, device=self.ids.device)
        self.ids = self.ids[chosen]
        self.padding = None if self.padding is None else self.padding[chosen]
        self.remembered = [self.remembered[row] for row in rows]
        self.generators = [self.generators[row] for row in rows]
        self.cache.keep(chosen)

    def _unseen(self) -> Int[Tensor, "rows time"]:
        """What the cache has not seen: the last token; at first and when it is full, everything that
        is remembered, after forgetting the older half of a text that fills the context."""
        if 0 < self.cache.length < self.cache.capacity:
            return self.ids[:, -1:]
        self.cache.clear()
        half = max(1, self.context_length // 2)
        self.remembered = [n if n <= self.context_length else half for n in self.remembered]
        longest = max(self.remembered)
        padding = [longest - count for count in self.remembered]
        self.padding = torch.tensor(padding, device=self.ids.device) if any(padding) else None
        return self.ids[:, -longest:]


def _padded(prompts: Sequence[Sequence[int]]) -> Int[Tensor, "rows time"]:
    """The prompts, ending together. The padding is the first token of each, so that what looks at all
    used tokens finds none that the text has not."""
    longest = max(map(len, prompts))
    rows = [[prompt[0]] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    return torch.tensor(rows)


def _generator(seed: int | None, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
