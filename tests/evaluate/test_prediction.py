"""The probabilities of a classifier: the same for a text alone and among others, of any length."""

import numpy as np
import pytest
import torch

from groundup.evaluate import prediction
from groundup.evaluate.prediction import predict
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def sure(model: GPT) -> Classifier:
    """A classifier that is sure of this and that."""
    torch.manual_seed(2)
    classifier = Classifier.from_gpt(model, 3, "mean")
    with torch.no_grad():
        classifier.head.weight.normal_(std=2)
    return classifier


@torch.no_grad()
def test_texts_of_any_length_get_the_probabilities_that_each_gets_alone(
    sure: Classifier, tokenizer: Tokenizer, monkeypatch
):
    monkeypatch.setattr(prediction, "BATCH_TOKENS", 100)
    texts = ["Mia", "", "小红去了厨房，拿着红色的球。" * 30, "Where is Tom? " * 7, "a", "Mia"]
    sure.train()
    given = predict(sure, tokenizer, texts)
    assert given.shape == (6, 3) and sure.training
    assert given.sum(axis=1) == pytest.approx(np.ones(6))
    for text, row in zip(texts, given, strict=True):
        assert row == pytest.approx(predict(sure, tokenizer, [text])[0], abs=1e-5)
    ids = torch.tensor([tokenizer.encode(texts[2])[:64]])
    whole = sure.eval()(ids, torch.tensor([64])).softmax(-1)
    assert given[2] == pytest.approx(whole[0].numpy(), abs=1e-5)
    assert predict(sure, tokenizer, []).shape == (0, 3)
