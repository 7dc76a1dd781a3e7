"""Compressed files and archives: read like what is in them, and met with suspicion."""

import gzip
import io
import json
import random
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
import zstandard

from groundup.errors import InputError
from groundup.sources import archives
from groundup.sources.problems import Problem
from groundup.sources.read import read_pieces

CHINESE = "他说：这是一个很好的地方，我们在这里学习和工作。人们来来往往。\n" * 20
ROWS = '{"text": "one"}\n{"text": "二"}\n'
PACKERS = {".gz": gzip.compress, ".zst": zstandard.compress}


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVERS = {
    "a.zip": zipped,
    "a.tar": tarred,
    "a.tar.gz": lambda members: gzip.compress(tarred(members)),
    "a.tgz": lambda members: gzip.compress(tarred(members)),
    "a.tar.zst": lambda members: zstandard.compress(tarred(members)),
}


def parquet_bytes() -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["three", "四"]}), buffer)
    return buffer.getvalue()


def problems_of(path: Path) -> tuple[list[str], list[Problem]]:
    found: list[Problem] = []
    return [piece.text for piece in read_pieces([path], on_problem=found.append)], found


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_file_is_read_as_what_is_in_it(suffix: str, tmp_path: Path):
    pack = PACKERS[suffix]
    for name, content in (
        ("book.txt", CHINESE.encode("gb18030")),
        ("rows.jsonl", ROWS.encode()),
        ("t.parquet", parquet_bytes()),
    ):
        (tmp_path / (name + suffix)).write_bytes(pack(content))
    pieces = list(read_pieces([tmp_path]))
    assert [piece.text for piece in pieces] == [CHINESE, "one", "二", "three", "四"]
    assert pieces[2].where == f"{tmp_path}/rows.jsonl{suffix}:2"


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_file_that_was_appended_to_is_read_whole(suffix: str, tmp_path: Path):
    path = tmp_path / ("a.txt" + suffix)
    path.write_bytes(PACKERS[suffix](b"one\n") + PACKERS[suffix](b"two\n"))
    assert [piece.text for piece in read_pieces([path])] == ["one\ntwo\n"]


@pytest.mark.parametrize("name", ARCHIVERS)
def test_the_members_of_an_archive_are_read_by_their_kind_with_their_place(
    name: str, tmp_path: Path
):
    members = {
        "a.txt": CHINESE.encode(),
        "folder/b.jsonl": ROWS.encode(),
        "folder/c.parquet": parquet_bytes(),
        "d.csv": b"id,text\n1,five\n",
        ".hidden": b"no",
        "__MACOSX/a.txt": b"no",
    }
    (tmp_path / name).write_bytes(ARCHIVERS[name](members))
    pieces = list(read_pieces([tmp_path / name]))
    assert [piece.text for piece in pieces] == [CHINESE, "one", "二", "three", "四", "five"]
    assert pieces[2].where == f"{tmp_path}/{name}/folder/b.jsonl:2"


def test_chinese_names_of_an_old_zip_are_read(tmp_path: Path):
    name = "合同.txt"
    packed = zipped({"xxxxxxxx": b"text"})
    assert len(name.encode("gb18030")) == 8
    (tmp_path / "a.zip").write_bytes(packed.replace(b"x" * 8, name.encode("gb18030")))
    assert next(read_pieces([tmp_path / "a.zip"])).where.endswith(f"a.zip/{name}")


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.txt.gz", "bomb.txt.zst", "bomb.tar.gz"])
def test_a_bomb_is_refused_with_the_limit(name: str, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archives, "RATIO_COUNTS_FROM", 1 << 20)
    zeros = b" " * (8 << 20)
    (tmp_path / name).write_bytes(
        ARCHIVERS["a.zip"]({"a.txt": zeros}) if name.endswith(".zip")
        else gzip.compress(tarred({"a.txt": zeros})) if ".tar" in name
        else PACKERS[Path(name).suffix](zeros)
    )  # fmt: skip
    with pytest.raises(InputError, match="more than 250 times its size: it may be a bomb") as error:
        list(read_pieces([tmp_path / name]))
    assert name in str(error.value)


