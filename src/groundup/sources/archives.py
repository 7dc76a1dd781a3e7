"""Archives and compressed files: their members as sources, streamed, never written to the disk.

A member's kind goes by its inner name (book.txt.gz, rows.jsonl.zst, notes.zip with folders). An
archive comes from anywhere, so that it is met with suspicion: one that swells without measure, one
that points outside itself and archives within archives are refused.
"""

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow

from groundup.sources.problems import Report
from groundup.sources.source import Source, Stream

# No text packs better than this, save endless repetition; deflate reaches 1032 at most (Fifield,
# https://www.usenix.org/conference/woot19/presentation/fifield). Small files may: a few spaces do.
MOST_RATIO = 250
RATIO_COUNTS_FROM = 64 << 20
MOST_UNPACKED = 1 << 40

_CODECS = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd"}
_TAR = re.compile(r"\.(tar|tgz|tar\.gz|tar\.zst)$", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(zip|gz|zst|tar|tgz|bz2|xz|7z|rar)$", re.IGNORECASE)
_READ_BYTES = 1 << 18


def unpack(source: Source, report: Report) -> Iterator[Source]:
    """The files in an archive, the file in a compressed file, or the source itself.

    Reports members that are encrypted, archives themselves or outside the archive. Raises
    `UnreadableError` for a broken, cut, empty or endlessly swelling archive.
    """
    if source.suffix == ".zip":
        yield from _checked(_zip_members(source), source, report)
    elif _TAR.search(source.name):
        yield from _checked(_tar_members(source), source, report)
    elif source.suffix in _CODECS:
        inner = source.name[: -len(source.suffix)]
        yield Source(source.where, inner, lambda: _open_unpacked(source))
    else:
        yield source


def refuse_zip_bomb(archive: zipfile.ZipFile, stream: Stream, source: Source) -> None:
    """Raise `UnreadableError` if the archive in `stream` is a bomb. Its directory tells the unpacked
    sizes, and `zipfile` never unpacks more than they say."""
    unpacked = sum(info.file_size for info in archive.infolist())
    _refuse_bomb(source, unpacked, stream.seek(0, io.SEEK_END))


def _zip_members(source: Source) -> Iterator[Source]:
    with source.open() as stream, _damage(source), zipfile.ZipFile(stream) as archive:
        refuse_zip_bomb(archive, stream, source)
        for info in archive.infolist():
            if not info.is_dir():
                yield _zip_member(archive, info, source)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: Source) -> Source:
    def opened() -> Stream:
        if info.flag_bits & 1:
            fix = "unpack the archive with its password first"
            raise member.unreadable("encrypted", "this member is encrypted", fix)
        with _damage(member):
            return _Unpacked(archive.open(info), member)

    name = _zip_name(info)
    member = Source(f"{source.where}/{name}", name, opened)
    return member


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name of a member. Without the flag for UTF-8, `zipfile` reads it in the code page of old
    DOS; what Chinese Windows packs is in GB18030."""
    if info.flag_bits & 0x800:
        return info.filename
    name = info.filename.encode("cp437", "replace")
    for encoding in ("utf-8", "gb18030"):
        try:
            return name.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _tar_members(source: Source) -> Iterator[Source]:
    compressed = source.suffix in _CODECS
    stream = _open_unpacked(source) if compressed else source.open()
    with stream, _damage(source), tarfile.open(fileobj=stream, mode="r|") as archive:
        for info in archive:
            if info.isfile():
                yield _tar_member(archive, info, source)


def _tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo, source: Source) -> Source:
    def opened() -> Stream:
        content = archive.extractfile(info)
        assert content is not None  # only directories and links have none
        return _Unpacked(content, member)

    name = info.name.removeprefix("./")
    member = Source(f"{source.where}/{name}", name, opened)
    return member


def _checked(members: Iterator[Source], source: Source, report: Report) -> Iterator[Source]:
    """Those members that are plain visible files inside the archive; the others are reported."""
    is_empty = True
    for member in members:
        is_empty = False
        parts = re.split(r"[/\\]", member.name)
        if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
            what = f"a member's path leads outside the archive: {member.name!r}"
            report(source.problem("path_outside", what, "do not trust this archive"))
        elif any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        elif _ARCHIVE.search(member.name):
            what = f"an archive within an archive: {member.name!r}"
            report(source.problem("nested_archive", what, "unpack the outer archive first"))
        else:
            yield member
    if is_empty:
        raise source.unreadable("no_text", "this archive has no files", "remove it or fill it")


def _open_unpacked(source: Source) -> Stream:
    """The content of a compressed source. Arrow's decompressors join the parts of a file that was
    appended to, and tell a cut file from a whole one, as those of Python do not for zstd."""
    packed = source.open()
    size = packed.seek(0, io.SEEK_END)
    packed.seek(0)
    codec = _CODECS[source.suffix]
    return _Unpacked(pyarrow.CompressedInputStream(packed, codec), source, size)


class _Unpacked(io.RawIOBase):
    """A stream out of an archive: damage is told in words, and what swells too much ends."""

    def __init__(
        self, inner: Stream | pyarrow.NativeFile, source: Source, packed_bytes: int | None = None
    ):
        self.inner, self.source, self.packed_bytes = inner, source, packed_bytes
        self.unpacked_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _damage(self.source):
            chunk = self.inner.read(min(len(buffer), _READ_BYTES))
        self.unpacked_bytes += len(chunk)
        if self.packed_bytes is not None:
            _refuse_bomb(self.source, self.unpacked_bytes, self.packed_bytes)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self.inner.close()
        super().close()


def _refuse_bomb(source: Source, unpacked: int, packed: int) -> None:
    if unpacked > MOST_UNPACKED:
        limit = f"more than {MOST_UNPACKED >> 30} GB"
    elif unpacked > RATIO_COUNTS_FROM and unpacked > MOST_RATIO * packed:
        limit = f"more than {MOST_RATIO} times its size"
    else:
        return
    raise source.unreadable(
        "bomb", f"this archive unpacks to {limit}: it may be a bomb",
        "unpack it yourself if you trust it, and give the files",
    )  # fmt: skip


_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError,
)  # fmt: skip


@contextmanager
def _damage(source: Source) -> Iterator[None]:
    """Say in words what the unpackers raise on a broken or a cut archive."""
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's own trouble, not the archive's
        if re.search(r"[Tt]runcated|unexpected end|ended before", str(error)):
            what = f"this archive is cut: {error}"
            raise source.unreadable("cut_file", what, "get it again: its end is missing") from None
        what = f"this archive is broken: {error}"
        raise source.unreadable("broken_archive", what, "get it again") from None
