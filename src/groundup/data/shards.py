"""Documents as token ids on disk: written once, mapped into memory, never loaded whole.

A data directory holds for each split ("train", "validation") shards `train-00000.bin` of
little-endian uint16 or uint32 ids, the starts of the documents in `train.documents.bin` (uint64),
and `shards.json`: lengths, checksums, the tokenizer's fingerprint and the bytes of text behind the
tokens, which turn a loss per token into bits per byte.
"""

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int

from groundup.data.splitting import SPLITS, Routed, Split, split_documents
from groundup.errors import CorruptFileError, InputError
from groundup.files import atomic_directory
from groundup.sources.read import Piece
from groundup.tokenizer.tokenizer import Tokenizer

SHARD_TOKENS = 1 << 26
BATCH_CHARACTERS = 1 << 18
INDEX_KEYS = {"dtype", "vocab_size", "tokenizer", "splits"}
T = TypeVar("T")
R = TypeVar("R")


def write_shards(
    pieces: Iterable[Piece],
    tokenizer: Tokenizer,
    directory: Path | str,
    validation_pieces: Iterable[Piece] | None = None,
    validation_fraction: float = 0.1,
    allow_special: bool = False,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Encode documents and write them as a data directory, the end-of-text id after each.

    Validation is `validation_pieces` if given, else `validation_fraction` of the documents (see
    `splitting.py`). Special tokens in the text are text like any other unless `allow_special`.
    `progress` is told the characters of each batch that is written.

    All processors encode while the next text is read; memory holds a few batches, whatever the
    size of the text.
    """
    with atomic_directory(directory) as folder:
        if validation_pieces is None:
            routed = split_documents(pieces, validation_fraction, folder)
        else:
            routed = chain(_all_to("train", pieces), _all_to("validation", validation_pieces))
        write_routed(routed, tokenizer, folder, allow_special, progress)


def write_routed(
    routed: Iterable[Routed],
    tokenizer: Tokenizer,
    folder: Path,
    allow_special: bool = False,
    progress: Callable[[int], None] | None = None,
) -> None:
    """`write_shards` for pieces whose split is known, into a folder that exists."""
    dtype = _dtype(tokenizer)

    def encoded(piece: Piece) -> list[int]:
        return tokenizer.encode(piece.text, allow_special, begins=piece.starts_document)

    def encode(batch: list[Routed]) -> list[tuple[Split, Piece, np.ndarray]]:
        return [(split, piece, np.asarray(encoded(piece), dtype)) for split, piece in batch]

    with contextlib.ExitStack() as opened:
        writers = {split: _Writer(folder, split, tokenizer, opened) for split in SPLITS}
        for batch in _side_by_side(encode, _batches(routed)):
            for split, piece, ids in batch:
                writers[split].add(ids, piece)
            if progress:
                progress(sum(len(piece.text) for _, piece, _ in batch))
        splits = {split: writer.close() for split, writer in writers.items()}
    write_shards_index(folder, {
        "format": 1,
        "dtype": dtype.str,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": tokenizer.fingerprint,
        "splits": splits,
    })  # fmt: skip


def _all_to(split: Split, pieces: Iterable[Piece]) -> Iterator[Routed]:
    return ((split, piece) for piece in pieces)


@dataclass
class Tokens:
    """The token ids of one split, as if they were one array."""

    shards: list[np.ndarray]
    document_starts: np.ndarray
    text_bytes: int
    ends: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.ends = np.cumsum([len(shard) for shard in self.shards])

    @classmethod
    def joined(cls, parts: Iterable["Tokens"]) -> "Tokens":
        """Several as if they were one."""
        shards: list[np.ndarray] = []
        starts: list[np.ndarray] = []
        before = text_bytes = 0
        for part in parts:
            shards += part.shards
            starts.append(part.document_starts + before)
            before += len(part)
            text_bytes += part.text_bytes
        return cls(shards, np.concatenate(starts), text_bytes)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def read(self, start: int, stop: int) -> Int[np.ndarray, " count"]:
        """The ids from `start` up to `stop`, as int64."""
        parts = []
        for shard, end in zip(self.shards, self.ends.tolist(), strict=True):
            begin = end - len(shard)
            if start < end and stop > begin:
                parts.append(shard[max(0, start - begin) : stop - begin])
        joined = np.concatenate(parts) if parts else np.empty(0)
        return joined.astype(np.int64)

    @property
    def bytes_per_token(self) -> float:
        return self.text_bytes / len(self)


def open_shards(directory: Path | str, split: str, tokenizer: Tokenizer | None = None) -> Tokens:
    """The tokens of a data directory's split.

    Raises `CorruptFileError` for a shard whose length or checksum is not as written, and
    `InputError` where the data were encoded with another tokenizer than `tokenizer`.
    """
    folder = Path(directory)
    described = read_shards_index(folder)
    if tokenizer is not None and described["tokenizer"] != tokenizer.fingerprint:
        raise InputError(
            "these data were encoded with another tokenizer", str(folder),
            "prepare them again, or use the tokenizer they were made with",
        )  # fmt: skip
    of_split = described["splits"][split]
    for name, expected in of_split["files"].items():
        _check(folder / name, expected)
    names = [name for name in of_split["files"] if name != documents_name(split)]
    return Tokens(
        [np.memmap(folder / name, described["dtype"], "r") for name in names],
        np.fromfile(folder / documents_name(split), "<u8").astype(np.int64),
        of_split["text_bytes"],
    )


class CheckedFile:
    """A file being written, whose length and checksum are taken on the way; `opened` closes it
    should the work break off."""

    def __init__(self, path: Path, opened: contextlib.ExitStack):
        self.name = path.name
        self.file = opened.enter_context(path.open("wb"))
        self.checksum = hashlib.blake2b(digest_size=16)
        self.size = 0

    def write(self, array: np.ndarray) -> None:
        data = array.tobytes()
        self.file.write(data)
        self.checksum.update(data)
        self.size += len(data)

    def close(self) -> dict[str, Any]:
        """Finish the file; what `shards.json` says of it."""
        self.file.close()
        return {"bytes": self.size, "checksum": self.checksum.hexdigest()}


class _Writer:
    """Writes one split, shard by shard."""

    def __init__(
        self, folder: Path, split: Split, tokenizer: Tokenizer, opened: contextlib.ExitStack
    ):
        self.folder, self.split, self.opened = folder, split, opened
        self.dtype = _dtype(tokenizer)
        end = tokenizer.end_of_text_id
        self.end_of_text = np.array([] if end is None else [end], self.dtype)
        self.files: dict[str, dict[str, Any]] = {}
        self.starts = CheckedFile(folder / documents_name(split), opened)
        self.documents = self.tokens = self.text_bytes = 0
        self.shard: CheckedFile | None = None

    def add(self, ids: np.ndarray, piece: Piece) -> None:
        if piece.starts_document:
            self._end_document()
            self.starts.write(np.array([self.tokens], "<u8"))
            self.documents += 1
        self._write(ids)
        self.text_bytes += len(piece.text.encode("utf-8", "replace"))

    def _end_document(self) -> None:
        if self.documents:
            self._write(self.end_of_text)

    def _write(self, ids: np.ndarray) -> None:
        if not len(ids):  # an empty file cannot be mapped into memory
            return
        if self.shard is None or self.shard.size >= SHARD_TOKENS * self.dtype.itemsize:
            self._finish_shard()
            path = self.folder / shard_name(self.split, len(self.files))
            self.shard = CheckedFile(path, self.opened)
        self.shard.write(ids)
        self.tokens += len(ids)

    def _finish_shard(self) -> None:
        if self.shard is not None:
            self.files[self.shard.name] = self.shard.close()

    def close(self) -> dict[str, Any]:
        """Finish the files; what `shards.json` says of this split."""
        self._end_document()
        self._finish_shard()
        self.files[self.starts.name] = self.starts.close()
        return {"tokens": self.tokens, "documents": self.documents,
                "text_bytes": self.text_bytes, "files": self.files}  # fmt: skip


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:05d}.bin"


def documents_name(split: str) -> str:
    return f"{split}.documents.bin"


def _dtype(tokenizer: Tokenizer) -> np.dtype:
    return np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")


def _batches(routed: Iterable[Routed]) -> Iterator[list[Routed]]:
    """Pieces in lists of about `BATCH_CHARACTERS`: enough that handing them to another thread
    costs little beside encoding them, and few enough to hold some for every processor."""
    batch: list[Routed] = []
    size = 0
    for split, piece in routed:
        batch.append((split, piece))
        size += len(piece.text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _side_by_side(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results in order, computed in as many threads as there are processors (tiktoken lets go
    of Python's lock), with items read no further ahead than the threads need."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def read_shards_index(folder: Path) -> dict:
    """The content of `shards.json`."""
    path = folder / "shards.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if set(described) >= INDEX_KEYS and set(described["splits"]) >= set(SPLITS):
            return described
    except FileNotFoundError:
        raise InputError("no prepared data here: shards.json is missing", str(folder)) from None
    except (ValueError, TypeError):
        pass
    raise CorruptFileError("not a valid list of shards", str(path), _CURE)


def write_shards_index(folder: Path, described: dict[str, Any]) -> None:
    """Write `shards.json`, which makes a folder of shards a data directory."""
    (folder / "shards.json").write_text(json.dumps(described, indent=2), encoding="utf-8")


_CURE = "remove the data folder and run the same command again: it is made anew from the text"


def _check(path: Path, expected: dict) -> None:
    if not path.is_file():
        raise CorruptFileError("a shard is missing", str(path), _CURE)
    if path.stat().st_size != expected["bytes"]:
        raise CorruptFileError(
            f"a shard has {path.stat().st_size} bytes instead of {expected['bytes']}: it was cut",
            str(path), _CURE,
        )  # fmt: skip
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    if checksum != expected["checksum"]:
        raise CorruptFileError("a shard was changed: wrong checksum", str(path), _CURE)
