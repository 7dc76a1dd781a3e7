"""What a tokenizer is saved as: the files that it was loaded from, byte for byte, with what has been
changed since; or a `tokenizer.json` of our own."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from groundup.tokenizer.files import parse_json
from groundup.tokenizer.framing import END_OF_TEXT, TEMPLATE, TEMPLATES, Framing
from groundup.tokenizer.spelling import isolating, to_printable
from groundup.tokenizer.vocabulary import (
    CharacterVocabulary,
    LoadedVocabulary,
    MergeVocabulary,
    Vocabulary,
)

OWN = (MergeVocabulary, CharacterVocabulary)


def files_to_save(
    vocabulary: Vocabulary,
    special_tokens: Mapping[str, int],
    chat_template: str | None,
    framing: Framing,
) -> dict[str, bytes]:
    """The content of each file, by its name."""
    loaded = framing.files
    files = {name: content for name, content in loaded.items() if name != "generation_config.json"}
    added = {t: id_ for t, id_ in special_tokens.items() if framing.special_tokens.get(t) != id_}
    if isinstance(vocabulary, OWN) and "tokenizer.json" not in files:
        files = _own_files(vocabulary, special_tokens, chat_template) | files
    elif added:
        _add_tokens(files, added)
    if loaded and chat_template != framing.templates.get("default"):
        _set_template(files, dict(framing.templates) | {"default": chat_template})
    return files


def _own_files(
    vocabulary: MergeVocabulary | CharacterVocabulary,
    special_tokens: Mapping[str, int],
    chat_template: str | None,
) -> dict[str, bytes]:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "chat_template": chat_template,
    }
    if END_OF_TEXT in special_tokens:
        config["eos_token"] = END_OF_TEXT
    return {
        "tokenizer.json": _written(tokenizer_json(vocabulary, special_tokens), indent=1),
        "tokenizer_config.json": _written(config, indent=2),
    }


def _add_tokens(files: dict[str, bytes], added: Mapping[str, int]) -> None:
    """Special tokens stand in `tokenizer.json`, or, without one, in the settings."""
    if "tokenizer.json" in files:
        content = parse_json(files, "tokenizer.json", "")
        content["added_tokens"] += described_tokens(added)
        files["tokenizer.json"] = _written(content)
        return
    config = parse_json(files, "tokenizer_config.json", "")
    tokens = {str(token.pop("id")): token for token in described_tokens(added)}
    config["added_tokens_decoder"] = config.get("added_tokens_decoder", {}) | tokens
    files["tokenizer_config.json"] = _written(config, indent=2)


def _set_template(files: dict[str, bytes], templates: Mapping[str, str | None]) -> None:
    for name in [name for name in files if name == TEMPLATE or name.startswith(TEMPLATES)]:
        del files[name]
    config = parse_json(files, "tokenizer_config.json", "")
    named = [{"name": name, "template": one} for name, one in templates.items() if one is not None]
    config["chat_template"] = named if len(templates) > 1 else templates["default"]
    files["tokenizer_config.json"] = _written(config, indent=2)


def _written(content: Any, indent: int | None = None) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=indent).encode()


def description(vocabulary: Vocabulary, special_tokens: Mapping[str, int]) -> bytes:
    """The same for the same vocabulary and special tokens, and for no others."""
    if isinstance(vocabulary, OWN):
        return _written(tokenizer_json(vocabulary, special_tokens), indent=1)
    assert isinstance(vocabulary, LoadedVocabulary)
    return vocabulary.identity() + _written(dict(special_tokens))


def tokenizer_json(
    vocabulary: MergeVocabulary | CharacterVocabulary, special_tokens: Mapping[str, int]
) -> dict[str, Any]:
    """The content of `tokenizer.json`: the `tokenizers` library gives the same ids from it."""
    described = (
        _describe_merges(vocabulary)
        if isinstance(vocabulary, MergeVocabulary)
        else _describe_characters(vocabulary)
    )
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": described_tokens(special_tokens),
        "normalizer": None, "post_processor": None, **described,
    }  # fmt: skip


def described_tokens(
    tokens: Mapping[str, int], special: Callable[[str], bool] = lambda _: True
) -> list[dict[str, Any]]:
    """Added tokens as a `tokenizer.json` lists them."""
    return [
        {"id": id_, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": special(token)}
        for token, id_ in tokens.items()
    ]  # fmt: skip


def _describe_merges(vocabulary: MergeVocabulary) -> dict[str, Any]:
    name = {id_: to_printable(token) for id_, token in vocabulary.tokens.items()}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    return {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [isolating(vocabulary.pattern), byte_level | {"use_regex": False}],
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
        "pre_tokenizer": isolating(r"[\s\S]"),
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "unk_token": CharacterVocabulary.UNKNOWN,
            "vocab": {token.decode(): id_ for id_, token in vocabulary.tokens.items()},
        },
    }
