"""Results side by side: a table in Markdown, and a page with figures."""

import json

import numpy as np
from lxml import html

from groundup.evaluate.classification import Classification, measure
from groundup.evaluate.exam import ExamResult, Majority
from groundup.evaluate.forgetting import Change
from groundup.evaluate.intervals import Interval
from groundup.evaluate.language import LanguageScore, summarize
from groundup.evaluate.report import report_page
from groundup.evaluate.results import Figure, Result, Table, markdown
from groundup.evaluate.sections import (
    classification_result,
    exam_result,
    forgetting_result,
    language_result,
)


def exam(subject: str, value: float) -> Result:
    guess = Figure("chance", 0.25)
    return Result(
        "Exam: law.json",
        subject,
        [Figure("accuracy", value, Interval(value - 0.04, value + 0.04)), Figure("questions", 500, digits=0)],
        [guess],
        "no better than guessing" if value < 0.3 else "better than guessing",
        [Table("wrong answers", ("question", "said"), [("Is a | b < c?", "<b>A</b>")])],
        ["Answers are scored by their likelihood per byte."],
    )  # fmt: skip


def language(subject: str) -> Result:
    return Result(
        "Language: plays.txt", subject, [Figure("bits per byte", 1.25), Figure("loss", 3)]
    )


RESULTS = [exam("base", 0.26), language("base"), exam("tuned", 0.41)]


def test_models_stand_side_by_side_with_their_baselines():
    text = markdown(RESULTS)
    assert text.count("## ") == 2
    exams = text.split("## ")[1]
    assert "|  | accuracy | questions |" in exams
    assert "| base | 0.260 [0.220, 0.300] | 500 |" in exams
    assert "| tuned | 0.410 [0.370, 0.450] | 500 |" in exams
    assert exams.count("| chance | 0.250 |") == 1
    assert "base: no better than guessing" in exams and "tuned: better than guessing" in exams
    assert exams.count("likelihood per byte") == 1


def test_the_page_has_a_section_a_table_and_a_figure_for_each_measurement():
    page = html.document_fromstring(report_page("Evaluation", RESULTS))
    assert page.xpath("//h2/text()") == ["Exam: law.json", "Language: plays.txt"]
    first, *_ = page.xpath("//table")
    assert [cell.text for cell in first.xpath(".//tr/*[1]")] == [None, "base", "tuned", "chance"]
    assert len(page.xpath("//*[local-name()='svg']")) == 1  # one number alone is no figure
    assert "<b>A</b>" in page.xpath("//td/text()")
    assert page.xpath("//h3/text()") == ["base: wrong answers", "tuned: wrong answers"]


def test_results_are_plain_values_for_json():
    written = json.loads(json.dumps(exam("base", 0.26).to_json()))
    assert written["subject"] == "base" and written["figures"][0][:2] == ["accuracy", 0.26]


# --- each kind of measurement ---------------------------------------------------------------------


def predicted(right: int) -> Classification:
    """Forty texts, of which so many are labelled as they should be."""
    truth = np.array([0, 1] * 20)
    said = np.where(np.arange(40) < right, truth, 1 - truth)
    probabilities = np.where(np.arange(2) == said[:, None], 0.9, 0.1)
    return measure(probabilities, truth, ["ham", "spam"], [f"text {i}" for i in range(40)])


def test_a_classifier_stands_beside_its_baselines():
    others = {"majority": predicted(20), "TF-IDF": predicted(38)}
    result = classification_result("tuned", "sms", predicted(38), others)
    assert result.figures[0].value == 0.95 and [b.value for b in result.baselines] == [0.5, 0.95]
    assert result.verdict == "better than majority; not clearly other than TF-IDF"
    confusions, mistakes, _ = result.tables
    assert confusions.rows == [("ham", 19, 1), ("spam", 1, 19)]
    assert [row[3] for row in mistakes.rows] == ["text 38", "text 39"]


def test_an_exam_stands_beside_chance_one_letter_and_others():
    def taken(right: int) -> ExamResult:
        answers = [n < right for n in range(100)]
        return ExamResult(answers, [0.25] * 100, Majority("B", 0.28), 3, {"sum": 0.2, "pmi": 0.3})

    result = exam_result("tuned", "law.json", taken(27), {"base model": taken(24)})
    assert result.verdict.startswith("no better than guessing")
    names = [(figure.name, figure.value) for figure in result.baselines]
    assert names == [("chance", 0.25), ("always B", 0.28), ("base model", 0.24)]
    assert "only the end was read of 3 of 100 questions" in result.verdict


def test_language_and_forgetting_become_results():
    score = summarize([[LanguageScore(100.0 + n, 50, 200.0)] for n in range(6)])
    result = language_result("base", "plays.txt", score)
    assert result.figures[0].value == score.bits_per_byte
    assert result.figures[0].interval == score.bits_per_byte_interval
    change = Change("plays", "bits_per_byte", 1.2, 1.5, 0.3, Interval(0.2, 0.4))
    lost = forgetting_result("tuned", [change])
    assert lost.figures[0].name == "plays, bits per byte" and lost.figures[0].value == 0.3
    assert lost.tables[0].rows == [("plays", "bits per byte", "1.2000", "1.5000", "yes")]
    report_page("Evaluation", [result, lost])
