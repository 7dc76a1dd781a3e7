"""Dominance: the definition, and what follows from it for any set of variants."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.compress.pareto import dominated_by, dominates
from groundup.recipe.compress.comparison import Row, report_page, table, with_dominance
from groundup.recipe.compress.speed import Speed, taking_turns

# Few different numbers, so that many of them are equal.
POINTS = st.lists(st.tuples(*[st.integers(0, 3).map(float)] * 3), min_size=1, max_size=12)


@given(POINTS)
def test_some_are_not_dominated_and_who_is_has_a_witness_that_is_not(points: list):
    found = dominated_by(points)
    front = {place for place, by in enumerate(found) if not by}
    assert front
    for place, by in enumerate(found):
        beaten = any(
            min(a - b for a, b in zip(p, points[place], strict=True)) >= 0 and p != points[place]
            for p in points
        )
        assert bool(by) == beaten
        assert set(by) <= front
        assert all(dominates(points[witness], points[place]) for witness in by)


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_the_variants_does_not_matter(points: list, lots: random.Random):
    order = list(range(len(points)))
    lots.shuffle(order)
    shuffled = dominated_by([points[place] for place in order])
    there = [{order[witness] for witness in by} for by in shuffled]
    assert [there[order.index(place)] for place in range(len(points))] == [
        set(by) for by in dominated_by(points)
    ]


@given(POINTS)
def test_it_is_a_strict_order(points: list):
    for a in points:
        assert not dominates(a, a)
        for b in points:
            assert not (dominates(a, b) and dominates(b, a))
            for c in points:
                assert not (dominates(a, b) and dominates(b, c)) or dominates(a, c)


def row(
    name: str, bits: float | None, size: int, speed: float, accuracy: float | None = None
) -> Row:
    return Row(name, name, bits, None, accuracy, None, size, Speed([float(speed)]))


def test_fewer_bits_and_bytes_are_better_and_more_speed_and_accuracy():
    rows = with_dominance([
        row("base", 1.0, 100, 10, 0.5),
        row("worse", 1.1, 100, 10, 0.5),
        row("large", 1.0, 101, 10, 0.5),
        row("slow", 1.0, 100, 9, 0.5),
        row("wrong", 1.0, 100, 10, 0.4),
        row("same", 1.0, 100, 10, 0.5),
        row("broken", math.nan, 100, 10, 0.5),
        row("small", 2.0, 50, 10, 0.5),
    ])  # fmt: skip
    by = {each.name: each.dominated_by for each in rows}
    front, beaten = ("base", "same", "small"), ("worse", "large", "slow", "wrong")
    expected = dict.fromkeys(front, ()) | dict.fromkeys(beaten, ("base", "same"))
    assert by == expected | {"broken": front}


def test_on_the_page_what_is_dominated_is_grey_in_the_table_and_in_the_figures():
    rows = with_dominance([row("a", 1.0, 100, 10), row("b", 1.5, 100, 10), row("c", 1.2, 50, 9)])
    page = report_page(rows)
    assert "tr:nth-child(3) { color: #aaa }" in page  # the header is the first row
    assert page.count("{ color: #aaa }") == 1
    assert page.count("<svg") == 2
    assert page.count("fill: #aaaaaa") == 2 * page.count("<svg")  # a dot and its name in each
    header, lines = table(rows)
    assert header == ["variant", "bits per byte", "MB", "tokens/s", "dominated by"]
    assert [line[-1] for line in lines] == ["", "a", ""]


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 4))
def test_models_take_turns_after_one_warm_up_each(count: int, rounds: int):
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return 7

    speeds = taking_turns([lambda n=n: work(n) for n in range(count)], rounds)
    assert done == [*range(count)] * (rounds + 1)
    assert [len(speed.rounds) for speed in speeds] == [rounds] * count
    assert all(figure > 0 for speed in speeds for figure in speed.rounds)


def test_the_speed_is_the_median_of_the_rounds():
    assert Speed([1.0, 9.0, 2.0]).median == pytest.approx(2.0)
    assert str(Speed([1.0, 9.0, 2.0])) == "2 [1, 9]"
