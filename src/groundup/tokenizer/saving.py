"""What a tokenizer is saved as: the files that it was loaded from, byte for byte, with what has been
changed since; or a `tokenizer.json` of our own."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from groundup.tokenizer.added import apart
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
    if isinstance(apart(vocabulary)[0], OWN) and "tokenizer.json" not in files:
        files = _own_files(vocabulary, special_tokens, chat_template) | files
    elif added:
        add_tokens(files, described_tokens(added))
    if loaded and chat_template != framing.templates.get("default"):
        _set_template(files, dict(framing.templates) | {"default": chat_template})
    return files


def _own_files(
    vocabulary: Vocabulary, special_tokens: Mapping[str, int], chat_template: str | None
) -> dict[str, bytes]:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "chat_template": chat_template,
    }
    if END_OF_TEXT in special_tokens:
        config["eos_token"] = END_OF_TEXT
    return {
        "tokenizer.json": written(tokenizer_json(vocabulary, special_tokens), indent=1),
        "tokenizer_config.json": written(config, indent=2),
    }


def add_tokens(files: dict[str, bytes], added: list[dict[str, Any]]) -> None:
    """Put tokens, as a `tokenizer.json` describes them, among those of `files`: into that file, and
    into the settings where there is none or they list such tokens as well."""
    config = parse_json(files, "tokenizer_config.json", "")
    if "tokenizer.json" in files:
        content = parse_json(files, "tokenizer.json", "")
        content["added_tokens"] += added
        files["tokenizer.json"] = written(content)
    if "tokenizer.json" not in files or "added_tokens_decoder" in config:
        by_id = {
            str(token["id"]): {name: value for name, value in token.items() if name != "id"}
            for token in added
        }
        config["added_tokens_decoder"] = config.get("added_tokens_decoder", {}) | by_id
        files["tokenizer_config.json"] = written(config, indent=2)


def _set_template(files: dict[str, bytes], templates: Mapping[str, str | None]) -> None:
    for name in [name for name in files if name == TEMPLATE or name.startswith(TEMPLATES)]:
        del files[name]
    config = parse_json(files, "tokenizer_config.json", "")
    named = [{"name": name, "template": one} for name, one in templates.items() if one is not None]
    config["chat_template"] = named if len(templates) > 1 else templates["default"]
    files["tokenizer_config.json"] = written(config, indent=2)


def written(content: Any, indent: int | None = None) -> bytes:
    """JSON as the files have it."""
    return json.dumps(content, ensure_ascii=False, indent=indent).encode()


def description(vocabulary: Vocabulary, special_tokens: Mapping[str, int]) -> bytes:
    """The same for the same vocabulary and special tokens, and for no others."""
    base, words = apart(vocabulary)
    if isinstance(base, OWN):
        return written(tokenizer_json(vocabulary, special_tokens), indent=1)
    assert isinstance(base, LoadedVocabulary)
    return base.identity() + written(dict(special_tokens)) + (written(words) if words else b"")


def tokenizer_json(vocabulary: Vocabulary, special_tokens: Mapping[str, int]) -> dict[str, Any]:
    """The content of `tokenizer.json` for a vocabulary of merges or characters, perhaps with words
    added: the `tokenizers` library gives the same ids from it."""
    base, words = apart(vocabulary)
    described = (
        _describe_merges(base) if isinstance(base, MergeVocabulary) else _describe_characters(base)
    )
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": described_tokens(special_tokens) + described_words(words),
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


def described_words(words: Mapping[str, int]) -> list[dict[str, Any]]:
    """Added words as a `tokenizer.json` lists them."""
    return described_tokens(words, lambda _: False)


def _describe_merges(vocabulary: MergeVocabulary) -> dict[str, Any]:
    name = {id_: to_printable(token) for id_, token in vocabulary.tokens.items()}
    vocab = {name[id_]: id_ for id_ in sorted(name)}
    merges = [[name[left], name[right]] for left, right in vocabulary.merges]
    return described_bpe([vocabulary.pattern], vocab, merges)


def described_bpe(
    patterns: Iterable[str],
    vocab: Mapping[str, int],
    merges: list[list[str]],
    whole_words: bool = False,
) -> dict[str, Any]:
    """BPE on bytes in a `tokenizer.json`: text cut by `patterns`, one after the other; `vocab` and
    `merges` in GPT-2's printable spelling; `whole_words` where a word that is a token is taken as
    it is."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}  # fmt: skip
    return {
        "pre_tokenizer": {
            "type": "Sequence", "pretokenizers": [*map(isolating, patterns), byte_level],
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": whole_words, "vocab": vocab, "merges": merges,
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
