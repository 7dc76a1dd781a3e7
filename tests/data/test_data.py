"""Shards and windows: nothing lost, nothing repeated, everything a function of the seed."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.data import shards, splitting
from groundup.data.shards import Tokens, open_shards, write_shards
from groundup.data.windows import WindowConfig, Windows, evaluation_windows, windows_step_by_step
from groundup.errors import CorruptFileError, InputError
from groundup.sources.read import Piece, read_pieces
from groundup.tokenizer.tokenizer import Tokenizer


def tokens_of(count: int, starts: tuple[int, ...] = (0,)) -> Tokens:
    return Tokens([np.arange(count, dtype="<u2")], np.array(starts), count)


def documents(count: int) -> list[Piece]:
    return [Piece(f"document number {i}. 第{i}篇。", True, "memory") for i in range(count)]


def text_of(tokens: Tokens, tokenizer: Tokenizer) -> str:
    return tokenizer.decode(tokens.read(0, len(tokens)).tolist())


def test_documents_come_back_each_in_one_split(tokenizer, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_TOKENS", 500)
    write_shards(documents(300), tokenizer, tmp_path / "data", validation_fraction=0.2)
    parts = [open_shards(tmp_path / "data", split, tokenizer) for split in shards.SPLITS]
    assert len(parts[0].shards) > 3
    found = [text_of(part, tokenizer).split("<|endoftext|>")[:-1] for part in parts]
    assert sorted(found[0] + found[1]) == sorted(piece.text for piece in documents(300))
    assert 30 < len(found[1]) < 90
    assert parts[0].text_bytes == sum(len(text.encode()) for text in found[0])
    starts = parts[0].document_starts
    fourth = parts[0].read(int(starts[3]), int(starts[4])).tolist()
    assert tokenizer.decode(fourth) == found[0][3] + "<|endoftext|>"


def test_a_single_text_is_cut_at_nine_tenths_of_its_characters(real_data: Path, tmp_path: Path):
    path = real_data / "en/tinyshakespeare.txt"
    text = path.read_text()
    tokenizer = Tokenizer.train_from_iterator([text], 300, kind="character")
    write_shards(read_pieces([path]), tokenizer, tmp_path / "data")
    cut = int(len(text) * 0.9)
    for split, expected in (("train", text[:cut]), ("validation", text[cut:])):
        tokens = open_shards(tmp_path / "data", split)
        assert text_of(tokens, tokenizer) == expected + "<|endoftext|>"


def test_special_tokens_in_foreign_text_stay_text(tokenizer, tmp_path: Path):
    pieces = [Piece("a<|endoftext|>b", True, "memory")]
    write_shards([], tokenizer, tmp_path / "data", pieces)
    validation = open_shards(tmp_path / "data", "validation")
    ids = validation.read(0, len(validation)).tolist()
    assert ids.count(tokenizer.end_of_text_id) == 1 == len(validation.document_starts)


def test_a_cut_or_changed_shard_is_found(tokenizer, tmp_path: Path):
    write_shards(documents(30), tokenizer, tmp_path / "data")
    path = tmp_path / "data/train-00000.bin"
    whole = path.read_bytes()
    for damaged, said in ((whole[:-2], "cut"), (whole[:-1] + b"\x55", "checksum")):
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match=said):
            open_shards(tmp_path / "data", "train")
    path.unlink()
    with pytest.raises(CorruptFileError, match="missing"):
        open_shards(tmp_path / "data", "train")


def test_data_of_another_tokenizer_are_refused(tokenizer, tmp_path: Path):
    write_shards(documents(30), tokenizer, tmp_path / "data")
    other = Tokenizer.train_from_iterator(["other text"], 260)
    with pytest.raises(InputError, match="another tokenizer"):
        open_shards(tmp_path / "data", "train", other)


def test_windows_step_as_in_the_book():
    windows = Windows(tokens_of(10), 4, WindowConfig(order="sequential", stride=1))
    assert windows[0].tolist() == [0, 1, 2, 3, 4] and windows[1].tolist() == [1, 2, 3, 4, 5]
    windows = Windows(tokens_of(10), 4, WindowConfig(order="sequential"))
    assert windows[1].tolist() == [4, 5, 6, 7, 8]


@given(st.integers(6, 300), st.integers(1, 5), st.integers(0, 2**40), st.integers(0, 3))
def test_an_epoch_holds_every_window_once(count: int, context: int, seed: int, epoch: int):
    windows = Windows(tokens_of(count), context, WindowConfig(seed=seed))
    size = len(windows.starts)
    seen = sorted(int(windows[epoch * size + i][0]) for i in range(size))
    assert seen == list(windows.starts)


@settings(max_examples=30)
@given(
    st.sampled_from(["shuffled", "random", "sequential"]), st.integers(0, 9), st.integers(0, 500)
)
def test_window_n_depends_on_nothing_but_the_seed_and_n(order, seed: int, n: int):
    config = WindowConfig(order=order, seed=seed)
    fresh, used = (Windows(tokens_of(200), 7, config) for _ in range(2))
    for other in (3, 499, 0):
        used[other]
    assert fresh[n].tolist() == used[n].tolist()


def test_orders_differ_between_epochs_and_seeds():
    orders = [
        [int(Windows(tokens_of(200), 7, WindowConfig(seed=seed))[i][0]) for i in places]
        for seed, places in ((0, range(28)), (0, range(28, 56)), (1, range(28)))
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_aligned_windows_hold_every_short_document_whole():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 12, 100)
    ends = np.cumsum(lengths)
    tokens = tokens_of(int(ends[-1]) + 20, (0, *ends[:-1].tolist()))
    windows = Windows(tokens, 20, WindowConfig(order="sequential", align_documents=True))
    for start, end in zip(ends - lengths, ends, strict=True):
        assert any(first <= start and end <= first + 21 for first in windows.starts)
    assert set(windows.starts[:-1].tolist()) <= set(tokens.document_starts.tolist())


@given(st.integers(2, 200), st.integers(1, 30))
def test_evaluation_windows_score_every_token_once(count: int, context: int):
    targets = [t for window in evaluation_windows(tokens_of(count), context) for t in window[1:]]
    assert targets == list(range(1, count))


@given(count=st.integers(1, 60), context=st.integers(1, 20))
def test_evaluation_windows_hold_the_inputs_and_targets_of_the_definition(count: int, context: int):
    tokens = tokens_of(count)
    ours = [(w[:-1].tolist(), w[1:].tolist()) for w in evaluation_windows(tokens, context)]
    defined = windows_step_by_step(tokens.read(0, count), context)
    assert ours == [(inputs.tolist(), targets.tolist()) for inputs, targets in defined]


def test_a_text_too_short_for_a_window_is_refused_in_words():
    with pytest.raises(InputError, match="10 tokens, but one window needs 65"):
        Windows(tokens_of(10), 64, WindowConfig())


def test_a_single_text_is_cut_by_characters_even_when_it_is_too_long_to_hold(
    tokenizer, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(splitting, "HELD_BYTES", 1000)
    parts = [f"line {i} 第{i}行\n" * 20 for i in range(30)]
    pieces = [Piece(part, i == 0, "book.txt") for i, part in enumerate(parts)]
    write_shards(iter(pieces), tokenizer, tmp_path / "data", validation_fraction=0.25)
    text = "".join(parts)
    cut = int(len(text) * 0.75)
    for split, expected in (("train", text[:cut]), ("validation", text[cut:])):
        tokens = open_shards(tmp_path / "data", split)
        assert text_of(tokens, tokenizer) == expected + "<|endoftext|>"
        assert tokens.document_starts.tolist() == [0]


def test_text_is_read_no_further_ahead_than_it_is_encoded(tokenizer, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shards, "BATCH_CHARACTERS", 100)
    read = written = ahead = 0

    def pieces():
        nonlocal read, ahead
        for i in range(300):
            read += 100
            ahead = max(ahead, read - written)
            yield Piece("x" * 100, True, str(i))

    def progress(characters: int) -> None:
        nonlocal written
        written += characters

    write_shards(pieces(), tokenizer, tmp_path / "data", progress=progress)
    assert read == written == 30_000
    held_first = splitting.FEW_DOCUMENTS
    assert ahead <= 100 * (2 * (os.cpu_count() or 1) + 3 + held_first)


def test_a_broken_source_leaves_what_was_prepared_before(tokenizer, tmp_path: Path):
    def broken():
        yield from documents(10)
        raise InputError("the server broke off")

    write_shards(documents(30), tokenizer, tmp_path / "data")
    before = (tmp_path / "data/shards.json").read_bytes()
    with pytest.raises(InputError, match="broke off"):
        write_shards(broken(), tokenizer, tmp_path / "data")
    assert (tmp_path / "data/shards.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_full_shard_is_followed_by_no_empty_one(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_TOKENS", 4)
    tokenizer = Tokenizer.train_from_iterator(["text"], 256, [], kind="byte")
    pieces = [Piece(text, True, "memory") for text in ("four", "六字")]
    write_shards(pieces, tokenizer, tmp_path / "data", iter(()))
    train = open_shards(tmp_path / "data", "train", tokenizer)
    assert text_of(train, tokenizer) == "four六字"
    assert [len(shard) for shard in train.shards] == [4, 6]


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_of_a_few_documents_the_end_is_kept_for_validation(count: int, tokenizer, tmp_path: Path):
    pieces = [Piece(f"Text {i}. " * 50, True, f"{i}.txt") for i in range(count)]
    write_shards(iter(pieces), tokenizer, tmp_path / "data", validation_fraction=0.1)
    train, validation = (open_shards(tmp_path / "data", split) for split in shards.SPLITS)
    share = validation.text_bytes / (train.text_bytes + validation.text_bytes)
    assert share == pytest.approx(0.1, abs=0.02)
    assert len(validation.document_starts) == max(1, round(count / 10))
