"""Texts to sets of shingle hashes: what two texts have in common shows without comparing them.

A *shingle* is a run of neighbouring characters; a text is known by the set of its shingles (Broder
1997, "On the resemblance and containment of documents"). All texts of a batch are hashed together,
character by character in numpy, never in a Python loop. Read in this order: `sketch` (what
everybody calls), `Shingles` (the hashing), `_smallest` (which shingles of a long text are kept).
"""

import functools
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Int, UInt32, UInt64

# Lengths of shingles in letters. A character of Chinese, Japanese or Korean says about as much as
# two letters, and counts as two. Scattered edits that leave a share s of the characters leave
# s ** length of the shingles: long ones are rare and lead to few wrong candidates, short ones
# survive in short texts.
LONG, SHORT = 8, 6
SHORT_TEXT = 120
"""Letters up to which a text is also known by its short shingles."""
FEWEST_CHARACTERS = 20
"""Shorter texts are compared as wholes: three of five equal shingles mean nothing."""
SKETCH_SIZE = 96
"""Of two long texts with 20 % of the characters edited at random about 16 are in both sketches."""
HASH_BITS = 38
BATCH_CHARACTERS = 1 << 20

T = TypeVar("T")


class Sketch(NamedTuple):
    """Hashes of parts of texts, of which text of the batch each is, and the letters and digits of
    each text."""

    text: Int[np.ndarray, " count"]
    hash: UInt64[np.ndarray, " count"]
    letters: Int[np.ndarray, " texts"]


def sketch(texts: Sequence[str]) -> Sketch:
    """Few hashes of each text such that texts alike share some, one text after the other.

    They are, in this order, the hash of the whole text, twice, so that texts of which nothing else
    is known can share two; of a text of at least `FEWEST_CHARACTERS`, the `SKETCH_SIZE` smallest
    hashes of its long shingles (a bottom-k sketch: the same choice in every text); of a short text,
    the hashes of its short shingles too. Case, width, spaces and punctuation make no difference; a
    text without letters and digits has no hashes.
    """
    shingles = Shingles(texts)
    long = _smallest(shingles.long(), len(texts))
    kinds = [shingles.wholes(0)[:2], shingles.wholes(1)[:2], long, shingles.short()[:2]]
    text, hashes = (np.concatenate(column) for column in zip(*kinds, strict=True))
    order = np.argsort(text, kind="stable")
    return Sketch(text[order], hashes[order], shingles.letters)


class Hashes(NamedTuple):
    """Hashes, of which text of the batch each is, and where in the batch it begins."""

    text: Int[np.ndarray, " count"]
    hash: UInt64[np.ndarray, " count"]
    start: Int[np.ndarray, " count"]

    def where(self, chosen: np.ndarray | slice) -> "Hashes":
        return Hashes(self.text[chosen], self.hash[chosen], self.start[chosen])


class Shingles:
    """The hashes of all shingles of some texts.

    The hash of the characters c from i up to j is Σ c_t B^(t-i) mod 2^64 (Karp and Rabin 1987),
    here (P_j - P_i) B^-i with the prefix sums P of c_t B^t, so that shingles of any length cost
    the same; an odd B has an inverse. The multiplications at its end spread it over all bits.
    """

    def __init__(self, texts: Sequence[str]):
        codes, text = _folded(texts)
        self.text = text
        lengths = np.bincount(text, minlength=len(texts))
        self.bounds = np.concatenate([[0], np.cumsum(lengths)])
        width = np.where(_is_wide(codes), 2, 1)
        self.weight = np.concatenate([[0], np.cumsum(width)])
        self.cover = np.repeat(np.arange(len(codes)), width)
        power = np.cumprod(np.full(len(codes), _BASE))
        self.inverse = np.cumprod(np.full(len(codes), _INVERSE))
        self.prefix = np.concatenate(
            [np.zeros(1, np.uint64), np.cumsum(_mix(codes.astype(np.uint64)) * power)]
        )

    @property
    def letters(self) -> Int[np.ndarray, " texts"]:
        """Letters and digits of each text."""
        return np.diff(self.bounds)

    def wholes(self, kind: int = 0) -> Hashes:
        """One hash for each text that has a letter."""
        texts = np.flatnonzero(self.letters)
        start, end = self.bounds[texts], self.bounds[texts + 1]
        return Hashes(texts, self._hash(start, end, kind), start)

    def long(self) -> Hashes:
        """The long shingles of all texts."""
        return self._of_length(LONG, self.letters >= FEWEST_CHARACTERS)

    def short(self) -> Hashes:
        """The short shingles of short texts."""
        widths = np.diff(self.weight[self.bounds])
        wanted = (self.letters >= FEWEST_CHARACTERS) & (widths <= SHORT_TEXT)
        return self._of_length(SHORT, wanted)

    def _of_length(self, length: int, wanted: Bool[np.ndarray, " texts"]) -> Hashes:
        """The hash at every place of the `wanted` texts where a shingle of `length` letters fits;
        a wide character at its end may make it a letter longer."""
        last = self.weight[:-1] + length - 1
        start = np.flatnonzero((last < self.weight[-1]) & wanted[self.text])
        end = self.cover[last[start]] + 1
        inside = end <= self.bounds[self.text[start] + 1]
        start, end = start[inside], end[inside]
        return Hashes(self.text[start], self._hash(start, end, length), start)

    def _hash(self, start: np.ndarray, end: np.ndarray, kind: int) -> UInt64[np.ndarray, " count"]:
        hashes = (self.prefix[end] - self.prefix[start]) * self.inverse[start]
        return _mix(hashes + np.uint64(kind)) >> np.uint64(64 - HASH_BITS)


