"""Exams built from documents: the same for the same seed, answerable by who knows the documents, and
with wrong choices that are like the right one."""

from collections import Counter
from pathlib import Path

import pytest

from groundup.errors import InputError
from groundup.evaluate.cloze import ClozeConfig, build_cloze
from groundup.evaluate.exam import examine
from groundup.evaluate.exam_file import BLANK
from groundup.evaluate.ngram import NGram
from groundup.evaluate.terms import find_terms, kind, sentences
from groundup.sources.read import read_pieces


@pytest.fixture(scope="module")
def advice(real_data: Path) -> list[str]:
    pieces = read_pieces([real_data / "zh/legal-qa.jsonl"], text_field="output")
    return [next(pieces).text for _ in range(600)]


@pytest.fixture(scope="module")
def plays(real_data: Path) -> list[str]:
    text = (real_data / "en/tinyshakespeare.txt").read_text(encoding="utf-8")
    return text[-200_000:].split("\n\n")


@pytest.mark.parametrize("name", ["advice", "plays"])
def test_each_question_is_a_sentence_of_the_documents_with_its_term_blanked(name: str, request):
    documents: list[str] = request.getfixturevalue(name)
    questions = build_cloze(documents, ClozeConfig(questions=100))
    assert len(questions) == 100
    whole = "\n".join(documents)
    for question in questions:
        (right,) = question.right
        term = question.choices[right]
        assert question.text.count(BLANK) == 1 and question.text.replace(BLANK, term) in whole
        before = question.text.partition(BLANK)[0]
        assert len(before.encode()) >= 24
        assert len({kind(choice) for choice in question.choices}) == 1
        assert all(choice in whole for choice in question.choices)
        assert not any(c in question.text for c in question.choices if c != term)
        number = int(question.where.removeprefix("document "))
        assert question.text.replace(BLANK, term) in documents[number - 1]
    terms = [question.choices[next(iter(question.right))] for question in questions]
    assert len(set(terms)) == len(terms)


def test_the_wrong_choices_come_about_as_often_as_the_right_one(advice):
    counts = find_terms([s for document in advice for s in sentences(document)])
    questions = build_cloze(advice)
    # Whoever always takes the commonest choice, or the rarest, is near chance.
    for extreme in (max, min):
        gained = 0.0
        for question in questions:
            most = extreme(counts[choice] for choice in question.choices)
            alike = [place for place, c in enumerate(question.choices) if counts[c] == most]
            gained += len(question.right & set(alike)) / len(alike)
        assert 0.15 < gained / len(questions) < 0.35
    places = Counter(q.letters for q in questions)
    assert set(places) == set("ABCD") and max(places.values()) < 0.35 * len(questions)


def test_the_seed_decides(plays):
    ten = build_cloze(plays, ClozeConfig(questions=10))
    assert ten == build_cloze(plays, ClozeConfig(questions=10))
    assert ten != build_cloze(plays, ClozeConfig(questions=10, seed=1))


def test_who_has_read_the_documents_is_better_than_guessing_and_who_has_not_is_worse(advice):
    exam = build_cloze(advice[:200], ClozeConfig(questions=120))
    knows = examine(NGram(advice[:200]), exam)
    field = examine(NGram(advice[200:]), exam)
    stranger = examine(NGram(["to be or not to be"]), exam)
    assert knows.verdict.startswith("better than guessing: ") and knows.accuracy > 0.9
    assert 0.3 < field.accuracy < knows.accuracy
    assert stranger.verdict.startswith("no better than guessing: ")


def test_too_little_text_is_said():
    with pytest.raises(InputError, match="no exam can be built"):
        build_cloze(["Mia is in the garden."], where=["story.txt"])


def test_words_of_everyday_and_rare_words_are_no_terms():
    texts = ["The court has the record of case."] * 500 + ["A plaintiff appeals."] * 4
    assert set(find_terms(texts)) == {"plaintiff", "appeals"}


def test_sentences_of_both_languages_are_told_apart():
    assert sentences("一。二！“三？”\n四 It is 3.5 m. Yes? no") == [
        "一。", "二！", "“三？”", "四 It is 3.5 m.", "Yes?", "no",
    ]  # fmt: skip
