"""What goes in and what comes out of reading: sources, which are named streams of bytes, whether they
lie on the disk, in an archive or on a server, and pieces of text."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from groundup.sources.problems import Problem, UnreadableError

Stream = io.RawIOBase | io.BufferedIOBase


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to read as one file.

    `where` is what messages call it. `name` is its path inside what the user named, the same on
    every machine; its suffix tells the kind of file. `open` gives a new stream from the beginning
    (of a member of a tar archive: only until the next member is asked for). `digest` stands for the
    content where it is known without reading it.
    """

    where: str
    name: str
    open: Callable[[], Stream]
    digest: str | None = None

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()

    def problem(self, kind: str, text: str, fix: str, line: int | None = None) -> Problem:
        """A problem of this file, to be reported."""
        return Problem(kind, self.where, line, text, fix)

    def unreadable(
        self, kind: str, text: str, fix: str, line: int | None = None
    ) -> UnreadableError:
        """A problem that ends the reading of this file, to be raised."""
        return UnreadableError(self.problem(kind, text, fix, line))


@dataclass(frozen=True, slots=True)
class Piece:
    """A document, or a part of a long one. `where` is its file, or "file:line"; `source` names the
    part of a mixture that it belongs to, where there are several."""

    text: str
    starts_document: bool
    where: str
    source: str = ""


def local_source(path: Path, name: str | None = None, digest: str | None = None) -> Source:
    """A file on the disk; `name` is its own name unless it was found in a named folder."""
    return Source(str(path), name or path.name, lambda: path.open("rb"), digest)


@contextmanager
def open_seekable(source: Source) -> Iterator[Stream]:
    """A stream for formats that are read from their end (Parquet, PDF, DOCX): the source's own if
    it can seek, else a copy in a temporary file."""
    with source.open() as stream:
        if stream.seekable():
            yield stream
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            copy.seek(0)
            yield copy
