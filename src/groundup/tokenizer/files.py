"""The file formats of tokenizers: Hugging Face's `tokenizer.json` and GPT-2's vocab and merges."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.errors import CorruptFileError, InputError
from groundup.tokenizer.bpe import Merges
from groundup.tokenizer.vocabulary import CharacterVocabulary, MergeVocabulary, Vocabulary

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


def tokenizer_json(vocabulary: Vocabulary, special_tokens: Mapping[str, int]) -> dict[str, Any]:
    """The content of `tokenizer.json`: the `tokenizers` library gives the same ids from it."""
    described = (
        _describe_merges(vocabulary)
        if isinstance(vocabulary, MergeVocabulary)
        else _describe_characters(vocabulary)
    )
    added = [
        {"id": id_, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for token, id_ in special_tokens.items()
    ]  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "post_processor": None, **described,
    }  # fmt: skip


def _describe_merges(vocabulary: MergeVocabulary) -> dict[str, Any]:
    name = {id_: to_printable(token) for id_, token in vocabulary.tokens.items()}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    return {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [_split(vocabulary.pattern), byte_level | {"use_regex": False}],
        },
        "decoder": byte_level | {"use_regex": False},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {name[id_]: id_ for id_ in sorted(name)},
            "merges": [[name[left], name[right]] for left, right in vocabulary.merges],
        },
    }  # fmt: skip


def _describe_characters(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "pre_tokenizer": _split(r"[\s\S]"),
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "unk_token": CharacterVocabulary.UNKNOWN,
            "vocab": {token.decode(): id_ for id_, token in vocabulary.tokens.items()},
        },
    }


def _split(pattern: str) -> dict[str, Any]:
    return {
        "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False,
    }  # fmt: skip


def read_tokenizer_json(path: Path) -> tuple[Vocabulary, dict[str, int]]:
    """The vocabulary and the special tokens of a `tokenizer.json`."""
    content = read_json(path)
    try:
        model, kind = content["model"], content["model"]["type"]
        special_tokens = {token["content"]: token["id"] for token in content["added_tokens"]}
        if content.get("normalizer") is not None:
            raise _unsupported(path, f"normalizer {content['normalizer'].get('type')!r}")
        if kind == "WordLevel":
            ordered = sorted(model["vocab"], key=model["vocab"].__getitem__)
            return CharacterVocabulary(ordered), special_tokens
        if kind != "BPE" or model.get("byte_fallback"):
            raise _unsupported(path, f"model type {kind!r}")
        pattern = _pattern(content["pre_tokenizer"], path)
        merges = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
        vocab = {token: id_ for token, id_ in model["vocab"].items() if token not in special_tokens}
        return merge_vocabulary(vocab, merges, pattern, path), special_tokens
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CorruptFileError(
            f"not a valid tokenizer.json ({type(error).__name__}: {error})", str(path),
            "copy or save the tokenizer again",
        ) from error  # fmt: skip


def read_vocab_and_merges(directory: Path) -> tuple[Vocabulary, dict[str, int]]:
    """GPT-2's `vocab.json` and `merges.txt`. Tokens that are no bytes are the special ones."""
    vocab = read_json(directory / "vocab.json")
    special_tokens = {token: id_ for token, id_ in vocab.items() if token == "<|endoftext|>"}
    ordinary = {token: id_ for token, id_ in vocab.items() if token not in special_tokens}
    lines = (directory / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    path = directory / "merges.txt"
    return merge_vocabulary(ordinary, merges, GPT2_PATTERN, path), special_tokens


def merge_vocabulary(
    vocab: Mapping[str, int], merges: list[list[str]], pattern: str, path: Path
) -> MergeVocabulary:
    """A vocabulary from GPT-2's printable spelling of its tokens and merges."""
    try:
        tokens = {id_: from_printable(token) for token, id_ in vocab.items()}
        pairs: Merges = [(vocab[left], vocab[right]) for left, right in merges]
        return MergeVocabulary(tokens, pairs, pattern)
    except (KeyError, ValueError) as error:
        raise CorruptFileError(
            f"the merges and the vocabulary do not belong together ({error})", str(path),
            "use the two files of one tokenizer",
        ) from error  # fmt: skip


def _pattern(pre_tokenizer: dict[str, Any], path: Path) -> str:
    """Where words begin and end: a Split's regex, or that of GPT-2 inside ByteLevel."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    kinds = [step["type"] for step in steps]
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        return steps[0]["pattern"]["Regex"]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return GPT2_PATTERN
    raise _unsupported(path, f"pre-tokenizer {' + '.join(kinds)}")


def _unsupported(path: Path, what: str) -> InputError:
    return InputError(
        f"{what} is not supported", str(path), "supported: byte-level BPE, and characters"
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's content, or `CorruptFileError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise CorruptFileError(
            f"not valid JSON ({error})", str(path), "copy or save it again"
        ) from error
    return content
