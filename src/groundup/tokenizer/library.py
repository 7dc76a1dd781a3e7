"""Vocabularies that the `tokenizers` library runs: any `tokenizer.json` beyond our own kinds.

Encoding is the library's, byte fallback, normalizers, Unigram and all. Decoding is ours, so that a
stream of ids gives the same text as all ids at once: the bytes of each id follow from the steps of
the file's decoder, and from its first space, which it strips, the prefix.
"""

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

from groundup.errors import CorruptFileError, GroundupError, InputError
from groundup.language import N_
from groundup.tokenizer.spelling import from_printable
from groundup.tokenizer.vocabulary import keeps_to_words, word_cut

Json = dict[str, Any]
Step = Callable[[str | bytes], str | bytes]
_BEFORE = ("normalizer", "pre_tokenizer")  # what may put a space before a text
# Normalizers under which the parts of a text, cut between words, are normalized as the whole is.
_LOCAL = {"Prepend", "Replace", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Sequence"}


def library(name: str, what: str) -> ModuleType:
    """Import a library that only `what` needs; `GroundupError` where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise GroundupError(
            f"{what} needs the library {name!r}, which is not installed",
            None,
            f"pip install {name}",
        ) from None


class LibraryVocabulary:
    """A `tokenizer.json` as the `tokenizers` library encodes with it.

    Tokens that the file adds without calling them special are part of the vocabulary and always
    recognised; the special ones never are: the `Tokenizer` splits text at them before.
    """

    def __init__(self, source: bytes, content: Json, where: str):
        """`source` is the `tokenizer.json` at `where`, which the messages name, `content` the same
        as Python objects."""
        self.source, self.content, self.where = source, content, where
        special = {token["id"] for token in content["added_tokens"] if token["special"]}
        steps, self.prefix = decoder_steps(content.get("decoder"), where)
        words = self._added_words(steps)
        pieces = self.beginning.get_vocab(with_added_tokens=True)
        self.tokens = {
            id_: piece.encode() if piece in words else to_bytes(piece, steps)
            for piece, id_ in pieces.items()
            if id_ not in special
        }
        self.begins_anew = any(map(is_prefixing_each, _nodes([content.get(p) for p in _BEFORE])))

    def _added_words(self, steps: list[Step]) -> set[str]:
        """The added tokens that are spelled as they are read. (Of pieces that the model has as well,
        a decoder by bytes can be told those that were added; one that replaces marks cannot.)"""
        added = {token["content"] for token in self.content["added_tokens"]}
        if _from_byte_level in steps:
            return added
        return added - self.beginning.get_vocab(with_added_tokens=False).keys()

    @cached_property
    def beginning(self) -> Any:
        """The library's tokenizer for a text that begins."""
        return self._build(self.source)

    @cached_property
    def continuing(self) -> Any:
        """The same without the space that some put before a text."""
        plain = self.content | {part: without_prefix(self.content.get(part)) for part in _BEFORE}
        same = plain == self.content
        return self.beginning if same else self._build(json.dumps(plain).encode())

    @cached_property
    def can_be_cut(self) -> bool:
        kinds = {node.get("type") for node in _nodes(self.content.get("normalizer"))}
        return kinds <= _LOCAL and keeps_to_words(self.tokens)

    def _build(self, source: bytes) -> Any:
        tokenizers = library("tokenizers", N_("this tokenizer.json"))
        try:
            built = tokenizers.Tokenizer.from_buffer(source)
        except Exception as error:  # the library raises plain Exception, with a Rust error's text
            raise CorruptFileError(
                f"the tokenizers library does not understand this tokenizer.json ({error})",
                self.where, "copy it again, or update the library: pip install -U tokenizers",
            ) from None  # fmt: skip
        built.encode_special_tokens = True  # special tokens in a text are text
        built.no_truncation()
        built.no_padding()
        return built

    def encode(self, text: str, begins: bool = True) -> list[int]:
        run = self.beginning if begins else self.continuing
        return run.encode(whole_characters(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        batch = [whole_characters(text) for text in texts]
        encoded = self.beginning.encode_batch_fast(batch, add_special_tokens=False)
        return [one.ids for one in encoded]

    def cut(self, text: str) -> int:
        return word_cut(text) if self.can_be_cut else 0

    def identity(self) -> bytes:
        """All of the file but its special tokens."""
        added = [token for token in self.content["added_tokens"] if not token["special"]]
        return json.dumps(self.content | {"added_tokens": added}).encode()


def whole_characters(text: str) -> str:
    """`text` with lone surrogates, which no encoding of Unicode can write, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def decoder_steps(decoder: Json | None, where: str) -> tuple[list[Step], bytes]:
    """What a `tokenizer.json`'s decoder does to each piece, and the prefix that it strips."""
    steps: list[Step] = []
    prefix = b""
    for node in [decoder] if decoder is None else decoder.get("decoders", [decoder]):
        match node:
            case {"type": "ByteLevel"}:
                steps.append(_from_byte_level)
            case {"type": "ByteFallback"}:
                steps.append(_from_byte_name)
            case {"type": "Fuse"}:
                pass
            case {"type": "Replace", "pattern": {"String": old}, "content": new}:
                steps.append(_replacing(old, new))
            case {"type": "Strip", "content": str(character), "start": int(count), "stop": 0}:
                prefix = (character * count).encode()
            case {"type": "Metaspace", "replacement": mark}:
                steps.append(_replacing(mark, " "))
                prefix = b"" if node.get("prepend_scheme") == "never" else b" "
            case _:
                kind = node and node.get("type")
                raise InputError(
                    f"a tokenizer.json with decoder {kind!r} is not supported", where,
                    "supported: ByteLevel, ByteFallback, Fuse, Replace, Strip at the start, Metaspace",
                )  # fmt: skip
    return steps, prefix


def to_bytes(piece: str, steps: list[Step]) -> bytes:
    """The bytes of text that a piece of the vocabulary stands for."""
    text: str | bytes = piece
    for step in steps:
        text = step(text)
    return text if isinstance(text, bytes) else text.encode()


def _from_byte_level(piece: str | bytes) -> str | bytes:
    try:
        return piece if isinstance(piece, bytes) else from_printable(piece)
    except KeyError:  # an added token, written as it is
        return piece


def _from_byte_name(piece: str | bytes) -> str | bytes:
    """`<0x41>` is a byte.

    >>> _from_byte_name("<0x41>"), _from_byte_name("<0x4>")
    (b'A', '<0x4>')
    """
    if isinstance(piece, str) and len(piece) == 6 and piece.startswith("<0x"):
        try:
            return bytes([int(piece[3:5], 16)]) if piece.endswith(">") else piece
        except ValueError:
            pass
    return piece


def _replacing(old: str, new: str) -> Step:
    return lambda piece: piece.replace(old, new) if isinstance(piece, str) else piece


def _nodes(content: Any) -> Iterator[Json]:
    """The described steps (objects with a type) inside a part of a `tokenizer.json`."""
    if isinstance(content, list):
        for value in content:
            yield from _nodes(value)
    elif isinstance(content, dict):
        yield content
        for value in content.values():
            yield from _nodes(value)


def is_prefixing_each(step: Json) -> bool:
    """Whether this step puts a space before each stretch of text between special tokens."""
    match step:
        case {"type": "Prepend"} | {"type": "ByteLevel", "add_prefix_space": True}:
            return True
        case {"type": "Metaspace", "prepend_scheme": scheme}:
            return scheme == "always"
        case {"type": "Metaspace", "add_prefix_space": True}:  # written before there were schemes
            return True
    return False


def without_prefix(step: Any) -> Any:
    """A normalizer or pre-tokenizer made to put no space before a text."""
    match step:
        case {"type": "Prepend"}:
            return {"type": "Sequence", "normalizers": []}
        case {"type": "Metaspace"}:
            off = {"prepend_scheme": "never", "add_prefix_space": False}
            return step | {name: value for name, value in off.items() if name in step}
        case {"type": "ByteLevel"}:
            return step | {"add_prefix_space": False}
        case dict():
            return {name: without_prefix(value) for name, value in step.items()}
        case list():
            return [without_prefix(value) for value in step]
    return step
