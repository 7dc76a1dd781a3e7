"""The step about lines that are not part of any text: headers, footers, notices, page numbers."""

import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Literal

from pydantic import PositiveInt

from groundup.cleaning.step import Record, Step
from groundup.sources.read import Piece

# Lines remembered at most, about 100 MB; beyond, the rarest are forgotten.
MOST_LINES = 1 << 19


class Boilerplate(Step):
    """Remove lines that come again in many documents, such as "Copyright …" or "点击关注".

    The stream is read once: a line stays until it has been seen in `most` documents, and goes from
    then on. In a corpus of one file, count `times` instead; not in a play, where the speakers' names
    come again, hence not by default.
    """

    step: Literal["boilerplate"] = "boilerplate"
    most: PositiveInt = 20
    """How often a line may come."""
    count: Literal["documents", "times"] = "documents"
    """Whether a line that comes again in the same document counts again."""
    shortest: PositiveInt = 10
    """Characters that a line must have to be counted."""
    page_numbers: bool = False
    """Remove also lines that are nothing but a page number or a rule ("- 12 -", "第 3 页", "*****")."""

    def apply(self, pieces: Iterable[Piece], record: Record) -> Iterator[Piece]:
        seen = _SeenLines()
        occasions = count()
        occasion = next(occasions)
        for piece in pieces:
            if piece.starts_document:
                occasion = next(occasions)
            kept = []
            for line in piece.text.split("\n"):
                if self.count == "times":
                    occasion = next(occasions)
                if not self._is_boilerplate(line.strip(), seen, occasion):
                    kept.append(line)
            yield from record.pass_on(piece, "\n".join(kept))

    def _is_boilerplate(self, line: str, seen: "_SeenLines", occasion: int) -> bool:
        if self.page_numbers and _PAGE_NUMBER.fullmatch(line):
            return True
        return len(line) >= self.shortest and seen.times(line, occasion) > self.most


_PAGE_NUMBER = re.compile(
    r"[-–—·•*=_~#.\s]{3,}"
    r"|[-–—·]?\s*\d{1,4}\s*[-–—·]?"
    r"|(?i:page|p\.)\s*\d+(?:\s*(?:of|/)\s*\d+)?"
    r"|第\s*\d+\s*页(?:\s*[,，/]?\s*共\s*\d+\s*页)?"
)


class _SeenLines:
    """On how many occasions each line was seen, in bounded memory: by its hash, rare ones forgotten
    when there are too many, so that a count may be too low but never too high (lossy counting,
    Manku and Motwani 2002)."""

    def __init__(self) -> None:
        self.counts: dict[int, tuple[int, int]] = {}

    def times(self, line: str, occasion: int) -> int:
        """Count the line, once an occasion; the count."""
        key = hash(line)
        times, last = self.counts.get(key, (0, -1))
        if last != occasion:
            times += 1
            self.counts[key] = (times, occasion)
            if len(self.counts) > MOST_LINES:
                self._forget()
        return times

    def _forget(self) -> None:
        rare = 1
        while len(self.counts) > MOST_LINES // 2:
            self.counts = {key: seen for key, seen in self.counts.items() if seen[0] > rare}
            rare *= 2
