"""How good is a classifier? Accuracy with its interval, F1, confusions, calibration, the errors
themselves; beside those who never read more than the words.

In: the probabilities that a model gives each label of each text (`prediction.py`), and the true labels.
Out: figures. The baselines are fitted on the same training part and judged on the same test part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from groundup.evaluate.intervals import Interval, wilson

if (
    TYPE_CHECKING
):  # scikit-learn takes half a second to import: only who measures labels waits for it
    from sklearn.feature_extraction.text import TfidfVectorizer

BINS = 10
# Below this share of white space, a text is not written in words with spaces between them.
SPACES = 0.05
# One that is never right, nor ever predicted, has an F1 of 0.
EACH_LABEL: dict[str, Any] = {"average": None, "zero_division": 0.0}


# Figures


@dataclass(frozen=True)
class Bin:
    """The texts on which a model was about equally sure."""

    count: int
    confidence: float
    """The mean probability that it gave its answers."""
    accuracy: float
    """The share of them that was right."""


@dataclass(frozen=True)
class Mistake:
    """A text that a model labels wrongly, and how sure it is."""

    text: str
    label: str
    """The true one."""
    predicted: str
    probability: float
    """Of what was predicted."""


@dataclass(frozen=True)
class Classification:
    """What the predictions for texts with known labels come to."""

    labels: list[str]
    count: int
    accuracy: float
    interval: Interval
    """Wilson's, 95 %."""
    macro_f1: float
    """The mean over all labels, rare ones too."""
    f1: dict[str, float]
    """Of each label: the harmonic mean of how many of its texts are found and how many found are its."""
    confusion: list[list[int]]
    """Row: the true label, column: the predicted one."""
    calibration_error: float
    """By how much accuracy and confidence differ, over bins of confidence (ECE, Guo et al. 2017)."""
    reliability: list[Bin]
    mistakes: list[Mistake]
    """The surest first."""


def measure(
    probabilities: Float[np.ndarray, "texts labels"],
    truth: Int[np.ndarray, " texts"],
    labels: Sequence[str],
    texts: Sequence[str],
) -> Classification:
    """The figures of these predictions: of each text the likeliest label counts."""
    from sklearn.metrics import confusion_matrix, f1_score

    predicted, ids = probabilities.argmax(axis=1), range(len(labels))
    right = predicted == truth
    confidence = probabilities.max(axis=1)
    f1 = np.asarray(f1_score(truth, predicted, labels=ids, **EACH_LABEL))
    bins = reliability(confidence, right)
    wrong = sorted(np.flatnonzero(~right).tolist(), key=lambda i: -confidence[i])
    return Classification(
        labels=list(labels),
        count=len(truth),
        accuracy=float(right.mean()),
        interval=wilson(int(right.sum()), len(truth)),
        macro_f1=float(f1.mean()),
        f1=dict(zip(labels, f1.tolist(), strict=True)),
        confusion=confusion_matrix(truth, predicted, labels=ids).tolist(),
        calibration_error=sum(b.count * abs(b.accuracy - b.confidence) for b in bins) / len(truth),
        reliability=bins,
        mistakes=[
            Mistake(
                texts[i], labels[int(truth[i])], labels[int(predicted[i])], float(confidence[i])
            )
            for i in wrong
        ],
    )


def reliability(
    confidence: Float[np.ndarray, " texts"], right: np.ndarray, bins: int = BINS
) -> list[Bin]:
    """Texts in bins of equal width of confidence; empty ones are left out."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(int(of_bin.sum()), float(confidence[of_bin].mean()), float(right[of_bin].mean()))
        for of_bin in (place == i for i in range(bins))
        if of_bin.any()
    ]


# Baselines


def baselines(
    train_texts: Sequence[str], train_labels: Int[np.ndarray, " train"],
    test_texts: Sequence[str], n_labels: int,
) -> dict[str, Float[np.ndarray, "test labels"]]:  # fmt: skip
    """The probabilities that two simple classifiers give the test texts: always the most frequent label,
    and logistic regression on TF-IDF (runs of one and two words, or, of a language without spaces, of
    one to three characters)."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    majority = DummyClassifier(strategy="most_frequent")
    by_words = make_pipeline(_tf_idf(train_texts), LogisticRegression(max_iter=1000))
    named = {"majority": majority, "TF-IDF + logistic regression": by_words}
    return {
        name: _probabilities(model.fit(train_texts, train_labels), test_texts, n_labels)
        for name, model in named.items()
    }


def _probabilities(
    fitted: Any, texts: Sequence[str], n_labels: int
) -> Float[np.ndarray, "texts labels"]:
    """Those of all labels: one that was not in the training part has none."""
    probabilities = np.zeros((len(texts), n_labels))
    probabilities[:, fitted.classes_] = fitted.predict_proba(texts)
    return probabilities


def _tf_idf(texts: Sequence[str]) -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    spaces = sum(text.count(" ") for text in texts)
    if spaces < SPACES * sum(map(len, texts)):
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
    return TfidfVectorizer(ngram_range=(1, 2))
