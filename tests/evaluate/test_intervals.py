"""Intervals against published values, exact sums, and against how often they hold the truth."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.evaluate.intervals import (
    bootstrap,
    chance_of_as_many,
    paired_difference,
    wilson,
)


def test_wilson_gives_the_published_examples():
    # Newcombe 1998, table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_wilson_stays_in_range_and_holds_the_share(count, data):
    right = data.draw(st.integers(0, count))
    low, high = wilson(right, count)
    assert 0 <= low <= right / count <= high <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.2, 0.25, 0.5, 1 / 3]), min_size=1, max_size=8), st.data())
def test_the_chance_of_guessing_as_many_is_the_sum_over_all_outcomes(chances, data):
    right = data.draw(st.integers(0, len(chances)))
    expected = 0.0
    for outcome in product([0, 1], repeat=len(chances)):
        if sum(outcome) >= right:
            expected += np.prod([c if o else 1 - c for c, o in zip(chances, outcome, strict=True)])
    assert chance_of_as_many(right, chances) == pytest.approx(expected)


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error_says():
    samples = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap(samples)
    error = samples.std() / 20
    assert (low, high) == pytest.approx(
        (samples.mean() - 1.96 * error, samples.mean() + 1.96 * error), abs=0.02
    )
    assert bootstrap(samples) == bootstrap(samples.tolist())


def test_the_bootstrap_holds_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    intervals = [bootstrap(generator.exponential(1, 60)) for _ in range(100)]
    assert 86 <= sum(low <= 1 <= high for low, high in intervals) <= 100


def test_a_ratio_of_two_figures_is_drawn_together():
    sizes = np.random.default_rng(0).integers(10, 1000, 50)
    samples = np.stack([3.0 * sizes, sizes], axis=1)
    assert bootstrap(samples, lambda means: means[..., 0] / means[..., 1]) == pytest.approx((3, 3))


def test_one_sample_has_no_spread():
    assert bootstrap([7.0]) == (7, 7)


def test_a_difference_on_the_same_items_is_clearer_than_the_two_intervals():
    generator = np.random.default_rng(0)
    before = generator.normal(0, 10, 200)
    after = before + generator.normal(0.5, 1, 200)
    difference = paired_difference(before, after)
    assert difference.is_clear and difference.interval.low < 0.5 < difference.interval.high
    assert bootstrap(after).low < bootstrap(before).high
    assert not paired_difference(before, before + generator.normal(0, 1, 200)).is_clear
