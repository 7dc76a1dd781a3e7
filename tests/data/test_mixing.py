"""Mixing: every source in its share, nothing lost within a source, all a function of n."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.data.mixing import MixedWindows, drawn_in, shares
from groundup.data.shards import Tokens
from groundup.data.windows import WindowConfig, Windows
from groundup.errors import InputError

CONTEXT = 4
some_shares = st.lists(st.floats(1e-4, 1), min_size=1, max_size=6).map(
    lambda weights: np.array(weights) / sum(weights)
)


def source(first: int, windows: int, order: str = "shuffled") -> Windows:
    """A source of so many windows, side by side, whose ids begin at `first`."""
    ids = np.arange(first, first + windows * CONTEXT + 1, dtype="<u4")
    return Windows(Tokens([ids], np.array([0]), len(ids)), CONTEXT, WindowConfig(order=order))


def mixture(order: str = "shuffled") -> MixedWindows:
    windows = {"books": source(0, 40, order), "法律": source(1000, 7, order)}
    return MixedWindows(windows, {"books": 0.7, "法律": 0.3})


def turn_by_turn(count: int, of_shares: np.ndarray) -> list[int]:
    """Which source each of the first windows is of: always the next turn in time."""
    counts = np.zeros(len(of_shares), int)
    turns = []
    for _ in range(count):
        turns.append(int(np.argmin((counts + 0.5) / of_shares)))
        counts[turns[-1]] += 1
    return turns


@settings(max_examples=60, deadline=None)
@given(some_shares, st.integers(0, 600))
def test_counts_are_those_of_taking_every_turn(of_shares: np.ndarray, n: int):
    turns = turn_by_turn(n, of_shares)
    assert drawn_in(n, of_shares).tolist() == np.bincount(turns, minlength=len(of_shares)).tolist()


@given(some_shares, st.integers(0, 10**12))
def test_no_source_strays_from_its_share_however_long_the_run(of_shares: np.ndarray, n: int):
    counts, sources = drawn_in(n, of_shares), len(of_shares)
    assert counts.sum() == n
    assert (abs(counts - of_shares * n) <= 0.5 + of_shares * sources / 2 + 1e-3).all()


@given(st.integers(1, 99), st.integers(0, 5000), st.integers(1, 1024))
def test_a_round_of_two_sources_holds_its_quota_to_one_window(
    percent: int, begin: int, length: int
):
    of_shares = np.array([percent, 100 - percent]) / 100
    quota = drawn_in(begin + length, of_shares) - drawn_in(begin, of_shares)
    assert (abs(drawn_in(length, of_shares) - of_shares * length) <= 1).all()
    assert (abs(quota - of_shares * length) <= 2).all()


@settings(deadline=None)
@given(st.integers(0, 300), st.lists(st.integers(0, 1000), max_size=5))
def test_window_n_depends_on_nothing_but_n(n: int, others: list[int]):
    fresh, used = mixture(), mixture()
    for other in others:
        used[other]
    assert fresh[n].tolist() == used[n].tolist()


def test_each_source_gives_its_own_windows_in_its_own_order():
    mixed, books, law = mixture(), source(0, 40), source(1000, 7)
    rows = [mixed[n].tolist() for n in range(200)]
    of_books = [row for row in rows if row[0] < 1000]
    of_law = [row for row in rows if row[0] >= 1000]
    assert of_books == [books[i].tolist() for i in range(140)]
    assert of_law == [law[i].tolist() for i in range(60)]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0.05, 0.95))
def test_an_epoch_of_a_source_holds_each_of_its_windows_once(a: int, b: int, share: float):
    mixed = MixedWindows({"a": source(0, a), "b": source(1000, b)}, {"a": share, "b": 1 - share})
    n = next(n for n in range(10_000) if mixed.drawn(n)["b"].windows == b)
    seen = sorted(int(mixed[i][0]) for i in range(n) if mixed[i][0] >= 1000)
    assert seen == [1000 + CONTEXT * i for i in range(b)]


def test_what_was_drawn_is_what_the_windows_show():
    mixed = mixture()
    rows = [mixed[n] for n in range(137)]
    of_law = sum(int(row[0]) >= 1000 for row in rows)
    drawn = mixed.drawn(137)
    assert (drawn["books"].windows, drawn["法律"].windows) == (137 - of_law, of_law)
    assert drawn["法律"].tokens == of_law * CONTEXT
    assert drawn["法律"].epochs == pytest.approx(of_law / 7, rel=0.05)


def test_every_batch_holds_nearly_its_shares():
    mixed = mixture()
    for n in range(50):
        batch = mixed.batch(n, 10)
        assert batch.shape == (10, CONTEXT + 1)
        assert 2 <= (batch[:, 0] >= 1000).sum() <= 4


@pytest.mark.parametrize("order", ["shuffled", "random", "sequential"])
def test_one_source_alone_is_not_changed(order: str):
    alone, windows = MixedWindows({"all": source(0, 9, order)}, {"all": 1.0}), source(0, 9, order)
    assert np.array_equal(alone.batch(3, 8), windows.batch(3, 8))
    assert alone.drawn(24)["all"].windows == 24


def test_shares_follow_weights_budgets_or_sizes():
    assert shares([900, 100], weights=[1, 3]) == [0.25, 0.75]
    assert shares([900, 100], budgets=[2_000_000, 6_000_000]) == [0.25, 0.75]
    assert shares([900, 100]) == pytest.approx([0.9, 0.1])
    assert shares([900, 100], [None, None], [None, None]) == shares([900, 100])
    assert shares([900, 100], temperature=2.0) == pytest.approx([0.75, 0.25])
    assert shares([900, 100], temperature=1e9) == pytest.approx([0.5, 0.5])
    assert shares([5]) == [1.0]


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=9), st.floats(0.1, 100))
def test_shares_are_parts_of_one_in_the_order_of_size(sizes: list[int], temperature: float):
    found = shares(sizes, temperature=temperature)
    assert sum(found) == pytest.approx(1)
    assert [found[i] for i in np.argsort(sizes, stable=True)] == sorted(found)


@pytest.mark.parametrize(
    ("weights", "budgets", "said"),
    [
        ([1, None], [None, 500], "one or the other"),
        ([1, 2], [500, 500], "one or the other"),
        ([1, None], None, "source 2 has no `weight`, but others have"),
        (None, [None, 500], "source 1 has no `tokens`, but others have"),
        ([1, 0], None, "source 2 has `weight` 0, which draws nothing"),
    ],
)
def test_shares_that_do_not_fit_together_are_refused_in_words(weights, budgets, said: str):
    with pytest.raises(InputError, match=said):
        shares([10, 20], weights, budgets)
