"""Before and after: paired figures tell a small change that the two alone would not."""

import copy

import pytest
import torch

from groundup.evaluate.exam_file import ExamQuestion
from groundup.evaluate.forgetting import forgetting, forgotten, measure_panel
from groundup.evaluate.language import score_documents, summarize
from groundup.evaluate.subject import LocalModel
from groundup.train.config import TrainConfig
from groundup.train.loop import start_run, train
from groundup.train.objectives import next_token

NAMES = ["Mia", "Tom", "小明", "小红", "Ann", "Bob", "小刚", "Eve"]
TEXTS = [f"{name} is in the garden. {name} takes a red ball. " * 3 for name in NAMES]
EXAM = [
    ExamQuestion(f"{name} is in the ____", ("garden", "kitchen"), frozenset([0])) for name in NAMES
]


def test_nothing_is_forgotten_by_the_same_model(model, tokenizer):
    subject = LocalModel(model, tokenizer)
    text, exam = forgetting(subject, subject, {"story": TEXTS}, {"garden": EXAM})
    assert text.difference == text.relative == exam.difference == 0
    assert text.difference_interval == text.relative_interval == exam.difference_interval == (0, 0)
    assert not text.is_clear and not exam.is_clear
    assert text.before == summarize(score_documents(subject, TEXTS)).bits_per_byte


def test_a_little_damage_is_clear_document_by_document(model, tokenizer):
    damaged = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        damaged.head.weight += 0.1 * torch.randn_like(damaged.head.weight)
    whole, harmed = LocalModel(model, tokenizer), LocalModel(damaged, tokenizer)
    (change,) = forgetting(whole, harmed, {"story": TEXTS})
    assert change.is_clear and change.figure == "bits_per_byte"
    assert change.difference == pytest.approx(change.after - change.before)
    assert change.relative == pytest.approx(change.after / change.before - 1)
    for value, (low, high) in (
        (change.difference, change.difference_interval),
        (change.relative, change.relative_interval),
    ):
        assert low < value < high
    alone = summarize(score_documents(harmed, TEXTS)).bits_per_byte_interval
    paired = change.difference_interval
    assert paired.high - paired.low < alone.high - alone.low


def test_learning_shows_in_text_and_exam(model, tokenizer):
    before = measure_panel(LocalModel(model, tokenizer), {"story": TEXTS[:2]}, {"garden": EXAM})
    ids = tokenizer.encode("".join(TEXTS))[:65]
    run = start_run(model, TrainConfig(steps=30, micro_batch=1))
    train(run, lambda n: torch.tensor([ids]).numpy(), next_token)
    tuned = LocalModel(run.model, tokenizer)
    text, exam = forgotten(before, measure_panel(tuned, {"story": TEXTS[:2]}, {"garden": EXAM}))
    assert text.after < 0.7 * text.before and text.is_clear
    assert exam.after == 1 and exam.after - exam.before == pytest.approx(exam.difference)
