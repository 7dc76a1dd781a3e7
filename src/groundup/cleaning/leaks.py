"""Training data that stand, exactly or nearly, in the data that a model is tested on.

Read in this order: `find_leaks`, `without_leaks`, `_Index` (the test side, held in memory),
`_leak_of_pair` (what decides). What is trained on is streamed.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int, UInt64

from groundup.cleaning.alignment import plain, share_of_same
from groundup.cleaning.sketch import (
    HASH_BITS,
    LONG,
    Hashes,
    Shingles,
    batches,
    least_letters,
    same_letters,
)
from groundup.cleaning.step import Record
from groundup.sources.read import Piece

CONTAINED = 0.9
"""The share of a text's long shingles that must stand together in another text that contains it:
about one character in eighty may differ."""
FEWEST_CONTAINED = 30
"""Letters and digits of a text that is looked for within others: shorter ones stand anywhere."""
FEWEST_SHINGLES = 8
"""And its fewest long shingles, those not counted that are common."""
COMMON = 64
"""A shingle that comes more often in the test texts than this belongs to their form
("choose from A, B, C and D") and says nothing about any one of them."""
EXCERPT_CHARACTERS = 200


class Leak(NamedTuple):
    """A text of the training data and one of the test data that are the same ("exact", but for
    case, width, spaces and punctuation), nearly the same ("near"), or of which one stands within
    the other ("contained")."""

    kind: Literal["exact", "near", "contained"]
    train: str
    """Where it stands in the training data."""
    against: str
    """Where it stands in the test data."""
    similarity: float
    """The share of characters that are the same; of the shorter text's, where it is contained."""
    text: str
    """The beginning of the shorter text."""


def find_leaks(
    train: Iterable[Piece], against: Iterable[Piece], similarity: float = 0.8
) -> list[Leak]:
    """The texts of `train` that stand in `against`, in the order of `train`.

    Pieces are compared, as by `near_duplicates`, with the same `similarity`; what is contained is
    told by its shingles alone. `train` streams; `against` is held in memory, with 24 bytes for
    each of its characters, and several times that while they are sorted.
    """
    index = _Index(list(against))
    leaks: list[Leak] = []
    for batch in batches(train, _size):
        leaks += _leaks_of_batch(batch, index, similarity)
    return leaks


def without_leaks(
    train: Iterable[Piece], against: Iterable[Piece], record: Record, similarity: float = 0.8
) -> Iterator[Piece]:
    """`train` without the pieces that `find_leaks` would tell of; `record` counts what was left out."""
    index = _Index(list(against))
    for batch in batches(train, _size):
        leaked = {leak.train for leak in _leaks_of_batch(batch, index, similarity)}
        for piece in batch:
            yield from record.pass_on(piece, None if piece.where in leaked else piece.text)


def _size(piece: Piece) -> int:
    return len(piece.text)


class _Index:
    """The test texts by the hashes of their shingles."""

    def __init__(self, pieces: Sequence[Piece]):
        self.pieces = pieces
        parts, letters, begun = [_hashes([])[0]], [], 0
        for batch in batches(pieces, _size):
            hashes, of_batch = _hashes(batch)
            parts.append(hashes._replace(text=hashes.text + begun))
            letters.append(of_batch)
            begun += len(batch)
        self.letters = np.concatenate([np.empty(0, np.int64), *letters])
        self.hashes = _without_common(Hashes(*map(np.concatenate, zip(*parts, strict=True))))
        self.counts, self.long_counts = _counts(self.hashes, len(pieces))
        # Most of the hashes that are looked up are not there: a table of bits says so at once.
        self.present = np.zeros(1 << _TABLE_BITS, bool)
        self.present[_table_place(self.hashes.hash)] = True

    def hits(self, hashes: Hashes) -> tuple[Hashes, Hashes]:
        """Where the same hash is among `hashes` and among the test texts, pair by pair, all hits
        of two texts together."""
        hashes = hashes.where(self.present[_table_place(hashes.hash)])
        first = np.searchsorted(self.hashes.hash, hashes.hash, "left")
        count = np.searchsorted(self.hashes.hash, hashes.hash, "right") - first
        mine = np.repeat(np.arange(len(count)), count)
        since = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
        theirs = self.hashes.where(first[mine] + since)
        order = np.lexsort((theirs.text, hashes.text[mine]))
        return hashes.where(mine[order]), theirs.where(order)


_TABLE_BITS = 24


def _table_place(hashes: UInt64[np.ndarray, " count"]) -> UInt64[np.ndarray, " count"]:
    return hashes >> np.uint64(HASH_BITS - _TABLE_BITS)


