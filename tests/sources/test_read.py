"""Reading documents: formats, encodings, and what is refused."""

import json
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import InputError
from groundup.sources import read
from groundup.sources.read import read_pieces, split_point

CHINESE = "他说：这是一个很好的地方，我们在这里学习和工作。人们来来往往。\n" * 20


def texts(*paths: Path, text_field: str | None = None) -> list[str]:
    return [piece.text for piece in read_pieces(list(paths), text_field)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_the_encoding_is_found(encoding: str, tmp_path: Path):
    path = tmp_path / "text.txt"
    path.write_bytes(CHINESE.encode(encoding))
    assert texts(path) == [CHINESE]


def test_russian_in_its_own_code_page_is_not_taken_for_chinese(tmp_path: Path):
    path = tmp_path / "text.txt"
    russian = "Все счастливые семьи похожи друг на друга, каждая несчастна по-своему.\n" * 20
    path.write_bytes(russian.encode("cp1251"))
    assert texts(path) == [russian]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Café déjà vu, naïve façade", "latin-1"),
        ("El niño comió piñas; ¿dónde está el año?", "latin-1"),
        ("He said “hello” — it’s 100 £ or 20 €.", "cp1252"),
        ("Zażółć gęślą jaźń", "cp1250"),
        ("Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.", "cp1254"),
        ("Hello, how are you?\n", "utf-32"),
        (CHINESE, "utf-32"),
        ("Hello world\nhow are you\n", "utf-16-le"),
        ("Hello world", "utf-16-be"),
        (CHINESE, "utf-16-le"),
        (CHINESE, "utf-16-be"),
    ],
)
def test_a_short_text_is_read_in_the_likelier_encoding(text: str, encoding: str, tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert texts(tmp_path / "a.txt") == [text]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "one"}\n\n{"text": "two"}\n'),
        ("a.json", '[{"text": "one"}, {"text": "two"}]'),
        ("a.csv", 'id,text\n1,one\n2,"two"\n'),
        ("a.tsv", "id\ttext\n1\tone\n2\ttwo\n"),
    ],
)
def test_a_row_is_a_document(name: str, content: str, tmp_path: Path):
    (tmp_path / name).write_text(content)
    pieces = list(read_pieces([tmp_path / name]))
    assert [piece.text for piece in pieces] == ["one", "two"]
    assert all(piece.starts_document for piece in pieces)


def test_parquet_rows_are_documents(tmp_path: Path):
    parquet.write_table(pyarrow.table({"text": ["one", "二"]}), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == ["one", "二"]


def test_a_folder_is_read_by_name_and_its_hidden_files_are_left_out(tmp_path: Path):
    for name in ("b.txt", "a.md", ".hidden", "c/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert texts(tmp_path) == ["a.md", "b.txt", "c/d.txt"]


def test_titles_and_answers_belong_to_a_row_and_a_field_can_be_chosen(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"title": "T", "text": "body", "note": "n"}) + "\n")
    assert texts(path) == ["T\nbody"] and texts(path, text_field="note") == ["n"]
    path.write_text(json.dumps({"instruction": "Do", "input": "", "output": "Done"}))
    assert texts(path) == ["Do\nDone"]


def test_a_long_text_comes_in_pieces_that_join_to_the_whole(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(read, "PIECE_CHARACTERS", 1000)
    monkeypatch.setattr("groundup.sources.encodings.CHUNK_BYTES", 777)
    path = tmp_path / "a.txt"
    path.write_text(CHINESE * 10, encoding="utf-8")
    pieces = list(read_pieces([path]))
    assert len(pieces) > 5 and "".join(piece.text for piece in pieces) == CHINESE * 10
    assert [piece.starts_document for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert all(piece.text.endswith("\n") for piece in pieces)


def test_windows_line_ends_become_plain_ones_even_across_chunks(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("groundup.sources.encodings.CHUNK_BYTES", 3)
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\r\n\r\nc\rd")
    assert "".join(texts(tmp_path / "a.txt")) == "a\nb\n\nc\nd"


@given(st.text("ab \n\t机", max_size=60))
def test_text_is_cut_only_between_a_line_end_and_what_follows(text: str):
    cut = split_point(text)
    assert cut == 0 or (text[cut - 1] == "\n" and not text[cut].isspace())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "no text"),
        ("a.txt", b"\x00\x01\x02" * 100, "binary"),
        ("a.txt", ("good text " * 40_000).encode() + b"\xff\xfe broken", "not valid utf-8"),
        ("a.txt", b"good text\n" * 40_000 + b"\0\0\1", "binary"),
        ("a.txt", bytes(range(256)) * 100, "binary"),
        ("a.jsonl", b'{"text": "one"}\n{"text": \n', "a.jsonl:2"),
        ("a.jsonl", b'["one"]\n', "not a JSON object"),
        ("a.jsonl", b'{"number": 3}\n', "it has: number"),
        ("a.json", b"[1, 2", "not valid JSON"),
        ("a.parquet", b"PAR1 no", "not a valid Parquet"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    name: str, content: bytes, said: str, tmp_path: Path
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        texts(tmp_path / name)
    assert said in str(error.value) and name in str(error.value)


def test_a_missing_file_names_the_nearest_one(tmp_path: Path):
    (tmp_path / "shakespeare.txt").write_text("To be")
    with pytest.raises(InputError, match="no such file") as error:
        texts(tmp_path / "shakespear.txt")
    assert "shakespeare.txt?" in str(error.value)
    (tmp_path / "bin.txt").write_text("To be")
    with pytest.raises(InputError, match="check the path"):
        texts(tmp_path / "missing.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("secret")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(InputError, match="no permission"):
        texts(tmp_path / "a.txt")


def test_real_files_are_read_whole(real_data: Path):
    for name, documents in (("en/sms-spam.tsv", 5574), ("zh/song-ci.jsonl", 21_050)):
        assert len(texts(real_data / name)) == documents
