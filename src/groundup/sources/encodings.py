"""Bytes to text: UTF-8 first, strictly; other encodings by their mark or by detection."""

import codecs
import unicodedata
from collections.abc import Iterator

from charset_normalizer import CharsetMatches, from_bytes

from groundup.sources.problems import UnreadableError
from groundup.sources.source import Source, Stream

CHUNK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins like UTF-16's mark
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# The language of a text speaks for an encoding if it is more like it by this (of 1).
CLEARLY_MORE = 0.05


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
            if "\0" in text:
                raise _binary(source, line + text[: text.index("\0")].count("\n"))
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
    fits, else UTF-16 where there are zero bytes, else what charset-normalizer finds; Chinese goes by
    its largest form, GB18030."""
    for mark, encoding in MARKS.items():
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample:
        if encoding := _utf16_without_mark(sample):
            return encoding
        raise _binary(source)
    if fits(sample, "utf-8"):
        return "utf-8"
    if fits(sample, "gb18030") and _is_mostly_han(sample):
        return "gb18030"
    # A cut in the middle of a character would mislead the detection: end at a line.
    whole_lines = sample[: sample.rfind(b"\n") + 1] or sample
    found = _most_common(from_bytes(whole_lines))
    if found is None:
        raise source.unreadable(
            "wrong_encoding", f"cannot tell the encoding of this file: {_strange(sample)!r}",
            "convert it to UTF-8 with iconv",
        )  # fmt: skip
    return found


def _binary(source: Source, line: int | None = None) -> UnreadableError:
    return source.unreadable(
        "binary", "this is a binary file, not text", "give text files, or convert it to text", line
    )


def _utf16_without_mark(sample: bytes) -> str | None:
    """Of the two orders of UTF-16's bytes the one that gives a readable text, and the more of ASCII
    if both do: its letters are Chinese when they are turned round."""
    texts = {name: _readable(sample, name) for name in ("utf-16-le", "utf-16-be")}
    best = max(texts, key=lambda name: sum(character.isascii() for character in texts[name]))
    return best if texts[best] else None


def _readable(sample: bytes, encoding: str) -> str:
    """The text, or nothing if it has characters that nobody writes."""
    if not fits(sample, encoding):
        return ""
    text = codecs.getincrementaldecoder(encoding)().decode(sample)
    strange = any(
        unicodedata.category(c) in ("Cc", "Cn", "Co") for c in set(text) - set("\t\n\f\r")
    )
    return "" if strange else text


def _most_common(matches: CharsetMatches) -> str | None:
    """The encoding that fits best, but Windows-1252 (which holds Latin-1) where it fits as well: a
    few accents look right in many an encoding, and this one is written far more than the rest."""
    best = matches.best()
    if best is None:
        return None
    for match in matches:
        as_likely = match.chaos <= best.chaos and match.coherence > best.coherence - CLEARLY_MORE
        if as_likely and "cp1252" in match.could_be_from_charset:
            return "cp1252"
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
