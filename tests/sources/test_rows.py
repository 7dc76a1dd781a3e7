"""Rows with all their fields, and the list of those that are left out."""

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest

from groundup.errors import InputError
from groundup.sources.rows import BadRows, read_rows

ROWS = [{"prompt": "one, two", "completion": "three"}, {"prompt": "四", "completion": "五"}]


def written(folder: Path) -> dict[str, Path]:
    """The same two rows in every format."""
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    texts = {
        "a.jsonl": lines,
        "a.json": json.dumps(ROWS),
        "a.csv": 'prompt,completion\n"one, two",three\n四,五\n',
        "a.tsv": "prompt\tcompletion\none, two\tthree\n四\t五\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), folder / "a.parquet")
    return {path.name: path for path in folder.iterdir()}


def test_rows_are_the_same_in_every_format_and_know_their_place(tmp_path: Path):
    places = {
        "a.jsonl": ":2", "a.json": ", row 2", "a.csv": ":3", "a.tsv": ":3", "a.parquet": ", row 2",
        "b.jsonl.gz": ":2",
    }  # fmt: skip
    for name, path in written(tmp_path).items():
        rows = list(read_rows([path]))
        assert [row.values for row in rows] == ROWS, name
        assert rows[1].where == f"{path}{places[name]}"


def test_nested_values_stay_and_halves_of_characters_do_not(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "a\\ud83d"}], "n": 3}\n')
    assert [row.values for row in read_rows([path])] == [
        {"messages": [{"role": "user", "content": "a\ufffd"}], "n": 3}
    ]


def test_what_cannot_be_read_is_noted_or_refused(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\nnot json\n[2]\n{"a": 3}\n')
    (tmp_path / "b.txt").write_text("text")
    (tmp_path / "c.csv").write_text("a,b\n1,2\n3,4,5\n")
    bad = BadRows()
    rows = [row.values for row in read_rows([tmp_path], bad)]
    assert rows == [{"a": 1}, {"a": 3}, {"a": "1", "b": "2"}]
    places = [Path(where).name for where, _ in bad.problems]
    assert places == ["a.jsonl:2", "a.jsonl:3", "b.txt", "c.csv:3"]
    for name, said in (("a.jsonl", "not valid JSON"), ("b.txt", "no file of rows"),
                       ("c.csv", "more fields than the first line")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            list(read_rows([tmp_path / name]))


def test_bad_rows_are_summed_up_and_refused_only_where_no_other_is_left():
    bad = BadRows()
    with pytest.raises(InputError, match="no rows"):
        bad.refuse_if_all(0, "give some")
    for line in range(7):
        bad.add(f"a.jsonl:{line}", "the field 'output' is empty")
    assert bad.summary(1093).startswith("7 of 1,100 rows left out: a.jsonl:0: the field 'output'")
    assert bad.summary(1093).endswith("; and 2 more")
    bad.refuse_if_all(1, "fill them")
    with pytest.raises(InputError) as error:
        bad.refuse_if_all(0, "fill them")
    assert "none of 7 rows" in str(error.value) and "fill them" in str(error.value)


def test_real_rows_have_their_fields(real_data: Path):
    for name, count in (("en/instructions.json", 1100), ("zh/legal-qa.jsonl", 5000)):
        rows = list(read_rows([real_data / name]))
        assert len(rows) == count
        assert all(row.values.keys() == {"instruction", "input", "output"} for row in rows)
