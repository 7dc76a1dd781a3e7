"""Documents as token ids on disk: written once, mapped into memory, never loaded whole.

A data directory holds for each split ("train", "validation") shards `train-00000.bin` of
little-endian uint16 or uint32 ids, the starts of the documents in `train.documents.bin` (uint64),
and `shards.json`: lengths, checksums, the tokenizer's fingerprint and the bytes of text behind the
tokens, which turn a loss per token into bits per byte.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int

from groundup.errors import CorruptFileError, InputError
from groundup.files import atomic_directory
from groundup.sources.read import Piece
from groundup.tokenizer.tokenizer import Tokenizer

SPLITS = ("train", "validation")
SHARD_TOKENS = 1 << 26
BATCH_PIECES = 256


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

    Validation is `validation_pieces` if given; else every document goes to train or validation by
    a checksum of its text, `validation_fraction` of them to validation; a single document is cut
    instead, and its last `validation_fraction` of characters is the validation text. Special
    tokens in the text are text like any other unless `allow_special`.
    """
    with atomic_directory(directory) as folder:
        train = _Writer(folder, "train", tokenizer)
        validation = _Writer(folder, "validation", tokenizer)
        if validation_pieces is not None:
            routed = chain(_to(train, pieces), _to(validation, validation_pieces))
        else:
            routed = _split(pieces, train, validation, validation_fraction)
        _encode_all(routed, tokenizer, allow_special, progress)
        splits = {writer.split: writer.close() for writer in (train, validation)}
        described = {
            "format": 1,
            "dtype": train.dtype.str,
            "vocab_size": tokenizer.vocab_size,
            "tokenizer": tokenizer.fingerprint,
            "splits": splits,
        }
        (folder / "shards.json").write_text(json.dumps(described, indent=2), encoding="utf-8")


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
    names = [name for name in of_split["files"] if not name.endswith(".documents.bin")]
    return Tokens(
        [np.memmap(folder / name, described["dtype"], "r") for name in names],
        np.fromfile(folder / f"{split}.documents.bin", "<u8").astype(np.int64),
        of_split["text_bytes"],
    )


class _Writer:
    """Writes one split, shard by shard, keeping the checksums as it goes."""

    def __init__(self, folder: Path, split: str, tokenizer: Tokenizer):
        self.folder, self.split = folder, split
        self.end_of_text_id = tokenizer.end_of_text_id
        self.dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
        self.files: dict[str, dict] = {}
        self.starts: list[int] = []
        self.tokens, self.text_bytes = 0, 0
        self.open: IO[bytes] | None = None

    def add(self, ids: list[int], text: str, starts_document: bool) -> None:
        if starts_document:
            if self.starts and self.end_of_text_id is not None:
                self._write([self.end_of_text_id])
            self.starts.append(self.tokens)
        self._write(ids)
        self.text_bytes += len(text.encode("utf-8", "replace"))

    def _write(self, ids: list[int]) -> None:
        if self.open is None or self.size >= SHARD_TOKENS:
            self._finish_shard()
            self.name = f"{self.split}-{len(self.files):05d}.bin"
            self.open, self.size = (self.folder / self.name).open("wb"), 0
            self.checksum = hashlib.blake2b(digest_size=16)
        data = np.asarray(ids, self.dtype).tobytes()
        self.open.write(data)
        self.checksum.update(data)
        self.size += len(ids)
        self.tokens += len(ids)

    def _finish_shard(self) -> None:
        if self.open is not None:
            self.open.close()
            size = self.size * self.dtype.itemsize
            self.files[self.name] = {"bytes": size, "checksum": self.checksum.hexdigest()}
            self.open = None

    def close(self) -> dict:
        """Finish the files; what `shards.json` says of this split."""
        if self.starts and self.end_of_text_id is not None:
            self._write([self.end_of_text_id])
        self._finish_shard()
        starts = np.asarray(self.starts, "<u8").tobytes()
        name = f"{self.split}.documents.bin"
        (self.folder / name).write_bytes(starts)
        checksum = hashlib.blake2b(starts, digest_size=16).hexdigest()
        self.files[name] = {"bytes": len(starts), "checksum": checksum}
        return {"tokens": self.tokens, "documents": len(self.starts),
                "text_bytes": self.text_bytes, "files": self.files}  # fmt: skip


def _to(writer: _Writer, pieces: Iterable[Piece]) -> Iterator[tuple[_Writer, Piece]]:
    return ((writer, piece) for piece in pieces)


def _split(
    pieces: Iterable[Piece], train: _Writer, validation: _Writer, fraction: float
) -> Iterator[tuple[_Writer, Piece]]:
    """Send each document to its split. The first is held until a second shows that it is not the
    only one: a single text is cut by position."""
    stream = iter(pieces)
    first: list[Piece] = []
    for piece in stream:
        if piece.starts_document and first:
            writer = _by_checksum(first[0], train, validation, fraction)
            yield from _to(writer, first)
            writer = _by_checksum(piece, train, validation, fraction)
            yield writer, piece
            break
        first.append(piece)
    else:
        yield from _cut(first, train, validation, fraction)
        return
    for piece in stream:
        if piece.starts_document:
            writer = _by_checksum(piece, train, validation, fraction)
        yield writer, piece


def _by_checksum(piece: Piece, train: _Writer, validation: _Writer, fraction: float) -> _Writer:
    """The same text always goes to the same split, so that a repeated document is never in both."""
    digest = hashlib.blake2b(piece.text.encode("utf-8", "replace"), digest_size=8).digest()
    share = int.from_bytes(digest, "little") / 2**64
    return validation if share < fraction else train


def _cut(
    pieces: list[Piece], train: _Writer, validation: _Writer, fraction: float
) -> Iterator[tuple[_Writer, Piece]]:
    """One text: its first 1 − fraction of characters to train, the rest to validation."""
    left = int(sum(len(piece.text) for piece in pieces) * (1 - fraction))
    validation_begun = False
    for piece in pieces:
        head, tail = piece.text[:left], piece.text[left:]
        left -= len(head)
        if head:
            yield train, Piece(head, piece.starts_document, piece.where)
        if tail:
            yield validation, Piece(tail, not validation_begun, piece.where)
            validation_begun = True


def _encode_all(
    stream: Iterable[tuple[_Writer, Piece]],
    tokenizer: Tokenizer,
    allow_special: bool,
    progress: Callable[[int], None] | None,
) -> None:
    """Encode in batches, which the tokenizer spreads over the processors."""
    batch: list[tuple[_Writer, Piece]] = []

    def flush() -> None:
        ids = tokenizer.encode_batch([piece.text for _, piece in batch], allow_special)
        for (writer, piece), of_piece in zip(batch, ids, strict=True):
            writer.add(of_piece, piece.text, piece.starts_document)
        if progress:
            progress(sum(len(piece.text) for _, piece in batch))
        batch.clear()

    for item in stream:
        batch.append(item)
        if len(batch) == BATCH_PIECES or len(item[1].text) > 1 << 19:
            flush()
    flush()


def read_shards_index(folder: Path) -> dict:
    """The content of `shards.json`."""
    path = folder / "shards.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no prepared data here: shards.json is missing", str(folder)) from None
    except ValueError:
        raise CorruptFileError("not valid JSON", str(path), _CURE) from None


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
