"""Reading documents, wherever they are and whatever they are in, in pieces of bounded size."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import regex

from groundup.sources.archives import unpack
from groundup.sources.damage import note_damage
from groundup.sources.encodings import SAMPLE_BYTES, find_encoding, read_text
from groundup.sources.find import find_sources
from groundup.sources.pages import DOCUMENT_READERS
from groundup.sources.problems import Problem, Report, UnreadableError, refuse
from groundup.sources.source import Piece, Source
from groundup.sources.tables import ROW_READERS, row_texts

PIECE_CHARACTERS = 1 << 20
MOST_HELD = 4 << 20
# Kinds of file whose bytes are in no text encoding.
BINARY_KINDS = {".pdf", ".docx", ".parquet"}

T = TypeVar("T")


def read_pieces(
    paths: Sequence[str | Path],
    text_field: str | None = None,
    on_problem: Report | None = None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Piece]:
    """The documents of `paths`, in order.

    A path is a file, a folder (read whole, by name, hidden files left out), "-" for standard input,
    `hf:owner/name[/config][:split]` for a dataset of the hub, or a URL, with its hash as
    `#sha256=<hex>` if it is known. A row of a JSONL, JSON, CSV, TSV or Parquet file is a document
    (its text is the field `text_field`, see `tables.text_columns`); an HTML, PDF or DOCX file is
    one, and so is any other file of text; each of these may be in a gzip, zstd, zip or tar file.
    Long documents come in pieces of about a million characters, cut where no word is.

    What cannot be read is a `Problem`. The first one is raised as an `InputError`, unless there is
    an `on_problem`: it is told every one, the bad row or the rest of the unreadable file is passed
    over, and lines that look damaged are told as well. A path that does not exist is always an
    `InputError`, a network that fails always a `GroundupError`.

    With a `share` of (k, n), only every n-th file is read, from the k-th: the part of one of n
    processes.
    """
    report = on_problem or refuse
    for file in files(paths, report, share):
        pieces = reporting(_read_file(file, text_field, report), file, report)
        yield from note_damage(pieces, file, report) if on_problem else pieces


def files(
    paths: Sequence[str | Path], report: Report, share: tuple[int, int] = (0, 1)
) -> Iterator[Source]:
    """Every file of `paths`, unpacked where it was packed; `share` as for `read_pieces`."""
    first, step = share
    for source in islice(find_sources(paths), first, None, step):
        yield from reporting(unpack(source, report), source, report)


def file_encodings(paths: Sequence[str | Path]) -> dict[str, int]:
    """How many files of text there are in each encoding, packed ones included."""
    found: Counter[str] = Counter()
    for file in files(paths, _pass_over):
        if file.suffix not in BINARY_KINDS:
            found.update(reporting(_encoding(file), file, _pass_over))
    return dict(found.most_common())


def _encoding(source: Source) -> Iterator[str]:
    with source.open() as stream:
        yield find_encoding(stream.read(SAMPLE_BYTES), source)


def _pass_over(problem: Problem) -> None:
    """For readers who only want what can be read."""


def split_point(text: str) -> int:
    """The last place where `text` may be cut without cutting a token: between a line end and what
    begins the next line, or, in text without lines that grows too long, before a space; 0 if there
    is none yet."""
    match = _LINE_START.search(text)
    if match is None and len(text) > PIECE_CHARACTERS:
        match = _WORD_END.search(text)
    if match is None:
        return len(text) if len(text) > MOST_HELD else 0
    return match.start() + 1


# Searched from the end: (?r) is regex's reverse search.
_LINE_START = regex.compile(r"(?r)\n(?=\S)")
_WORD_END = regex.compile(r"(?r)\S(?= \S)")


def reporting(items: Iterator[T], source: Source, report: Report) -> Iterator[T]:
    """The items of a source up to where it cannot be read further, which is reported."""
    try:
        yield from items
    except UnreadableError as error:
        report(error.problem)
    except PermissionError:
        what = "no permission to read this file"
        report(source.problem("no_permission", what, "change it with chmod"))


def _read_file(source: Source, text_field: str | None, report: Report) -> Iterator[Piece]:
    found = False
    for piece in _file_pieces(source, text_field, report):
        found = True
        yield piece
    if not found:
        raise source.unreadable("no_text", "this file has no text", "remove it or fill it")


def _file_pieces(source: Source, text_field: str | None, report: Report) -> Iterator[Piece]:
    if source.suffix in ROW_READERS:
        for number, text in row_texts(source, text_field, report):
            if text.strip():
                yield Piece(without_surrogates(text), True, f"{source.where}:{number}")
    else:
        read = DOCUMENT_READERS.get(source.suffix, read_text)
        yield from _pieces(read(source), source.where)


def _pieces(chunks: Iterable[str], where: str) -> Iterator[Piece]:
    """One document in pieces, cut at `split_point`s."""
    held, first = "", True
    for chunk in chunks:
        held += chunk
        if len(held) >= PIECE_CHARACTERS and (ready := split_point(held)):
            yield Piece(held[:ready], first, where)
            held, first = held[ready:], False
    if held.strip() or (held and not first):
        yield Piece(held, first, where)


def without_surrogates(text: str) -> str:
    """JSON can spell half of a character (\\ud83d); it becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
