"""The engine: token ids in, token ids out. It knows no tokenizer and no text."""

from collections.abc import Iterator, Sequence

import torch

from groundup.errors import InputError
from groundup.generation.batch import Batch
from groundup.generation.sampling import SamplingConfig
from groundup.model.config import ModelConfig
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
        check_prompt(prompt, self.model.config)
        batch = Batch(self.model, [prompt], sampling, [sampling.seed])
        for _ in range(sampling.max_new_tokens):
            chosen = int(batch.step())
            yield chosen
            if chosen in stop_ids:
                return

    @torch.inference_mode()
    def batch(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        stop_ids: frozenset[int] = frozenset(),
        seeds: Sequence[int | None] | None = None,
    ) -> list[list[int]]:
        """What `stream` gives for each prompt, all prompts at once.

        `seeds` are those of each prompt, in place of the one in `sampling`. Raises `InputError` for a
        prompt that `stream` would refuse.
        """
        for prompt in prompts:
            check_prompt(prompt, self.model.config)
        said: list[list[int]] = [[] for _ in prompts]
        if not prompts:
            return said
        batch = Batch(self.model, prompts, sampling, seeds or [sampling.seed] * len(prompts))
        rows = said  # what is said in each row of the batch
        for _ in range(sampling.max_new_tokens):
            for row, token in zip(rows, batch.step().tolist(), strict=True):
                if not _ended(row, stop_ids):
                    row.append(token)
            going = [i for i, row in enumerate(rows) if not _ended(row, stop_ids)]
            if not going:
                break
            # Taking rows out copies the cache, so it is done when that halves the work.
            if 2 * len(going) <= len(rows):
                batch.keep(going)
                rows = [rows[i] for i in going]
        return said


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


def _ended(said: list[int], stop_ids: frozenset[int]) -> bool:
    return bool(said) and said[-1] in stop_ids
