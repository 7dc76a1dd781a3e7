"""Windows on a stream of tokens: what a training step looks at.

Window n is a pure function of (tokens, settings, seed, n): nothing is stored between steps, and a
run that resumes at step n sees exactly what it would have seen.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Int
from pydantic import PositiveInt

from groundup.data.shards import Tokens
from groundup.errors import InputError
from groundup.settings import Seed, Settings


class WindowConfig(Settings):
    """How windows are drawn from the text."""

    order: Literal["shuffled", "random", "sequential"] = "shuffled"
    """`shuffled`: every window once per epoch, in a new order each time; `sequential`: from first
    to last, again and again; `random`: beginning anywhere."""
    stride: PositiveInt | None = None
    """Tokens between the beginnings of neighbouring windows; below the context length they overlap.
    Default: the context length."""
    align_documents: bool = False
    """Let every window begin where a document does, the first one that the window before has not
    seen whole: for many short documents, so that none is read without its beginning."""
    seed: Seed = 0
    """Decides the order."""


class WindowStream(ABC):
    """An endless stream of training windows: `stream[n]` is `context_length` + 1 ids, the inputs
    and, one further, their targets."""

    @abstractmethod
    def __getitem__(self, n: int) -> Int[np.ndarray, " window"]: ...

    def batch(self, n: int, size: int) -> Int[np.ndarray, "batch window"]:
        """Windows n · size up to (n + 1) · size, as rows."""
        return np.stack([self[i] for i in range(n * size, (n + 1) * size)])


class Windows(WindowStream):
    """The windows of one text."""

    def __init__(self, tokens: Tokens, context_length: int, config: WindowConfig):
        self.tokens, self.length, self.config = tokens, context_length + 1, config
        last = len(tokens) - self.length
        if last < 0:
            raise InputError(
                f"the text has {len(tokens)} tokens, but one window needs {self.length}",
                None,
                f"give more text, or a --model.context_length of {max(1, len(tokens) - 1)} or less",
            )
        self.starts: np.ndarray | range = range(last + 1)
        if config.align_documents:
            self.starts = _document_windows(tokens.document_starts, self.length, last)
        elif config.order != "random":
            self.starts = range(0, last + 1, config.stride or context_length)
        self.permutation = lru_cache(maxsize=2)(self._permutation)

    def __getitem__(self, n: int) -> Int[np.ndarray, " window"]:
        return self.at(self.place(n))

    def at(self, place: int) -> Int[np.ndarray, " window"]:
        """The window that begins at the `place`-th of `starts`: in the order of the text."""
        start = int(self.starts[place])
        return self.tokens.read(start, start + self.length)

    def place(self, n: int) -> int:
        """Which of `starts` is the n-th window's."""
        count = len(self.starts)
        if self.config.order == "random":
            # A counter-based generator (Salmon et al. 2011): number n is computed, not waited for.
            generator = np.random.Generator(np.random.Philox(key=self.config.seed, counter=n))
            return int(generator.integers(count))
        epoch, place = divmod(n, count)
        return place if self.config.order == "sequential" else int(self.permutation(epoch)[place])

    def _permutation(self, epoch: int) -> np.ndarray:
        """The order of the windows in an epoch."""
        key = np.array([self.config.seed, epoch + 1], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(len(self.starts))


def _document_windows(document_starts: np.ndarray, length: int, last: int) -> np.ndarray:
    """Starts of documents such that every document no longer than a window is whole in one."""
    starts = [0]
    while starts[-1] < last:
        cut = int(np.searchsorted(document_starts, starts[-1] + length, side="right")) - 1
        following = int(document_starts[cut])
        if following == starts[-1]:  # longer than a window: on to the next one
            following = int(document_starts[cut + 1]) if cut + 1 < len(document_starts) else last
        starts.append(min(following, last))
    return np.array(starts)


# lab: windows
def windows_step_by_step(
    ids: Int[np.ndarray, " count"], context_length: int
) -> Iterator[tuple[Int[np.ndarray, " time"], Int[np.ndarray, " time"]]]:
    """The inputs and the targets of `context_length` tokens each in a row of `ids`, window by window: the
    targets are what comes after each input. Every token but the first is a target exactly once; the last
    window may be shorter.

    >>> [(x.tolist(), y.tolist()) for x, y in windows_step_by_step(np.arange(6), 3)]
    [([0, 1, 2], [1, 2, 3]), ([3, 4], [4, 5])]
    """
    for start in range(0, len(ids) - 1, context_length):
        window = ids[start : start + context_length + 1]
        yield window[:-1], window[1:]


def evaluation_windows(
    tokens: Tokens, context_length: int, most_tokens: int | None = None
) -> Iterator[Int[np.ndarray, " window"]]:
    """The windows of `windows_step_by_step`, inputs and targets in one, read from where they lie. With
    `most_tokens`, only so many, evenly spread over the text."""
    # The last target of a window is the first input of the next.
    starts = range(0, len(tokens) - 1, context_length)
    if most_tokens is not None and len(tokens) > most_tokens:
        keep = max(1, most_tokens // context_length)
        starts = [starts[i * len(starts) // keep] for i in range(min(keep, len(starts)))]
    for start in starts:
        yield tokens.read(start, min(start + context_length + 1, len(tokens)))
