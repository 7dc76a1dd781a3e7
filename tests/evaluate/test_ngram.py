"""The n-gram model against a dictionary of counts, and as a probability."""

import bz2
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.evaluate.ngram import NGram


def dictionary_probability(texts: list[str], order: int, gram: bytes) -> float:
    """Interpolated Kneser-Ney, written with dictionaries (Chen and Goodman 1999, equation 22)."""
    # Texts stand one after the other, so grams reach from one into the next.
    data = b"".join(b"\n" * (order - 1) + text.encode() for text in texts)
    counts = Counter(data[i : i + order] for i in range(len(data) - order + 1))
    levels = [counts]
    for length in range(order - 1, 0, -1):
        levels.insert(0, Counter(g[-length:] for g in levels[0]))
    probability = 1 / 256
    for length, level in enumerate(levels, start=1):
        values = list(level.values())
        once, twice = values.count(1), values.count(2)
        discount = min(0.9, max(0.1, once / max(1, once + 2 * twice)))
        following = defaultdict(list)
        for seen, count in level.items():
            following[seen[:-1]].append(count)
        last = gram[-length:]
        if total := sum(following[last[:-1]]):
            kept = max(level[last] - discount, 0)
            probability = (kept + discount * len(following[last[:-1]]) * probability) / total
    return probability


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text("ab 我", min_size=1, max_size=30), min_size=1, max_size=3),
    st.integers(1, 8), st.text("ab 我c", min_size=8, max_size=8),
)  # fmt: skip
def test_it_is_the_formula_over_counts(texts, order, wanted):
    gram = wanted.encode()[:order]
    probability = NGram(texts, order).probabilities(np.frombuffer(gram, np.uint8))
    assert probability == pytest.approx([dictionary_probability(texts, order, gram)])


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.text(max_size=10))
def test_the_probabilities_after_any_context_add_up_to_one(text: str, context: str):
    model = NGram([text + "."])
    before = (model.start + context.encode())[-7:]
    rows = b"".join(before + bytes([byte]) for byte in range(256))
    assert sum(model.probabilities(np.frombuffer(rows, np.uint8))[::8]) == pytest.approx(1)


def test_a_text_after_a_context_is_the_product_of_its_parts():
    model = NGram(["Mia is in the garden. Tom is in the kitchen."])
    whole, first, second = model.log_likelihoods(
        [("Mia ", "is in the garden"), ("Mia ", "is in "), ("Mia is in ", "the garden")]
    )
    assert whole.nats == pytest.approx(first.nats + second.nats)
    assert whole.tokens == first.tokens + second.tokens == 16


def test_real_text_is_predicted_better_than_by_bzip2(real_data: Path):
    text = (real_data / "en/tinyshakespeare.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    model = NGram([text[:cut]])
    (score,) = model.log_likelihoods([("", text[cut:])])
    bits = score.nats / math.log(2) / score.tokens
    assert bits < 8 * len(bz2.compress(text.encode(), 9)) / len(text.encode())
