"""Who is better than whom, from verdicts about pairs: the Bradley–Terry model.

Every model has a strength θ, and a beats b with probability σ(θ_a − θ_b) (Bradley & Terry 1952). A tie is
half a win for either. Strengths are shown on Elo's scale, as chess and Chatbot Arena do: 400 points more
are ten wins to one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from groundup.errors import InputError
from groundup.evaluate.intervals import CONFIDENCE, Interval
from groundup.evaluate.verdicts import Verdict

RESAMPLES = 1000
POINTS = 400 / math.log(10)
# Who has won all of n verdicts would be infinitely strong. One tie more between any two that have met
# keeps strengths finite (it is Haldane's half success and half failure), and fades as verdicts come in.
VIRTUAL_TIES = 1.0

Wins = Float[np.ndarray, "models models"]


@dataclass(frozen=True)
class Ranked:
    """A model's place."""

    name: str
    points: float
    """Elo points above or below the mean of all models."""
    interval: Interval
    rank: int
    """1 and as many more as there are models that are clearly stronger: whose interval lies wholly
    above this one's."""
    wins: int
    ties: int
    losses: int


def rank(verdicts: Sequence[Verdict], seed: int = 0) -> list[Ranked]:
    """The models of `verdicts`, the strongest first. Intervals are by bootstrap over the questions, as
    verdicts about the same question have much in common.

    Raises `InputError` if there is no verdict, or if some models never met the others, not even by way
    of a third.
    """
    names = sorted({name for v in verdicts for name in (v.first, v.second)})
    by_question = _wins_by_question(verdicts, names)
    wins = by_question.sum(0)
    _check_connected(wins, names)
    prior = VIRTUAL_TIES / 2 * (wins + wins.T > 0)
    points = POINTS * strengths(wins + prior)
    drawn = POINTS * _resampled(by_question, prior, seed)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    table = [
        Ranked(
            name, float(points[i]), Interval(float(low[i]), float(high[i])), 1 + int((low > high[i]).sum()),
            *_record(verdicts, name),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    return sorted(table, key=lambda ranked: -ranked.points)


def strengths(wins: Wins, start: np.ndarray | None = None) -> Float[np.ndarray, " models"]:
    """The likeliest θ, with mean 0, where `wins[a, b]` is how often a beat b. They are finite where
    nobody has won everything: where each is reached from each by a chain of wins."""

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        """−Σ wins[a, b] · ln σ(θ_a − θ_b) per verdict, and its gradient."""
        ahead = theta[:, None] - theta
        missing = wins * expit(-ahead)
        nats = (wins * np.logaddexp(0, -ahead)).sum()
        return nats / wins.sum(), (missing.sum(0) - missing.sum(1)) / wins.sum()

    begin = np.zeros(len(wins)) if start is None else start
    found = minimize(loss, begin, jac=True, method="BFGS", options={"gtol": 1e-7}).x
    return found - found.mean()


def _wins_by_question(
    verdicts: Sequence[Verdict], names: Sequence[str]
) -> Float[np.ndarray, "questions models models"]:
    place = {name: i for i, name in enumerate(names)}
    questions = {v.question: i for i, v in enumerate({v.question: v for v in verdicts}.values())}
    wins = np.zeros((len(questions), len(names), len(names)))
    for v in verdicts:
        first, second = place[v.first], place[v.second]
        won = 0.5 if v.winner is None else float(v.winner == v.first)
        wins[questions[v.question], first, second] += won
        wins[questions[v.question], second, first] += 1 - won
    return wins


def _resampled(
    by_question: Float[np.ndarray, "questions models models"], prior: Wins, seed: int
) -> Float[np.ndarray, "resamples models"]:
    """Strengths from questions drawn anew, as many as there are, again and again."""
    count = len(by_question)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    start = strengths(by_question.sum(0) + prior)
    return np.stack([strengths(np.tensordot(d, by_question, 1) + prior, start) for d in draws])


def _check_connected(wins: Wins, names: Sequence[str]) -> None:
    if not names:
        raise InputError("there is no verdict to rank by", None, "judge at least one pair")
    parts, part_of = connected_components(wins, directed=False)
    if parts > 1:
        apart = [name for name, part in zip(names, part_of, strict=True) if part != part_of[0]]
        raise InputError(
            f"{', '.join(apart)} never met {names[0]}, not even by way of a third",
            None, "have them answer the same questions",
        )  # fmt: skip


def _record(verdicts: Sequence[Verdict], name: str) -> tuple[int, int, int]:
    """Wins, ties and losses of a model."""
    winners = [v.winner for v in verdicts if name in (v.first, v.second)]
    wins, ties = winners.count(name), winners.count(None)
    return wins, ties, len(winners) - wins - ties
