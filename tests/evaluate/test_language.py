"""Bits per byte of a text, against the sum written out."""

import math
from pathlib import Path

import pytest
import torch

from groundup.generation.text import generate, stream
from groundup.recipe.evaluate import score_file
from groundup.tokenizer.framing import Framing
from groundup.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def beginning(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer whose model begins its texts with a token, as Llama does."""
    begin = tokenizer.special_tokens["<|system|>"]
    framing = Framing(begin_ids=(begin,))
    return Tokenizer(tokenizer.vocabulary, tokenizer.special_tokens, framing=framing)


@torch.inference_mode()
def nats(model, ids: list[int]) -> float:
    """Sum of −log p of all ids but the first."""
    logits = model(torch.tensor([ids[:-1]]))[0]
    return -logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]].sum().item()


def test_a_text_is_scored_after_the_token_that_begins_texts(model, beginning, tmp_path: Path):
    text = "Mia is in the garden. 小明在花园。" * 8
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    ids = [*beginning.encode(text), beginning.end_of_text_id]
    length = model.config.context_length
    windows = [beginning.begin_ids + ids[i : i + length] for i in range(0, len(ids), length)]
    score = score_file(model, beginning, str(tmp_path / "text.txt"))
    expected = sum(nats(model, window) for window in windows)
    assert len(windows) > 1 and score.tokens == len(ids)
    assert score.nats == pytest.approx(expected, rel=1e-5)
    expected_bits = expected / math.log(2) / len(text.encode())
    assert score.bits_per_byte == pytest.approx(expected_bits, rel=1e-5)


def test_generation_begins_with_that_token_too(model, tokenizer, beginning):
    kept = {"temperature": 0.0, "max_new_tokens": 8}
    begun = generate(model, tokenizer, "<|system|>Mia", **kept)
    assert generate(model, beginning, "Mia", **kept) == begun
    assert "".join(stream(model, beginning, "Mia", **kept)) == begun
