"""From what the user names to sources: files, folders, datasets of the hub, URLs."""

import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from groundup.errors import InputError, no_such
from groundup.files import atomic_file
from groundup.sources.source import Source, local_source

STANDARD_INPUT = "-"


def find_sources(paths: Sequence[str | Path]) -> Iterator[Source]:
    """Every source to read, in order: folders whole, by name, hidden files left out. Raises
    `InputError` for what does not exist, and `GroundupError` for what cannot be reached."""
    if not paths:
        raise InputError("no files to read", "--data", "name a file or a folder")
    for given in paths:
        yield from _named(given)


def _named(given: str | Path) -> Iterator[Source]:
    path = Path(given)
    if str(given) == STANDARD_INPUT:
        yield Source("standard input", STANDARD_INPUT, _standard_input)
    elif str(given).startswith("hf:"):
        from groundup.sources.hub import hub_sources

        yield from hub_sources(str(given))
    elif str(given).startswith(("https://", "http://")):
        from groundup.sources.download import url_source

        yield url_source(str(given))
    elif path.is_dir():
        yield from _folder(path)
    elif path.exists():
        yield local_source(path)
    else:
        raise _missing(path)


def keep_standard_input(paths: Sequence[str | Path], folder: Path) -> list[str]:
    """`paths` with "-" replaced by a file in `folder` that holds what came in: standard input can be
    read only once, and a run reads its text again."""
    if STANDARD_INPUT not in map(str, paths):
        return [str(path) for path in paths]
    kept = folder / "standard-input.txt"
    with _standard_input() as stream:
        first = stream.read(1 << 20)
        if first or not kept.exists():  # a run that goes on need not be told its text again
            with atomic_file(kept, "wb") as file:
                file.write(first)
                shutil.copyfileobj(stream, file)
    return [str(kept) if str(path) == STANDARD_INPUT else str(path) for path in paths]


def _standard_input() -> io.BufferedReader:
    """The process's own input, which stays open for others."""
    return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))


def _folder(folder: Path) -> Iterator[Source]:
    files = [file for file in sorted(folder.rglob("*")) if _is_visible(file, folder)]
    if not files:
        raise InputError("this folder has no files", str(folder), "put text files into it")
    for file in files:
        yield local_source(file, file.relative_to(folder).as_posix())


def _is_visible(file: Path, folder: Path) -> bool:
    return file.is_file() and not any(p.startswith(".") for p in file.relative_to(folder).parts)


def _missing(path: Path) -> InputError:
    return no_such("file or folder", path, path.parent.glob("*"))
