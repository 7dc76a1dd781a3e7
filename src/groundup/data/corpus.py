"""Clean text on disk: the documents of a run as they will be learned from, in Parquet files.

One file per source; a row is a `Piece`. Other tools read these files too (`pyarrow`, `datasets`,
`datatrove`). Rows come in groups of bounded size, so writing and reading need little memory.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet

from groundup.sources.read import Piece

GROUP_CHARACTERS = 1 << 22
GROUP_ROWS = 1 << 14
_SCHEMA = pyarrow.schema(
    {"text": pyarrow.large_string(), "starts_document": pyarrow.bool_(), "where": pyarrow.string()}
)


class CorpusWriter:
    """Writes one Parquet file of pieces and counts what went in.

    >>> with CorpusWriter(path) as corpus:  # doctest: +SKIP
    ...     corpus.add(Piece("Once upon a time", True, "book.txt"))
    """

    def __init__(self, path: Path):
        self.writer = parquet.ParquetWriter(path, _SCHEMA, compression="zstd")
        self.held: list[Piece] = []
        self.held_characters = 0
        self.documents = self.bytes = 0
        self.hash = hashlib.blake2b(digest_size=16)

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write_group()
        self.writer.close()

    def add(self, piece: Piece) -> None:
        encoded = piece.text.encode()
        self.documents += piece.starts_document
        self.bytes += len(encoded)
        self.hash.update(b"%d %d " % (piece.starts_document, len(encoded)))
        self.hash.update(encoded)
        self.held.append(piece)
        self.held_characters += len(piece.text)
        if self.held_characters >= GROUP_CHARACTERS or len(self.held) >= GROUP_ROWS:
            self._write_group()

    def described(self) -> dict[str, int | str]:
        """What a data directory remembers of this file; the checksum is of the text alone."""
        return {"documents": self.documents, "bytes": self.bytes, "checksum": self.hash.hexdigest()}

    def _write_group(self) -> None:
        rows = {name: [getattr(piece, name) for piece in self.held] for name in _SCHEMA.names}
        self.writer.write_table(pyarrow.table(rows, _SCHEMA))
        self.held, self.held_characters = [], 0


def read_corpus(path: Path) -> Iterator[Piece]:
    """The pieces of a file that `CorpusWriter` wrote, in order."""
    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                yield Piece(row["text"], row["starts_document"], row["where"])
