"""Which variants of a model are worth having: those that no other beats in everything.

A variant *dominates* another when it is at least as good in all that was measured (quality, bytes,
speed) and better in one of them (Pareto's order). What nobody dominates is the front: which of them to
take is a matter of what one needs. What is dominated is never the one to take, as there is something
that costs nothing more anywhere.
"""

from collections.abc import Sequence

Point = Sequence[float]
"""What was measured of a variant, in the same order for all, each so that more is better."""


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is at least as good as the `other` in everything and better in something.

    >>> dominates((2, 1), (1, 1)), dominates((2, 0), (1, 1)), dominates((1, 1), (1, 1))
    (True, False, False)
    """
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def dominated_by(points: Sequence[Point]) -> list[list[int]]:
    """Of each point the places of those of the front that dominate it: none, if it is of the front.

    As the order has no circles, whatever is dominated is dominated by one of the front, and the front of
    some points is never empty.
    """
    front = [
        place for place, point in enumerate(points)
        if not any(dominates(other, point) for other in points)
    ]  # fmt: skip
    return [[place for place in front if dominates(points[place], point)] for point in points]
