"""Texts that go on together: one pass of the model gives each its next token.

They end at the same place, so shorter ones stand behind padding, which nothing looks at. What a text
goes on with does not depend on its neighbours: each draws with a generator of its own.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.generation.cache import Cache
from groundup.generation.sampling import SamplingConfig, choose, ending_together, generator
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
        self.device = model.device
        self.ids = ending_together(prompts).to(self.device)
        self.generators = [generator(seed, self.device) for seed in seeds]
        needed = self.ids.shape[1] + sampling.max_new_tokens
        self.cache = Cache(min(self.context_length, needed))
        # How many tokens at the end of each row the model knows of, the last one included.
        self.remembered = [len(prompt) for prompt in prompts]
        self.padding: Int[Tensor, " rows"] | None = None

    def step(self) -> Int[Tensor, " rows"]:
        """The next token of each row, which is a part of its text from now on."""
        going = 0 < self.cache.length < self.cache.capacity
        hidden = self._pass(self.ids[:, -1:]) if going else self._read()
        chosen = choose(self.model.head(hidden), self.ids, self.sampling, self.generators)
        self.ids = torch.cat([self.ids, chosen[:, None]], dim=1)
        self.remembered = [count + 1 for count in self.remembered]
        return chosen

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows only."""
        chosen = torch.tensor(rows, device=self.device)
        self.ids = self.ids[chosen]
        self.remembered = [self.remembered[row] for row in rows]
        self.generators = [self.generators[row] for row in rows]
        self._keep_past(chosen)

    def _pass(self, unseen: Int[Tensor, "rows time"]) -> Float[Tensor, "rows d_model"]:
        """The model's state after the last of the tokens that the cache has not seen."""
        hidden = self.model.hidden(unseen, self.cache, self.padding)
        self.cache.advance(unseen.shape[1])
        return hidden[:, -1]

    def _read(self) -> Float[Tensor, "rows d_model"]:
        """A pass over everything that is remembered, at first and when the cache is full; what fills
        the context is forgotten up to its newer half. Equal texts are read once."""
        self.cache.clear()
        half = max(1, self.context_length // 2)
        self.remembered = [n if n <= self.context_length else half for n in self.remembered]
        rows = zip(self.ids.tolist(), self.remembered, strict=True)
        texts = [tuple(row[-count:]) for row, count in rows]
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        longest = max(map(len, place))
        padding = [longest - len(text) for text in place]
        self.padding = torch.tensor(padding, device=self.device) if any(padding) else None
        hidden = self._pass(ending_together(list(place)).to(self.device))
        if len(place) == len(texts):
            return hidden
        same = torch.tensor([place[text] for text in texts], device=self.device)
        self._keep_past(same)
        return hidden[same]

    def _keep_past(self, rows: Int[Tensor, " kept"]) -> None:
        self.padding = None if self.padding is None else self.padding[rows]
        self.cache.keep(rows)
