"""Generation as simple as it can be: a loop that chooses one token after another, and a cache that only grows.

What runs is `engine.py` and `paged.py`, which do the same for many texts at once.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.generation.sampling import SamplingConfig, choose, generator
from groundup.model.gpt import GPT
from groundup.model.places import KeysAndValues


# lab: generate
@torch.inference_mode()
def generate_step_by_step(
    model: GPT,
    prompt: Sequence[int],
    sampling: SamplingConfig,
    stop_ids: frozenset[int] = frozenset(),
) -> Iterator[int]:
    """Yield the token ids that follow the prompt, one by one, as `Engine.stream` does, but for a context
    that is full.

    The model reads the whole text for each new token (batch and time are 1 and the length of the text);
    `choose` picks the token by the logits of the last position. It ends after
    `sampling.max_new_tokens`, after a token of `stop_ids` (which is yielded too), or when the text has
    outgrown `model.config.context_length`. All draws come from one generator, made with
    `sampling.seed`.
    """
    ids, draws = list(prompt), generator(sampling.seed, model.device)
    for _ in range(sampling.max_new_tokens):
        if len(ids) > model.config.context_length:
            return
        text = torch.tensor([ids], device=model.device)
        logits = model(text)[:, -1]
        token = int(choose(logits, text, sampling, [draws]))
        ids.append(token)
        yield token
        if token in stop_ids:
            return


class PlainCache:
    """Keys and values of the tokens read so far: a `groundup.model.places.Past` for texts that are
    equally long.

    Give it to the model with each piece of the text: `model(first, cache)`, then `model(next, cache)`.
    """

    def __init__(self) -> None:
        self.layers: dict[int, KeysAndValues] = {}
        self.states: dict[tuple[int, str], Tensor] = {}
        self.lengths: Int[Tensor, "batch time"] | None = None

    @property
    def length(self) -> int:
        """How many tokens the layers have read."""
        return max((k.shape[2] for k, _ in self.layers.values()), default=0)

    # lab: kv_cache
    def update(
        self,
        layer: int,
        k: Float[Tensor, "batch kv_heads time key_dim"],
        v: Float[Tensor, "batch kv_heads time value_dim"],
        window: int | None = None,
    ) -> KeysAndValues:
        """Put the keys and values of new tokens after those that `self.layers[layer]` has, if there are
        any; returns all of them, (batch, kv_heads, total, …).

        `window` is how far a token of this layer looks back. What is farther may be kept: the mask
        hides it."""
        if layer in self.layers:
            old_k, old_v = self.layers[layer]
            k, v = torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)
        self.layers[layer] = k, v
        return k, v
