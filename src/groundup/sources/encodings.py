"""Bytes to text: UTF-8 first, strictly; other encodings by their mark or by detection."""

import codecs
from collections.abc import Iterator

from charset_normalizer import from_bytes

from groundup.sources.source import Source, Stream

CHUNK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(source: Source) -> Iterator[str]:
    """The text of a file in chunks of about a megabyte, its line ends as "\\n".

    Raises `UnreadableError` for a binary file, and for bytes that do not fit the file's encoding,
    with their line.
    """
    with source.open() as stream:
        sample = stream.read(SAMPLE_BYTES)
        encoding = find_encoding(sample, source)
        decoder = codecs.getincrementaldecoder(encoding)()
        held, line = "", 1
        for chunk in _chunks(sample, stream):
            try:
                text = held + decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                good = error.object[: error.start]
                raise source.unreadable(
                    "wrong_encoding",
                    f"not valid {encoding}: {error.reason}: {error.object[error.start :][:20]!r}",
                    "convert the file to UTF-8, for example with iconv",
                    line + good.decode(encoding, "ignore").count("\n"),
                ) from error  # fmt: skip
            # A carriage return at the end may be half of a line end.
            held = "\r" if chunk and text.endswith("\r") else ""
            text = text[: len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n")
            line += text.count("\n")
            yield text


def _chunks(sample: bytes, stream: Stream) -> Iterator[bytes]:
    """The sample, then the rest of the stream, then an empty chunk for the end."""
    for start in range(0, len(sample), CHUNK_BYTES):
        yield sample[start : start + CHUNK_BYTES]
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk
    yield b""


def find_encoding(sample: bytes, source: Source) -> str:
    """The encoding of a file that begins with `sample`: a byte order mark decides, else UTF-8 if it
    fits, else what charset-normalizer finds; Chinese goes by its largest form, GB18030."""
    for mark, encoding in MARKS.items():
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample:
        raise source.unreadable(
            "binary", "this is a binary file, not text", "give text files, or convert it to text"
        )
    if fits(sample, "utf-8"):
        return "utf-8"
    if fits(sample, "gb18030") and _is_mostly_han(sample):
        return "gb18030"
    # A cut in the middle of a character would mislead the detection: end at a line.
    whole_lines = sample[: sample.rfind(b"\n") + 1] or sample
    best = from_bytes(whole_lines).best()
    if best is None:
        raise source.unreadable(
            "wrong_encoding", f"cannot tell the encoding of this file: {_strange(sample)!r}",
            "convert it to UTF-8 with iconv",
        )  # fmt: skip
    return best.encoding


def fits(sample: bytes, encoding: str) -> bool:
    """True if the bytes are text in this encoding, a character cut at the end aside."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _strange(sample: bytes) -> bytes:
    """The first bytes that are not plain ASCII."""
    first = next((at for at, byte in enumerate(sample) if byte > 127), 0)
    return sample[first : first + 20]


def _is_mostly_han(sample: bytes) -> bool:
    """True if the non-ASCII characters of GB18030 text are nearly all Chinese: Latin-1 or Cyrillic
    read as GB18030 gives rare characters and symbols."""
    text = codecs.getincrementaldecoder("gb18030")().decode(sample)
    others = [character for character in text if ord(character) > 127]
    common = sum("\u4e00" <= c <= "\u9fa5" or "\u3000" <= c <= "\u303f" or c in "，。！？：；（）“”‘’—…"
                 for c in others)  # fmt: skip
    frequent = sum(c in "的一是不了在人有我他这中大来上个国" for c in others)
    return common > 0.9 * len(others) and frequent > 0.01 * len(others)
