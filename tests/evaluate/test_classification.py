"""The figures of classifiers against scikit-learn's, and its baselines on real texts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, classification_report

from groundup.data.examples import LabelledConfig, read_examples
from groundup.data.parts import divide
from groundup.evaluate.classification import baselines, measure, reliability
from groundup.evaluate.intervals import wilson
from groundup.sources.rows import BadRows

LABELS = ["a", "b", "c"]


@given(st.lists(st.tuples(*[st.floats(0.01, 1)] * 3, st.integers(0, 2)), min_size=1, max_size=60))
def test_accuracy_and_f1_are_those_of_scikit_learn(rows):
    scores, truth = np.array([row[:3] for row in rows]), np.array([row[3] for row in rows])
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    found = measure(probabilities, truth, LABELS, [str(i) for i in range(len(rows))])
    predicted = probabilities.argmax(axis=1)
    assert found.accuracy == accuracy_score(truth, predicted)
    assert found.interval == wilson(round(found.accuracy * len(rows)), len(rows))
    report = classification_report(
        truth, predicted, labels=range(3), target_names=LABELS, output_dict=True, zero_division=0
    )
    assert found.macro_f1 == pytest.approx(report["macro avg"]["f1-score"])
    assert all(found.f1[label] == report[label]["f1-score"] for label in LABELS)
    assert np.diag(found.confusion).sum() == round(found.accuracy * len(rows))
    assert np.sum(found.confusion) == len(rows) == found.count


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_the_reliability_of_bins_is_scikit_learns_curve(rows):
    confidence, right = (np.array(column) for column in zip(*rows, strict=True))
    inside = ~np.isin(
        confidence * 10 % 1, (0.0,)
    )  # there, which bin a value is in is a matter of taste
    if not inside.any():
        return
    confidence, right = confidence[inside], right[inside]
    bins = reliability(confidence, right)
    accuracy, mean = calibration_curve(right, confidence, n_bins=10)
    assert [b.accuracy for b in bins] == pytest.approx(accuracy)
    assert [b.confidence for b in bins] == pytest.approx(mean)
    assert sum(b.count for b in bins) == len(right)


def test_the_error_of_calibration_is_how_far_confidence_is_from_being_right():
    truth = np.array([0] * 8 + [1] * 2)
    told = np.tile([0.95, 0.05, 0.0], (10, 1))
    assert measure(told, truth, LABELS, ["x"] * 10).calibration_error == pytest.approx(0.15)
    told = np.tile([0.8, 0.2, 0.0], (10, 1))
    assert measure(told, truth, LABELS, ["x"] * 10).calibration_error == pytest.approx(0.0)


def test_the_errors_are_told_with_the_surest_first():
    probabilities = np.array([[0.6, 0.4, 0], [0.1, 0.9, 0], [0.2, 0.1, 0.7]])
    found = measure(probabilities, np.array([1, 0, 2]), LABELS, ["x", "y", "z"])
    told = [(m.text, m.label, m.predicted, m.probability) for m in found.mistakes]
    assert told == [("y", "a", "b", 0.9), ("x", "b", "a", 0.6)]
    assert found.confusion == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("name", "majority", "least"), [("en/sms-spam.tsv", 0.866, 0.95), ("zh/reviews.tsv", 0.5, 0.80)]
)
def test_baselines_on_real_texts(real_data: Path, name: str, majority: float, least: float):
    config = LabelledConfig()
    parts = divide(read_examples([real_data / name], config, BadRows()), config)
    texts = [[row.text for row in part] for part in (parts.train, parts.test)]
    truth = parts.ids(parts.test)
    given = baselines(texts[0], parts.ids(parts.train), texts[1], 2)
    found = {k: measure(p, truth, parts.labels, texts[1]).accuracy for k, p in given.items()}
    assert found["majority"] == pytest.approx(majority, abs=0.001)
    assert least < found["TF-IDF + logistic regression"] < 0.99


def test_a_label_that_was_not_learned_has_no_probability():
    given = baselines(["good day", "bad day"] * 3, np.array([0, 2] * 3), ["good", "bad"], 3)
    by_words = given["TF-IDF + logistic regression"]
    assert by_words.shape == (2, 3) and not by_words[:, 1].any()
    assert by_words.argmax(axis=1).tolist() == [0, 2]
