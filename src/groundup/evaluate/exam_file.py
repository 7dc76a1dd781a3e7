"""Exams from files: rows in the usual spellings, each to one `ExamQuestion`.

What a row may be called and look like is told in `read_exam`. A row that is no question is noted, with
its place and what is wrong with it, and reading goes on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.language import N_
from groundup.sources.rows import BadRows, read_rows

BLANK = "____"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

QUESTION_FIELDS = ("question", "query", "stem", "sentence", "prompt", "ctx")
CHOICES_FIELDS = ("choices", "options", "endings", "candidates")
ANSWER_FIELDS = (
    "answer", "answerKey", "answer_key", "answer_idx", "label", "gold", "target", "correct",
    "correct_answer", "right",
)  # fmt: skip
HOW_ROWS_LOOK = N_(
    'rows look like {"question": "2 + 2 =", "choices": ["3", "4"], "answer": "B"}; '
    "or the choices are columns A, B, …, or stand in the question: …? A: 3; B: 4"
)


@dataclass(frozen=True)
class ExamQuestion:
    """A question and its choices; `right` are the places of those that are right. In a cloze, `BLANK`
    in the text is where the choice belongs."""

    text: str
    choices: tuple[str, ...]
    right: frozenset[int]
    where: str = ""

    def __post_init__(self) -> None:
        if len(self.choices) < 2:
            raise ValueError("there is one choice only" if self.choices else "there are no choices")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("two choices are the same")
        if not self.right:
            raise ValueError("there is no answer")
        if len(self.right) == len(self.choices):
            raise ValueError("all choices are right")

    @property
    def letters(self) -> str:
        """The letters of the right choices."""
        return "".join(LETTERS[place] for place in sorted(self.right))


def read_exam(paths: Sequence[str | Path], bad: BadRows) -> list[ExamQuestion]:
    """The questions of JSONL, JSON, CSV, TSV and Parquet files. Others are added to `bad`.

    A question is in a field of `QUESTION_FIELDS`; its choices in one of `CHOICES_FIELDS` (a list, an
    object by letters, or ARC's lists of texts and labels), in columns A, B, C, …, or at the end of the
    question ("…? A: …; B: …"); its answer in one of `ANSWER_FIELDS`: a letter, several ("AC",
    "正确答案：AC。"), the place from 0, or the right choice itself.

    Raises `InputError` if no row is a question.
    """
    questions = []
    for row in read_rows(paths, bad):
        try:
            questions.append(question_of(row.values, row.where))
        except ValueError as error:
            bad.add(row.where, str(error))
    bad.refuse_if_all(len(questions), HOW_ROWS_LOOK)
    return questions


def question_of(row: Mapping[str, Any], where: str = "") -> ExamQuestion:
    """The question of one row. Raises `ValueError`, which says what is wrong with it."""
    row = _flattened(row)
    text = _question(row)
    choices, labels = _choices(row)
    if not choices:
        text, choices = split_question(text)
        labels = LETTERS
    if len(choices) > len(LETTERS):
        raise ValueError(f"there are {len(choices)} choices, but only {len(LETTERS)} letters")
    right = _right(_answer(row), choices, labels[: len(choices)])
    return ExamQuestion(text.strip(), tuple(choice.strip() for choice in choices), right, where)


def split_question(text: str) -> tuple[str, list[str]]:
    """A question and the choices at its end: "Which? A: this; B: that." Raises `ValueError` where
    there are none."""
    # From the last "A" that a "B" follows: an earlier one may be a word of the question.
    for first in reversed(list(_marks("A", text))):
        marks = [first]
        for letter in LETTERS[1:]:
            following = next(_marks(letter, text, marks[-1].end()), None)
            if following is None:
                break
            marks.append(following)
        if len(marks) > 1:
            ends = [mark.start() for mark in marks[1:]] + [len(text)]
            choices = [text[m.end() : end] for m, end in zip(marks, ends, strict=True)]
            return text[: first.start()], [choice.strip(" \t\n;；,，、。.") for choice in choices]
    raise ValueError("there are no choices: neither a field of them nor in the question")


def _marks(letter: str, text: str, start: int = 0) -> Iterator[re.Match[str]]:
    """Where a choice may begin: its letter, perhaps in brackets, and what stands behind it."""
    pattern = rf"(?<![A-Za-z])[（(]?{letter}(?:[）)]\s?[:：.．、]?|\s?[:：.．、])"
    return re.compile(pattern).finditer(text, start)


def _flattened(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """ARC's first files keep question and choices in an object of their own."""
    inner = row.get("question")
    return {**row, **inner, "question": inner.get("stem")} if isinstance(inner, dict) else row


def _question(row: Mapping[str, Any]) -> str:
    name = _first(row, QUESTION_FIELDS)
    if name is None:
        raise ValueError(f"there is no question: no field {', '.join(QUESTION_FIELDS)}")
    text = str(row[name])
    # Whatever number of lines marks the blank; WinoGrande has one.
    return re.sub(r"_{2,}|(?<!\w)_(?!\w)", BLANK, text, count=1)


def _choices(row: Mapping[str, Any]) -> tuple[list[str], Sequence[str]]:
    """The choices of a row, and what an answer may call them; none where it has no field of them."""
    name = _first(row, CHOICES_FIELDS)
    if name is None:
        return _columns(row), LETTERS
    given = row[name]
    if isinstance(given, Mapping) and "text" in given:
        labels = given.get("label") or LETTERS
        return [*map(str, given["text"])], [*map(str, labels)]
    if isinstance(given, Mapping):
        return [str(choice) for choice in given.values()], [*map(str, given)]
    if isinstance(given, list) and all(isinstance(each, Mapping) for each in given):
        labels = [str(each.get("label", LETTERS[i])) for i, each in enumerate(given)]
        return [str(each.get("text", "")) for each in given], labels
    if isinstance(given, list):
        return [*map(str, given)], LETTERS
    raise ValueError(f"the field {name!r} is neither a list nor an object: {str(given)[:40]!r}")


def _columns(row: Mapping[str, Any]) -> list[str]:
    """Choices in columns of their own: A, B, … or option_a, … or choice1, …; up to the first empty."""
    for spelling in (str.upper, lambda letter: f"option_{letter.lower()}"):
        if found := _filled(row, [spelling(letter) for letter in LETTERS]):
            return found
    return _filled(row, [f"choice{number}" for number in range(1, 10)])


def _filled(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    choices: list[str] = []
    for name in names:
        if row.get(name) in (None, ""):
            break
        choices.append(str(row[name]))
    return choices


def _answer(row: Mapping[str, Any]) -> Any:
    name = _first(row, ANSWER_FIELDS)
    if name is None:
        raise ValueError(f"there is no answer: no field {', '.join(ANSWER_FIELDS[:5])}, …")
    return row[name]


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if row.get(name) not in (None, "", [], {})), None)


