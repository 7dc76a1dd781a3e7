"""Speculative decoding: guess the next tokens cheaply, let the model look at all of them in one pass, and
keep those that it would have said itself (Leviathan et al. 2023, Chen et al. 2023).

A pass over five tokens takes hardly longer than one over a single token, as the time goes into reading
the weights. The model says at each guess what it says without any, with the same random numbers, and goes
on to the next where that was the guess: so what is said does not depend on who guesses, token for token.
A draft model draws with these random numbers as well, so that even bold sampling agrees often (Daliri,
Musco and Suresh 2024).
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from groundup.errors import InputError
from groundup.generation.fast_form import fast_form
from groundup.generation.paged import PagedCache, PagedPast
from groundup.generation.sampling import choose_each, ending_together
from groundup.generation.scheduler import Text
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT

LONGEST_MATCH, SHORTEST_MATCH = 4, 2
"""How many of the last tokens prompt lookup tries to find again: a match of one is mostly chance."""


# lab: accept
def accept_step_by_step(guesses: Sequence[int], said: Sequence[int]) -> list[int]:
    """The tokens that a pass over these guesses gives, of which `said` is what the model itself says:
    said[0] after the text, said[i] after the text and the first i guesses, so one more than guesses.

    What the model says counts as far as all guesses before it are right. The engine goes the same way
    turn by turn, as it draws no random number for what follows a wrong guess.

    >>> accept_step_by_step([5, 6, 7], [5, 6, 9, 4])
    [5, 6, 9]
    """
    right = 0
    while right < len(guesses) and guesses[right] == said[right]:
        right += 1
    return list(said[: right + 1])


@runtime_checkable
class Drafter(Protocol):
    """Who guesses."""

    def attach(self, config: ModelConfig, cache: PagedCache) -> None:
        """Begin to guess for a model whose keys and values lie in this cache."""

    def propose(self, texts: Sequence[Text], most: Sequence[int]) -> list[list[int]]:
        """What each text may go on with, up to so many tokens."""
        ...


class PromptLookup:
    """Guesses that a text repeats itself: what followed when its last tokens came up before (Saxena
    2023). It costs nothing, and helps where answers quote: summaries, corrections, code."""

    def attach(self, config: ModelConfig, cache: PagedCache) -> None:
        pass

    def propose(self, texts: Sequence[Text], most: Sequence[int]) -> list[list[int]]:
        return [_followers(text.all_ids, n) for text, n in zip(texts, most, strict=True)]


def _followers(ids: list[int], most: int) -> list[int]:
    """What came after the newest earlier place that ends like `ids`, by the longest ending found."""
    for length in range(min(LONGEST_MATCH, len(ids) - 1), SHORTEST_MATCH - 1, -1):
        ending = ids[-length:]
        for end in range(len(ids) - 1, length - 1, -1):
            if ids[end - 1] == ending[-1] and ids[end - length : end] == ending:
                return ids[end : end + most]
    return []


class DraftModel:
    """Guesses what a smaller model of the same vocabulary would say."""

    def __init__(self, model: GPT):
        self.model, self.network = model.eval(), fast_form(model)

    def attach(self, config: ModelConfig, cache: PagedCache) -> None:
        """Raises `InputError` where the draft model has another vocabulary, or layers that keep more of
        a text than keys and values."""
        own = self.model.config
        if own.vocab_size != config.vocab_size:
            raise InputError(
                f"the draft model has a vocabulary of {own.vocab_size}, the model one of "
                f"{config.vocab_size}",
                "draft", "use a smaller model with the same tokenizer",
            )  # fmt: skip
        if own.has_states:
            raise InputError(
                "the draft model has layers with a state, which cannot take back a guess",
                "draft", "use one whose layers are all attention",
            )  # fmt: skip
        # In the blocks of the same numbers as the model's: each text's table holds for both.
        self.cache = PagedCache(cache.n_blocks, cache.block_size, cache.dtype)

    def propose(self, texts: Sequence[Text], most: Sequence[int]) -> list[list[int]]:
        guesses: list[list[int]] = [[] for _ in texts]
        room = [self.model.config.context_length - len(text.ids) for text in texts]
        most = [min(n, free) for n, free in zip(most, room, strict=True)]
        draws = [text.generator.clone_state() for text in texts]
        for turn in range(max(most, default=0)):
            going = [i for i, n in enumerate(most) if turn < n]
            logits = self._read([texts[i] for i in going], [guesses[i] for i in going])
            chosen = choose_each(
                logits,
                [texts[i].all_ids + guesses[i] for i in going],
                [texts[i].request.sampling for i in going],
                [draws[i] for i in going],
            )
            for i, token in zip(going, chosen.tolist(), strict=True):
                guesses[i].append(token)
        return guesses

    def _read(self, texts: list[Text], guesses: list[list[int]]) -> Tensor:
        """The logits after each text and what is guessed of it so far; reads what the draft's cache does
        not hold yet."""
        unread = []
        for text, guess in zip(texts, guesses, strict=True):
            # Of earlier guesses only those are left that were right.
            text.drafted = min(text.drafted, text.known + len(guess))
            unread.append((text.ids + guess)[text.drafted :])
        past = PagedPast(
            self.cache,
            [text.blocks for text in texts],
            [text.drafted for text in texts],
            [len(new) for new in unread],
            [text.prompt_length for text in texts],
            self.model.device,
        )
        ids = ending_together(unread).to(self.model.device)
        hidden = self.network.hidden(ids, past, past.padding)
        for text, new in zip(texts, unread, strict=True):
            text.drafted += len(new)
        return self.network.head(hidden[:, -1])
