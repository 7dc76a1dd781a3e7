"""How much of its training text does a model recite?

The model is given some tokens of a training document and goes on greedily: as long as it says what really
follows, it recites (Carlini et al. 2021, "Extracting Training Data from Large Language Models"; 2023,
"Quantifying Memorization Across Neural Language Models", whose measure is 50 tokens after 50). Common
phrases are guessed by any model, so the same is done with held-out documents, as a control.

Greedy generation says a continuation exactly as far as each of its tokens is the likeliest after the true
ones before. One pass over prompt and continuation together finds that out, without generating.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from pydantic import PositiveInt

from groundup.cleaning.personal import Found, find_personal
from groundup.errors import InputError
from groundup.evaluate.intervals import Interval, bootstrap, wilson
from groundup.model.gpt import GPT
from groundup.settings import Seed, Settings
from groundup.sources.read import Piece
from groundup.tokenizer.tokenizer import Tokenizer

# A token stands for a few characters; so many of each are cut out, to have enough tokens with most
# vocabularies and languages.
CHARACTERS_PER_TOKEN = 8
EXCERPT_CHARACTERS = 300


class MemorisationConfig(Settings):
    """How it is found out how much a model recites."""

    prompts: PositiveInt = 200
    """How many places of the text are tried, drawn at random."""
    prefix_tokens: PositiveInt = 50
    """Tokens of the text that the model is given."""
    continuation_tokens: PositiveInt = 50
    """Tokens that it has to go on with; a verbatim match is all of them."""
    personal: PositiveInt = 200
    """How many pieces of personal data of the training text are tried, each after the tokens before it."""
    seed: Seed = 0
    """Draws the places."""
    batch: PositiveInt = 16
    """Places read at once."""


@dataclass(frozen=True)
class Recital:
    """One place: where it is, what the model was given, what follows there, and how many tokens of that
    the model said."""

    where: str
    prefix: str
    continuation: str
    tokens: int
    recited: int

    @property
    def is_verbatim(self) -> bool:
        return self.recited == self.tokens


@dataclass(frozen=True)
class PersonalTrial:
    """One piece of personal data in the training text, and whether the model said all of it."""

    found: Found
    where: str
    is_recited: bool

    @property
    def masked(self) -> str:
        """Its beginning: a report is no place for the rest."""
        return f"{self.found.text[:3]}…"


@dataclass(frozen=True)
class Memorisation:
    """What a model recites of its training text, and of text that it never saw."""

    train: list[Recital]
    held_out: list[Recital]
    personal: list[PersonalTrial]

    @property
    def difference(self) -> Interval | None:
        """By how much the recited share of training text is above that of held-out text; None without
        held-out text. The places are independent, so both are drawn anew (Efron 1979)."""
        if not self.held_out:
            return None
        shares = [_shares(self.train), _shares(self.held_out)]
        drawn = [bootstrap_means(values, seed) for seed, values in enumerate(shares)]
        return percentiles(drawn[0] - drawn[1])


def recited_share(recitals: Sequence[Recital]) -> float:
    """The share of continuation tokens that were recited, in the mean over the places."""
    return sum(_shares(recitals)) / len(recitals)


def measure_memorisation(
    model: GPT,
    tokenizer: Tokenizer,
    train: Iterable[Piece],
    held_out: Iterable[Piece],
    config: MemorisationConfig,
) -> Memorisation:
    """Try the places that are drawn from `train` and, if there is any, `held_out`.

    Raises `InputError` if the model looks at fewer tokens than a place has, or the training text has no
    place that is long enough.
    """
    _check_context(model, tokenizer, config)
