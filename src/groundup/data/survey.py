"""What a stream of documents is like, counted as it passes: sizes, languages, lengths, lines, terms,
personal data. Memory is bounded, but for eight bytes a document."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from groundup.cleaning.language import language_of
from groundup.cleaning.personal import find_personal
from groundup.sources.source import Piece

# Above so many different lines those seen once are forgotten.
MOST_LINES = 1_000_000
SHORTEST_LINE = 8
MOST_SHOWN = 10
QUANTILES = {"shortest": 0.0, "tenth": 0.1, "median": 0.5, "nine_tenths": 0.9, "longest": 1.0}


class Survey:
    """Counts the pieces it is shown.

    >>> survey = Survey()
    >>> documents = list(survey.watch(pieces))  # doctest: +SKIP
    >>> survey.to_json()["documents"]  # doctest: +SKIP
    3
    """

    def __init__(self, terms: Sequence[str] = ()):
        self.bytes = self.characters = 0
        self.lengths = array("L")
        self.languages: Counter[str] = Counter()
        self.personal: Counter[str] = Counter()
        self.personal_places: list[dict[str, str]] = []
        self.lines: Counter[str] = Counter()
        self.terms: Counter[str] = Counter(dict.fromkeys(terms, 0))

    def watch(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The same pieces, counted as they pass."""
        for piece in pieces:
            self.see(piece)
            yield piece

    def see(self, piece: Piece) -> None:
        text = piece.text
        self.bytes += len(text.encode("utf-8", "replace"))
        self.characters += len(text)
        if piece.starts_document:
            self.lengths.append(len(text))
            self.languages[language_of(text)] += 1
        else:
            self.lengths[-1] += len(text)
        self._count_lines(text)
        self._count_personal(piece)
        for term in self.terms:
            self.terms[term] += text.count(term)

    @property
    def documents(self) -> int:
        return len(self.lengths)

    @property
    def repeated_lines(self) -> list[tuple[str, int]]:
        """The most repeated lines and how often each stands in the text."""
        return [(line, n) for line, n in self.lines.most_common(MOST_SHOWN) if n > 1]

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "bytes": self.bytes,
            "characters": self.characters,
            "languages": dict(self.languages.most_common()),
            "lengths": self._quantiles(),
            "repeated_lines": [{"line": line, "count": n} for line, n in self.repeated_lines],
            "pii": dict(self.personal.most_common()),
            "pii_examples": self.personal_places,
        }

    def _quantiles(self) -> dict[str, int]:
        """Lengths of documents in characters."""
        if not self.lengths:
            return {}
        values = np.quantile(np.frombuffer(self.lengths, f"u{self.lengths.itemsize}"),
                             list(QUANTILES.values()))  # fmt: skip
        return dict(zip(QUANTILES, map(int, values), strict=True))

    def _count_lines(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        self.lines.update(line for line in lines if len(line) >= SHORTEST_LINE)
        if len(self.lines) > MOST_LINES:
            self.lines = Counter({line: n for line, n in self.lines.items() if n > 1})

    def _count_personal(self, piece: Piece) -> None:
        for found in find_personal(piece.text):
            self.personal[found.kind] += 1
            if len(self.personal_places) < MOST_SHOWN:
                shown = (
                    f"{found.text[:2]}…{found.text[-2:]}"  # a report travels further than a text
                )
                place = {"kind": found.kind, "where": piece.where, "text": shown}
                self.personal_places.append(place)
