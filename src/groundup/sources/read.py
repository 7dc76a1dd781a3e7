"""Reading documents from files, folders and standard input, in pieces of bounded size."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import regex

from groundup.errors import InputError, nearest
from groundup.sources.encodings import read_text
from groundup.sources.tables import ROW_READERS, row_text

PIECE_CHARACTERS = 1 << 20
MOST_HELD = 4 << 20
STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Piece:
    """A document, or a part of a long one. `where` is its file, or "file:line"."""

    text: str
    starts_document: bool
    where: str


def read_pieces(
    paths: Sequence[str | Path], text_field: str | None = None, share: tuple[int, int] = (0, 1)
) -> Iterator[Piece]:
    """The documents of `paths`, in order; folders are read whole, by name, hidden files left out.

    A text or Markdown file is one document, in pieces of about a million characters that are cut
    where no word is; a row of a JSONL, JSON, CSV, TSV or Parquet file is one (its text is the field
    `text_field`, see `tables.row_text`); "-" is standard input. With a `share` of (k, n), only every
    n-th file, from the k-th: the part of one of n processes. Raises `InputError` for what is
    missing, empty, binary, wrongly encoded or not readable.
    """
    first, step = share
    for path in islice(_files(paths), first, None, step):
        found = False
        for piece in _read_file(path, text_field):
            found = True
            yield piece
        if not found:
            raise InputError("this file has no text", str(path), "remove it or fill it")


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


def _read_file(path: Path | None, text_field: str | None) -> Iterator[Piece]:
    try:
        if path is None:
            yield from _pieces(_standard_input(), "standard input")
        elif reader := ROW_READERS.get(path.suffix.lower()):
            for number, row in reader(path):
                text = row_text(row, text_field, f"{path}:{number}")
                if text.strip():
                    yield Piece(_without_surrogates(text), True, f"{path}:{number}")
        else:
            yield from _pieces(read_text(path), str(path))
    except PermissionError:
        raise InputError(
            "no permission to read this file", str(path), "change it with chmod"
        ) from None


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


def _standard_input() -> Iterator[str]:
    while chunk := sys.stdin.read(PIECE_CHARACTERS):
        yield chunk


def _without_surrogates(text: str) -> str:
    """JSON can spell half of a character (\\ud83d); it becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _files(paths: Sequence[str | Path]) -> Iterator[Path | None]:
    """Every file to read; None is standard input."""
    if not paths:
        raise InputError("no files to read", "--data", "name a file or a folder")
    for given in paths:
        path = Path(given)
        if str(given) == STANDARD_INPUT:
            yield None
        elif path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if _is_visible(file, path)]
            if not files:
                raise InputError("this folder has no files", str(path), "put text files into it")
            yield from files
        elif path.exists():
            yield path
        else:
            raise _missing(path)


def _is_visible(file: Path, folder: Path) -> bool:
    return file.is_file() and not any(p.startswith(".") for p in file.relative_to(folder).parts)


def _missing(path: Path) -> InputError:
    close = nearest(path.name, [other.name for other in path.parent.glob("*")])
    hint = f"did you mean {path.parent / close}?" if close else "check the path"
    return InputError("there is no such file or folder", str(path), hint)
