"""What identifies a text: the same name and content give the same fingerprint on any machine."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from groundup.errors import InputError
from groundup.sources.find import STANDARD_INPUT, find_sources
from groundup.sources.source import Source


def fingerprint(paths: Sequence[str | Path]) -> str:
    """A hash of everything that `read_pieces(paths)` would read, in its order.

    Files count by their name within what was named and by their content, wherever they lie; those
    of a hub dataset by the content hashes that the hub lists, without being read; a file of a URL
    by its content, for which it is downloaded unless its hash is given. Raises `InputError` for
    standard input, which can be read only once, and what `find_sources` raises.
    """
    whole = hashlib.sha256()
    for source in find_sources(paths):
        if source.name == STANDARD_INPUT:
            raise InputError(
                "standard input cannot be read twice", STANDARD_INPUT, "save it to a file first"
            )
        whole.update(f"{source.name}\0{source.digest or _content_hash(source)}\n".encode())
    return whole.hexdigest()


def _content_hash(source: Source) -> str:
    digest = hashlib.sha256()
    with source.open() as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
