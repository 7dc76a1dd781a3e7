"""A messy folder: what can be read is read, and everything else is told."""

import gzip
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import InputError
from groundup.sources.damage import note_damage
from groundup.sources.fingerprint import fingerprint
from groundup.sources.problems import Problem, refuse
from groundup.sources.read import read_pieces
from groundup.sources.source import Piece, Source
from groundup.sources.tables import row_texts

LONG = "A line of text that is long enough. 一行足够长的文字。\n"


def read(*paths: Path, text_field: str | None = None) -> tuple[list[str], list[Problem]]:
    found: list[Problem] = []
    pieces = read_pieces(list(paths), text_field, found.append)
    return [piece.text for piece in pieces], found


def parquet_bytes(columns: dict[str, list[str]]) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer, compression="none")
    return buffer.getvalue()


MESSY = {
    "a.jsonl": b'{"text": "one"}\nnot json\n{"note": 1}\n[2]\n{"text": "two"}\n{"text": "cut of',
    "b.png": b"\x89PNG\r\n\x1a\n\x00\x00",
    "c.txt": b"",
    "d.txt": (LONG * 20_000).encode() + b"\xff\xfe bad\n",
    "e.csv": b"id,note\n1,x\n2,y\n3,z\n",
    "f.parquet": parquet_bytes({"id": ["1"], "note": ["x"]}),
    "g.json": b'[{"text": "three"}, 4]',
    "h.txt": "fine\nbro\ufffdken\nfine\nIt\u00e2\u20ac\u2122s\n锟斤拷\nmore \x07\n".encode(),
    "i.jsonl": '{"text": "four"}\n{"text": "bad \ufffd"}\n'.encode(),
    "j.zip": b"PK no",
    "k.docx": b"no",
    "l.txt": "干净的文字。\n".encode(),
}
FOUND = [
    ("bad_json", "a.jsonl", 2), ("no_text_field", "a.jsonl", 3), ("bad_json", "a.jsonl", 4),
    ("cut_file", "a.jsonl", 6), ("binary", "b.png", None), ("no_text", "c.txt", None),
    ("wrong_encoding", "d.txt", 20_001), ("no_text_field", "e.csv", None),
    ("no_text_field", "f.parquet", None), ("bad_json", "g.json", 2), ("damaged_text", "h.txt", 2),
    ("damaged_text", "h.txt", 4), ("damaged_text", "h.txt", 5), ("damaged_text", "i.jsonl", 2),
    ("broken_archive", "j.zip", None), ("broken_file", "k.docx", None),
]  # fmt: skip


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    for name, content in MESSY.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_everything_wrong_in_a_folder_is_told_and_the_rest_is_read(messy: Path):
    texts, problems = read(messy)
    assert [(p.kind, Path(p.file).name, p.line) for p in problems] == FOUND
    assert all(problem.text and problem.fix for problem in problems)
    for text in ("one", "two", "three", "four", "干净的文字。\n"):
        assert text in texts


def test_without_a_report_the_same_problem_is_an_error_with_its_place(messy: Path):
    for name in {name for kind, name, _ in FOUND if kind != "damaged_text"}:
        with pytest.raises(InputError) as error:
            list(read_pieces([messy / name]))
        first = read(messy / name)[1][0]
        assert str(error.value) == f"{first.text}\n  where: {first.where}\n  fix: {first.fix}"
    assert list(read_pieces([messy / "h.txt"]))


def test_the_offending_text_is_shown(messy: Path):
    problems = {(Path(p.file).name, p.line): p.text for p in read(messy)[1]}
    assert "not json" in problems["a.jsonl", 2]
    assert "\\xff\\xfe bad" in problems["d.txt", 20_001]
    assert "bro\ufffdken" in problems["h.txt", 2]


@pytest.mark.parametrize("name", ["e.csv", "f.parquet"])
def test_a_table_without_a_text_column_lists_its_columns_once(name: str, messy: Path):
    for field, hint in ((None, "--text-field"), ("noet", "did you mean 'note'?")):
        texts, [problem] = read(messy / name, text_field=field)
        assert not texts and hint in problem.fix and "it has: id, note" in problem.fix
    assert read(messy / name, text_field="note")[0]


def test_what_the_user_named_and_is_missing_is_always_an_error(tmp_path: Path):
    for missing in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(InputError):
            read(missing)


def test_a_row_with_an_empty_text_is_no_problem(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,text\n1,\n2,two\n3\n")
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": ""}\n{"text": "three"}\n')
    assert read(tmp_path) == (["two", "three"], [])


def test_damage_is_counted_over_the_pieces_of_a_long_text(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("groundup.sources.read.PIECE_CHARACTERS", 1000)
    monkeypatch.setattr("groundup.sources.encodings.CHUNK_BYTES", 777)
    (tmp_path / "a.txt").write_text(LONG * 100 + "\ufffd\n" + LONG * 50 + "\ufffd\n" * 9, "utf-8")
    assert [problem.line for problem in read(tmp_path)[1]] == [101, 152, 153]


@given(st.text(st.sampled_from("abc \n\té中。“—’ÃâÂ"), max_size=200))
def test_clean_text_is_never_called_damaged(text: str):
    source = Source("a.txt", "a.txt", lambda: io.BytesIO(text.encode()))
    assert list(note_damage([Piece(text, True, "a.txt")], source, refuse))


class Counted(io.BytesIO):
    """A stream that counts what is read from it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        Counted.count += len(data)
        return data


def test_only_the_columns_of_the_text_are_read_from_parquet():
    content = parquet_bytes({
        "other": [f"{n} " * 2000 for n in range(200)], "text": [str(n) for n in range(200)],
    })  # fmt: skip
    source = Source("a.parquet", "a.parquet", lambda: Counted(content))
    texts = list(row_texts(source, None, refuse))
    assert texts[-1] == (200, "199") and Counted.count < len(content) / 4


def test_a_fingerprint_follows_names_and_contents_and_not_the_place(tmp_path: Path):
    for folder in ("one", "two"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        (tmp_path / folder / "sub" / "a.txt").write_text("text")
        (tmp_path / folder / "b.jsonl.gz").write_bytes(gzip.compress(b"{}", mtime=0))
    whole = fingerprint([tmp_path / "one"])
    assert whole == fingerprint([tmp_path / "two"])
    assert whole != fingerprint([tmp_path / "one" / "sub"])
    (tmp_path / "two" / "sub" / "a.txt").write_text("texts")
    assert whole != fingerprint([tmp_path / "two"])
    (tmp_path / "one" / "b.jsonl.gz").rename(tmp_path / "one" / "c.jsonl.gz")
    assert whole != fingerprint([tmp_path / "one"])


def test_standard_input_has_no_fingerprint():
    with pytest.raises(InputError, match="cannot be read twice"):
        fingerprint(["-"])


def test_deeply_nested_json_is_a_problem_and_not_a_crash(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("[" * 100_000 + "\n" + json.dumps({"text": "one"}) + "\n")
    texts, [problem] = read(tmp_path)
    assert texts == ["one"] and problem.kind == "bad_json"
