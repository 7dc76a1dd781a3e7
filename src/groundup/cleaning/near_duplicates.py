"""Near-duplicates among many texts: shared shingles lead to candidates, an alignment decides.

Read in this order: `NearDuplicates` (the cleaning step), `near_duplicates` (the engine), then its
three passes `_write_sketches`, `_write_pairs` and `_decide`. What is as large as the texts lies in
temporary files (in TMPDIR, some three times the size of the texts) and is read part by part; held
in memory are about 50 bytes for each text.
"""

import contextlib
import errno
import json
import os
import tempfile
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int, UInt64
from pydantic import Field

from groundup.cleaning.alignment import plain, share_of_same
from groundup.cleaning.sketch import HASH_BITS, LONG, Sketch, batches, least_letters, sketch
from groundup.cleaning.step import Record, Step
from groundup.errors import GroundupError
from groundup.sources.read import Piece

# Within a part of the space of hashes 32 bits tell hashes apart, which leaves 32 for the text.
PARTS = 1 << (HASH_BITS - 32)
# The texts before it that a text is paired with for each shingle, beside the first that had it: in
# all, a shingle that is everywhere gives no more pairs than a rare one.
NEIGHBOURS = 4


class NearDuplicates(Step):
    """Leave out what is nearly the same as a text before it that stays.

    Pieces are compared: a document of usual size as a whole, a long one part by part.
    """

    step: Literal["near_duplicates"] = "near_duplicates"
    similarity: float = Field(default=0.8, ge=0.7, le=1.0)
    """The share of characters that are the same from which on a text is a copy: with 0.8, up to
    20 % of its characters were edited."""

    def apply(self, pieces: Iterable[Piece], record: Record) -> Iterator[Piece]:
        with (
            _temporary_folder() as folder,
            _Store(folder / "texts") as texts,
            _Store(folder / "marks") as marks,
        ):
            found = _search(_texts_of(pieces, marks), texts, folder, self.similarity)
            copies = {duplicate.text for duplicate in found}
            for index in range(len(texts)):
                piece = Piece(texts[index], *json.loads(marks[index]))
                yield from record.pass_on(piece, None if index in copies else piece.text)


class Duplicate(NamedTuple):
    """A text that is a copy of an earlier one, by their places in the stream from 0 on."""

    text: int
    copy_of: int
    similarity: float


def near_duplicates(texts: Iterable[str], similarity: float = 0.8) -> Iterator[Duplicate]:
    """The texts to leave out, in order, each with the earlier text, which stays, that it copies.

    `similarity` is the share of characters that are the same (`alignment.share_of_same`), not the
    Jaccard similarity J of sets of shingles that MinHash estimates. Of the shingles of k characters
    scattered edits leave p = similarity^k in both texts, hence J = p / (2 - p): at similarity 0.8
    and k = 5 that is 0.20, at k = 8 0.09, while blocks of edits leave J near 0.67. No threshold on
    J finds the first without much that is unrelated; so shared shingles only make candidates.
    Texts of fewer than `sketch.FEWEST_CHARACTERS` letters and digits are copies if all of these
    are the same.
    """
    with _temporary_folder() as folder, _Store(folder / "texts") as store:
        yield from _search(texts, store, folder, similarity)


def _search(
    texts: Iterable[str], store: "_Store", folder: Path, similarity: float
) -> Iterator[Duplicate]:
    """`near_duplicates` with the place where texts are kept, one after the other, as they come."""
    entries, pairs = _Parts(folder / "entries"), _Parts(folder / "pairs")
    with _Store(folder / "sketches") as sketches:
        letters = _write_sketches(texts, store, sketches, entries)
        _write_pairs(entries, letters, similarity, pairs)
        yield from _decide(pairs, store, sketches, similarity)


def _write_sketches(
    texts: Iterable[str], store: "_Store", sketches: "_Store", entries: "_Parts"
) -> Int[np.ndarray, " texts"]:
    """First pass: keep each text and its sketch, and write an entry (hash, text) for each of its
    shingles, sorted out by the first bits of the hash. Gives the letters of each text."""
    letters = array("i")
    for found in _sketched(texts, store):
        index = found.text + len(letters)
        entries.add(found.hash >> np.uint64(32), _pack(found.hash, index))
        letters.extend(found.letters.tolist())
        bounds = np.searchsorted(found.text, np.arange(len(found.letters) + 1))
        short = found.hash.astype("<u4")
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            sketches.add_bytes(short[start:end].tobytes())
    return np.asarray(letters, np.int64)


