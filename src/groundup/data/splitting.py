"""Which documents are learned from and which are kept for validation.

A document is routed by a checksum of its text, so that the same text is always in the same split,
however often it comes and whoever reads it. Where there are only a few documents, chance might keep
none or half of the text: there the end of the last ones is the validation.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Literal, TypeVar

import numpy as np

from groundup.sources.read import Piece

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")
Routed = tuple[Split, Piece]
T = TypeVar("T")
HELD_BYTES = 1 << 25
FEW_DOCUMENTS = 20


def split_documents(
    pieces: Iterable[Piece], validation_fraction: float, scratch: Path
) -> Iterator[Routed]:
    """Send each document to its split; up to `FEW_DOCUMENTS` are cut by position instead, the last
    `validation_fraction` of characters to validation. Until it is known how many there are, they are
    held: in a file in the folder `scratch`, if they are long."""
    stream = iter(pieces)
    with tempfile.SpooledTemporaryFile(HELD_BYTES, dir=str(scratch)) as file:
        first = _Held(file)
        for piece in stream:
            if piece.starts_document and first.documents == FEW_DOCUMENTS:
                rest = chain([piece], stream)
                yield from split_by_checksum(chain(first.pieces(), rest), validation_fraction)
                return
            first.add(piece)
        yield from _cut(first.pieces(), first.characters, validation_fraction)


def split_by_checksum(pieces: Iterable[Piece], validation_fraction: float) -> Iterator[Routed]:
    """Send each document to its split by the checksum of its text (of a long one, its first piece)."""
    split: Split = "train"
    for piece in pieces:
        if piece.starts_document:
            split = "validation" if _place(piece.text) < validation_fraction else "train"
        yield split, piece


def split_by(
    items: Sequence[T], keys: Sequence[str], held_out: float, seed: int
) -> tuple[list[T], list[T]]:
    """The items to learn from, and those of a share of `held_out` of all different keys (a prompt, say)
    to measure with: no key is in both. Some are kept if any are asked for and there are two keys."""
    different = list(dict.fromkeys(keys))
    order = np.random.default_rng(seed).permutation(len(different)).tolist()
    least = 1 if held_out and len(different) > 1 else 0
    count = max(least, round(held_out * len(different)))
    kept = {key for key, place in zip(different, order, strict=True) if place < count}
    learned = [item for item, key in zip(items, keys, strict=True) if key not in kept]
    return learned, [item for item, key in zip(items, keys, strict=True) if key in kept]


def _place(text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def _cut(pieces: Iterable[Piece], characters: int, validation_fraction: float) -> Iterator[Routed]:
    """The first 1 − fraction of all characters to train, the rest to validation."""
    left = int(characters * (1 - validation_fraction))
    validation_begun = False
    for piece in pieces:
        head, tail = piece.text[:left], piece.text[left:]
        if head:
            yield "train", replace(piece, text=head)
        if tail:
            begins = piece.starts_document or not validation_begun
            yield "validation", replace(piece, text=tail, starts_document=begins)
            validation_begun = True
        left -= len(head)


class _Held:
    """The pieces of a few documents, kept until they are asked for: all but their texts in memory."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.kept: list[tuple[Piece, int]] = []
        self.documents = self.characters = 0

    def add(self, piece: Piece) -> None:
        size = self.file.write(piece.text.encode("utf-8", "surrogatepass"))
        self.kept.append((replace(piece, text=""), size))
        self.documents += piece.starts_document
        self.characters += len(piece.text)

    def pieces(self) -> Iterator[Piece]:
        self.file.seek(0)
        for piece, size in self.kept:
            yield replace(piece, text=self.file.read(size).decode("utf-8", "surrogatepass"))
