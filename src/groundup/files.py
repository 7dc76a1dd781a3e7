"""Writing files so that a crash, a kill or a full disk never leaves half of one.

Everything groundup writes goes to a temporary name beside its target, is synced to the disk and
then renamed: a reader sees the old file or the new one, never a part. The recipe is that of
https://lwn.net/Articles/457667/ (write, fsync, rename, fsync the directory).
"""

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from groundup.errors import GroundupError


@contextlib.contextmanager
def atomic_file(path: Path | str, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file for writing ("w" UTF-8 text or "wb"); it becomes `path` on success."""
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    with (
        atomic_path(path) as temporary,
        temporary.open(mode, encoding=encoding, newline=newline) as file,
    ):
        yield file


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield the name of a temporary file, for a library that opens files itself; it becomes `path` on
    success."""
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            _sync_file(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """Yield a temporary directory that becomes `path` on success, replacing what stood there."""
    path = Path(path).absolute()
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield temporary
            put_in_place(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a directory that is written to the end, once it is on the disk, replacing what stood there."""
    for file in temporary.rglob("*"):
        if file.is_file():
            file.chmod(0o666 & ~_umask())  # safetensors makes files for their owner alone
            _sync_file(file)
    temporary.chmod(0o777 & ~_umask())
    _swap_in(temporary, path)
    _sync_directory(path.parent)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """JSON that a person can read, inside a directory that is being written."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _swap_in(new: Path, path: Path) -> None:
    """Rename `new` to `path`. A directory cannot replace another in one step: move the old aside."""
    if not path.exists():
        new.replace(path)
        return
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    path.replace(old / path.name)
    new.replace(path)
    shutil.rmtree(old)


def link(source: Path | str, target: Path | str) -> None:
    """A second name for a file, or a copy where the file system has no hard links. It is safe for all
    that groundup writes, as no file is ever changed in its place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


_FREE = "free some space or choose another --out; what was written before is kept"
_FIXES = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: f"your disk quota is used up: {_FREE}",
    errno.EFBIG: "files here may not grow so large (ulimit -f, or the file system): choose another --out",
    errno.EACCES: "choose a folder you may write to with --out",
    errno.EROFS: "the file system is read-only: choose another folder with --out",
    errno.ENOTDIR: "a part of this path is a file: choose another --out",
    errno.EEXIST: "a file stands where a folder must be: choose another --out",
    errno.EISDIR: "a folder stands where a file must be: choose another name",
    errno.ENOENT: "no folder can be made here: choose another --out",
    errno.ENAMETOOLONG: "choose a shorter --out",
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say in words what the system says in numbers: disk full, no permission, read-only."""
    try:
        yield
    except GroundupError:
        raise
    except Exception as error:
        number = _system_error(error)
        if number not in _FIXES:
            raise
        raise GroundupError(
            f"cannot write: {os.strerror(number)}", str(path), _FIXES[number]
        ) from error


def _system_error(error: Exception) -> int:
    """The system's number behind an error, 0 if there is none. torch.save hides it in the context of
    a RuntimeError, safetensors in the text; numpy says how much it could write, and not why no more."""
    cause = error if isinstance(error, OSError) else error.__context__
    if re.fullmatch(r"\d+ requested and \d+ written", str(error)):
        return errno.ENOSPC
    if isinstance(cause, OSError):
        return cause.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else 0


def _umask() -> int:
    """The process's file-mode mask; the only way to read it is to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_file(path: Path) -> None:
    with path.open("r+b") as file:  # Windows syncs no file that is open for reading
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Make a rename durable. Windows has no such call and does not need it."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
