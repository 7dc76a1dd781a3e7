"""How many characters two texts have in common, exactly, by their edit distance.

Read in this order: `share_of_same`, `share_within`, `_distances` (the algorithm).
"""

import unicodedata
from collections.abc import Iterator

LONGEST_WHOLE = 4096
"""Texts up to so many characters are aligned whole; longer ones by samples of their parts."""
SAMPLES, SAMPLE_CHARACTERS = 16, 512


def plain(text: str) -> str:
    """`text` as it is compared: NFKC form, lower case, one space for any white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def share_of_same(first: str, second: str, least: float = 0.0) -> float:
    """The share of characters that are the same, 0.0 to 1.0: one minus the edit distance (the
    fewest substitutions, insertions and deletions) over the length of the longer text. Differences
    of case, width and spacing are left out of account if both texts are `plain`.

    Where it is below `least` the result is some number below `least`, sooner. Of texts longer than
    `LONGEST_WHOLE`, samples of the longer are looked for in the other.
    """
    short, long = sorted((first, second), key=len)
    if not long:
        return 1.0
    if len(long) <= LONGEST_WHOLE:
        most = int((1 - least) * len(long) + 1e-6)  # 1 - 0.8 is a little less than 0.2
        return 1 - edit_distance(short, long, most) / len(long)
    step = (len(long) - SAMPLE_CHARACTERS) / (SAMPLES - 1)
    samples = [long[int(i * step) :][:SAMPLE_CHARACTERS] for i in range(SAMPLES)]
    return sum(share_within(sample, short) for sample in samples) / SAMPLES


def share_within(part: str, whole: str) -> float:
    """The share of the characters of `part` that stand, in order, at one place of `whole`."""
    if not part:
        return 1.0
    return 1 - min(_distances(part, whole, anywhere=True), default=len(part)) / len(part)


def edit_distance(first: str, second: str, most: int | None = None) -> int:
    """Levenshtein's distance; where it is above `most`, some number above `most`."""
    if not first:
        return len(second)
    distance = len(first)
    left = len(second)
    for distance in _distances(first, second, anywhere=False):
        left -= 1
        # Each character that is left takes away one at best.
        if most is not None and distance - left > most:
            return distance - left
    return distance


def _distances(pattern: str, text: str, anywhere: bool) -> Iterator[int]:
    """After each character of `text` the distance between `pattern` and the text so far; with
    `anywhere`, between `pattern` and that end of the text so far which is nearest to it.

    One column of the table of distances is a pair of Python integers, whose bits say where the
    distance rises and falls by one from row to row, and a column follows from the one before in a
    few operations on whole integers: Myers 1999, "A fast bit-vector algorithm for approximate
    string matching based on dynamic programming", in the form of Hyyrö 2003.
    """
    places: dict[str, int] = {}
    for row, character in enumerate(pattern):
        places[character] = places.get(character, 0) | 1 << row
    last = 1 << (len(pattern) - 1)
    every = (last << 1) - 1
    rises, falls = every, 0
    distance = len(pattern)
    # Row 0 is the distance of the empty pattern: the characters read, or nothing, anywhere.
    row_0_rises = 0 if anywhere else 1
    for character in text:
        equal = places.get(character, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
        right_rises = falls | (every & ~(diagonal | rises))
        right_falls = rises & diagonal
        if right_rises & last:
            distance += 1
        elif right_falls & last:
            distance -= 1
        yield distance
        right_rises = right_rises << 1 | row_0_rises
        falls = right_rises & diagonal & every
        rises = every & (right_falls << 1 | ~(diagonal | right_rises))
