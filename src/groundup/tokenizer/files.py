"""The file formats of tokenizers: Hugging Face's `tokenizer.json` and GPT-2's vocab and merges."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.errors import CorruptFileError, InputError
from groundup.tokenizer.added import AddedWords
from groundup.tokenizer.bpe import Merges
from groundup.tokenizer.library import LibraryVocabulary
from groundup.tokenizer.ranks import is_rank_file, read_ranks
from groundup.tokenizer.sentence_piece import SentencePieceVocabulary
from groundup.tokenizer.spelling import (
    CHARACTER_TO_BYTE,
    GPT2_PATTERN,
    from_printable,
    isolating,
)
from groundup.tokenizer.vocabulary import CharacterVocabulary, MergeVocabulary, Vocabulary

Files = Mapping[str, bytes]
"""The files of a tokenizer, by their names inside its directory."""
# What `read_files` reads; the settings and templates are explained in framing.py.
NAMES = (
    "tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model", "*.tiktoken", "tiktoken.model",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "generation_config.json", "chat_template.jinja", "chat_templates/*.jinja",
)  # fmt: skip


@dataclass
class Source:
    """What the file of a vocabulary says."""

    vocabulary: Vocabulary
    special_tokens: dict[str, int]
    begin_ids: tuple[int, ...] = ()
    """What a prompt begins with."""
    strips: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    """The special tokens that swallow the white space before them, after them."""


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a tokenizer or model directory that concern its tokenizer."""
    paths = [path for name in NAMES for path in sorted(folder.glob(name)) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def read_vocabulary(files: Files, where: str) -> Source:
    """The vocabulary among `files`, which stand at `where`: that of `tokenizer.json` if there is one.

    Raises `InputError` where there is none."""
    ranks = next((name for name in files if name.endswith(".tiktoken")), "tiktoken.model")
    if "tokenizer.json" in files:
        return read_tokenizer_json(files["tokenizer.json"], f"{where}/tokenizer.json")
    if "vocab.json" in files and "merges.txt" in files:
        return read_vocab_and_merges(files, where)
    if ranks in files:
        return _rank_source(files[ranks], f"{where}/{ranks}")
    if "tokenizer.model" not in files:
        raise InputError(
            "no tokenizer here: no tokenizer.json, tokenizer.model, *.tiktoken, nor vocab.json with "
            "merges.txt", where, "make one with `groundup tokenizer train`",
        )  # fmt: skip
    model, name = files["tokenizer.model"], f"{where}/tokenizer.model"
    if is_rank_file(model):
        return _rank_source(model, name)
    legacy = parse_json(files, "tokenizer_config.json", where).get("legacy", False)
    vocabulary = SentencePieceVocabulary(model, bool(legacy), name)
    begin = vocabulary.beginning.bos_id()
    return Source(vocabulary, vocabulary.special_tokens, (begin,) if begin >= 0 else ())


def _rank_source(content: bytes, where: str) -> Source:
    vocabulary, published = read_ranks(content, where)
    special = dict(published.special_tokens)
    return Source(vocabulary, special, (special[published.begin],) if published.begin else ())


def read_tokenizer_json(source: bytes, where: str) -> Source:
    """The vocabulary of a `tokenizer.json`, special tokens and beginning: by our own encoder where it
    is of the kinds that we write, by the `tokenizers` library otherwise."""
    content = parse_json({"": source}, "", where)
    try:
        added = content["added_tokens"]
        special = {token["content"]: token["id"] for token in added if token["special"]}
        strips = {
            token["content"]: (token["lstrip"], token["rstrip"])
            for token in added
            if token["special"] and (token["lstrip"] or token["rstrip"])
        }
        words = {token["content"]: token["id"] for token in added if not token["special"]}
        vocabulary = _own_vocabulary(content, special, where)
        if vocabulary is None:
            vocabulary = LibraryVocabulary(source, content, where)
        elif words:
            vocabulary = AddedWords(vocabulary, words)
        return Source(vocabulary, special, _begin_ids(content), strips)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CorruptFileError(
            f"not a valid tokenizer.json ({type(error).__name__}: {error})", where,
            "copy or save the tokenizer again",
        ) from error  # fmt: skip


def _own_vocabulary(
    content: dict[str, Any], special: Mapping[str, int], where: str
) -> MergeVocabulary | CharacterVocabulary | None:
    """The vocabulary of a `tokenizer.json`, without added words, that our own encoder is sure to
    encode with as the `tokenizers` library does."""
    model = content["model"]
    words = [token for token in content["added_tokens"] if not token["special"]]
    if content.get("normalizer") or not all(_is_literal(word, model) for word in words):
        return None
    if model["type"] == "WordLevel" and content.get("pre_tokenizer") == isolating(r"[\s\S]"):
        return CharacterVocabulary(sorted(model["vocab"], key=model["vocab"].__getitem__))
    pattern = _pattern(content.get("pre_tokenizer"))
    odd = ("dropout", "byte_fallback", "ignore_merges", "continuing_subword_prefix",
           "end_of_word_suffix")  # fmt: skip
    if model["type"] != "BPE" or pattern is None or any(model.get(name) for name in odd):
        return None
    merges = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    if len({left + right for left, right in merges}) < len(merges):
        return None
    vocab = {token: id_ for token, id_ in model["vocab"].items() if token not in special}
    if not vocab.keys() >= CHARACTER_TO_BYTE.keys():
        return None
    return merge_vocabulary(vocab, merges, pattern, where)


def _is_literal(word: dict[str, Any], model: dict[str, Any]) -> bool:
    """Whether an added token is found wherever its text stands, and by no other way."""
    conditions = ("single_word", "lstrip", "rstrip", "normalized")
    return word["content"] not in model["vocab"] and not any(word[name] for name in conditions)


def _pattern(pre_tokenizer: dict[str, Any] | None) -> str | None:
    """Where words begin and end: a Split's regex, or that of GPT-2 inside ByteLevel; None for other
    ways to cut."""
    match (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer]):
        case [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return regex
        case [{"type": "ByteLevel", "add_prefix_space": False} as step] if step.get(
            "use_regex", True
        ):
            return GPT2_PATTERN
    return None


def _begin_ids(content: dict[str, Any]) -> tuple[int, ...]:
    """The ids that the post-processor of a `tokenizer.json` puts before a text."""
    step = content.get("post_processor") or {}
    ids: list[int] = []
    for one in step.get("processors", [step]):
        for part in one.get("single", []) if one.get("type") == "TemplateProcessing" else []:
            if "SpecialToken" not in part:
                break
            ids += one["special_tokens"][part["SpecialToken"]["id"]]["ids"]
    return tuple(ids)


def read_vocab_and_merges(files: Files, where: str) -> Source:
    """GPT-2's `vocab.json` and `merges.txt`; `<|endoftext|>` is no bytes but special."""
    vocab = parse_json(files, "vocab.json", where)
    special = {token: id_ for token, id_ in vocab.items() if token == "<|endoftext|>"}
    ordinary = {token: id_ for token, id_ in vocab.items() if token not in special}
    lines = files["merges.txt"].decode("utf-8", "replace").splitlines()
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    return Source(merge_vocabulary(ordinary, merges, GPT2_PATTERN, f"{where}/merges.txt"), special)


def merge_vocabulary(
    vocab: Mapping[str, int], merges: list[list[str]], pattern: str, where: str
) -> MergeVocabulary:
    """A vocabulary from GPT-2's printable spelling of its tokens and merges."""
    try:
        tokens = {id_: from_printable(token) for token, id_ in vocab.items()}
        pairs: Merges = [(vocab[left], vocab[right]) for left, right in merges]
        return MergeVocabulary(tokens, pairs, pattern)
    except (KeyError, ValueError) as error:
        raise CorruptFileError(
            f"the merges and the vocabulary do not belong together ({error})", where,
            "use the two files of one tokenizer",
        ) from error  # fmt: skip


def parse_json(files: Files, name: str, where: str) -> dict[str, Any]:
    """The content of a JSON file, empty if there is none, or `CorruptFileError`."""
    return _parse(files.get(name, b"{}"), f"{where}/{name}" if name else where)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's content, or `CorruptFileError`."""
    return _parse(path.read_bytes(), str(path))


def _parse(written: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(written)
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except ValueError as error:  # not UTF-8 is one too
        raise CorruptFileError(
            f"not valid JSON ({error})", where, "copy or save it again"
        ) from error
    return content
