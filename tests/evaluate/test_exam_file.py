"""The usual spellings of exam questions, and rows that are none."""

import json
from pathlib import Path

import pytest

from groundup.errors import InputError
from groundup.evaluate.exam_file import (
    BLANK,
    ExamQuestion,
    question_of,
    read_exam,
    split_question,
)
from groundup.sources.rows import BadRows

SPELLINGS = {
    "ours": {"question": "Q?", "choices": ["a1", "b2", "c3"], "answer": "B"},
    "by index": {"question": "Q?", "choices": ["a1", "b2", "c3"], "answer": 1},
    "MMLU in Hugging Face": {"question": "Q?", "choices": ["a1", "b2", "c3"], "answer": 1},
    "HellaSwag": {"ctx": "Q?", "endings": ["a1", "b2", "c3"], "label": "1"},
    "by text": {"question": "Q?", "options": ["a1", "b2", "c3"], "correct_answer": "b2"},
    "letters": {"question": "Q?", "options": {"A": "a1", "B": "b2", "C": "c3"}, "answer": "b"},
    "ARC": {"question": "Q?", "choices": {"text": ["a1", "b2", "c3"], "label": ["1", "2", "3"]},
            "answerKey": "2"},
    "ARC's first files": {"question": {"stem": "Q?", "choices": [
        {"label": "A", "text": "a1"}, {"label": "B", "text": "b2"}, {"label": "C", "text": "c3"}]},
        "answerKey": "B"},
    "columns of letters": {"question": "Q?", "A": "a1", "B": "b2", "C": "c3", "D": "", "answer": "B"},
    "columns of options": {"question": "Q?", "option_a": "a1", "option_b": "b2", "option_c": "c3",
                           "answer": "B"},
    "COPA": {"question": "Q?", "choice1": "a1", "choice2": "b2", "choice3": "c3", "label": "1"},
    "in the question": {"question": "Q? A. a1\nB. b2\nC. c3", "answer": "(B)"},
    "the judicial examination": {"question": "Q?A:a1;B:b2;C:c3。", "answer": "正确答案：B。"},
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_usual_spellings_say_the_same(spelling: str):
    expected = ExamQuestion("Q?", ("a1", "b2", "c3"), frozenset([1]))
    assert question_of(SPELLINGS[spelling]) == expected


@pytest.mark.parametrize(
    "answer", ["AC", "A,C", "A、C", "正确答案：AC。", ["A", "C"], "A and C", [0, 2], "ac"]
)
def test_several_right_choices_are_a_set(answer):
    question = question_of({"question": "Q?", "choices": ["x", "y", "z"], "answer": answer})
    assert question.right == {0, 2} and question.letters == "AC"


@pytest.mark.parametrize("blank", ["__", "_", "______"])
def test_a_blank_of_any_length_is_a_blank(blank: str):
    row = {"sentence": f"The {blank} is red.", "choices": ["ball", "garden"], "answer": "ball"}
    assert question_of(row).text == f"The {BLANK} is red."


def test_a_letter_in_the_question_does_not_begin_the_choices():
    text, choices = split_question(
        "甲公司与A、B两人签约。下列说法正确的是?A:有效;B:无效;C:A、B均可撤销。"
    )
    assert text == "甲公司与A、B两人签约。下列说法正确的是?"
    assert choices == ["有效", "无效", "A、B均可撤销"]


BAD = {
    "there is no answer": {"question": "Q?", "choices": ["x", "y"]},
    "there is no answer:": {"question": "Q?", "choices": ["x", "y"], "answer": ""},
    "none of the choices": {"question": "Q?", "choices": ["x", "y"], "answer": "E"},
    "the answer '7' is none": {"question": "Q?", "choices": ["x", "y"], "answer": 7},
    "one choice only": {"question": "Q?", "choices": ["x"], "answer": "A"},
    "there are no choices": {"question": "Q?", "answer": "A"},
    "two choices are the same": {"question": "Q?", "choices": ["x", "x "], "answer": "A"},
    "there is no question": {"choices": ["x", "y"], "answer": "A"},
    "all choices are right": {"question": "Q?", "choices": ["x", "y"], "answer": "AB"},
    "may be a letter, a place or a text": {"question": "Q?", "choices": ["B", "A"], "answer": "A"},
    "neither a list nor an object": {"question": "Q?", "choices": "x", "answer": "A"},
    "only 26 letters": {"question": "Q?", "choices": [*map(str, range(27))], "answer": "A"},
}


@pytest.mark.parametrize("what", BAD)
def test_a_row_that_is_no_question_says_why(what: str):
    with pytest.raises(ValueError, match=what):
        question_of(BAD[what])


def test_bad_rows_are_counted_with_their_lines_and_the_others_read(tmp_path: Path):
    good = json.dumps(SPELLINGS["ours"])
    lines = [good, json.dumps(BAD["one choice only"]), "{broken", good]
    (tmp_path / "exam.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    bad = BadRows()
    assert len(read_exam([tmp_path / "exam.jsonl"], bad)) == 2
    places = [where for where, _ in bad.problems]
    assert places == [f"{tmp_path}/exam.jsonl:{line}" for line in (2, 3)]
    assert "one choice only" in bad.summary(2) and "2 of 4 rows left out" in bad.summary(2)


def test_files_without_any_question_are_refused_with_an_example(tmp_path: Path):
    (tmp_path / "exam.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="rows look like"):
        read_exam([tmp_path / "exam.json"], BadRows())
    (tmp_path / "exam.csv").write_text("question,A,answer\nQ?,x,A\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"one choice only[\s\S]*exam.csv:2"):
        read_exam([tmp_path / "exam.csv"], BadRows())


def test_a_csv_of_columns_is_read(tmp_path: Path):
    text = "question,A,B,C,D,answer\nQ?,a1,b2,c3,d4,D\n"
    (tmp_path / "exam.csv").write_text(text, encoding="utf-8")
    (question,) = read_exam([tmp_path / "exam.csv"], BadRows())
    assert question.choices == ("a1", "b2", "c3", "d4") and question.letters == "D"


def test_the_judicial_examination_is_read_whole(real_data: Path):
    bad = BadRows()
    questions = read_exam([real_data / "zh/law-exam.json"], bad)
    assert all(len(question.choices) == 4 and len(question.right) == 1 for question in questions)
    # Of row 189, choices A and D are the same.
    assert len(questions) == 499
    assert [(w.rpartition("/")[2], what) for w, what in bad.problems] == [
        ("law-exam.json, row 189", "two choices are the same")
    ]
