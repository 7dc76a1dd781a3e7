"""Several sources in one stream of windows, each in its share.

Read `shares` first (how large a part each source has), then `drawn_in` (which source comes next),
then `MixedWindows`. Nothing is counted while training: what window n is, and what was drawn before
it, is computed from n alone, so a run that resumes sees exactly what it would have seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from groundup.data.windows import Windows, WindowStream
from groundup.errors import InputError


def shares(
    sizes: Sequence[int],
    weights: Sequence[float | int | None] | None = None,
    budgets: Sequence[int | None] | None = None,
    temperature: float = 1.0,
) -> list[float]:
    """The part of the training that each source gets; together 1.

    In proportion to `weights` if they are given; or to `budgets`, the tokens to be drawn of each
    (a run of as many tokens as all budgets together draws exactly those); else to
    size^(1 / `temperature`): 1 follows the sizes, higher values raise the small sources, and very
    high ones make all equal (Conneau et al. 2020, https://arxiv.org/abs/1911.02116, section 3.1).
    Raises `InputError` for weights beside budgets, for sources without one where others have one,
    and for one that is not positive.
    """
    given = {"weight": weights, "tokens": budgets}
    used = {
        name: values for name, values in given.items() if any(v is not None for v in values or ())
    }
    if len(used) == 2:
        raise InputError(
            "some sources have a weight and some a token budget: a share follows from one or the other",
            "data.sources", "give every source a `weight`, or every source `tokens`",
        )  # fmt: skip
    for name, values in used.items():
        return _normalised(_checked(name, values or ()))
    largest = max(sizes, default=1)
    return _normalised([(size / largest) ** (1 / temperature) for size in sizes])


def drawn_in(n: int, shares: Float[np.ndarray, " sources"]) -> Int[np.ndarray, " sources"]:
    """How many of the first n windows are of each source.

    The next window is always of the source that is most behind, where a source has its j-th turn
    (from 0) at the time (j + ½) / share. This is Webster's method of dividing seats (Balinski and
    Young, Fair Representation, 1982): regular, so that each batch holds nearly its shares, and
    exact in the long run, whatever the shares.

    Up to the time t a source has had `floor(share · t + ½)` turns, all sources together t give or
    take half their number: so the counts at a time safely before n are known at once, and only the
    last few turns are taken one by one.
    """
    before = max(0.0, n - len(shares) / 2 - 1)
    counts = np.floor(shares * before + 0.5).astype(np.int64)
    for _ in range(n - int(counts.sum())):
        counts[_next(counts, shares)] += 1
    return counts


def turn_of(n: int, shares: Float[np.ndarray, " sources"]) -> tuple[int, int]:
    """Which source the n-th window is of, and which of its own windows it is."""
    counts = drawn_in(n, shares)
    source = _next(counts, shares)
    return source, int(counts[source])


@dataclass(frozen=True)
class Drawn:
    """What was really drawn of one source."""

    windows: int
    tokens: int
    """Tokens that were predicted, repeated ones counted again."""
    epochs: float
    """How often its text was read: above 1, it was repeated."""


class MixedWindows(WindowStream):
    """The windows of several sources as one stream; of a single source, exactly its own."""

    def __init__(self, windows: Mapping[str, Windows], shares: Mapping[str, float]):
        """`windows` of each source, all of one length, and `shares` for the same names."""
        self.names = list(windows)
        self.windows = [windows[name] for name in self.names]
        self.shares = np.array([shares[name] for name in self.names])

    def __getitem__(self, n: int) -> Int[np.ndarray, " window"]:
        source, turn = turn_of(n, self.shares)
        return self.windows[source][turn]

    @property
    def context_length(self) -> int:
        return self.windows[0].length - 1

    def drawn(self, n: int) -> dict[str, Drawn]:
        """What the first n windows are made of."""
        counts = drawn_in(n, self.shares).tolist()
        return {
            name: _drawn(count, windows)
            for name, count, windows in zip(self.names, counts, self.windows, strict=True)
        }


def _next(counts: Int[np.ndarray, " sources"], shares: Float[np.ndarray, " sources"]) -> int:
    """The source whose turn it is, when each has had `counts` turns."""
    return int(np.argmin((counts + 0.5) / shares))


def _drawn(count: int, windows: Windows) -> Drawn:
    tokens = count * (windows.length - 1)
    return Drawn(count, tokens, tokens / len(windows.tokens))


def _checked(name: str, values: Sequence[float | int | None]) -> list[float | int]:
    """The values, if every source has a positive one."""
    for number, value in enumerate(values, start=1):
        if value is None:
            raise InputError(
                f"source {number} has no `{name}`, but others have", "data.sources",
                f"give every source `{name}`, or none",
            )  # fmt: skip
        if value <= 0:
            raise InputError(
                f"source {number} has `{name}` {value}, which draws nothing of it", "data.sources",
                "give it a positive number, or take the source out",
            )  # fmt: skip
    return [value for value in values if value is not None]


def _normalised(values: Sequence[float | int]) -> list[float]:
    total = sum(values)
    return [value / total for value in values]
