"""Bits per byte of texts, against the sum written out, and the intervals around them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.errors import InputError
from groundup.evaluate.language import (
    LanguageScore,
    score_documents,
    score_language,
    summarize,
    total,
)
from groundup.evaluate.subject import LocalModel
from groundup.generation.text import generate, stream
from groundup.recipe.measure import score_files


@torch.inference_mode()
def nats(model, ids: list[int]) -> float:
    """Sum of −log p of all ids but the first."""
    logits = model(torch.tensor([ids[:-1]]))[0]
    return -logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]].sum().item()


def test_a_text_is_scored_after_the_token_that_begins_texts(model, beginning, tmp_path: Path):
    text = "Mia is in the garden. 小明在花园。" * 8
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    ids = beginning.encode(text)
    length = model.config.context_length
    windows = [beginning.begin_ids + ids[i : i + length] for i in range(0, len(ids), length)]
    # The last window reaches back as far as it can.
    windows[-1] = beginning.begin_ids + ids[-length:]
    repeated = beginning.begin_ids + ids[-length : len(ids) // length * length]
    subject = LocalModel(model, beginning)
    score = summarize(score_files(subject, [tmp_path / "text.txt"], length))
    expected = sum(nats(model, window) for window in windows) - nats(model, repeated)
    assert len(windows) > 1 and score.tokens == len(ids) and len(ids) % length
    assert score.nats == pytest.approx(expected, rel=1e-5)
    expected_bits = expected / math.log(2) / len(text.encode())
    assert score.bits_per_byte == pytest.approx(expected_bits, rel=1e-5)
    low, high = score.bits_per_byte_interval
    assert low < score.bits_per_byte < high


def test_documents_are_scored_each_by_itself_every_byte_once(model, tokenizer, tmp_path: Path):
    texts = ["Mia is in the garden. " * n + "小明在花园。" for n in (1, 9, 40)]
    rows = "".join(f'{{"text": "{text}"}}\n' for text in texts)
    (tmp_path / "texts.jsonl").write_text(rows, encoding="utf-8")
    subject = LocalModel(model, tokenizer)
    together = summarize(score_files(subject, [tmp_path / "texts.jsonl"]))
    alone = [total(score_documents(subject, [text], 32)[0]) for text in texts]
    assert together.documents == 3
    assert together.text_bytes == pytest.approx(sum(len(text.encode()) for text in texts))
    assert together.nats == pytest.approx(sum(score.nats for score in alone), rel=1e-6)


def test_the_quick_score_of_windows_is_the_sum_of_their_losses(model):
    windows = [np.arange(n) % 300 for n in (20, 20, 65, 5)]
    score = score_language(model, iter(windows), 2.0)
    assert score.tokens == 106 and score.text_bytes == 212
    expected = sum(nats(model, window.tolist()) for window in windows)
    assert score.nats == pytest.approx(expected, rel=1e-5)


def test_the_interval_is_drawn_over_documents_of_one_kind():
    even = [[LanguageScore(3.0 * size, size, 4.0 * size)] for size in range(10, 60)]
    assert summarize(even).bits_per_byte_interval == pytest.approx([3 / math.log(2) / 4] * 2)
    assert summarize(even).perplexity_interval == pytest.approx([math.exp(3)] * 2)
    uneven = [[LanguageScore((3 + i % 2) * 20.0, 20, 80.0)] for i in range(50)]
    low, high = summarize(uneven).bits_per_byte_interval
    assert low < summarize(uneven).bits_per_byte < high
    few = [[LanguageScore((3 + i % 2) * 20.0, 20, 80.0) for i in range(50)]]
    assert summarize(few).bits_per_byte_interval == pytest.approx((low, high))


def test_nothing_to_measure_is_said():
    with pytest.raises(InputError, match="no text to measure"):
        summarize([])


def test_generation_begins_with_that_token_too(model, tokenizer, beginning):
    kept = {"temperature": 0.0, "max_new_tokens": 8}
    begun = generate(model, tokenizer, "<|system|>Mia", **kept)
    assert generate(model, beginning, "Mia", **kept) == begun
    assert "".join(stream(model, beginning, "Mia", **kept)) == begun
