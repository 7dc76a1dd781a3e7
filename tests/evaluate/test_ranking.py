"""Bradley–Terry against its closed form, another fit and a simulation; agreement against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score

from groundup.errors import InputError
from groundup.evaluate.ranking import POINTS, VIRTUAL_WINS, rank, strengths
from groundup.evaluate.verdicts import Verdict, agreement


def duels(wins: int, ties: int, losses: int) -> list[Verdict]:
    winners = ["a"] * wins + [None] * ties + ["b"] * losses
    return [Verdict(f"question {n}", "a", "b", winner) for n, winner in enumerate(winners)]


@given(st.integers(1, 500), st.integers(1, 500))
@settings(max_examples=30)
def test_two_models_differ_by_the_log_of_their_wins(won: int, lost: int):
    theta = strengths(np.array([[0.0, won], [lost, 0.0]]))
    assert theta[0] - theta[1] == pytest.approx(math.log(won / lost), abs=1e-7)
    assert theta.sum() == pytest.approx(0, abs=1e-9)


def test_strengths_are_those_of_a_logistic_regression():
    generator = np.random.default_rng(1)
    wins = generator.integers(1, 30, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    rows, won, weights = [], [], []
    for a in range(5):
        for b in range(5):
            if a != b:
                row = np.zeros(5)
                row[a], row[b] = 1, -1
                rows += [row, -row]
                won += [1, 0]
                weights += [wins[a, b]] * 2
    fit = LogisticRegression(C=1e8, fit_intercept=False, tol=1e-8, max_iter=1000)
    other = fit.fit(np.array(rows), won, sample_weight=weights).coef_[0]
    np.testing.assert_allclose(strengths(wins), other - other.mean(), atol=1e-4)


def test_many_at_once_are_as_each_alone():
    wins = np.random.default_rng(2).integers(1, 9, (7, 4, 4)).astype(float)
    alone = np.stack([strengths(one) for one in wins])
    np.testing.assert_allclose(strengths(wins), alone, atol=1e-7)


def test_a_tie_is_half_a_win_for_either():
    [first, second] = rank(duels(wins=30, ties=20, losses=10))
    expected = math.log((30 + 10 + VIRTUAL_WINS) / (10 + 10 + VIRTUAL_WINS))
    assert first.points - second.points == pytest.approx(POINTS * expected, abs=0.1)
    assert (first.name, first.wins, first.ties, first.losses) == ("a", 30, 20, 10)
    assert (second.wins, second.ties, second.losses) == (10, 20, 30)


def test_who_wins_everything_is_strong_and_not_infinite():
    [first, second] = rank(duels(wins=20, ties=0, losses=0))
    assert first.name == "a" and 0 < first.points < 1000
    assert first.rank == 1 and second.rank == 2


def test_few_verdicts_tell_nobody_apart():
    assert [ranked.rank for ranked in rank(duels(wins=3, ties=1, losses=2))] == [1, 1]
    assert [ranked.rank for ranked in rank(duels(wins=3, ties=0, losses=0))] == [1, 1]
    assert [ranked.rank for ranked in rank(duels(wins=12, ties=0, losses=0))] == [1, 2]


def test_of_two_models_the_interval_is_that_of_jeffreys():
    [first, _] = rank(duels(wins=14, ties=0, losses=6))
    expected = POINTS / 2 * logit(beta(14.5, 6.5).ppf([0.025, 0.975]))
    np.testing.assert_allclose(first.interval, expected, atol=12)


def simulated(theta: dict[str, float], questions: int, seed: int) -> list[Verdict]:
    generator = np.random.default_rng(seed)
    names = list(theta)
    verdicts = []
    for question in range(questions):
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                wins = generator.random() < 1 / (1 + math.exp(theta[b] - theta[a]))
                verdicts.append(Verdict(str(question), a, b, a if wins else b))
    return verdicts


def test_intervals_hold_the_true_strengths_of_a_simulation():
    theta = {"weak": -1.0, "middle": 0.1, "good": 0.9}
    held = 0
    for seed in range(20):
        for ranked in rank(simulated(theta, 60, seed)):
            held += ranked.interval.low <= POINTS * theta[ranked.name] <= ranked.interval.high
    assert held >= 52  # of 60; 57 are expected


def test_the_order_and_the_names_within_a_verdict_change_nothing():
    verdicts = simulated({"x": 0.5, "y": 0.0, "z": -0.5}, 30, 3)
    turned = [Verdict(v.question, v.second, v.first, v.winner) for v in verdicts]
    for one, other in zip(rank(verdicts), rank(turned), strict=True):
        assert one.name == other.name and one.points == pytest.approx(other.points, abs=0.01)


def test_models_that_never_met_are_not_ranked():
    with pytest.raises(InputError, match="c, d never met a"):
        rank([Verdict("q", "a", "b", "a"), Verdict("q", "c", "d", None)])
    with pytest.raises(InputError, match="no verdict"):
        rank([])


def test_agreement_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    outcomes = np.array(["a", "b", None], dtype=object)
    judge, people = generator.choice(outcomes, 80), generator.choice(outcomes, 80)
    people[:50] = judge[:50]
    one = [Verdict(str(n), "a", "b", winner) for n, winner in enumerate(judge)]
    other = [Verdict(str(n), "b", "a", winner) for n, winner in enumerate(people)]
    found = agreement(one, other)
    assert found.pairs == 80 and found.share == np.mean(judge == people)
    assert found.share_interval.low < found.share < found.share_interval.high
    labels = [[str(winner) for winner in row] for row in (judge, people)]
    assert found.kappa == pytest.approx(cohen_kappa_score(*labels))
    assert found.kappa_interval and found.kappa
    assert found.kappa_interval.low < found.kappa < found.kappa_interval.high


def test_agreement_is_over_the_pairs_in_common():
    one = [Verdict("1", "a", "b", "a"), Verdict("2", "a", "b", "b"), Verdict("3", "a", "b", None)]
    other = [Verdict("2", "b", "a", "b"), Verdict("3", "a", "b", "a"), Verdict("4", "a", "b", "a")]
    found = agreement(one, other)
    assert found.pairs == 2 and found.share == 0.5
    with pytest.raises(InputError, match="judged by both"):
        agreement(one[:1], other)


def test_kappa_is_left_out_where_it_has_no_meaning():
    same = [Verdict(str(n), "a", "b", "a") for n in range(10)]
    found = agreement(same, same)
    assert found.share == 1 and found.kappa is None and found.kappa_interval is None
