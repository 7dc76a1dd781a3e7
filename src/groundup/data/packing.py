"""Examples of different lengths in rows of one length, several in a row, each seeing only itself.

Read `fit` (what of an example a row can hold), then `pack` (which examples share a row), then
`PackedRows` (the n-th row) and `PackedBatches` (the n-th batch, with rows of general text among them).
As with windows, everything is a pure function of n.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from groundup.data.mixing import turn_of
from groundup.data.order import drawn
from groundup.data.windows import WindowStream
from groundup.errors import InputError

PADDING = -1
"""The segment of places that hold no text."""


class Example(NamedTuple):
    """The ids of a text, and which of them are to be learned."""

    ids: Int[np.ndarray, " tokens"]
    spoken: Bool[np.ndarray, " tokens"]


class Packed(NamedTuple):
    """A batch of rows, several texts in each. The arrays are tensors when the loop has put them on its
    device."""

    ids: Int[Any, "rows window"]
    """Inputs and, one further, their targets."""
    weights: Float[Any, "rows time"]
    """How much each target counts: 1 where it is to be learned, 0 where not."""
    segments: Int[Any, "rows window"]
    """Which text of its row each token belongs to; `PADDING` for none."""

    @property
    def tokens(self) -> int:
        """How many targets are text."""
        return int((self.segments[:, 1:] >= 0).sum())


@dataclass
class Cuts:
    """What of the examples did not fit into a row."""

    prompts: int = 0
    """Prompts whose beginning was cut off."""
    prompt_tokens: int = 0
    answers: int = 0
    """Texts whose end was cut off, with the answers there."""
    answer_tokens: int = 0
    left_out: int = 0
    """Examples without anything to learn."""

    def __add__(self, other: "Cuts") -> "Cuts":
        return Cuts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __str__(self) -> str:
        said = {
            "{:,} prompts were cut at their beginning, by {:,} tokens": (
                self.prompts, self.prompt_tokens),
            "{:,} texts were cut at their end, by {:,} tokens": (self.answers, self.answer_tokens),
            "{:,} examples are left out, as no answer is left of them": (self.left_out,),
        }  # fmt: skip
        return "; ".join(text.format(*counts) for text, counts in said.items() if counts[0])


def fit(examples: Sequence[Example], context_length: int) -> tuple[list[Example], Cuts]:
    """The examples as rows of `context_length` + 1 tokens can hold them, and what was cut.

    A prompt may have as much of the row as its answers leave, and at least half: what is more is cut
    from its beginning, since what is asked stands mostly at the end. What is still too long is cut
    from the end: each answer that stays is learned after all that was said before it."""
    cuts = Cuts()
    fitting = [_fit(example, context_length + 1, cuts) for example in examples]
    learned = [example for example in fitting if example.spoken[1:].any()]
    cuts.left_out = len(fitting) - len(learned)
    return learned, cuts


def _fit(example: Example, length: int, cuts: Cuts) -> Example:
    if len(example.ids) <= length:
        return example
    prompt = int(example.spoken.argmax())
    start = max(0, prompt - max(length // 2, length - (len(example.ids) - prompt)))
    end = min(len(example.ids), start + length)
    cuts.prompts += start > 0
    cuts.prompt_tokens += start
    cuts.answers += end < len(example.ids)
    cuts.answer_tokens += len(example.ids) - end
    return Example(example.ids[start:end], example.spoken[start:end])


def pack(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Which examples share a row of `length` tokens: each goes, the longest first, into the first row
    that has room for it (first-fit decreasing, at most 11/9 of the least number of rows and a bit:
    Johnson 1973). Raises `InputError` for an example that is longer than a row."""
    if max(lengths, default=0) > length:
        raise InputError(f"an example of {max(lengths)} tokens does not fit into a row of {length}")
    rows: list[list[int]] = []
    room = np.full(len(lengths) + 1, length)
    for example in np.argsort(-np.asarray(lengths, np.int64), kind="stable"):
        row = int(np.argmax(room[: len(rows) + 1] >= lengths[example]))
        room[row] -= lengths[example]
        if row == len(rows):
            rows.append([])
        rows[row].append(int(example))
    return rows


class PackedRows:
    """The rows of some examples, in a new order in each epoch: `rows[n]` for any n."""

    def __init__(
        self,
        examples: Sequence[Example],
        context_length: int,
        together: bool = True,
        seed: int = 0,
    ):
        """`examples` as `fit` gives them; unless they go `together`, each has a row of its own."""
        if not examples:
            raise InputError("there are no examples to learn from", None, "give more rows")
        self.examples, self.length, self.seed = examples, context_length + 1, seed
        lengths = [len(example.ids) for example in examples]
        self.rows = pack(lengths, self.length) if together else [[i] for i in range(len(examples))]
        self.padding_share = 1 - sum(lengths) / (len(self.rows) * self.length)
        """The share of places that hold no text."""

    def __len__(self) -> int:
        """The number of rows in an epoch."""
        return len(self.rows)

    def __getitem__(self, n: int) -> Packed:
        """The n-th row, as a batch of one."""
        return self.row(int(drawn(n, 1, len(self.rows), self.seed)[0]))

    def row(self, number: int) -> Packed:
        """A row by its number, in no epoch's order."""
        ids = np.zeros(self.length, np.int64)
        spoken = np.zeros(self.length, bool)
        segments = np.full(self.length, PADDING)
        end = 0
        for segment, example in enumerate(self.rows[number]):
            start, end = end, end + len(self.examples[example].ids)
            ids[start:end], spoken[start:end] = self.examples[example]
            segments[start:end] = segment
            spoken[start] = False  # its token before is another text's
        return Packed(ids[None], spoken[None, 1:].astype(np.float32), segments[None])


class PackedBatches:
    """`batches(n)` is the n-th batch: rows of examples and, in their share, windows of general text,
    every token of which counts.

    The share is one of rows. As every token of a window is learned, and of a conversation the answers
    alone, it is larger in the loss."""

    def __init__(
        self,
        rows: PackedRows,
        size: int,
        replay: WindowStream | None = None,
        replay_share: float = 0.0,
    ):
        """`size` rows a batch. Windows of `replay` are as long as `rows`."""
        self.rows, self.size, self.replay = rows, size, replay
        self.shares = np.array([1 - replay_share, replay_share] if replay_share else [1.0])

    def __call__(self, n: int) -> Packed:
        return joined([self._row(i) for i in range(n * self.size, (n + 1) * self.size)])

    def _row(self, n: int) -> Packed:
        source, turn = turn_of(n, self.shares)
        if source == 0 or self.replay is None:
            return self.rows[turn]
        ids = self.replay[turn].astype(np.int64)[None]
        return Packed(ids, np.ones((1, ids.shape[1] - 1), np.float32), np.zeros_like(ids))


def joined(rows: Sequence[Packed]) -> Packed:
    """Rows as one batch."""
    return Packed(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))
