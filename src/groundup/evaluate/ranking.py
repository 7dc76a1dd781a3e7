"""Who is better than whom, from verdicts about pairs: the Bradley–Terry model.

Every model has a strength θ, and a beats b with probability σ(θ_a − θ_b) (Bradley & Terry 1952). A tie is
half a win for either. Strengths are shown on Elo's scale, as chess and Chatbot Arena do: 400 points more
are ten wins to one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse.csgraph import connected_components

from groundup.errors import InputError
from groundup.evaluate.intervals import CONFIDENCE, Interval
from groundup.evaluate.verdicts import Verdict

RESAMPLES = 1000
SMALLEST = 1e-9  # of a virtual win: its logarithm is taken
MOST_ROUNDS = 1000
POINTS = 400 / math.log(10)
# Who has won every time would be infinitely strong. Half a win more for either of two that have met keeps
# strengths finite, and fades as verdicts come in.
VIRTUAL_WINS = 0.5

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
    """The models of `verdicts`, the strongest first.

    Intervals are by a Bayesian bootstrap (Rubin 1981) over the questions, as verdicts about the same
    question have much in common: for two models they are Jeffreys' intervals of a share, and so are wide
    where three verdicts of three agree, which drawing verdicts anew would make a certainty of.

    Raises `InputError` if there is no verdict, or if some models never met the others, not even by way
    of a third.
    """
    names = sorted({name for v in verdicts for name in (v.first, v.second)})
    by_question = _wins_by_question(verdicts, names)
    wins = by_question.sum(0)
    _check_connected(wins, names)
    have_met = wins + wins.T > 0
    points = POINTS * strengths(wins + VIRTUAL_WINS * have_met)
    drawn = POINTS * strengths(_reweighted(by_question, have_met, seed))
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    table = [
        Ranked(
            name, float(points[i]), Interval(float(low[i]), float(high[i])), 1 + int((low > high[i]).sum()),
            *_record(verdicts, name),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    return sorted(table, key=lambda ranked: -ranked.points)


def strengths(
    wins: Float[np.ndarray, "*batch models models"],
) -> Float[np.ndarray, "*batch models"]:
    """The likeliest θ, with mean 0, where `wins[…, a, b]` is how often a beat b; finite where each model is
    reached from each by a chain of wins.

    One model after the other is moved to where its own derivative is zero as if the rest stood still
    (Newman 2023, "Efficient Computation of Rankings from Pairwise Comparisons"). A thousand draws go
    through at once, for which a library would fit a thousand times.
    """
    theta = np.zeros(wins.shape[:-1])
    for _ in range(MOST_ROUNDS):
        before, power = theta, np.exp(theta)
        for i in range(wins.shape[-1]):
            per_game = 1 / (power[..., i, None] + power)
            won, lost = wins[..., i, :] * power * per_game, wins[..., :, i] * per_game
            power[..., i] = won.sum(-1) / lost.sum(-1)
        theta = np.log(power)
        theta -= theta.mean(-1, keepdims=True)
        if np.abs(theta - before).max() < 1e-9:
            break
    return theta


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


def _reweighted(
    by_question: Float[np.ndarray, "questions models models"],
    have_met: Bool[np.ndarray, "models models"],
    seed: int,
) -> Float[np.ndarray, "resamples models models"]:
    """Wins where every question has a weight that is drawn, with mean 1, and so have the virtual ones."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_gamma(1.0, (RESAMPLES, len(by_question)))
    virtual = generator.standard_gamma(VIRTUAL_WINS, (RESAMPLES, *have_met.shape))
    return np.tensordot(weights, by_question, 1) + np.maximum(virtual, SMALLEST) * have_met


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
