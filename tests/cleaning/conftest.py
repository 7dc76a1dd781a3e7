"""What the tests of cleaning share: steps as a recipe names them, and their run."""

from collections.abc import Iterable

from groundup.cleaning.clean import CleaningStep, clean
from groundup.cleaning.step import Record
from groundup.settings import Settings
from groundup.sources.read import Piece


class Data(Settings):
    clean: list[CleaningStep] = []


def steps(*named: object) -> list:
    return Data.parse({"clean": list(named)}, "recipe.toml").clean


def pieces(*texts: str) -> list[Piece]:
    """Documents of a piece each."""
    return [Piece(text, True, f"file:{n}") for n, text in enumerate(texts, start=1)]


def cleaned(documents: Iterable[Piece], *named: object) -> tuple[list[str], Record]:
    stream, records = clean(documents, steps(*named))
    return [piece.text for piece in stream], records[-1]
