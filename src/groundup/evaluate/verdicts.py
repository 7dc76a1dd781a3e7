"""Which of two answers is the better one, as somebody judged; and how well two who judge agree.

A judge that is a model is worth as much as it agrees with people, and people agree with each other on
about four of five pairs only (Zheng et al. 2023, "Judging LLM-as-a-Judge"; 81 % without ties).
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from groundup.errors import InputError
from groundup.evaluate.intervals import CONFIDENCE, Interval, wilson
from groundup.language import N_

RESAMPLES = 500
FIRST, SECOND, TIE = "first", "second", "tie"


class Verdict(NamedTuple):
    """Of two models' answers to a question, the name of the better one's model; None is a tie."""

    question: str
    first: str
    second: str
    winner: str | None

    @property
    def pair(self) -> tuple[str, str, str]:
        """What was judged, whichever of the two was named first."""
        return self.question, min(self.first, self.second), max(self.first, self.second)

    @property
    def outcome(self) -> str:
        """Whether the first of the pair by name is better, the second, or neither."""
        if self.winner is None:
            return TIE
        return FIRST if self.winner == min(self.first, self.second) else SECOND


@dataclass(frozen=True)
class Agreement:
    """How often two judged alike, over the pairs that both of them judged."""

    pairs: int
    share: float
    share_interval: Interval
    kappa: float | None
    """Cohen's (1960): 1 is perfect, 0 what chance alone would give; None where both always say the
    same one thing, so that chance alone gives everything."""
    kappa_interval: Interval | None


def agreement(one: Iterable[Verdict], other: Iterable[Verdict], seed: int = 0) -> Agreement:
    """Compare two who judged the same pairs. Raises `InputError` if there is no pair in common."""
    mine, theirs = ({v.pair: v.outcome for v in verdicts} for verdicts in (one, other))
    both = [(mine[pair], theirs[pair]) for pair in mine if pair in theirs]
    if not both:
        fix = N_("give the same --data, models and answers as when the page for voting was written")
        raise InputError("no pair was judged by both", None, fix)
    same = sum(a == b for a, b in both)
    kappa, interval = _kappa(Counter(both), seed)
    return Agreement(len(both), same / len(both), wilson(same, len(both)), kappa, interval)


def _kappa(counts: Counter[tuple[str, str]], seed: int) -> tuple[float | None, Interval | None]:
    """Cohen's kappa of two columns of outcomes, given how often each combination came; with its
    bootstrap interval."""
    cells, pairs = np.array(list(counts)), counts.total()
    kappa = _weighted_kappa(cells, np.array(list(counts.values())))
    if np.isnan(kappa):
        return None, None
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(pairs, np.array(list(counts.values())) / pairs, RESAMPLES)
    kappas = [_weighted_kappa(cells, weights) for weights in drawn]
    low, high = np.nanquantile(kappas, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return kappa, Interval(float(low), float(high))


def _weighted_kappa(cells: np.ndarray, weights: np.ndarray) -> float:
    from sklearn.metrics import cohen_kappa_score

    with warnings.catch_warnings():  # of what is undefined: it gives NaN, and we look for it
        warnings.simplefilter("ignore")
        return float(cohen_kappa_score(cells[:, 0], cells[:, 1], sample_weight=weights))


def digest(text: str) -> str:
    """Sixteen hexadecimal digits that stand for a text, and do not give it away."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
