"""The engine: token ids in, token ids out. It knows no tokenizer and no text."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.errors import InputError
from groundup.generation.cache import Cache
from groundup.generation.sampling import SamplingConfig, choose
from groundup.model.gpt import GPT


class Engine:
    """Continues token ids with a model.

    >>> list(Engine(model).stream([1, 2, 3], SamplingConfig(max_new_tokens=2)))  # doctest: +SKIP
    [4, 5]
    """

    def __init__(self, model: GPT):
        self.model = model.eval()
        self.context_length = model.config.context_length

    @torch.inference_mode()
    def stream(
        self,
        prompt: Sequence[int],
        sampling: SamplingConfig,
        stop_ids: frozenset[int] = frozenset(),
    ) -> Iterator[int]:
        """Yield new token ids one by one, up to `sampling.max_new_tokens` or a stop id (which is
        yielded, so that the caller sees why it ended).

        Raises `InputError` for an empty prompt, one longer than the context or an id outside the
        vocabulary.
        """
        self._check(prompt)
        device = self.model.embedding.weight.device
        generator = torch.Generator(device)
        if sampling.seed is None:
            generator.seed()
        else:
            generator.manual_seed(sampling.seed)
        ids = torch.tensor([prompt], device=device)
        cache = Cache(self.context_length)
        unseen = ids
        for _ in range(sampling.max_new_tokens):
            if cache.length + unseen.shape[1] > cache.capacity:
                # Full: forget the older half of the text and read the newer half again.
                cache.clear()
                unseen = ids[:, -max(1, self.context_length // 2) :]
            logits = self._last_logits(unseen, cache)
            unseen = choose(logits, ids, sampling, generator)[:, None]
            ids = torch.cat([ids, unseen], dim=1)
            chosen = int(unseen)
            yield chosen
            if chosen in stop_ids:
                return

    def _last_logits(self, ids: Tensor, cache: Cache) -> Float[Tensor, "batch vocab"]:
        """One pass over the tokens that the cache has not seen; the logits after the last."""
        hidden = self.model.hidden(ids, cache)
        cache.advance(ids.shape[1])
        return self.model.head(hidden[:, -1])

    def _check(self, prompt: Sequence[int]) -> None:
        if not prompt:
            raise InputError("the prompt is empty", fix="give at least one token to continue")
        if len(prompt) > self.context_length:
            raise InputError(
                f"the prompt has {len(prompt)} tokens, but this model looks at no more than "
                f"{self.context_length}",
                fix=f"shorten the prompt to {self.context_length} tokens",
            )
        vocab_size = self.model.config.vocab_size
        outside = [token for token in prompt if not 0 <= token < vocab_size]
        if outside:
            raise InputError(
                f"token id {outside[0]} is outside the vocabulary of {vocab_size}",
                fix=f"use ids from 0 to {vocab_size - 1}, or the tokenizer of this model",
            )
