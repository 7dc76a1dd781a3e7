"""Texts with labels as batches: padded at their end, similar lengths together.

Which batch is the n-th is a pure function of the examples, a seed and n, as everywhere.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from groundup.settings import Seed
from groundup.tokenizer.tokenizer import Tokenizer

# So many batches are drawn together and sorted by length: enough to leave little padding, too few for
# the length to say which part of the epoch a text is in.
BUCKET = 16
PADDING = 0  # nobody looks at it


class Labelled(NamedTuple):
    """A batch of texts with the ids of their labels."""

    ids: Int[np.ndarray, "batch time"]
    """Padded at the end."""
    lengths: Int[np.ndarray, " batch"]
    """How many of the ids of each row are text."""
    labels: Int[np.ndarray, " batch"]

    @property
    def tokens(self) -> int:
        """Those that are no padding."""
        return int(self.lengths.sum())


class Encoded(NamedTuple):
    """Texts as ids, and how many of them were longer than the context and are cut."""

    ids: list[list[int]]
    cut: int

    @property
    def note(self) -> str | None:
        """What to tell the user of it."""
        if not self.cut:
            return None
        return f"{self.cut:,} of {len(self.ids):,} texts are longer than the context: their ends are cut"


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> Encoded:
    """Texts as a classifier reads them: after what begins a text in this model, at most
    `context_length` ids, at least one. Special tokens in them are text like any other."""
    begin, end = tokenizer.begin_ids, tokenizer.end_of_text_id
    nothing = [PADDING if end is None else end]
    encoded = tokenizer.encode_batch(texts, allow_special=False)
    whole = [begin + ids or nothing for ids in encoded]
    return Encoded(
        [ids[:context_length] for ids in whole], sum(len(ids) > context_length for ids in whole)
    )


def padded(
    ids: Sequence[Sequence[int]],
) -> tuple[Int[np.ndarray, "batch time"], Int[np.ndarray, " batch"]]:
    """Rows of the same length, and the lengths that they had."""
    lengths = np.array([len(row) for row in ids], np.int64)
    rows = np.full((len(ids), lengths.max()), PADDING, np.int64)
    for row, given in zip(rows, ids, strict=True):
        row[: len(given)] = given
    return rows, lengths


class LabelledBatches:
    """An endless stream of batches: `batches(n)` is the n-th, every text once per epoch."""

    def __init__(
        self, ids: Sequence[Sequence[int]], labels: Int[np.ndarray, " texts"], size: int, seed: Seed
    ):
        self.ids, self.labels, self.size, self.seed = ids, labels, size, seed
        self.lengths = np.array([len(row) for row in ids])
        self.epoch = lru_cache(maxsize=2)(self._epoch)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.epoch(0))

    def __call__(self, n: int) -> Labelled:
        epoch, place = divmod(n, len(self))
        chosen = self.epoch(epoch)[place]
        return Labelled(*padded([self.ids[i] for i in chosen]), self.labels[chosen])

    def _epoch(self, epoch: int) -> list[Int[np.ndarray, " batch"]]:
        """The texts of each batch of an epoch."""
        key = np.array([self.seed, epoch + 1], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key))
        order = generator.permutation(len(self.ids))
        buckets = np.split(order, range(self.size * BUCKET, len(order), self.size * BUCKET))
        batches = [batch for bucket in buckets for batch in self._of_bucket(bucket)]
        return [batches[i] for i in generator.permutation(len(batches))]

    def _of_bucket(self, bucket: Int[np.ndarray, " texts"]) -> list[Int[np.ndarray, " batch"]]:
        by_length = bucket[np.argsort(self.lengths[bucket], kind="stable")]
        return np.split(by_length, range(self.size, len(by_length), self.size))
