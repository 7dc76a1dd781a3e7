"""Splits: stratified, repeatable, without a text in two parts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.cleaning.duplicates import fingerprint
from groundup.data.examples import Example, LabelledConfig, read_examples
from groundup.data.parts import Parts, divide
from groundup.errors import InputError
from groundup.settings import Settings
from groundup.sources.rows import BadRows


def examples(counts: dict[str, list[int]]) -> list[Example]:
    """For each label texts that come so many times each."""
    return [
        Example(f"{label} text {i}", label, f"rows:{label}-{i}-{j}")
        for label, times in counts.items()
        for i, many in enumerate(times)
        for j in range(many)
    ]


def rows_of(parts: Parts) -> list[Example]:
    return [*parts.train, *parts.validation, *parts.test, *parts.left_out]


@given(
    st.dictionaries(
        st.sampled_from("abcde"), st.lists(st.integers(1, 6), min_size=2, max_size=40), min_size=2
    ),
    st.sampled_from(["none", "undersample", "weights"]),
    st.integers(0, 99),
)
def test_every_row_is_in_one_part_and_no_text_in_two(counts, balance: str, seed: int):
    rows = examples(counts)
    config = LabelledConfig(balance=balance, split_seed=seed)
    try:
        parts = divide(rows, config)
    except InputError:  # undersampling never leaves a label with nothing, but may with one text
        pytest.fail("texts were left out until one was left")
    assert sorted(rows_of(parts), key=lambda row: row.where) == sorted(rows, key=lambda r: r.where)
    sets = [
        {fingerprint(row.text) for row in part}
        for part in (parts.train, parts.validation, parts.test)
    ]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert {row.label for row in parts.train} == set(counts) == set(parts.labels)
    assert divide(rows, config) == parts


@given(st.lists(st.integers(2, 300), min_size=2, max_size=5), st.integers(0, 99))
def test_single_texts_fill_every_part_to_its_last_place(counts: list[int], seed: int):
    rows = examples({str(i): [1] * count for i, count in enumerate(counts)})
    parts = divide(rows, LabelledConfig(split_seed=seed))
    for label, count in zip(parts.labels, counts, strict=True):
        sizes = [
            sum(row.label == label for row in part)
            for part in (parts.train, parts.validation, parts.test)
        ]
        test = max(1, round(count * 0.2))
        assert sizes[2] == test and sum(sizes) == count
        assert sizes[1] == min(round(count * 0.1), count - 1 - test)


def test_undersampling_leaves_as_many_of_each_label_as_the_rarest_has():
    parts = divide(
        examples({"ham": [1] * 90, "spam": [1] * 30}), LabelledConfig(balance="undersample")
    )
    kept = [*parts.train, *parts.validation, *parts.test]
    assert [sum(row.label == label for row in kept) for label in parts.labels] == [30, 30]
    assert {row.label for row in parts.left_out} == {"ham"} and len(parts.left_out) == 60
    assert parts.notes == ["balanced to 30 rows of each label: 60 rows are left out"]


def test_undersampling_leaves_a_label_two_texts():
    rows = examples({"rare": [1, 1], "often": [1, 9]})
    for seed in range(20):
        parts = divide(rows, LabelledConfig(balance="undersample", split_seed=seed))
        assert [row.label for row in parts.train + parts.test].count("often") == 2
        assert {row.label for row in parts.train} == {"often", "rare"}


def test_seeds_give_other_splits():
    rows = examples({"a": [1] * 50, "b": [1] * 50})
    tests = [{r.where for r in divide(rows, LabelledConfig(split_seed=s)).test} for s in range(5)]
    assert len({frozenset(test) for test in tests}) == 5


def test_labels_that_are_numbers_are_in_their_order():
    assert divide(examples({"10": [1, 1], "9": [1, 1]}), LabelledConfig()).labels == ["9", "10"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"a": [1, 1], "b": [1]}, "'b' has one example"),
        ({"a": [1, 1], "b": [3]}, "'b' has 3 examples, all the same text"),
        ({"a": [1, 1]}, "all 2 rows have the label 'a'"),
    ],
)
def test_labels_that_cannot_be_learned_and_tested_are_refused(counts: dict, said: str):
    with pytest.raises(InputError) as error:
        divide(examples(counts), LabelledConfig())
    assert said in str(error.value) and error.value.where


def test_shares_that_leave_nothing_to_learn_from_are_refused():
    config: type[Settings] = LabelledConfig
    with pytest.raises(InputError, match="nothing to learn from"):
        config.parse({"validation_share": 0.5, "test_share": 0.5})


def test_the_books_spam_split_and_what_may_be_pretrained_on(real_data: Path):
    config = LabelledConfig(balance="undersample", split_seed=3)
    rows = read_examples([real_data / "en/sms-spam.tsv"], config, BadRows())
    parts = divide(rows, config)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [1046, 150, 298]
    assert len(parts.left_out) == 4080
    read = parts.texts_to_pretrain_on()
    held = {fingerprint(row.text) for row in (*parts.validation, *parts.test)}
    assert not held & set(map(fingerprint, read))
    near = Example(parts.test[0].text.replace("a", "e", 1) + "!", "ham", "near")
    parts.left_out.append(near)
    assert near.text not in parts.texts_to_pretrain_on()
    assert len(read) > 4500
