"""Leaks: what is planted of the test data in the training data is found, and nothing else."""

import random
from itertools import islice
from pathlib import Path

import pytest

from groundup.cleaning.alignment import plain, share_within
from groundup.cleaning.leaks import Leak, find_leaks
from groundup.cleaning.near_duplicates import near_duplicates
from groundup.sources.read import Piece, read_pieces
from tests.cleaning.planted import SHORTEST, blocks, scattered


def pieces(texts: list[str], name: str) -> list[Piece]:
    return [Piece(text, True, f"{name}:{number}") for number, text in enumerate(texts)]


def halves(path: Path) -> tuple[list[Piece], list[Piece]]:
    """Two disjoint halves of the first rows of a file, without those that are the same in both."""
    rows = list(islice(read_pieces([path]), 1500))
    copies = {found.text for found in near_duplicates(row.text for row in rows)}
    rows = [row for index, row in enumerate(rows) if index not in copies]
    return rows[::2], rows[1::2]


@pytest.mark.parametrize(
    "name",
    ["en/instructions.json", "zh/legal-qa.jsonl", "zh/medical-qa.jsonl", "zh/song-ci.jsonl"],
)
def test_disjoint_halves_of_real_data_have_no_leaks(name: str, real_data: Path):
    assert find_leaks(*halves(real_data / name)) == []


@pytest.mark.parametrize("name", ["en/sms-spam.tsv", "zh/reviews.tsv"])
def test_real_texts_are_reported_only_if_they_stand_within_others(name: str, real_data: Path):
    train, test = halves(real_data / name)
    text_at = {piece.where: piece.text for piece in [*train, *test]}
    for leak in find_leaks(train, test):
        short, long = sorted((plain(text_at[w]) for w in (leak.train, leak.against)), key=len)
        assert leak.kind == "contained" and share_within(short, long) > 0.9


@pytest.mark.parametrize("name", ["en/sms-spam.tsv", "zh/legal-qa.jsonl"])
def test_planted_leaks_are_found_each_with_its_kind(name: str, real_data: Path):
    rng = random.Random(0)
    train, test = halves(real_data / name)
    before = {leak.train for leak in find_leaks(train, test)}
    texts = [piece.text for piece in train if piece.where not in before]
    long_enough = [piece for piece in test if len(piece.text) >= SHORTEST]
    copied = long_enough[:90]
    planted = [
        *(piece.text.upper() + "。" for piece in copied[:30]),
        *(scattered(piece.text, rng.uniform(0.02, 0.15), texts[0], rng) for piece in copied[30:45]),
        *(blocks(piece.text, rng.uniform(0.02, 0.15), texts[0], rng) for piece in copied[45:60]),
        *("\n".join([*texts[100:110], piece.text, *texts[110:120]]) for piece in copied[60:]),
    ]
    kinds = ["exact"] * 30 + ["near"] * 30 + ["contained"] * 30
    expected = {
        (f"planted:{number}", piece.where): kind
        for number, (piece, kind) in enumerate(zip(copied, kinds, strict=True))
    }
    leaks = find_leaks([*pieces(planted, "planted"), *pieces(texts, "train")], test)
    found = {(leak.train, leak.against): leak.kind for leak in leaks}
    assert sum(found.get(pair) == kind for pair, kind in expected.items()) >= 0.95 * len(expected)
    assert not found.keys() - expected.keys()


def test_a_training_text_within_a_longer_test_text_is_a_leak():
    question = "谁可以向人民法院申请宣告失踪人死亡？请说明理由和依据的法律条文。"
    page = "".join(chr(0x4E00 + i * 7919 % 5000) for i in range(3000))
    train, test = Piece(question, True, "a:1"), Piece(page[:1500] + question + page, True, "b")
    assert find_leaks([train], [test]) == [Leak("contained", "a:1", "b", 1.0, question)]
    assert find_leaks([test], [train]) == [Leak("contained", "b", "a:1", 1.0, question)]


def test_words_of_a_text_that_stand_apart_are_no_leak():
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrst", k=12)) for _ in range(300)]
    question = " ".join(words[:300:30])
    assert find_leaks([Piece(" ".join(words), True, "a")], [Piece(question, True, "b")]) == []


def test_what_all_test_rows_begin_with_is_no_leak(real_data: Path):
    exam = list(read_pieces([real_data / "zh/law-exam.json"]))
    instruction = exam[0].text.split("\n")[0]
    notice = Piece(f"{instruction}本页说明答题的方法，没有任何题目。", True, "notice")
    assert find_leaks([notice], exam) == []


def test_short_texts_leak_only_if_their_letters_are_the_same():
    test = pieces(["Yes, I do.", "不知道"], "test")
    train = pieces(["yes I do", "yes I did", "我不知道", "不知道！"], "train")
    found = [(leak.kind, leak.train, leak.against) for leak in find_leaks(train, test)]
    assert found == [("exact", "train:0", "test:0"), ("exact", "train:3", "test:1")]


def test_without_text_on_a_side_there_are_no_leaks():
    text = pieces(["a text that is long enough to have shingles of its own"], "a")
    assert find_leaks([], text) == find_leaks(text, []) == find_leaks([], []) == []
