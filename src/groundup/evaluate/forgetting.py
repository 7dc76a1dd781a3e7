"""What tuning has cost: the same texts and exams before and after.

A model that learns a field forgets others (McCloskey and Cohen 1989). The panel is general: texts and
questions that the tuning was not about. Both measurements are of the same documents and questions, so
the differences are taken one by one, and their intervals are narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from groundup.evaluate.exam import ExamResult, compare, examine
from groundup.evaluate.exam_file import ExamQuestion
from groundup.evaluate.intervals import Interval, bootstrap
from groundup.evaluate.language import (
    Parts,
    bits_per_byte_of,
    drawn_figures,
    score_documents,
    summarize,
)
from groundup.evaluate.subject import Subject

Texts = Mapping[str, Sequence[str]]
"""Documents by the name of what they are."""
Exams = Mapping[str, Sequence[ExamQuestion]]


@dataclass(frozen=True)
class Panel:
    """What one model gets: the scores of the documents of each text, and of each exam."""

    texts: dict[str, list[Parts]]
    exams: dict[str, ExamResult]


@dataclass(frozen=True)
class Change:
    """One figure before and after: bits per byte of a text, or the accuracy of an exam; `difference`
    is after − before, `relative` (bits per byte only) after / before − 1."""

    name: str
    figure: str
    before: float
    after: float
    difference: float
    difference_interval: Interval
    relative: float | None = None
    relative_interval: Interval | None = None

    @property
    def is_clear(self) -> bool:
        """True if chance alone would not make such a difference."""
        return not self.difference_interval.low <= 0 <= self.difference_interval.high


def measure_panel(
    subject: Subject, texts: Texts, exams: Exams | None = None, stride: int | None = None
) -> Panel:
    """Let one model be measured on everything."""
    return Panel(
        {name: score_documents(subject, documents, stride) for name, documents in texts.items()},
        {name: examine(subject, questions) for name, questions in (exams or {}).items()},
    )


def forgotten(before: Panel, after: Panel) -> list[Change]:
    """What changed between two measurements of the same texts and exams."""
    return [
        *(_text_change(name, parts, after.texts[name]) for name, parts in before.texts.items()),
        *(_exam_change(name, result, after.exams[name]) for name, result in before.exams.items()),
    ]


def forgetting(
    before: Subject, after: Subject, texts: Texts, exams: Exams | None = None
) -> list[Change]:
    """The same for two models that are both at hand."""
    return forgotten(measure_panel(before, texts, exams), measure_panel(after, texts, exams))


def _text_change(name: str, before: Sequence[Parts], after: Sequence[Parts]) -> Change:
    first, second = summarize(before).bits_per_byte, summarize(after).bits_per_byte
    pairs = np.concatenate([drawn_figures(before), drawn_figures(after)], axis=1)
    return Change(
        name, "bits_per_byte", first, second, second - first,
        bootstrap(pairs, lambda means: _bits(means, 1) - _bits(means, 0)),
        second / first - 1,
        bootstrap(pairs, lambda means: _bits(means, 1) / _bits(means, 0) - 1),
    )  # fmt: skip


def _bits(means: np.ndarray, which: int) -> np.ndarray:
    return bits_per_byte_of(means[..., 3 * which : 3 * which + 3])


def _exam_change(name: str, before: ExamResult, after: ExamResult) -> Change:
    difference = compare(before, after)
    return Change(
        name, "accuracy", before.accuracy, after.accuracy, difference.mean, difference.interval
    )
