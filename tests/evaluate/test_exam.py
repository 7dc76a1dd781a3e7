"""Exams: what is chosen, what guessing gets, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest

from groundup.evaluate.exam import (
    ExamResult,
    Majority,
    answer,
    chance,
    compare,
    examine,
    majority,
    put,
)
from groundup.evaluate.exam_file import ExamQuestion, read_exam
from groundup.evaluate.likelihood import Likelihood
from groundup.evaluate.ngram import NGram
from groundup.evaluate.subject import LocalModel
from groundup.sources.rows import BadRows


def question(text: str, choices: str, right: str) -> ExamQuestion:
    places = frozenset("ABCDEFGH".index(letter) for letter in right)
    return ExamQuestion(text, tuple(choices.split("|")), places)


FRUIT = question("Which is a fruit?", "a pear|a stone|a car", "A")
CLOZE = question("小明在____里。", "花园|石头", "A")


def test_a_question_is_put_by_the_words_of_its_choices_or_by_letters():
    assert put(FRUIT)[:2] == (
        "Which is a fruit?\nAnswer:", [" a pear", " a stone", " a car"]
    )  # fmt: skip
    before, letters, neutral, alone = put(FRUIT, "letter")
    assert before == "Which is a fruit?\nA. a pear\nB. a stone\nC. a car\nAnswer:"
    assert letters == alone == [" A", " B", " C"] and neutral == "Answer:"
    assert put(CLOZE)[:2] == ("小明在", ["花园里。", "石头里。"])
    assert put(question("几?", "一|二", "A"))[:3] == ("几?\n答案：", ["一", "二"], "答案：")


def test_the_likeliest_choice_is_the_answer_by_each_rule(model, tokenizer):
    subject = LocalModel(model, tokenizer)
    questions = [FRUIT, CLOZE, question("Where is Tom?", "in the kitchen|red|garden and ball", "C")]
    answers = answer(subject, questions)
    for number, asked in enumerate(questions):
        before, continuations, neutral, alone = put(asked)
        after = subject.log_likelihoods([(before, c) for c in continuations])
        anyway = subject.log_likelihoods([(neutral, c) for c in alone])
        costs = {
            "sum": [a.nats for a in after],
            "per_token": [a.nats / a.tokens for a in after],
            "per_byte": [
                a.nats / len(c.encode()) for a, c in zip(after, continuations, strict=True)
            ],
            "pmi": [a.nats - n.nats for a, n in zip(after, anyway, strict=True)],
        }
        for rule, values in costs.items():
            assert answers.right[rule][number] == (int(np.argmin(values)) in asked.right)


def test_an_n_gram_model_tells_what_it_has_read():
    learned = NGram(["小明在花园里。" * 3 + "石头在路上。" * 3])
    result = examine(learned, [CLOZE, question("石头在____。", "花园里|路上", "B")])
    assert result.accuracy == 1 and result.accuracy_by_rule["pmi"] == 1


def test_of_several_right_choices_exactly_those_have_to_be_chosen():
    learned = NGram(["What is sweet?\nAnswer: sugar. What is sweet?\nAnswer: honey. "] * 3)
    sweet = question("What is sweet?", "a stone|sugar|honey|the wall", "BC")
    assert examine(learned, [sweet]).right == [True]
    assert chance(sweet) == 1 / 6
    wrong = question("What is sweet?", "a stone|sugar|honey|the wall", "AB")
    assert examine(learned, [wrong]).right == [False]


def test_equally_likely_choices_are_drawn_by_lot():
    class Indifferent:
        def log_likelihoods(self, pairs):
            return [Likelihood(3.0, 1, False)] * len(pairs)

    questions = [question(f"{n}?", "aaaa|bbbb|cccc|dddd", "A") for n in range(400)]
    first = examine(Indifferent(), questions)
    assert first.right == examine(Indifferent(), questions).right
    assert first.interval.low < 0.25 < first.interval.high


def result(right: int, count: int, letters: str = "C", most: float = 0.29) -> ExamResult:
    answers = [True] * right + [False] * (count - right)
    return ExamResult(answers, [0.25] * count, Majority(letters, most), 0, {})


def test_the_verdict_says_in_words_what_the_figures_mean():
    assert result(131, 500).verdict == "no better than guessing: 0.262 [0.225, 0.302], chance 0.25"
    assert result(300, 500).verdict.startswith("better than guessing: 0.600 [")
    assert result(60, 500).verdict.startswith("worse than guessing: 0.120 [")
    always = result(155, 500).verdict
    assert always.startswith("better than guessing, but not clearly than one letter: 0.310 [")
    assert always.endswith("always saying C gives 0.290")
    assert result(6, 8).verdict.startswith("better than guessing: 0.750 [0.409, 0.929]")
    assert result(3, 4).verdict.startswith("no better than guessing: 0.750 [0.301, 0.954]")


def test_guessers_are_called_better_than_guessing_about_as_rarely_as_is_promised():
    generator = np.random.default_rng(0)
    better = 0
    for _ in range(400):
        guesses = [bool(g) for g in generator.random(100) < 0.25]
        guessed = ExamResult(guesses, [0.25] * 100, Majority("A", 0.25), 0, {})
        better += guessed.verdict.startswith("better")
    assert better <= 18  # 2.5 % is 10; more than 18 comes once in a hundred times


def test_the_majority_is_the_letter_that_is_right_most_often():
    questions = [question("Q?", "x|y", letter) for letter in "BBA"]
    assert majority(questions) == Majority("B", 2 / 3)


def test_two_who_took_the_same_exam_are_compared_question_by_question():
    base, tuned = result(100, 200), result(130, 200)
    difference = compare(base, tuned)
    assert difference.mean == pytest.approx(0.15) and difference.is_clear
    assert not compare(base, result(101, 200)).is_clear


@pytest.mark.parametrize("ask", ["text", "letter"])
def test_a_random_model_guesses_in_the_judicial_examination(model, tokenizer, real_data: Path, ask):
    questions = read_exam([real_data / "zh/law-exam.json"], BadRows())[:20]
    taken = examine(LocalModel(model, tokenizer), questions, ask)
    assert taken.verdict.startswith("no better than guessing: ")
    assert taken.chance == 0.25 and taken.interval.low < 0.25 < taken.interval.high
    assert taken.too_long == 20  # the context is 64 tokens
