"""Results side by side: a table in Markdown, and a page with figures."""

from lxml import html

from groundup.evaluate.intervals import Interval
from groundup.evaluate.report import report_page
from groundup.evaluate.results import Figure, Result, Table, markdown


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
    import json

    written = json.loads(json.dumps(exam("base", 0.26).to_json()))
    assert written["subject"] == "base" and written["figures"][0][:2] == ["accuracy", 0.26]
