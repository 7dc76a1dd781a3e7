"""SentencePiece models (Kudo and Richardson 2018), run by the `sentencepiece` library.

The `tokenizer.model` of Llama 2, Mistral and Gemma is one; from GGUF's "llama" vocabularies and
llama2.c's `tokenizer.bin` one is built, since both join, again and again, the two neighbours whose
joint piece has the highest score, the leftmost among equals, as SentencePiece's BPE does, and spell
what is in no piece as bytes.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from groundup.errors import CorruptFileError
from groundup.language import N_
from groundup.tokenizer.library import library, whole_characters
from groundup.tokenizer.vocabulary import keeps_to_words, word_cut

SPACE = "▁"
# The types of pieces, the same numbers in sentencepiece_model.proto and in GGUF files.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


@dataclass(frozen=True)
class Piece:
    """A piece of a vocabulary: its text with "▁" for space, its score, and its type."""

    text: str
    score: float = 0.0
    type: int = NORMAL

    @property
    def bytes(self) -> bytes:
        if self.type == BYTE:
            return bytes([int(self.text[3:5], 16)])
        return (self.text if self.type == CONTROL else self.text.replace(SPACE, " ")).encode()


class SentencePieceVocabulary:
    """A vocabulary of pieces with scores."""

    def __init__(self, model: bytes, begins_anew: bool, where: str):
        """`model` is the content of a `tokenizer.model`; `where` names it in messages.

        `begins_anew`: a text after a special token gets a space before it too, as in llama.cpp and
        where a `tokenizer_config.json` says "legacy"."""
        self.model, self.begins_anew, self.where = model, begins_anew, where
        self.prefix = b" " if self.beginning.normalize("a") == f"{SPACE}a" else b""
        self.pieces = [_piece(part) for field, part in _fields(model) if field == 1]
        self.tokens = {id_: piece.bytes for id_, piece in enumerate(self.pieces)}

    @cached_property
    def beginning(self) -> Any:
        """The library's processor for a text that begins."""
        return self._processor(self.model)

    @cached_property
    def continuing(self) -> Any:
        """The same without a space put before the text. (Of two values of one field, protobuf takes
        the last: `add_dummy_prefix` is field 3 of field 3.)"""
        return self._processor(self.model + _message(3, _number(3, 0)))

    def _processor(self, model: bytes) -> Any:
        sentencepiece = library("sentencepiece", N_("a SentencePiece model"))
        try:
            if not model:  # the library takes this for no model yet
                raise RuntimeError(N_("it is empty"))
            return sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise CorruptFileError(
                f"not a SentencePiece model ({error})", self.where, "copy the file again"
            ) from None

    @property
    def is_bpe(self) -> bool:
        """Whether pieces are joined by score; otherwise the likeliest of all splits is taken
        (Unigram)."""
        trainer = dict(_fields(dict(_fields(self.model)).get(2, b"")))
        return trainer.get(3) == 2

    @property
    def special_tokens(self) -> dict[str, int]:
        """The pieces that no text is encoded as: `<s>`, `</s>`, `<unk>`."""
        return {
            piece.text: id_
            for id_, piece in enumerate(self.pieces)
            if piece.type in (CONTROL, UNKNOWN)
        }

    def encode(self, text: str, begins: bool = True) -> list[int]:
        run = self.beginning if begins else self.continuing
        return run.encode(whole_characters(text))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return self.beginning.encode([whole_characters(text) for text in texts])

    @cached_property
    def can_be_cut(self) -> bool:
        """False too where the model's normalizer changes white space."""
        keeps_space = self.continuing.normalize(" \n a ") == f"{SPACE}\n{SPACE}a{SPACE}"
        return keeps_space and keeps_to_words(self.tokens)

    def cut(self, text: str) -> int:
        return word_cut(text) if self.can_be_cut else 0

    def identity(self) -> bytes:
        return self.model


def sentence_piece_model(pieces: Iterable[Piece], prefix: bool) -> bytes:
    """The content of a `tokenizer.model` whose BPE joins `pieces`; with `prefix`, a space is put
    before each text.

    Written in protobuf's wire format (https://protobuf.dev/programming-guides/encoding/) with the
    field numbers of sentencepiece_model.proto."""
    written = b"".join(
        _message(1, _text(1, piece.text) + _float(2, piece.score) + _number(3, piece.type))
        for piece in pieces
    )
    is_bpe, has_bytes, no_pad = _number(3, 2), _number(35, 1), _number(43, (1 << 64) - 1)
    trainer = _message(2, is_bpe + has_bytes + no_pad)
    as_it_is = _text(1, "identity") + _number(3, prefix) + _number(4, 0) + _number(5, 1)
    return written + trainer + _message(3, as_it_is)


def _piece(written: bytes) -> Piece:
    parts = dict(_fields(written))
    return Piece(parts[1].decode(), struct.unpack("<f", parts[2])[0], parts.get(3, NORMAL))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The numbers and values of a protobuf message's fields: an int, or the bytes of a float, a text
    or a message."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        if key & 7 == 0:
            value, at = _read_varint(message, at)
        else:
            size, at = _read_varint(message, at) if key & 7 == 2 else (8 if key & 7 == 1 else 4, at)
            value, at = message[at : at + size], at + size
        yield key >> 3, value


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | message[at] << shift, at + 1


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())
