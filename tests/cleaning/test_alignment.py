"""The share of characters that two texts have in common."""

import random

from hypothesis import given
from hypothesis import strategies as st

from groundup.cleaning.alignment import edit_distance, plain, share_of_same, share_within

WORDS = st.text("ab中", max_size=12)


def by_table(first: str, second: str, anywhere: bool = False) -> int:
    """The distance as textbooks have it: a table, row by row (Wagner and Fischer 1974)."""
    column = list(range(len(first) + 1))
    best = column[-1]
    for j, other in enumerate(second, start=1):
        following = [0 if anywhere else j]
        for i, one in enumerate(first, start=1):
            following.append(
                min(column[i] + 1, following[i - 1] + 1, column[i - 1] + (one != other))
            )
        column = following
        best = min(best, column[-1])
    return best if anywhere else column[-1]


@given(WORDS, WORDS)
def test_the_distance_is_that_of_the_textbook(first: str, second: str):
    assert edit_distance(first, second) == by_table(first, second)


@given(WORDS, WORDS, st.integers(0, 12))
def test_a_bound_changes_no_distance_within_it(first: str, second: str, most: int):
    exact, bounded = by_table(first, second), edit_distance(first, second, most)
    assert bounded == exact if exact <= most else most < bounded <= exact


@given(WORDS.filter(bool), WORDS)
def test_a_part_is_looked_for_everywhere(part: str, whole: str):
    found = 1 - by_table(part, whole, anywhere=True) / len(part)
    assert share_within(part, whole) == found


def test_exactly_the_least_share_is_enough():
    for length in (5, 10, 100, 1000):
        edited = "x" * (length // 5) + "a" * (length - length // 5)
        assert share_of_same("a" * length, edited, 0.8) >= 0.8


def test_long_texts_are_judged_by_samples():
    rng = random.Random(0)
    text = "".join(chr(0x4E00 + rng.randrange(2000)) for _ in range(20_000))
    tenth = "".join("某" if i % 10 == 0 else c for i, c in enumerate(text))
    cut = text[:3000] + text[7000:]
    assert share_of_same(text, text) == 1.0
    assert abs(share_of_same(text, tenth) - 0.9) < 0.01
    assert abs(share_of_same(text, cut) - 0.8) < 0.1
    assert share_of_same(text, text[::-1]) < 0.1


def test_case_width_and_spacing_make_no_difference():
    assert plain("Ｈello,\n  World") == "hello, world"