def _write_pairs(
    entries: "_Parts", letters: Int[np.ndarray, " texts"], similarity: float, pairs: "_Parts"
) -> None:
    """Second pass: texts that have a shingle in common, as pairs (later, earlier), sorted out by
    the later text."""
    least = least_letters(similarity)
    for part in entries:
        part.sort()
        hashes, texts = _unpack(part)
        place = np.arange(len(part))
        begins = np.concatenate([[True], hashes[1:] != hashes[:-1]])[: len(part)]
        since = place - np.maximum.accumulate(np.where(begins, place, 0))
        for distance in range(NEIGHBOURS + 1):
            later = np.flatnonzero(since >= distance if distance else since > NEIGHBOURS)
            earlier = later - (distance or since[later])
            one, other = letters[texts[later]], letters[texts[earlier]]
            alike = np.minimum(one, other) >= least * np.maximum(one, other)
            later, earlier = texts[later[alike]], texts[earlier[alike]]
            pairs.add(later * PARTS // len(letters), _pack(later, earlier))


def _decide(
    pairs: "_Parts", texts: "_Store", sketches: "_Store", similarity: float
) -> Iterator[Duplicate]:
    """Third pass: what of the candidates is a copy. A candidate that is a copy itself stands for
    the text that it copies."""
    original: dict[int, int] = {}
    for part in pairs:
        values, shared = np.unique(part, return_counts=True)
        later, earlier = _unpack(values[shared > 1])
        rows: list[tuple[int, int]] = list(zip(later.tolist(), earlier.tolist(), strict=True))
        for text, group in groupby(rows, itemgetter(0)):
            candidates = {original.get(other, other): None for _, other in group}
            for candidate, share in _copied(text, candidates, texts, sketches, similarity):
                original[text] = candidate
                yield Duplicate(text, candidate, share)
                break


def _copied(
    text: int, candidates: Iterable[int], texts: "_Store", sketches: "_Store", similarity: float
) -> Iterator[tuple[int, float]]:
    """The candidates that `text` is a copy of, with the share of characters that are the same."""
    mine = sketches.numbers(text)
    same_text = mine[0]
    hashes = set(mine)
    for candidate in candidates:
        other = sketches.numbers(candidate)
        if other[0] == same_text:
            yield candidate, 1.0
        elif len(hashes.intersection(other)) > _fewest_shared(mine, other, similarity):
            share = share_of_same(plain(texts[text]), plain(texts[candidate]), similarity)
            if share >= similarity:
                yield candidate, share


def _fewest_shared(mine: list[int], other: list[int], similarity: float) -> float:
    """Half of the hashes that the sketches of two texts share after scattered edits: of copies
    nearly all have more, of unrelated texts hardly any."""
    return max(1.0, similarity**LONG * min(len(mine), len(other)) / 2)


def _sketched(texts: Iterable[str], store: "_Store") -> Iterator[Sketch]:
    """The sketches of all texts, batch by batch; numpy works in threads while texts are read."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Sketch]] = deque()
        for batch in batches(texts, len):
            waiting.append(pool.submit(sketch, batch))
            for text in batch:
                store.add(text)
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _texts_of(pieces: Iterable[Piece], marks: "_Store") -> Iterator[str]:
    """The texts of pieces; the rest of each piece goes to `marks`."""
    for piece in pieces:
        marks.add(json.dumps([piece.starts_document, piece.where, piece.source]))
        yield piece.text


def _pack(high: np.ndarray, low: np.ndarray) -> UInt64[np.ndarray, " count"]:
    """The last 32 bits of two numbers in one, which numpy sorts many times faster than two."""
    return high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)


def _unpack(
    packed: UInt64[np.ndarray, " count"],
) -> tuple[Int[np.ndarray, " count"], Int[np.ndarray, " count"]]:
    high = (packed >> np.uint64(32)).astype(np.int64)
    return high, (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="groundup-") as name:
        try:
            yield Path(name)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise GroundupError(
                "no room for temporary files", name, "set TMPDIR to a folder with more space"
            ) from error


class _Store:
    """Texts, or bytes, in a file: added at its end, read in any order."""

    def __init__(self, path: Path):
        self.file = path.open("w+b")
        self.ends = array("Q", [0])

    def __enter__(self) -> "_Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __len__(self) -> int:
        return len(self.ends) - 1

    def add(self, text: str) -> None:
        self.add_bytes(text.encode("utf-8", "surrogatepass"))

    def add_bytes(self, value: bytes) -> None:
        self.file.write(value)
        self.ends.append(self.ends[-1] + len(value))

    def __getitem__(self, index: int) -> str:
        return self.read_bytes(index).decode("utf-8", "surrogatepass")

    def numbers(self, index: int) -> list[int]:
        """The bytes as 32-bit numbers."""
        return np.frombuffer(self.read_bytes(index), "<u4").tolist()

    def read_bytes(self, index: int) -> bytes:
        self.file.seek(self.ends[index])
        return self.file.read(self.ends[index + 1] - self.ends[index])


class _Parts:
    """Numbers in `PARTS` files: all that belong together are in one part, which fits in memory."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self.paths = [folder / str(part) for part in range(PARTS)]

    def add(self, part: np.ndarray, values: UInt64[np.ndarray, " count"]) -> None:
        """Write each value to the part whose number stands in the same place of `part`."""
        part = part.astype(np.uint8)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(PARTS + 1))
        values = values[order]
        for index in np.flatnonzero(np.diff(bounds)).tolist():
            with self.paths[index].open("ab") as file:
                values[bounds[index] : bounds[index + 1]].tofile(file)

    def __iter__(self) -> Iterator[UInt64[np.ndarray, " count"]]:
        """The parts, each removed from the disk once it is read."""
        for path in self.paths:
            part = np.fromfile(path, np.uint64) if path.exists() else np.empty(0, np.uint64)
            path.unlink(missing_ok=True)
            yield part
