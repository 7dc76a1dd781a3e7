"""Files by their URL: downloaded once, taken up where it broke off, checked against their hash.

The cache is `GROUNDUP_CACHE`, else `groundup` in `XDG_CACHE_HOME`, else `~/.cache/groundup`; a file
in it may be removed at any time.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag, urlsplit

from filelock import FileLock

from groundup.errors import GroundupError, InputError
from groundup.sources.remote import RemoteFile
from groundup.sources.source import Source, local_source


def url_source(given: str) -> Source:
    """The file at a URL, which may carry its hash: `https://host/file.txt#sha256=<hex>`.

    Raises `InputError` if the hash differs or there is no such file, `GroundupError` if the network
    fails; what has arrived is kept, and the next attempt goes on from there.
    """
    url, expected = _split(given)
    name = unquote(PurePosixPath(urlsplit(url).path).name) or "index.html"
    folder = cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:16]
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if not path.exists():
                _download(url, path)
    except OSError as error:  # the network's errors are told by RemoteFile: this is the disk
        raise GroundupError(
            f"cannot keep the download: {error.strerror}", str(path),
            "free some space, or name another folder with GROUNDUP_CACHE",
        ) from error  # fmt: skip
    if expected is not None:
        _check(path, expected, given)
    return local_source(path, name, expected)


def cache_folder() -> Path:
    """Where downloads are kept."""
    if own := os.environ.get("GROUNDUP_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "groundup"


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _split(given: str) -> tuple[str, str | None]:
    url, fragment = urldefrag(given)
    if not fragment:
        return url, None
    found = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if found is None:
        raise InputError(
            f"not a hash: #{fragment}", given, "write #sha256= and 64 hexadecimal digits"
        )
    return url, found[1].lower()


def _download(url: str, path: Path) -> None:
    """Append to what an earlier attempt left of the same version of this file. The version is in
    the name, so that two versions are never joined."""
    with RemoteFile(url, url) as remote:
        version = hashlib.sha256(f"{remote.tag} {remote.size}".encode()).hexdigest()[:16]
        part = path.with_name(f".{path.name}.{version}.part")
        with part.open("ab") as file:
            if file.tell() and remote.size is not None:
                remote.seek(file.tell())
            else:
                file.truncate(0)
            shutil.copyfileobj(remote, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)


def _check(path: Path, expected: str, given: str) -> None:
    found = file_sha256(path)
    if found != expected:
        path.unlink()
        raise InputError(
            f"the file has another hash: sha256={found}", given,
            "it changed on the server or was damaged: look at it, then give its right hash",
        )  # fmt: skip
