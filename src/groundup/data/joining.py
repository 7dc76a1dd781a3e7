"""Data directories that were written apart, by several processes or machines, made into one."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundup.data.shards import (
    CheckedFile,
    documents_name,
    read_shards_index,
    shard_name,
    write_shards_index,
)
from groundup.data.splitting import SPLITS, Split
from groundup.errors import InputError
from groundup.files import atomic_directory, link

DOCUMENTS_AT_ONCE = 1 << 20


def join_shards(parts: Sequence[Path], directory: Path | str) -> None:
    """Make the data directories `parts` one, their documents in this order.

    The shards are linked, not copied, where the file system can do so, and keep their checksums; the
    parts stay as they are. Raises `InputError` for a part that is missing or was encoded with another
    tokenizer than the first.
    """
    described = [read_shards_index(part) for part in parts]
    for part, of_part in zip(parts, described, strict=True):
        if of_part["tokenizer"] != described[0]["tokenizer"]:
            raise InputError(
                "this part was encoded with another tokenizer than the first", str(part),
                "prepare it again with the tokenizer of the others",
            )  # fmt: skip
    with atomic_directory(directory) as folder:
        splits = {
            split: _join(split, parts, [of_part["splits"][split] for of_part in described], folder)
            for split in SPLITS
        }
        write_shards_index(folder, described[0] | {"splits": splits})


def _join(
    split: Split, parts: Sequence[Path], described: list[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    """Join one split; what `shards.json` says of it."""
    files: dict[str, dict[str, Any]] = {}
    tokens = 0
    with contextlib.ExitStack() as opened:
        starts = CheckedFile(folder / documents_name(split), opened)
        for part, of_part in zip(parts, described, strict=True):
            for name in of_part["files"]:
                if name != documents_name(split):
                    joined = shard_name(split, len(files))
                    link(part / name, folder / joined)
                    files[joined] = of_part["files"][name]
            for block in _blocks(part / documents_name(split)):
                starts.write(block + np.uint64(tokens))
            tokens += of_part["tokens"]
        files[starts.name] = starts.close()
    total = {key: sum(of_part[key] for of_part in described) for key in ("documents", "text_bytes")}
    return {"tokens": tokens, **total, "files": files}


def _blocks(path: Path) -> Iterator[np.ndarray]:
    """The starts of documents in a file, not all at once."""
    with path.open("rb") as file:
        while len(block := np.fromfile(file, "<u8", DOCUMENTS_AT_ONCE)):
            yield block
