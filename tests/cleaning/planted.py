"""Real documents with edited copies planted among them: what the search for copies must find.

`planted` takes documents and adds copies of some; `edited` makes one copy. Both tests and benchmark
use them.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from groundup.sources.read import read_pieces

SHORTEST = 60
LANGUAGES = {
    "en": ("en/sms-spam.tsv", "en/instructions.json"),
    "zh": ("zh/legal-qa.jsonl", "zh/medical-qa.jsonl", "zh/song-ci.jsonl", "zh/reviews.tsv"),
}


@dataclass(frozen=True)
class Planted:
    """Texts in random order; `family` tells which go back to the same document, `rate` which share
    of its characters was edited (0.0: the document itself)."""

    texts: list[str]
    family: list[int]
    rate: list[float]


def planted(documents: Sequence[str], copies: int, seed: int = 0) -> Planted:
    """All `documents` and edited copies of the first `copies` of them, rates from 1 to 20 %."""
    rng = random.Random(seed)
    rows = [(text, family, 0.0) for family, text in enumerate(documents)]
    for family, text in enumerate(documents[:copies]):
        rate = rng.uniform(0.01, 0.20)
        edit = rng.choice((scattered, blocks))
        rows.append((edit(text, rate, rng.choice(documents), rng), family, rate))
    rng.shuffle(rows)
    return Planted(*(list(column) for column in zip(*rows, strict=True)))


def scattered(text: str, rate: float, other: str, rng: random.Random) -> str:
    """`text` with a share of its characters replaced, removed, or a new one put before; new
    characters come from another document."""
    characters = list(text)
    for place in rng.sample(range(len(text)), round(rate * len(text))):
        new = rng.choice(other)
        characters[place] = rng.choice((new, "", new + characters[place]))
    return "".join(characters)


def blocks(text: str, rate: float, other: str, rng: random.Random) -> str:
    """`text` with one to three runs of characters replaced by another document's, removed, or put
    in; together a share `rate` of its characters."""
    count = rng.randint(1, 3)
    size = max(1, round(rate * len(text) / count))
    for _ in range(count):
        start = rng.randrange(max(1, len(text) - size))
        begin = rng.randrange(max(1, len(other) - size))
        new = other[begin : begin + size]
        removed, put = rng.choice(((size, new), (size, ""), (0, new)))
        text = text[:start] + put + text[start + removed :]
    return text


def documents(folder: Path, language: str, count: int, seed: int = 0) -> list[str]:
    """`count` different real documents of at least `SHORTEST` characters, of every kind that the
    language has, in random order; one in ten is several rows long."""
    rng = random.Random(seed)
    texts = list(_texts(folder, language))
    rng.shuffle(texts)
    chosen: dict[str, None] = {}
    while len(chosen) < count and texts:
        rows = rng.randint(5, 30) if rng.random() < 0.1 else 1
        chosen["\n".join(texts[-rows:])] = None
        del texts[-rows:]
    return list(chosen)


def _texts(folder: Path, language: str) -> Iterator[str]:
    for piece in read_pieces([folder / name for name in LANGUAGES[language]]):
        if len(piece.text) >= SHORTEST:
            yield piece.text
    if language == "en":
        plays = (folder / "en/tinyshakespeare.txt").read_text()
        yield from (speech for speech in plays.split("\n\n") if len(speech) >= SHORTEST)
