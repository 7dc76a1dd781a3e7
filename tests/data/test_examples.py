"""Rows to examples: which column is which, with a header or without, and what is no example."""

import json
from pathlib import Path

import pytest

from groundup.data.examples import Example, LabelledConfig, read_examples
from groundup.errors import InputError
from groundup.sources.rows import BadRows


def read(path: Path, content: str, bad: BadRows | None = None, **settings) -> list[Example]:
    path.write_text(content, encoding="utf-8")
    noted = BadRows() if bad is None else bad
    examples = read_examples([path], LabelledConfig(**settings), noted)
    assert bad is not None or not noted.problems
    return examples


def pairs(examples: list[Example]) -> list[tuple[str, str]]:
    return [(example.label, example.text) for example in examples]


@pytest.mark.parametrize(
    ("name", "header"),
    [("a.tsv", "Label\tSMS"), ("a.csv", "class,sentence"), ("a.tsv", "标签\t文本"), ("a.csv", "CATEGORY,Text")],
)  # fmt: skip
def test_the_usual_names_of_columns_are_known(name: str, header: str, tmp_path: Path):
    between = "\t" if name == "a.tsv" else ","
    rows = f"{header}\nham{between}see you\nspam{between}win now\n"
    assert pairs(read(tmp_path / name, rows)) == [("ham", "see you"), ("spam", "win now")]


def test_columns_in_any_order_among_others_and_labels_that_are_numbers(tmp_path: Path):
    rows = [{"id": 7, "text": "好", "sentiment": 1}, {"id": 8, "sentiment": 0, "text": "坏"}]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    examples = read(tmp_path / "a.jsonl", content + "\n")
    assert pairs(examples) == [("1", "好"), ("0", "坏")]
    assert examples[1].where.endswith("a.jsonl:2")


@pytest.mark.parametrize("order", [0, 1])
def test_two_columns_without_a_header_are_told_by_their_first_line(order: int, tmp_path: Path):
    rows = [("ham", "see you"), ("spam", "win"), ("ham", "later"), ("ham", "see you")]
    content = "".join("\t".join(row[:: 1 - 2 * order]) + "\n" for row in rows)
    examples = read(tmp_path / "a.tsv", content)
    assert pairs(examples) == rows
    assert [example.where[-7:] for example in examples] == [f"a.tsv:{i}" for i in (1, 2, 3, 4)]


def test_columns_may_be_named(tmp_path: Path):
    content = "v1,v2,text\nham,see you,x\nspam,win,y\n"
    examples = read(tmp_path / "a.csv", content, label_field="V1", text_field="v2")
    assert pairs(examples) == [("ham", "see you"), ("spam", "win")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no field is known to be the label: it has 'v1', 'v2', 'v3'"),
        ({"label_field": "v_1", "text_field": "v2"}, "no field 'v_1': did you mean 'v1'?"),
        ({"label_field": "v1"}, "no field is known to be the text"),
    ],
)
def test_a_file_whose_columns_nobody_knows_is_refused_with_their_names(settings, said, tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path / "a.csv", "v1,v2,v3\nham,see you,1\n", BadRows(), **settings)
    assert said in str(error.value) and "a.csv:2" in str(error.value)


def test_bad_rows_are_listed_with_their_line_and_the_good_ones_kept(tmp_path: Path):
    bad = BadRows()
    lines = [
        '{"label": "ham", "text": "see you"}', '{"label": "ham", "text": ""}', '{"text": "later"}',
        '{"label": null, "text": "later"}', '{"label": ["a"], "text": "later"}', "{",
        '{"label": "spam", "text": "See  YOU"}', '{"label": "spam", "text": "win"}',
    ]  # fmt: skip
    examples = read(tmp_path / "a.jsonl", "\n".join(lines) + "\n", bad)
    assert pairs(examples) == [("ham", "see you"), ("spam", "win")]
    assert sorted(int(where.rpartition(":")[2]) for where, _ in bad.problems) == [2, 3, 4, 5, 6, 7]
    told = {int(where.rpartition(":")[2]): what for where, what in bad.problems}
    assert told[2] == "the field 'text' is empty" and "known to be the label" in told[3]
    assert told[4] == "the field 'label' is empty" and "'label' is no label" in told[5]
    assert "for the same text 'ham' at" in told[7] and "a.jsonl:1" in told[7]
    assert bad.summary(len(examples)).startswith("6 of 8 rows left out")


def test_a_first_row_without_a_label_is_just_a_bad_row(tmp_path: Path):
    bad = BadRows()
    rows = '{"id": 1, "text": "x"}\n{"label": "a", "text": "y"}\n{"more": 1}\n'
    assert pairs(read(tmp_path / "a.jsonl", rows, bad)) == [("a", "y")] and len(bad) == 2


def test_real_data_of_both_languages_are_read_whole(real_data: Path):
    for name, rows, labels in (
        ("en/sms-spam.tsv", 5574, {"ham": 4827, "spam": 747}),
        ("zh/reviews.tsv", 8000, {"positive": 4000, "negative": 4000}),
    ):
        bad = BadRows()
        examples = read_examples([real_data / name], LabelledConfig(), bad)
        assert len(examples) + len(bad) == rows
        found = [example.label for example in examples]
        assert all(count - len(bad) <= found.count(label) for label, count in labels.items())


def test_the_original_spam_file_without_its_header_is_the_same(real_data: Path, tmp_path: Path):
    given = real_data / "en/sms-spam.tsv"
    header, _, rest = given.read_text(encoding="utf-8").partition("\n")
    assert header.split() == ["Label", "SMS"]
    headless = read(tmp_path / "SMSSpamCollection.tsv", rest)
    assert pairs(headless) == pairs(read_examples([given], LabelledConfig(), BadRows()))
