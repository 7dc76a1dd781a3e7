"""Exams: multiple-choice and cloze questions, answered by likelihood, against guessing.

A model does not have to speak to be examined: it answers with the choice that it finds likeliest. A long
choice is less likely than a short one whatever it says, so likelihoods are compared for each byte; the
other usual ways are shown beside it, but judged is one that was chosen before looking.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal, NamedTuple

import numpy as np
import regex

from groundup.evaluate.exam_file import BLANK, LETTERS, ExamQuestion
from groundup.evaluate.intervals import (
    CONFIDENCE,
    Difference,
    Interval,
    chance_of_as_many,
    paired_difference,
    wilson,
)
from groundup.evaluate.likelihood import Likelihood
from groundup.evaluate.subject import Scorer
from groundup.language import N_

Ask = Literal["text", "letter"]
Rule = Literal["sum", "per_token", "per_byte", "pmi"]
JUDGED: Rule = "per_byte"


class Asked(NamedTuple):
    """A question as it is put: what stands before, and a continuation for each choice. `neutral` is a
    context that asks nothing, and `alone` the choices after it: how likely are they anyway?"""

    before: str
    continuations: list[str]
    neutral: str
    alone: list[str]


def put(question: ExamQuestion, ask: Ask = "text") -> Asked:
    """`text`: the words of a choice are to follow the question, or to fill its blank. `letter`: the
    choices are listed and a letter is to follow, which models that were tuned on exams know how to
    do."""
    is_han = regex.search(r"\p{Han}", question.text) is not None
    cue, space = ("答案：", "") if is_han else ("Answer:", " ")
    if ask == "text" and BLANK in question.text:
        before, _, after = question.text.partition(BLANK)
        filled = [choice + after for choice in question.choices]
        return Asked(before, filled, "\n", list(question.choices))
    answers = list(question.choices)
    before = question.text
    if ask == "letter":
        answers = list(LETTERS[: len(question.choices)])
        listed = zip(answers, question.choices, strict=True)
        before = "\n".join([before, *(f"{letter}. {choice}" for letter, choice in listed)])
    answers = [space + answer for answer in answers]
    return Asked(f"{before}\n{cue}", answers, cue, answers)


@dataclass(frozen=True)
class Answers:
    """What was said to each question by each rule: whether it is right."""

    right: dict[Rule, list[bool]]
    too_long: int
    """Of how many questions only the end was seen, as they are longer than the context."""


def answer(subject: Scorer, questions: Sequence[ExamQuestion], ask: Ask = "text") -> Answers:
    """Let someone answer an exam. To a question with several right choices that number is told, and
    exactly those are to be chosen. Equally likely choices are drawn by lot, always the same way."""
    asked = [put(question, ask) for question in questions]
    after = subject.log_likelihoods([(a.before, c) for a in asked for c in a.continuations])
    alone = subject.log_likelihoods([(a.neutral, c) for a in asked for c in a.alone])
    right: dict[Rule, list[bool]] = {"sum": [], "per_token": [], "per_byte": [], "pmi": []}
    too_long, start = 0, 0
    for number, (question, put_so) in enumerate(zip(questions, asked, strict=True)):
        part = slice(start, start := start + len(question.choices))
        too_long += any(likelihood.cut for likelihood in after[part])
        for rule, values in _values(put_so, after[part], alone[part]).items():
            right[rule].append(_best(values, len(question.right), number) == question.right)
    return Answers(right, too_long)


def _values(
    asked: Asked, after: Sequence[Likelihood], alone: Sequence[Likelihood]
) -> dict[Rule, list[float]]:
    """How good each choice is by each rule. `pmi` (Holtzman et al. 2021): by how much the question
    makes it likelier than it is anyway."""
    sizes = [len(continuation.encode()) for continuation in asked.continuations]
    pairs = list(zip(after, alone, sizes, strict=True))
    return {
        "sum": [-a.nats for a, _, _ in pairs],
        "per_token": [-a.nats / max(1, a.tokens) for a, _, _ in pairs],
        "per_byte": [-a.nats / max(1, size) for a, _, size in pairs],
        "pmi": [n.nats - a.nats for a, n, _ in pairs],
    }


def _best(values: Sequence[float], how_many: int, number: int) -> frozenset[int]:
    lots = np.random.default_rng(number).permutation(len(values))
    order = sorted(range(len(values)), key=lambda place: (-values[place], lots[place]))
    return frozenset(order[:how_many])


def chance(question: ExamQuestion) -> float:
    """How likely a guess is right: as many choices as are right, at random."""
    return 1 / comb(len(question.choices), len(question.right))


class Majority(NamedTuple):
    """The letters that are right most often, and the share of questions to which they are."""

    letters: str
    accuracy: float


def majority(questions: Sequence[ExamQuestion]) -> Majority:
    """What one gets who always says the same, if they knew what to say: of this very exam."""
    ((letters, count),) = Counter(question.letters for question in questions).most_common(1)
    return Majority(letters, count / len(questions))


@dataclass(frozen=True)
class ExamResult:
    """One exam, taken by one model."""

    right: list[bool]
    chances: list[float]
    majority: Majority
    too_long: int
    accuracy_by_rule: dict[Rule, float]

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.right))

    @property
    def interval(self) -> Interval:
        """Wilson's."""
        return wilson(sum(self.right), len(self.right))

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return float(np.mean(self.chances))

    @property
    def p_value(self) -> float:
        """How often guessing gets as many right."""
        return chance_of_as_many(sum(self.right), self.chances)

    @property
    def verdict(self) -> str:
        """In one sentence."""
        if not self.too_long:
            return self._verdict
        return N_(
            f"{self._verdict} (only the end was read of {self.too_long:,} of {len(self.right):,} questions, "
            "which are longer than the model's context)"
        )

    @property
    def _verdict(self) -> str:
        figures = N_(f"{self.accuracy:.3f} {self.interval}, chance {self.chance:.3g}")
        if self.interval.high < self.chance:
            return N_(f"worse than guessing: {figures}")
        # One side of a two-sided interval.
        if self.p_value >= (1 - CONFIDENCE) / 2:
            return N_(f"no better than guessing: {figures}")
        if self.interval.low <= self.majority.accuracy:
            always = N_(f"always saying {self.majority.letters} gives {self.majority.accuracy:.3f}")
            return N_(f"better than guessing, but not clearly than one letter: {figures}; {always}")
        return N_(f"better than guessing: {figures}")


def examine(subject: Scorer, questions: Sequence[ExamQuestion], ask: Ask = "text") -> ExamResult:
    """Let a model, or a baseline, take an exam."""
    answers = answer(subject, questions, ask)
    return ExamResult(
        answers.right[JUDGED], [*map(chance, questions)], majority(questions), answers.too_long,
        {rule: float(np.mean(right)) for rule, right in answers.right.items()},
    )  # fmt: skip


def compare(other: ExamResult, result: ExamResult) -> Difference:
    """How much `result` is above the `other`, question by question."""
    return paired_difference(np.array(other.right, float), np.array(result.right, float))