def _right(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> frozenset[int]:
    """The places that an answer names. One that may be read in two ways is refused."""
    if isinstance(answer, list):
        return frozenset().union(*(_right(each, choices, labels) for each in answer))
    text = str(answer).strip()
    texts = [choice.strip() for choice in choices]
    readings = {
        reading
        for reading in (_labelled(text, labels), _same_as(text, texts), _numbered(text, labels))
        if reading
    }
    if not readings:
        raise ValueError(f"the answer {text[:40]!r} is none of the choices")
    if len(readings) > 1:
        raise ValueError(
            f"the answer {text[:40]!r} may be a letter, a place or a text: two choices"
        )
    return readings.pop()


def _same_as(text: str, choices: Sequence[str]) -> frozenset[int]:
    return frozenset(place for place, choice in enumerate(choices) if choice == text)


def _labelled(text: str, labels: Sequence[str]) -> frozenset[int]:
    """Labels, alone or after "答案：" or "answer:", one or several."""
    places = {label.upper(): place for place, label in enumerate(labels)}
    said = re.split(r"[:：]", text)[-1].strip(" \t。.()（）[]").upper()
    if said in places:
        return frozenset([places[said]])
    named = re.sub(r"[\s,，、;；&和]|AND", "", said)
    return (
        frozenset(places[c] for c in named) if named and set(named) <= set(places) else frozenset()
    )


def _numbered(text: str, labels: Sequence[str]) -> frozenset[int]:
    """A place from 0 as text, where digits are not the labels."""
    is_place = text.isascii() and text.isdigit() and text not in labels
    return frozenset([int(text)]) if is_place and int(text) < len(labels) else frozenset()
