"""The step against texts that come twice, exactly. The first one stays."""

import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Literal

from groundup.cleaning.step import Record, Step
from groundup.sources.read import Piece


class ExactDuplicates(Step):
    """Leave out what was there before, but for case, width and white space.

    Pieces are compared: a document of usual size as a whole, a long one part by part. Remembers about
    100 bytes for each piece that stays.
    """

    step: Literal["exact_duplicates"] = "exact_duplicates"

    def apply(self, pieces: Iterable[Piece], record: Record) -> Iterator[Piece]:
        seen: set[int] = set()
        for piece in pieces:
            key = fingerprint(piece.text)
            yield from record.pass_on(piece, None if key in seen else piece.text)
            seen.add(key)


def fingerprint(text: str) -> int:
    """128 bits that are the same for texts that differ in case, width or white space only: among a
    billion texts the chance that two others share them is below one in 10²⁰."""
    folded = text.casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded)
    plain = "".join(folded.split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(plain, digest_size=16).digest(), "big")
