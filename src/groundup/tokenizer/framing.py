"""What a model's files say of its tokenizer beside the vocabulary: the tokens that begin and end a
text, the names that templates have for them, the chat templates.

They stand in `tokenizer_config.json` and, as other versions of `transformers` write them, in
`special_tokens_map.json`, `added_tokens.json` and `chat_template.jinja`; the ids at which generation
ends in `generation_config.json`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from groundup.errors import CorruptFileError, InputError
from groundup.tokenizer.added import AddedWords
from groundup.tokenizer.chat import END
from groundup.tokenizer.files import Files, Source, parse_json

END_OF_TEXT = "<|endoftext|>"
# Tokens at which generation ends, by the names that published models give them.
END_TOKENS = (
    END_OF_TEXT, END, "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "</s>",
    "<|return|>", "<end_of_turn>",
)  # fmt: skip
TEMPLATE, TEMPLATES = "chat_template.jinja", "chat_templates/"
_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


@dataclass(frozen=True)
class Framing:
    """How a model wants its text to begin, to end and to be told apart."""

    names: Mapping[str, Any] = field(default_factory=dict)
    """The tokens that templates know by a name, such as `bos_token`; under
    `additional_special_tokens` a list of them."""
    begin_ids: tuple[int, ...] = ()
    """What a prompt begins with."""
    end_ids: tuple[int, ...] = ()
    """What ends a text, as the files say it."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """The chat templates by their names: `default`, perhaps `tool_use`."""
    strips: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    """The special tokens that swallow the white space before them, after them."""
    files: Files = field(default_factory=dict)
    """The files that the tokenizer was loaded from."""
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    """The special tokens that they have."""


def read_framing(files: Files, source: Source, where: str) -> Framing:
    """The framing that the files ask for. Special tokens that only the settings name are added to
    those of `source`.

    Raises `InputError` where the token that ends a text is not in the vocabulary.
    """
    config = parse_json(files, "tokenizer_config.json", where)
    _add_tokens(files, config, source, where)
    names = _names(parse_json(files, "special_tokens_map.json", where)) | _names(config)
    _add_named(names, source)
    begin_ids = source.begin_ids
    if "add_bos_token" in config and "tokenizer.json" not in files:
        wanted = config["add_bos_token"] and names.get("bos_token")
        begin_ids = (_id(wanted, "bos_token", source, where),) if wanted else ()
    ends = parse_json(files, "generation_config.json", where).get("eos_token_id")
    end_ids = [ends] if isinstance(ends, int) else list(ends or [])
    if eos := names.get("eos_token"):
        end_ids.append(_id(eos, "eos_token", source, where))
    templates = _templates(files, config, where)
    return Framing(
        names, begin_ids, tuple(dict.fromkeys(end_ids)), templates, source.strips, files,
        dict(source.special_tokens),
    )  # fmt: skip


def _text(token: Any) -> Any:
    """A token is written as its text, or with its properties as an object."""
    return token.get("content") if isinstance(token, Mapping) else token


def _names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tokens that settings give a name: the usual ones, the model's own, and a list."""
    named = {
        name: _text(token)
        for name, token in settings.items()
        if name in _NAMES or (name.endswith("_token") and isinstance(token, (str, Mapping)))
    }
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens")
    if isinstance(extra, Mapping):
        named |= {name: _text(token) for name, token in extra.items()}
    elif extra:
        named["additional_special_tokens"] = [_text(token) for token in extra]
    return {name: token for name, token in named.items() if token}


def _add_tokens(files: Files, config: Mapping[str, Any], source: Source, where: str) -> None:
    """The tokens that settings add to a vocabulary, by id or, in older files, by their text: those
    that are said not to be special are words. (A `tokenizer.json` has them itself.)"""
    if "tokenizer.json" in files:
        return
    words: dict[str, int] = {}
    try:
        for id_, token in config.get("added_tokens_decoder", {}).items():
            if not token.get("special", True) and int(id_) not in source.vocabulary.tokens:
                words[token["content"]] = int(id_)
                continue
            source.special_tokens[token["content"]] = int(id_)
            source.strips[token["content"]] = (
                token.get("lstrip", False),
                token.get("rstrip", False),
            )
        for token, id_ in parse_json(files, "added_tokens.json", where).items():
            if token not in words:
                source.special_tokens.setdefault(token, int(id_))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(
            f"not valid added tokens ({type(error).__name__}: {error})",
            f"{where}/tokenizer_config.json", "copy the folder again",
        ) from error  # fmt: skip
    if words:
        source.vocabulary = AddedWords(source.vocabulary, words)


def _add_named(names: Mapping[str, Any], source: Source) -> None:
    """A token with a name is special, if the vocabulary has it."""
    wanted = set(_all_texts(names)) - set(source.special_tokens)
    if wanted:
        ids = {token: id_ for id_, token in source.vocabulary.tokens.items()}
        known = {token: ids.get(token.encode()) for token in sorted(wanted)}
        source.special_tokens.update({t: id_ for t, id_ in known.items() if id_ is not None})


def _all_texts(names: Mapping[str, Any]) -> Iterator[str]:
    for token in names.values():
        yield from [token] if isinstance(token, str) else token


def _id(token: str, name: str, source: Source, where: str) -> int:
    try:
        return source.special_tokens[token]
    except KeyError:
        raise InputError(
            f"{name} is {token!r}, but the vocabulary has no such token",
            f"{where}/tokenizer_config.json", "use the files of one tokenizer, or correct the name",
        ) from None  # fmt: skip


def _templates(files: Files, config: Mapping[str, Any], where: str) -> dict[str, str]:
    """The chat templates: files of their own come before the settings."""
    found = {
        name.removeprefix(TEMPLATES).removesuffix(".jinja"): content
        for name, content in files.items()
        if name.startswith(TEMPLATES) and name.endswith(".jinja")
    }
    if TEMPLATE in files:
        found["default"] = files[TEMPLATE]
    try:
        if found:
            return {name: content.decode() for name, content in found.items()}
        given = config.get("chat_template")
        if isinstance(given, list):
            return {one["name"]: one["template"] for one in given}
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise CorruptFileError(
            f"not valid chat templates ({type(error).__name__}: {error})", where,
            "copy the folder again",
        ) from error  # fmt: skip
    return {"default": given} if given else {}