def test_the_whole_that_an_archive_may_unpack_to_is_limited(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_UNPACKED", 1000)
    for name, content in (("a.zip", zipped({"a.txt": CHINESE.encode()})),
                          ("a.txt.gz", gzip.compress(CHINESE.encode()))):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="unpacks to more than"):
            list(read_pieces([tmp_path / name]))


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("member", ["../x.txt", "/etc/x.txt", "a/../../x.txt", "C:\\x.txt"])
def test_a_path_outside_the_archive_is_refused_or_passed_over(
    name: str, member: str, tmp_path: Path
):
    path = tmp_path / name
    path.write_bytes(ARCHIVERS[name]({member: b"bad", "good.txt": b"good"}))
    with pytest.raises(InputError, match="leads outside the archive"):
        list(read_pieces([path]))
    texts, [problem] = problems_of(path)
    assert texts == ["good"] and problem.kind == "path_outside" and member[-5:] in problem.text


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("inner", ["b.zip", "b.txt.gz", "b.tar", "b.7z"])
def test_an_archive_within_an_archive_is_refused_or_passed_over(
    name: str, inner: str, tmp_path: Path
):
    path = tmp_path / name
    path.write_bytes(ARCHIVERS[name]({inner: b"?", "good.txt": b"good"}))
    with pytest.raises(InputError, match="archive within an archive"):
        list(read_pieces([path]))
    texts, [problem] = problems_of(path)
    assert texts == ["good"] and problem.kind == "nested_archive"


@pytest.mark.parametrize("name", [*ARCHIVERS, "a.jsonl.gz", "a.jsonl.zst"])
def test_an_archive_that_ends_early_gives_what_it_has_and_says_so(name: str, tmp_path: Path):
    # Random digits pack badly, so that the cut falls far behind the first block.
    numbers = random.Random(0)
    lines = (json.dumps({"text": str(numbers.getrandbits(3200))}) for _ in range(1200))
    content = "\n".join(lines).encode()
    packed = (
        ARCHIVERS[name]({"a.jsonl": content}) if name in ARCHIVERS
        else PACKERS[Path(name).suffix](content)
    )  # fmt: skip
    (tmp_path / name).write_bytes(packed[: len(packed) * 9 // 10])
    with pytest.raises(InputError, match=r"cut|broken") as error:
        list(read_pieces([tmp_path / name]))
    assert name in str(error.value)
    texts, problems = problems_of(tmp_path / name)
    if name == "a.zip":  # its directory stands at its end
        assert problems[0].kind == "broken_archive"
    else:
        assert len(texts) > 600 and problems[0].kind == "cut_file"


@pytest.mark.parametrize("name", [*ARCHIVERS, "a.txt.gz", "a.txt.zst"])
def test_what_is_no_archive_is_refused_in_words(name: str, tmp_path: Path):
    for content in (b"this is plain text, not an archive" * 30, b""):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as error:
            list(read_pieces([tmp_path / name]))
        assert name in str(error.value)


def test_a_zip_with_damaged_or_encrypted_members_still_gives_the_others(tmp_path: Path):
    packed = bytearray(zipped({"bad.txt": CHINESE.encode(), "good.txt": b"good"}))
    packed[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(packed)
    texts, [problem] = problems_of(tmp_path / "a.zip")
    assert texts == ["good"] and problem.kind == "broken_archive" and "bad.txt" in problem.file

    locked = bytearray(zipped({"bad.txt": b"bad", "good.txt": b"good"}))
    with zipfile.ZipFile(io.BytesIO(locked)) as archive:
        offset = archive.start_dir
    locked[6] |= 1
    locked[offset + 8] |= 1
    (tmp_path / "a.zip").write_bytes(locked)
    texts, [problem] = problems_of(tmp_path / "a.zip")
    assert texts == ["good"] and problem.kind == "encrypted"


def test_an_archive_without_files_is_refused(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(zipped({}))
    with pytest.raises(InputError, match="no files"):
        list(read_pieces([tmp_path / "a.zip"]))


def test_a_compressed_text_is_streamed_in_bounded_memory(tmp_path: Path):
    line = "".join(chr(ord("a") + n * 7919 % 26) for n in range(97)) + "\n"
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(line.encode() * 600_000, 1))
    tracemalloc.start()
    total = sum(len(piece.text) for piece in read_pieces([tmp_path / "a.txt.gz"]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 600_000 * 98 and peak < 16 << 20
