"""Which combinations training never shows, so that the exam cannot be passed by remembering.

A fact is a relation between two things: ("is in", "Mia", "garden"), ("has", "Tom", "ball"),
("+", "23", "45"). About one in ten is held out, chosen by a checksum: the same ones on every
machine, in every run and in both languages.
"""

from collections.abc import Callable
from functools import cache
from zlib import crc32

Fact = tuple[str, str, str]
"""(relation, first, second), each by its English name."""

Allowed = Callable[[Fact], bool]
"""Which facts a story or a task may contain."""

HELD_OUT_SHARE = 0.1


@cache
def held_out(fact: Fact) -> bool:
    """True for the facts kept for the exam."""
    return crc32("|".join(fact).encode()) < HELD_OUT_SHARE * 2**32


@cache
def in_training(fact: Fact) -> bool:
    """True for the facts that training may show."""
    return not held_out(fact)


def anything(fact: Fact) -> bool:
    """True for every fact: an exam's story is free, only its question must be held out."""
    return True