def _hashes(pieces: Sequence[Piece]) -> tuple[Hashes, Int[np.ndarray, " texts"]]:
    """All hashes of the pieces, of the wholes and of shingles, and the letters of each piece. Only
    long shingles keep the place where they begin; the others have -1."""
    shingles = Shingles([piece.text for piece in pieces])
    placeless = [
        kind._replace(start=np.full(len(kind.start), -1))
        for kind in (shingles.wholes(), shingles.short())
    ]
    kinds = zip(shingles.long(), *placeless, strict=True)
    return Hashes(*map(np.concatenate, kinds)), shingles.letters


def _without_common(hashes: Hashes) -> Hashes:
    """The hashes in order, without those that come more than `COMMON` times."""
    hashes = hashes.where(np.argsort(hashes.hash, kind="stable"))
    _, times = np.unique(hashes.hash, return_counts=True)
    return hashes.where(np.repeat(times <= COMMON, times))


def _counts(
    hashes: Hashes, texts: int
) -> tuple[Int[np.ndarray, " texts"], Int[np.ndarray, " texts"]]:
    """The number of different hashes of each text, of all kinds and of long shingles only."""
    long = hashes.where(hashes.start >= 0)
    return _distinct(hashes, texts), _distinct(long, texts)


def _distinct(hashes: Hashes, texts: int) -> Int[np.ndarray, " texts"]:
    packed = np.unique(hashes.text.astype(np.uint64) << np.uint64(HASH_BITS) | hashes.hash)
    return np.bincount((packed >> np.uint64(HASH_BITS)).astype(np.int64), minlength=texts)


def _leaks_of_batch(batch: Sequence[Piece], index: _Index, similarity: float) -> Iterator[Leak]:
    hashes, letters = _hashes(batch)
    counts, long_counts = _counts(hashes, len(batch))
    mine, theirs = index.hits(hashes)
    begins = np.flatnonzero(np.diff(mine.text, prepend=-1) | np.diff(theirs.text, prepend=-1))
    ends = np.append(begins[1:], len(mine.text))
    # Half of the hashes that scattered edits would leave, as for near-duplicates.
    fewest = np.minimum(counts[mine.text[begins]], index.counts[theirs.text[begins]])
    alike = ends - begins >= similarity**LONG * fewest / 2
    for begin, end in zip(begins[alike].tolist(), ends[alike].tolist(), strict=True):
        one, other = int(mine.text[begin]), int(theirs.text[begin])
        leak = _leak_of_pair(
            _Side(batch[one], int(letters[one]), int(long_counts[one]), mine.where(slice(begin, end))),
            _Side(index.pieces[other], int(index.letters[other]), int(index.long_counts[other]),
                  theirs.where(slice(begin, end))),
            similarity,
        )  # fmt: skip
        if leak:
            yield leak


class _Side(NamedTuple):
    """One text of a pair: its letters, the number of its different long shingles, and the hashes
    that the other has too, where they stand in it."""

    piece: Piece
    letters: int
    long: int
    shared: Hashes


def _leak_of_pair(train: _Side, against: _Side, similarity: float) -> Leak | None:
    """What two texts that share some hashes are to each other."""
    short, long = sorted((train, against), key=lambda side: side.letters)
    kind, share = _same(short, long, similarity)
    if share < similarity:
        kind, share = "contained", _contained(short, long)
    excerpt = short.piece.text[:EXCERPT_CHARACTERS]
    return Leak(kind, train.piece.where, against.piece.where, share, excerpt) if share else None


def _same(
    short: _Side, long: _Side, similarity: float
) -> tuple[Literal["exact", "near", "contained"], float]:
    first, second = short.piece.text, long.piece.text
    if short.letters == long.letters and same_letters(first, second):
        return "exact", 1.0
    if short.letters < least_letters(similarity) * long.letters:
        return "near", 0.0
    return "near", share_of_same(plain(first), plain(second), similarity)


def _contained(short: _Side, long: _Side) -> float:
    """The share of characters of `short` that stand together in `long`, 0.0 where that is too
    little: where most of its long shingles stand within one and a half times its length.

    Edits that leave a share s of the characters leave s ** LONG of the shingles.
    """
    if short.letters < FEWEST_CONTAINED or short.long < FEWEST_SHINGLES:
        return 0.0
    placed = long.shared.where(long.shared.start >= 0)
    placed = placed.where(np.argsort(placed.start))
    end = np.searchsorted(placed.start, placed.start + 1.5 * short.letters)
    count = end - np.arange(len(end))
    begin = int(np.argmax(count)) if len(count) else 0
    together = np.unique(placed.hash[begin : begin + count.max(initial=0)])
    share = len(together) / short.long
    return min(share, 1.0) ** (1 / LONG) if share >= CONTAINED else 0.0
