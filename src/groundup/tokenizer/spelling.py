"""What GPT-2's tokenizer brought and most since have kept: its pattern of words, and its way to write
bytes in files of text."""

from typing import Any

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def byte_characters() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte (Radford et al. 2019, encoder.py): printable Latin-1
    stands for itself, the 68 other bytes for the characters from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {byte: chr(byte) for byte in printable}
    return table | {byte: chr(256 + i) for i, byte in enumerate(others)}


BYTE_TO_CHARACTER = byte_characters()
CHARACTER_TO_BYTE = {character: byte for byte, character in BYTE_TO_CHARACTER.items()}


def to_printable(token: bytes) -> str:
    return "".join(BYTE_TO_CHARACTER[byte] for byte in token)


def from_printable(token: str) -> bytes:
    return bytes(CHARACTER_TO_BYTE[character] for character in token)


def isolating(pattern: str) -> dict[str, Any]:
    """The pre-tokenizer of a `tokenizer.json` that makes a word of each match, and of what is between
    two."""
    return {
        "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False,
    }  # fmt: skip
