"""The order in which examples are seen: all of them once per epoch, each epoch in an order of its own."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int


def drawn(n: int, size: int, count: int, seed: int) -> Int[np.ndarray, " size"]:
    """Which of `count` examples make up the n-th micro-batch of `size`: a pure function of its
    arguments, so that a run that is resumed sees what it would have seen."""
    turns = range(n * size, (n + 1) * size)
    return np.array([_order(turn // count, count, seed)[turn % count] for turn in turns])


@lru_cache(maxsize=4)
def _order(epoch: int, count: int, seed: int) -> Int[np.ndarray, " count"]:
    key = np.array([seed, epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(count)
