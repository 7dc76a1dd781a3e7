"""The merges: the fast way equals the simple one."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tokenizer.bpe import is_allowed, learn_merges, learn_merges_simply, merge
from groundup.tokenizer.vocabulary import MergeVocabulary
from groundup.tokenizer.words import SPLIT_PATTERN, count_words

WORDS = st.lists(st.text("aab机器学é", min_size=1, max_size=10), min_size=1, max_size=40)


@settings(deadline=None)
@given(WORDS, st.integers(0, 60))
def test_the_fast_way_learns_the_merges_of_the_simple_one(words: list[str], n_merges: int):
    counts = dict(Counter(word.encode() for word in words))
    assert learn_merges(counts, n_merges) == learn_merges_simply(counts, n_merges)


@settings(max_examples=15, deadline=None)
@given(WORDS, st.randoms())
def test_tokens_that_have_any_ids_are_joined_in_the_order_of_their_merges(words, random):
    counts = dict(Counter(word.encode() for word in words))
    learned = learn_merges(counts, 20)
    tokens = [bytes([byte]) for byte in range(256)]
    for a, b in learned:
        tokens.append(tokens[a] + tokens[b])
    ids = random.sample(range(1000), len(tokens))
    merges = [(ids[a], ids[b]) for a, b in learned]
    vocabulary = MergeVocabulary(dict(zip(ids, tokens, strict=True)), merges, SPLIT_PATTERN)
    for word in words:
        assert vocabulary.encode(word) == vocabulary.encode_simply(word)


def test_overlapping_pairs_are_joined_from_left_to_right():
    assert merge([1, 1, 1, 1, 1], (1, 1), 2) == [2, 2, 1]


def test_of_equally_frequent_pairs_the_one_with_smaller_ids_wins():
    assert learn_merges({b"ab": 1, b"cd": 1}, 1) == [(ord("a"), ord("b"))]


@pytest.mark.parametrize("text", ["a", "机", "机器", "ab机"])
def test_a_token_never_reaches_into_half_of_the_next_character(text: str):
    whole = text.encode()
    assert is_allowed(whole)
    assert not is_allowed(whole + "器".encode()[:1])


def test_counting_does_not_depend_on_processes_or_batches(monkeypatch: pytest.MonkeyPatch):
    texts = [f"one two {i % 7} 机器学习\n" for i in range(3000)]
    alone = count_words(texts, SPLIT_PATTERN, [], processes=1)
    monkeypatch.setattr("groundup.tokenizer.words.BATCH_CHARACTERS", 5000)
    assert count_words(texts, SPLIT_PATTERN, [], processes=2) == alone
    assert list(alone) == sorted(alone)


def test_special_tokens_are_no_words():
    assert count_words(["a<|end|>b"], SPLIT_PATTERN, ["<|end|>"]) == {b"a": 1, b"b": 1}
