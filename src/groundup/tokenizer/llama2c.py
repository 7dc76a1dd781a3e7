"""The tokenizer of llama2.c (https://github.com/karpathy/llama2.c): `tokenizer.bin`, `tok512.bin`.

The file is an int32, the length of the longest token, and for each token a float32 score, an int32
length and its bytes, in the order of the ids; the ids 0, 1 and 2 are unknown, begin and end, 3 to 258
the bytes. llama2.c's `encode` joins pieces by score as SentencePiece does, from which the file was
made, so it becomes a SentencePiece model again.
"""

import json
import struct
from pathlib import Path

from groundup.errors import CorruptFileError
from groundup.tokenizer.sentence_piece import (
    BYTE,
    CONTROL,
    NORMAL,
    SPACE,
    UNKNOWN,
    Piece,
    sentence_piece_model,
)
from groundup.tokenizer.tokenizer import Tokenizer

FIRST_BYTE, FIRST_PIECE = 3, 259
_MARKS = [Piece("<unk>", 0.0, UNKNOWN), Piece("<s>", 0.0, CONTROL), Piece("</s>", 0.0, CONTROL)]


def read_llama2c_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a llama2.c file. Raises `CorruptFileError` where it is none or cut."""
    tokens = _read_tokens(Path(path))
    pieces = [
        *_MARKS,
        *(Piece(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)),
        *(Piece(text.replace(" ", SPACE), score, NORMAL) for score, text in tokens[FIRST_PIECE:]),
    ]
    config = {
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": False,
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
    }  # fmt: skip
    files = {
        "tokenizer.model": sentence_piece_model(pieces, prefix=True),
        "tokenizer_config.json": json.dumps(config).encode(),
    }
    return Tokenizer.from_files(files, str(path))


def _read_tokens(path: Path) -> list[tuple[float, str]]:
    """The score and text of each token."""
    content, at = path.read_bytes(), 4
    tokens: list[tuple[float, str]] = []
    try:
        (longest,) = struct.unpack_from("<i", content)
        while at < len(content):
            score, length = struct.unpack_from("<fi", content, at)
            token = content[at + 8 : at + 8 + length]
            if not len(token) == length <= longest:
                raise ValueError("a token is longer than the file says")
            tokens.append((score, token.decode()))
            at += 8 + length
        names = [text for _, text in tokens[FIRST_BYTE:FIRST_PIECE]]
        if names != [f"<0x{byte:02X}>" for byte in range(256)]:
            raise ValueError("the ids 3 to 258 are not the bytes")
    except (struct.error, ValueError) as error:
        raise CorruptFileError(
            f"not a whole tokenizer of llama2.c ({error})", str(path), "copy the file again"
        ) from None
    return tokens
