"""Where the time of a training goes."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ALONE = ("data", "compute", "checkpoint", "evaluation", "other")
TOGETHER = (*ALONE, "communication")


class Clock:
    """Seconds by what they went to, one thing at a time: what is begun within another takes its time from
    it. What is none of `kinds` is part of `compute`."""

    def __init__(self, kinds: Sequence[str] = ALONE):
        self.seconds = dict.fromkeys(kinds, 0.0)
        self.doing, self.since = "other", time.perf_counter()
        self._last = dict(self.seconds)

    def turn(self, kind: str) -> str:
        """From now on the time goes to `kind`; what it went to before."""
        before, now = self.doing, time.perf_counter()
        self.seconds[before] += now - self.since
        self.doing, self.since = kind if kind in self.seconds else "compute", now
        return before

    @contextmanager
    def on(self, kind: str) -> Iterator[None]:
        before = self.turn(kind)
        try:
            yield
        finally:
            self.turn(before)

    def timed(self, kind: str, function: Callable[P, T]) -> Callable[P, T]:
        """`function`, whose time goes to `kind`."""

        def timed(*args: P.args, **named: P.kwargs) -> T:
            before = self.turn(kind)
            try:
                return function(*args, **named)
            finally:
                self.turn(before)

        return timed

    def lap(self) -> dict[str, float]:
        """The seconds since this was last asked."""
        self.turn(self.doing)
        lap = {kind: self.seconds[kind] - self._last[kind] for kind in self.seconds}
        self._last = dict(self.seconds)
        return lap


def shares_of(seconds: dict[str, float]) -> dict[str, float]:
    """Each kind's share of all the seconds.

    >>> shares_of({"data": 1.0, "compute": 3.0})
    {'data': 0.25, 'compute': 0.75}
    """
    whole = sum(seconds.values()) or 1.0
    return {kind: of / whole for kind, of in seconds.items()}
