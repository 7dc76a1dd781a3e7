"""How the next token is chosen from the logits: each way to narrow the choice is one function.

They apply in the order of `choose`, which is that of `transformers`.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from groundup.settings import Seed, Settings

# Below this temperature, a lead of a hundredth is certainty already; much below, the division would
# give infinities.
COLDEST = 1e-5

# The likeliest thousand of 50,000 tokens mostly reach p, and are found in a sixth of the time that it
# takes to sort them all.
FEW = 1000


class SamplingConfig(Settings):
    """How to choose tokens, and how many."""

    max_new_tokens: PositiveInt = 100
    """Stop after this many tokens."""
    temperature: NonNegativeFloat = 0.8
    """Divides the logits: below 1 surer, above 1 more random; 0 always takes the likeliest."""
    top_k: PositiveInt | None = None
    """Choose among the k likeliest tokens only (Fan et al. 2018)."""
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    """Choose among the likeliest tokens that together have this probability (Holtzman et al.
    2020)."""
    min_p: float | None = Field(default=None, ge=0.0, le=1.0)
    """Leave out tokens less likely than this share of the likeliest one (Nguyen et al. 2024)."""
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100.0)
    """Above 1: make tokens that were already used less likely (CTRL, Keskar et al. 2019)."""
    seed: Seed | None = None
    """The same seed gives the same text."""


# lab: choose
def choose(
    logits: Float[Tensor, "batch vocab"],
    past: Int[Tensor, "batch time"],
    sampling: SamplingConfig,
    generators: Sequence[torch.Generator],
) -> Int[Tensor, " batch"]:
    """The next token id of each row, given its logits, the tokens before and its generator."""
    if sampling.repetition_penalty != 1:
        logits = penalize_repetition(logits, past, sampling.repetition_penalty)
    if sampling.temperature < COLDEST:
        return logits.argmax(dim=-1)
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None and sampling.top_p < 1:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p is not None:
        logits = keep_min_p(logits, sampling.min_p)
    return draw(logits.softmax(-1), generators)


# lab: draw
def draw(
    probabilities: Float[Tensor, "batch vocab"], generators: Sequence[torch.Generator]
) -> Int[Tensor, " batch"]:
    """A token id for each row, by the row's own generator, as `torch.multinomial` draws it: of all
    tokens, each with an exponential waiting time at the rate of its probability, the first to come."""
    waits = [
        torch.empty_like(row).exponential_(generator=generator)
        for row, generator in zip(probabilities, generators, strict=True)
    ]
    return (probabilities / torch.stack(waits)).argmax(dim=-1)


def choose_each(
    logits: Float[Tensor, "batch vocab"],
    pasts: Sequence[Sequence[int]],
    samplings: Sequence[SamplingConfig],
    generators: Sequence[torch.Generator],
) -> Int[Tensor, " batch"]:
    """`choose`, each row by settings of its own; those with the same ones go together."""
    alike: dict[SamplingConfig, list[int]] = {}
    for row, sampling in enumerate(samplings):
        rule = sampling.model_copy(update={"seed": None, "max_new_tokens": 1})
        alike.setdefault(rule, []).append(row)
    chosen = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    for rule, rows in alike.items():
        # Only a penalty for repetition looks at the past; a last token stands for it otherwise.
        used = [pasts[row] if rule.repetition_penalty != 1 else pasts[row][-1:] for row in rows]
        past = ending_together(used).to(logits.device)
        chosen[rows] = choose(logits[rows], past, rule, [generators[row] for row in rows])
    return chosen


# lab: pad
def ending_together(texts: Sequence[Sequence[int]]) -> Int[Tensor, "rows time"]:
    """The texts as rows, padded at the beginning: with the first token of each, so that what looks at
    all used tokens finds none that the text has not.

    >>> ending_together([[4, 5, 6], [7, 8]])
    tensor([[4, 5, 6],
            [7, 7, 8]])
    """
    longest = max(map(len, texts))
    return torch.tensor([[text[0]] * (longest - len(text)) + list(text) for text in texts])


def generator(seed: int | None, device: torch.device) -> torch.Generator:
    """Where the draws of one text come from; None is a seed that nobody knows."""
    made = torch.Generator(device)
    if seed is None:
        made.seed()
    else:
        made.manual_seed(seed)
    return made


def penalize_repetition(
    logits: Float[Tensor, "batch vocab"], past: Int[Tensor, "batch time"], penalty: float
) -> Float[Tensor, "batch vocab"]:
    """Divide the positive and multiply the negative logits of used tokens by `penalty`."""
    used = logits.gather(1, past)
    return logits.scatter(1, past, torch.where(used > 0, used / penalty, used * penalty))


# lab: top_k
def keep_top_k(logits: Float[Tensor, "batch vocab"], k: int) -> Float[Tensor, "batch vocab"]:
    """Rule out all but the k largest logits."""
    smallest_kept = logits.topk(min(k, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < smallest_kept, -math.inf)


# lab: top_p
def keep_top_p(logits: Float[Tensor, "batch vocab"], p: float) -> Float[Tensor, "batch vocab"]:
    """Rule out the tail: tokens before which, in order of likelihood, p is already reached."""
    probabilities = logits.softmax(-1)
    ordered, order = probabilities.topk(min(FEW, logits.shape[-1]))
    if (ordered.sum(-1) < p).any():
        ordered, order = probabilities.sort(descending=True)
    kept = ordered.cumsum(-1) - ordered < p
    ruled_out = torch.ones_like(logits, dtype=torch.bool).scatter(1, order, ~kept)
    return logits.masked_fill(ruled_out, -math.inf)


def keep_min_p(logits: Float[Tensor, "batch vocab"], p: float) -> Float[Tensor, "batch vocab"]:
    """Rule out tokens with less than p times the likeliest token's probability."""
    probabilities = logits.softmax(-1)
    too_small = probabilities < p * probabilities.amax(-1, keepdim=True)
    return logits.masked_fill(too_small, -math.inf)
