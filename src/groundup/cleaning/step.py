"""What a cleaning step is, and the record it leaves: what it saw, changed and removed.

There are three forms. A `TextStep` turns a text into another, piece by piece. A `FilterStep` judges
a document by its first piece; the rest of the document follows it. Any other `Step` sees the whole
stream. All of them hand each piece to `Record.pass_on`, which counts it, keeps examples, and sees to
it that every document still has a beginning.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from groundup.settings import Settings
from groundup.sources.read import Piece

MOST_EXAMPLES = 5
EXCERPT_CHARACTERS = 200


@dataclass
class Count:
    """A number of documents, and of characters."""

    documents: int = 0
    characters: int = 0


@dataclass(frozen=True)
class Example:
    """A place where a step did something: the text around it, before and after (None: left out)."""

    where: str
    before: str
    after: str | None


@dataclass
class Record:
    """What a step did to the stream so far.

    A document is `changed` if something of it is and something of it is left, `removed` if nothing
    is left. The characters `changed` are those of the changed pieces; `removed` are those of the
    pieces left out, and those by which changed pieces became shorter.
    """

    step: str
    seen: Count = field(default_factory=Count)
    changed: Count = field(default_factory=Count)
    removed: Count = field(default_factory=Count)
    examples: list[Example] = field(default_factory=list)
    _document_kept: bool = False
    _document_changed: bool = False

    def pass_on(self, piece: Piece, text: str | None) -> Iterator[Piece]:
        """Count what became of `piece`, and give the piece that goes on: its text is now `text`.
        With None, or without a visible character, it is left out and nothing goes on. Pieces must
        come in their order."""
        if piece.starts_document:
            self._begin_document()
        self.seen.characters += len(piece.text)
        if text is not None and text is not piece.text and not text.strip():
            text = None
        if text is None or text != piece.text:
            self._note(piece, text)
        if text is not None:
            starts = not self._document_kept
            self._keep_document()
            yield replace(piece, text=text, starts_document=starts)

    def to_json(self) -> dict[str, Any]:
        """The record as plain values."""
        return {key: value for key, value in asdict(self).items() if not key.startswith("_")}

    def _begin_document(self) -> None:
        # Removed until a piece of it is kept.
        self.seen.documents += 1
        self.removed.documents += 1
        self._document_kept = self._document_changed = False

    def _keep_document(self) -> None:
        if not self._document_kept:
            self._document_kept = True
            self.removed.documents -= 1
            self.changed.documents += self._document_changed

    def _note(self, piece: Piece, text: str | None) -> None:
        if not self._document_changed:
            self._document_changed = True
            self.changed.documents += self._document_kept
        if text is None:
            self.removed.characters += len(piece.text)
        else:
            self.changed.characters += len(piece.text)
            self.removed.characters += max(0, len(piece.text) - len(text))
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(_example(piece, text))


class Step(Settings):
    """A step over the stream of pieces. Its class has a field `step`: its name in a recipe."""

    @classmethod
    def name(cls) -> str:
        """The step's name."""
        return cls.model_fields["step"].default

    @abstractmethod
    def apply(self, pieces: Iterable[Piece], record: Record) -> Iterator[Piece]:
        """The cleaned stream: for each piece, in order, what `record.pass_on` gives."""


class TextStep(Step):
    """A step that knows one text at a time. It is applied to each piece for itself."""

    @abstractmethod
    def clean(self, text: str) -> str | None:
        """The text as it should be, or None to leave it out."""

    def apply(self, pieces: Iterable[Piece], record: Record) -> Iterator[Piece]:
        for piece in pieces:
            yield from record.pass_on(piece, self.clean(piece.text))


class FilterStep(Step):
    """A step that keeps a document or not, by its first piece."""

    @abstractmethod
    def keeps(self, text: str) -> bool:
        """Whether the document that begins with `text` stays."""

    def apply(self, pieces: Iterable[Piece], record: Record) -> Iterator[Piece]:
        keep = True
        for piece in pieces:
            if piece.starts_document:
                keep = self.keeps(piece.text)
            yield from record.pass_on(piece, piece.text if keep else None)


def _example(piece: Piece, text: str | None) -> Example:
    """The text around the first difference; the beginning of what is left out."""
    if text is None:
        return Example(piece.where, piece.text[:EXCERPT_CHARACTERS], None)
    start = max(0, _first_difference(piece.text, text) - EXCERPT_CHARACTERS // 4)
    end = start + EXCERPT_CHARACTERS
    return Example(piece.where, piece.text[start:end], text[start:end])


def _first_difference(one: str, other: str) -> int:
    """The length of what both begin with, by halving: pieces have a million characters."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
