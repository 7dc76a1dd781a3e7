"""llama2.c's tokenizer, against its encoding written out from the description in run.c."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import CorruptFileError
from groundup.tokenizer.llama2c import read_llama2c_tokenizer
from groundup.tokenizer.tokenizer import Tokenizer

STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.\n"
    '"Look!" said her mom, "a big, red ball."  They were happy.\n'
)


def encode_slowly(content: bytes, text: str) -> list[int]:
    """Characters become tokens, or else bytes; then the pair of neighbours whose joint token has the
    highest score is joined, the leftmost of equals, until there is none."""
    vocab: list[bytes] = []
    scores: list[float] = []
    at = 4
    while at < len(content):
        score, length = struct.unpack_from("<fi", content, at)
        vocab.append(content[at + 8 : at + 8 + length])
        scores.append(score)
        at += 8 + length
    ids: list[int] = [vocab.index(b" ")] if text else []
    for character in text:
        written = character.encode()
        ids += [vocab.index(written)] if written in vocab else [byte + 3 for byte in written]
    while True:
        best = None
        for i in range(len(ids) - 1):
            joint = vocab[ids[i]] + vocab[ids[i + 1]]
            if joint in vocab and (best is None or scores[vocab.index(joint)] > best[0]):
                best = (scores[vocab.index(joint)], i, vocab.index(joint))
        if best is None:
            return ids
        ids[best[1] : best[1] + 2] = [best[2]]


@pytest.fixture(scope="module")
def path(real_data: Path) -> Path:
    return real_data / "models/stories260K/tok512.bin"


@pytest.fixture(scope="module")
def ours(path: Path) -> Tokenizer:
    return read_llama2c_tokenizer(path)


@settings(deadline=None, max_examples=50)
@given(text=st.text('abe thOn.,"!\n机é🙂', max_size=30) | st.text(max_size=8))
def test_ids_are_those_of_run_c(text: str, ours: Tokenizer, path: Path):
    if (
        "\u2581" not in text
        and "\0" not in text
        and not any("\ud800" <= c <= "\udfff" for c in text)
    ):
        assert ours.encode(text) == encode_slowly(path.read_bytes(), text)


def test_a_story_comes_back_and_begins_as_llama2c_begins_it(ours: Tokenizer, path: Path):
    assert ours.encode(STORY) == encode_slowly(path.read_bytes(), STORY)
    assert ours.decode(ours.encode(STORY)) == STORY
    assert ours.encode_prompt("Once upon a time") == [1, 403, 407, 261, 378]
    assert ours.end_ids == [2] and ours.vocab_size == 512


def test_it_is_saved_as_a_sentencepiece_model(ours: Tokenizer, tmp_path: Path):
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.encode_prompt(STORY) == ours.encode_prompt(STORY)
    assert again.fingerprint == ours.fingerprint


@pytest.mark.parametrize("kept", [0, 3, 1000, 5000])
def test_a_cut_file_is_said_to_be_cut(kept: int, path: Path, tmp_path: Path):
    (tmp_path / "cut.bin").write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptFileError, match=r"llama2\.c"):
        read_llama2c_tokenizer(tmp_path / "cut.bin")


def test_another_file_is_refused(tmp_path: Path):
    (tmp_path / "other.bin").write_bytes(b"\x07\x00\x00\x00" + bytes(range(200)))
    with pytest.raises(CorruptFileError, match=r"llama2\.c"):
        read_llama2c_tokenizer(tmp_path / "other.bin")
