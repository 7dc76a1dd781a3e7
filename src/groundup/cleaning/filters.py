"""Steps that keep a document or not, by the look of its first piece: its length, its repetitions."""

import re
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Int, UInt64
from pydantic import Field, NonNegativeInt, model_validator

from groundup.cleaning.step import FilterStep
from groundup.sources.read import PIECE_CHARACTERS

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Ids = UInt64[np.ndarray, " words"]
Lengths = Int[np.ndarray, " words"]


class Length(FilterStep):
    """Leave out documents that are too short or too long."""

    step: Literal["length"] = "length"
    fewest: NonNegativeInt = 10
    """Characters that a document must have, spaces at its ends not counted."""
    most: Annotated[int, Field(gt=0, le=PIECE_CHARACTERS)] | None = None
    """Characters that it may have, if given; up to about a million, the length of a piece."""

    @model_validator(mode="after")
    def _in_order(self) -> "Length":
        if self.most is not None and self.most < self.fewest:
            raise ValueError(f"fewest ({self.fewest}) is more than most ({self.most})")
        return self

    def keeps(self, text: str) -> bool:
        length = len(text.strip())
        return self.fewest <= length and (self.most is None or length <= self.most)


class Repetition(FilterStep):
    """Leave out documents that say the same again and again: the repetition rules of Gopher (Rae et
    al. 2021, https://arxiv.org/abs/2112.11446, table A1), with its thresholds.

    They are made for English words. A Chinese word is about two characters, so that in Chinese text
    an n-gram of words becomes one of 2n characters, and `fewest` words become twice as many
    characters. The shares for n-grams are doubled there as well: good Chinese says the name of a law
    or a disease in full each time (of real answers on law, 8 % exceed the shares for English, 0.7 %
    the doubled ones).
    """

    step: Literal["repetition"] = "repetition"
    fewest: NonNegativeInt = 50
    """Words that a document must have to be judged: in a short one repetition says little."""
    duplicate_lines: Share = 0.30
    """Largest share of the lines that may repeat an earlier line."""
    duplicate_line_characters: Share = 0.20
    """Largest share of the characters that may stand in such lines."""
    frequent_ngrams: list[Share] = [0.20, 0.18, 0.16]
    """Largest share of the characters in the most frequent n-gram of 2, 3, 4 words."""
    duplicate_ngrams: list[Share] = [0.15, 0.14, 0.13, 0.12, 0.11, 0.10]
    """Largest share of the characters in n-grams that occurred before, of 5, 6, … 10 words."""

    def keeps(self, text: str) -> bool:
        words = _WORD.findall(text)
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        scale = 2 if 2 * int((lengths == 1).sum()) > len(words) else 1
        if len(words) < self.fewest * scale:
            return True
        ids = np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)
        return not (
            self._repeats_lines(text)
            or self._has_frequent_ngram(ids, lengths, scale)
            or self._repeats_ngrams(ids, lengths, scale)
        )

    def _repeats_lines(self, text: str) -> bool:
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        distinct = set(lines)
        characters = sum(map(len, lines))
        repeated = characters - sum(map(len, distinct))
        return (
            len(lines) - len(distinct) > self.duplicate_lines * len(lines)
            or repeated > self.duplicate_line_characters * characters
        )

    def _has_frequent_ngram(self, ids: Ids, lengths: Lengths, scale: int) -> bool:
        return any(
            _most_frequent_share(ids, lengths, n * scale) > most * scale
            for n, most in enumerate(self.frequent_ngrams, start=2)
        )

    def _repeats_ngrams(self, ids: Ids, lengths: Lengths, scale: int) -> bool:
        for n, most in enumerate(self.duplicate_ngrams, start=5):
            share = _repeated_share(ids, lengths, n * scale) / scale
            if share > most:
                return True
            # What repeats as a long n-gram repeats as a short one: shares only fall from here.
            if share <= min(self.duplicate_ngrams):
                return False
        return False


# A Han character or kana is a word, else a run of letters, or of digits.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")


def _ngrams(ids: Ids, n: int) -> UInt64[np.ndarray, " ngrams"]:
    """A number for each n-gram, by a polynomial hash: equal n-grams have equal numbers."""
    multiplier = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits well mixed (Knuth 6.4)
    hashes = np.zeros(max(0, len(ids) - n + 1), np.uint64)
    for i in range(n):
        hashes = hashes * multiplier + ids[i : i + len(hashes)]
    return hashes


def _most_frequent_share(ids: Ids, lengths: Lengths, n: int) -> float:
    """Characters of the most frequent n-gram, all its occurrences together, of all characters."""
    ngrams = _ngrams(ids, n)
    if not len(ngrams):
        return 0.0
    distinct, counts = np.unique(ngrams, return_counts=True)
    top = int(counts.argmax())
    if counts[top] == 1:
        return 0.0
    start = int((ngrams == distinct[top]).argmax())
    return int(counts[top]) * int(lengths[start : start + n].sum()) / int(lengths.sum())


def _repeated_share(ids: Ids, lengths: Lengths, n: int) -> float:
    """Share of the characters that stand in n-grams which occurred before, each counted once."""
    ngrams = _ngrams(ids, n)
    if len(np.unique(ngrams)) == len(ngrams):
        return 0.0
    repeated = np.ones(len(ngrams), bool)
    repeated[np.unique(ngrams, return_index=True)[1]] = False
    # +1 where a repeated n-gram begins, −1 behind its end: the sum says how many cover a word.
    edges = np.zeros(len(ids) + 1, np.int64)
    edges[: len(ngrams)] += repeated
    edges[n : n + len(ngrams)] -= repeated
    covered = np.cumsum(edges[:-1]) > 0
    return int(lengths[covered].sum()) / max(1, int(lengths.sum()))
