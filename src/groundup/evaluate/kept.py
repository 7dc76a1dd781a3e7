"""What was costly to come by is kept, line by line, so that an interruption loses nothing."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from groundup.errors import InputError
from groundup.files import disk_errors
from groundup.language import N_

# Every line begins so: what begins otherwise was written by somebody else, and is not touched.
BEGINNING = b'{"key": "'


class Kept:
    """Texts by what was asked for them, in a file that only grows: JSON Lines of a key, the text, and
    words for a reader. Each is on the disk before `add` returns; half a line at the end, which a crash
    may leave, is dropped. Use it in a `with`.

    Raises `InputError` while another process has the file, and if it is no such file.
    """

    def __init__(self, path: Path):
        self.path, self.texts = path, dict[str, str]()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path.with_name(f".{path.name}.lock"))
            self._acquire()
            try:
                self._read()
            except BaseException:
                self._lock.release()
                raise

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def get(self, asked: Any) -> str | None:
        """The text that is kept for what was `asked`, which is anything that JSON can write."""
        return self.texts.get(_key(asked))

    def add(self, asked: Any, text: str, about: str) -> None:
        """Keep `text`; `about` says in words what it is."""
        key = _key(asked)
        line = json.dumps({"key": key, "about": about, "text": text}, ensure_ascii=False) + "\n"
        with disk_errors(self.path):
            append(self.path, line.encode("utf-8", "replace"))
            self.texts[key] = text

    def _acquire(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            fix = N_("wait for it, or name another file with --keep")
            raise InputError("another process is writing this file", str(self.path), fix) from None

    def _read(self) -> None:
        content = self.path.read_bytes() if self.path.exists() else b""
        *lines, rest = content.split(b"\n")
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                self.texts[row["key"]] = row["text"]
            except (ValueError, KeyError, TypeError):
                raise self._not_ours(number) from None
        if rest[: len(BEGINNING)] != BEGINNING[: len(rest)]:
            raise self._not_ours(len(lines) + 1)
        if rest:
            os.truncate(self.path, len(content) - len(rest))

    def _not_ours(self, line: int) -> InputError:
        return InputError(
            "this line is no kept answer or verdict", f"{self.path}:{line}",
            "remove the line, or name another file with --keep",
        )  # fmt: skip


def append(path: Path, line: bytes) -> None:
    """Add to the end of a file, durably and whole or not at all."""
    with path.open("ab") as file:
        size = file.tell()
        try:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise


def _key(asked: Any) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
