"""Bytes to text: UTF-8 first, strictly; other encodings by their mark or by detection."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from charset_normalizer import from_bytes

from groundup.errors import InputError

CHUNK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: Path) -> Iterator[str]:
    """The text of a file in chunks of about a megabyte, its line ends as "\\n".

    Raises `InputError` for a binary file, and for bytes that do not fit the file's encoding, with
    their place.
    """
    encoding = find_encoding(path)
    decoder = codecs.getincrementaldecoder(encoding)()
    done, held = 0, ""
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK_BYTES)
            try:
                text = held + decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"not valid {encoding}: {error.reason}", f"{path}, near byte {done + error.start}",
                    "convert the file to UTF-8, for example with iconv",
                ) from error  # fmt: skip
            done += len(chunk)
            # A carriage return at the end may be half of a line end.
            held = "\r" if chunk and text.endswith("\r") else ""
            yield text[: len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n")
            if not chunk:
                return


def find_encoding(path: Path) -> str:
    """The encoding of a file: a byte order mark decides, else UTF-8 if it fits the file's beginning,
    else what charset-normalizer finds; Chinese goes by its largest form, GB18030."""
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
    for mark, encoding in MARKS.items():
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample:
        raise InputError(
            "this is a binary file, not text", str(path), "give text files, or convert it to text"
        )
    if _decodes(sample, "utf-8"):
        return "utf-8"
    if _decodes(sample, "gb18030") and _is_mostly_han(sample):
        return "gb18030"
    # A cut in the middle of a character would mislead the detection: end at a line.
    whole_lines = sample[: sample.rfind(b"\n") + 1] or sample
    best = from_bytes(whole_lines).best()
    if best is None:
        raise InputError(
            "cannot tell the encoding of this file", str(path), "convert it to UTF-8 with iconv"
        )
    return best.encoding


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _is_mostly_han(sample: bytes) -> bool:
    """True if the non-ASCII characters of GB18030 text are nearly all Chinese: Latin-1 or Cyrillic
    read as GB18030 gives rare characters and symbols."""
    text = codecs.getincrementaldecoder("gb18030")().decode(sample)
    others = [character for character in text if ord(character) > 127]
    common = sum("\u4e00" <= c <= "\u9fa5" or "\u3000" <= c <= "\u303f" or c in "，。！？：；（）“”‘’—…"
                 for c in others)  # fmt: skip
    frequent = sum(c in "的一是不了在人有我他这中大来上个国" for c in others)
    return common > 0.9 * len(others) and frequent > 0.01 * len(others)