_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))


def _mix(values: UInt64[np.ndarray, " count"]) -> UInt64[np.ndarray, " count"]:
    """MurmurHash3's finalizer: every bit of the input changes half of the bits of the output."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


def _smallest(
    hashes: Hashes, texts: int
) -> tuple[Int[np.ndarray, " kept"], UInt64[np.ndarray, " kept"]]:
    """The `SKETCH_SIZE` smallest distinct hashes of each text: texts and hashes.

    Sorting all would take the longest: those that are much too large to be among the smallest
    (by five standard deviations) are left out before.
    """
    counts = np.bincount(hashes.text, minlength=texts)
    enough = SKETCH_SIZE + 5 * np.sqrt(SKETCH_SIZE)
    limit = (np.minimum(enough / np.maximum(counts, 1), 1.0) * (2.0**HASH_BITS)).astype(np.uint64)
    small = hashes.where(hashes.hash < limit[hashes.text])
    # Text and hash in one number, which numpy sorts many times faster than two.
    packed = np.unique(small.text.astype(np.uint64) << np.uint64(HASH_BITS) | small.hash)
    text = (packed >> np.uint64(HASH_BITS)).astype(np.int64)
    kept = np.arange(len(text)) - np.searchsorted(text, text) < SKETCH_SIZE
    return text[kept], packed[kept] & np.uint64((1 << HASH_BITS) - 1)


def least_letters(similarity: float) -> float:
    """The least ratio of letters that two texts have which are the same in a share `similarity` of
    all characters: letters are usually four fifths of these, rarely less than two thirds."""
    return 1 - 1.5 * (1 - similarity)


def same_letters(first: str, second: str) -> bool:
    """Whether two texts differ in case, width, spaces and punctuation at most."""
    return np.array_equal(_folded([first])[0], _folded([second])[0])


def batches(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """`items` in lists of about `BATCH_CHARACTERS`, which is the best size to hash at once."""
    batch: list[T] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += size(item)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _folded(
    texts: Sequence[str],
) -> tuple[UInt32[np.ndarray, " count"], Int[np.ndarray, " count"]]:
    """The letters and digits of all texts one after the other, and of which text each is."""
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    codes = _fold_table()[np.frombuffer(joined, "<u4")]
    text = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    kept = codes > 0
    return codes[kept], text[kept]


@functools.cache
def _fold_table() -> UInt32[np.ndarray, " characters"]:
    """For each character the one that stands for it: NFKC form, lower case; 0 for what is left out
    (spaces, punctuation, marks). From U+20000 on are rare Han characters, which stay."""
    table = np.arange(0x110000, dtype=np.uint32)
    for code in range(0x20000):
        folded = unicodedata.normalize("NFKC", chr(code)).casefold()
        table[code] = next((ord(character) for character in folded if character.isalnum()), 0)
    return table


def _is_wide(codes: UInt32[np.ndarray, " count"]) -> Bool[np.ndarray, " count"]:
    """Han, kana and Hangul, which all stand from U+2E80 on (as little else that is a letter)."""
    return codes >= 0x2E80
