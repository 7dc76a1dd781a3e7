"""The tokenizer inside a GGUF file, the format of llama.cpp: read from its fields, and written as them.

llama.cpp knows two kinds. "gpt2" is BPE on bytes; where words begin and end it has in its code, under
names, and the file says which (`tokenizer.ggml.pre`). "llama" is SentencePiece's BPE: pieces with
scores. Names, defaults and patterns are those of llama.cpp's src/llama-vocab.cpp and src/unicode.cpp.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundup.errors import CorruptFileError, InputError, unknown
from groundup.language import N_
from groundup.tokenizer.added import apart
from groundup.tokenizer.library import LibraryVocabulary
from groundup.tokenizer.ranks import GPT4O_PATTERN, LLAMA3_PATTERN, QWEN_PATTERN, RankVocabulary
from groundup.tokenizer.saving import described_bpe, described_tokens
from groundup.tokenizer.sentence_piece import (
    BYTE,
    CONTROL,
    NORMAL,
    SPACE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    SentencePieceVocabulary,
    sentence_piece_model,
)
from groundup.tokenizer.spelling import GPT2_PATTERN, to_printable
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import MergeVocabulary
from groundup.tokenizer.words import SPLIT_PATTERN

Fields = Mapping[str, Any]
"""The fields of a GGUF file by their names, as Python values."""
KEY = "tokenizer.ggml."
DIGITS = r"\p{N}"


@dataclass(frozen=True)
class Cut:
    """How llama.cpp cuts text under a name."""

    patterns: tuple[str, ...]
    """Each cuts the words that the one before has left."""
    whole_words: bool = False
    """Whether a word that is a token is taken at once, without merging."""
    also: tuple[str, ...] = ()
    """Other names for the same."""


CUTS = {
    "gpt-2": Cut((GPT2_PATTERN,), also=("phi-2", "mpt", "olmo", "jais", "exaone4", "a.x-4.0",
                                        "gigachat", "mellum", "trillion", "granite-docling")),
    "smollm": Cut((DIGITS, GPT2_PATTERN), also=("starcoder", "refact", "command-r", "codeshell",
                                                "exaone", "minerva-7b", "mellum2")),
    "llama-bpe": Cut((LLAMA3_PATTERN,), whole_words=True, also=(
        "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2")),
    "dbrx": Cut((LLAMA3_PATTERN,), also=("smaug-bpe", "chatglm-bpe", "glm4")),
    "qwen2": Cut((QWEN_PATTERN,), also=("stablelm2", "hunyuan", "solar-open", "megrez", "grok-2",
                                        "deepseek-r1-qwen", "kormo", "f2llmv2")),
    "gpt-4o": Cut((GPT4O_PATTERN,), also=("llama4", "kanana2", "talkie", "minimax-m2")),
    "deepseek-v3": Cut((
        r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ), also=("hunyuan-dense", "joyai-llm")),
    "deepseek-coder": Cut((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", DIGITS)),
    "falcon": Cut((r"[\p{P}\$\+<=>\^~\|`]+", GPT2_PATTERN, "[0-9][0-9][0-9]")),
    "kimi-k2": Cut((
        r"\p{Han}+|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})\p{L})+(?:'(?i:[sdmt]|ll|ve|re))?|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    )),
    "default": Cut((r"[\p{P}\$\+<=>\^~\|]+", GPT2_PATTERN, r"\p{N}+", "[0-9][0-9][0-9]")),
}  # fmt: skip
# llama.cpp has no pattern of ours, with words of Han apart. But where its words are made of several
# of ours, the ids are the same, since no token of a vocabulary learned from our words reaches over the
# end of one; and Llama 3's words are, but for the few signs that Unicode counts to Han and not to the
# letters: 〇 and the radicals, which it cuts from the ideographs beside them.
_SAME_IDS = {SPLIT_PATTERN: LLAMA3_PATTERN}
_NAMED = {other: cut for name, cut in CUTS.items() for other in (name, *cut.also)}
# The fields with an id, and the names that Hugging Face's settings have for them.
_IDS = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id",
        "pad_token": "padding_token_id", "sep_token": "seperator_token_id"}  # fmt: skip


# Reading


def read_gguf_tokenizer(fields: Fields, where: str = N_("the GGUF file")) -> Tokenizer:
    """The tokenizer of a GGUF file with `fields`, as the files of a directory would describe it.

    Raises `InputError` for a kind that is not supported and `CorruptFileError` where fields are
    missing or do not fit together; `where` names the file in messages."""
    kind = fields.get(f"{KEY}model")
    try:
        if kind == "gpt2":
            files = {"tokenizer.json": _json(_tokenizer_json(fields, where))}
        elif kind == "llama":
            prefix = bool(fields.get(f"{KEY}add_space_prefix", True))
            files = {"tokenizer.model": sentence_piece_model(_read_pieces(fields), prefix)}
        else:
            raise unknown("tokenizer.ggml.model", str(kind), ["gpt2", "llama"], where)
        files |= {name: _json(content) for name, content in _settings(fields).items()}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CorruptFileError(
            f"the tokenizer's fields do not fit together ({type(error).__name__}: {error})", where,
            "copy or convert the file again",
        ) from error  # fmt: skip
    return Tokenizer.from_files(files, where)


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


def _tokenizer_json(fields: Fields, where: str) -> dict[str, Any]:
    tokens, types = fields[f"{KEY}tokens"], fields.get(f"{KEY}token_type")
    types = types or [NORMAL] * len(tokens)
    name = fields.get(f"{KEY}pre", "default")
    cut = _NAMED.get(name)
    if cut is None:
        raise unknown("tokenizer.ggml.pre", name, _NAMED, where)
    added = {
        token: id_ for id_, token in enumerate(tokens) if types[id_] in (CONTROL, USER_DEFINED)
    }
    vocab = {token: id_ for id_, token in enumerate(tokens)}
    merges = [merge.split(" ") for merge in fields.get(f"{KEY}merges", [])]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": described_tokens(added, lambda token: types[added[token]] == CONTROL),
        "normalizer": None, "post_processor": _beginning(fields),
        **described_bpe(cut.patterns, vocab, merges, cut.whole_words),
    }  # fmt: skip


def _begins(fields: Fields) -> bool:
    """Whether prompts begin with bos_token: what the file says, or llama.cpp's default."""
    by_default = fields[f"{KEY}model"] == "llama" or (
        _NAMED.get(fields.get(f"{KEY}pre", "")) == CUTS["llama-bpe"]
    )
    return bool(fields.get(f"{KEY}add_bos_token", by_default))


def _beginning(fields: Fields) -> dict[str, Any] | None:
    """The post-processor of a `tokenizer.json` that puts bos_token before a text."""
    if not _begins(fields):
        return None
    id_ = fields[f"{KEY}bos_token_id"]
    token = fields[f"{KEY}tokens"][id_]
    bos = {"SpecialToken": {"id": token, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing", "single": [bos, first], "pair": [bos, first, second],
        "special_tokens": {token: {"id": token, "ids": [id_], "tokens": [token]}},
    }  # fmt: skip


def _read_pieces(fields: Fields) -> list[Piece]:
    tokens = fields[f"{KEY}tokens"]
    scores = fields.get(f"{KEY}scores", [0.0] * len(tokens))
    types = list(fields.get(f"{KEY}token_type", [NORMAL] * len(tokens)))
    if UNKNOWN not in types:  # SentencePiece must have one
        types[fields.get(f"{KEY}unknown_token_id", 0)] = UNKNOWN
    return [
        Piece(token.replace(" ", SPACE) or f"[EMPTY_{id_}]", float(score), type_)
        for id_, (token, score, type_) in enumerate(zip(tokens, scores, types, strict=True))
    ]


def _settings(fields: Fields) -> dict[str, Any]:
    """`tokenizer_config.json` and `generation_config.json`."""
    tokens = fields[f"{KEY}tokens"]
    ids = {name: fields[KEY + key] for name, key in _IDS.items() if KEY + key in fields}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
        "add_bos_token": _begins(fields), **{name: tokens[id_] for name, id_ in ids.items()},
    }  # fmt: skip
    if fields[f"{KEY}model"] == "llama":
        # llama.cpp puts its space after every special token.
        config |= {"tokenizer_class": "LlamaTokenizer", "legacy": True}
        config["bos_token"] = tokens[fields.get(f"{KEY}bos_token_id", 1)]
        config["eos_token"] = tokens[fields.get(f"{KEY}eos_token_id", 2)]
        types = fields.get(f"{KEY}token_type", [])
        config["added_tokens_decoder"] = {
            str(id_): {"content": tokens[id_]}
            for id_, type_ in enumerate(types)
            if type_ == USER_DEFINED
        }
    if template := fields.get("tokenizer.chat_template"):
        config["chat_template"] = template
    ends = [fields.get(f"{KEY}{key}_token_id") for key in ("eos", "eot", "eom")]
    return {
        "tokenizer_config.json": config,
        "generation_config.json": {"eos_token_id": [id_ for id_ in ends if id_ is not None]},
    }


# Writing


def gguf_tokenizer_fields(tokenizer: Tokenizer, vocab_size: int | None = None) -> dict[str, Any]:
    """The fields of a GGUF file for `tokenizer`, filled up to `vocab_size` ids, the rows of the
    embedding: strings, ints, bools, and lists of strings, ints and floats.

    Raises `InputError` where llama.cpp has no way to cut text as this tokenizer does."""
    vocabulary, words = apart(tokenizer.vocabulary)
    match vocabulary:
        case SentencePieceVocabulary():
            if not vocabulary.is_bpe:
                raise _not_in_llama_cpp(N_("a SentencePiece model of the Unigram kind"))
            fields = _piece_fields(dict(enumerate(vocabulary.pieces)), bool(vocabulary.prefix))
        case LibraryVocabulary() if vocabulary.content["model"].get("byte_fallback"):
            fields = _piece_fields(_pieces_of_merges(vocabulary), bool(vocabulary.prefix))
        case LibraryVocabulary():
            fields = _library_fields(vocabulary)
        case MergeVocabulary() | RankVocabulary():
            fields = _byte_level_fields(vocabulary)
        case _:
            raise _not_in_llama_cpp(N_("a vocabulary of characters"))
    pieces: dict[int, Piece] = fields.pop("pieces")
    space = SPACE if fields[f"{KEY}model"] == "llama" else " "
    pieces |= {
        id_: Piece(word.replace(" ", space), 0.0, USER_DEFINED) for word, id_ in words.items()
    }
    for token, id_ in tokenizer.special_tokens.items():
        if id_ not in pieces or pieces[id_].type not in (UNKNOWN, USER_DEFINED):
            pieces[id_] = Piece(token, 0.0, CONTROL)
    return fields | _token_lists(pieces, vocab_size) | _framing_fields(tokenizer)


def add_gguf_tokenizer(writer: Any, tokenizer: Tokenizer, vocab_size: int | None = None) -> None:
    """Put the fields of `tokenizer` into a `gguf.GGUFWriter`."""
    add_gguf_fields(writer, gguf_tokenizer_fields(tokenizer, vocab_size))


def add_gguf_fields(writer: Any, fields: Fields) -> None:
    """Put fields into a `gguf.GGUFWriter`, each as the kind that Python has it as."""
    for name, value in fields.items():
        match value:
            case bool():
                writer.add_bool(name, value)
            case int():
                writer.add_uint32(name, value)
            case float():
                writer.add_float32(name, value)
            case str():
                writer.add_string(name, value)
            case _:
                writer.add_array(name, value)


def _not_in_llama_cpp(what: str) -> InputError:
    return InputError(
        f"llama.cpp cannot encode text as this tokenizer does: it has no such kind as {what}", None,
        "train a model with kind = \"bpe\", or keep this one in the Hugging Face layout",
    )  # fmt: skip


def _name_of_cut(patterns: Sequence[str], whole_words: bool) -> str:
    wanted = tuple(_SAME_IDS.get(pattern, pattern) for pattern in patterns)
    for name, cut in CUTS.items():
        if cut.patterns == wanted and cut.whole_words == whole_words:
            return name
    raise _not_in_llama_cpp(N_(f"words cut by {' and then '.join(patterns)}"))


def _byte_level_fields(vocabulary: MergeVocabulary | RankVocabulary) -> dict[str, Any]:
    tokens = {id_: to_printable(token) for id_, token in vocabulary.tokens.items()}
    # tiktoken takes whole words, which needs no rule where each token is made by a merge.
    all_made = len(vocabulary.merges) + 256 == len(tokens) and vocabulary.pattern != LLAMA3_PATTERN
    whole_words = isinstance(vocabulary, RankVocabulary) and not all_made
    fields = {f"{KEY}model": "gpt2", "pieces": {id_: Piece(text) for id_, text in tokens.items()}}
    if not vocabulary.merges:
        # A list in a GGUF file cannot be empty, and this is the only name that goes without; where
        # nothing is merged, words make no difference.
        return fields | {f"{KEY}pre": "kimi-k2"}
    merges = [f"{tokens[left]} {tokens[right]}" for left, right in vocabulary.merges]
    name = _name_of_cut([vocabulary.pattern], whole_words)
    return fields | {f"{KEY}pre": name, f"{KEY}merges": merges}


def _library_fields(vocabulary: LibraryVocabulary) -> dict[str, Any]:
    """Those of BPE on bytes. A normalizer to NFC, as Qwen has, is left out: llama.cpp has none."""
    content, model = vocabulary.content, vocabulary.content["model"]
    normalizer = (content.get("normalizer") or {"type": "NFC"})["type"]
    if model["type"] != "BPE" or normalizer != "NFC":
        raise _not_in_llama_cpp(N_(f"{model['type']} with the normalizer {normalizer}"))
    patterns = list(_patterns(content.get("pre_tokenizer") or {}))
    return {
        f"{KEY}model": "gpt2",
        f"{KEY}pre": _name_of_cut(patterns, bool(model.get("ignore_merges"))),
        f"{KEY}merges": [m if isinstance(m, str) else " ".join(m) for m in model["merges"]],
        "pieces": _pieces(vocabulary, {}),
    }


def _pieces(vocabulary: LibraryVocabulary, scores: Mapping[str, float]) -> dict[int, Piece]:
    added = {
        token["content"] for token in vocabulary.content["added_tokens"] if not token["special"]
    }
    spelled = vocabulary.beginning.get_vocab(with_added_tokens=True)
    return {
        id_: Piece(text, scores.get(text, 0.0), USER_DEFINED if text in added else NORMAL)
        for text, id_ in spelled.items()
    }


def _patterns(pre_tokenizer: Mapping[str, Any]) -> Iterable[str]:
    """The patterns by which a `tokenizer.json` cuts words, one after the other."""
    for step in pre_tokenizer.get("pretokenizers", [pre_tokenizer]):
        match step:
            case {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated"}:
                yield regex
            case {"type": "Digits", "individual_digits": True}:
                yield DIGITS
            case {"type": "ByteLevel", "add_prefix_space": False}:
                if step.get("use_regex", True):
                    yield GPT2_PATTERN
            case _:
                raise _not_in_llama_cpp(N_(f"the pre-tokenizer {step.get('type')}"))


def _piece_fields(pieces: dict[int, Piece], prefix: bool) -> dict[str, Any]:
    """Those of pieces with scores. llama.cpp puts the prefix after every special token, whatever the
    model wants; that only ever makes a difference right after one."""
    if not any(piece.type == BYTE for piece in pieces.values()):
        raise _not_in_llama_cpp(N_("pieces without the 256 bytes"))
    return {f"{KEY}model": "llama", f"{KEY}pre": "default",
            f"{KEY}add_space_prefix": prefix, "pieces": pieces}  # fmt: skip


def _pieces_of_merges(vocabulary: LibraryVocabulary) -> dict[int, Piece]:
    """The pieces of a `tokenizer.json` made from a SentencePiece model: a piece's score is the rank of
    the first merge that makes it, negated."""
    model = vocabulary.content["model"]
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    scores = {left + right: -float(rank) for rank, (left, right) in reversed([*enumerate(pairs)])}
    pieces = _pieces(vocabulary, scores)
    for id_, piece in pieces.items():
        if len(piece.text) == 6 and piece.text.startswith("<0x"):
            pieces[id_] = Piece(piece.text, 0.0, BYTE)
        elif piece.text == model.get("unk_token"):
            pieces[id_] = Piece(piece.text, 0.0, UNKNOWN)
    return pieces


def _token_lists(pieces: Mapping[int, Piece], vocab_size: int | None) -> dict[str, Any]:
    size = vocab_size or max(pieces) + 1
    listed = [pieces.get(id_, Piece(f"[PAD{id_}]", 0.0, UNUSED)) for id_ in range(size)]
    # llama.cpp finds user-defined tokens in the text itself, before it writes "▁" for space.
    texts = [p.text.replace(SPACE, " ") if p.type == USER_DEFINED else p.text for p in listed]
    if len(set(texts)) < size:
        raise InputError("two tokens are spelled alike, which a GGUF file cannot say")
    return {
        f"{KEY}tokens": texts,
        f"{KEY}scores": [piece.score for piece in listed],
        f"{KEY}token_type": [piece.type for piece in listed],
    }


def _framing_fields(tokenizer: Tokenizer) -> dict[str, Any]:
    """Special tokens and the chat template. llama.cpp takes token 11 for the end where it is told of
    none, so whatever there is of it is told."""
    special, names = tokenizer.special_tokens, tokenizer.framing.names
    ids = {key: special[names[name]] for name, key in _IDS.items() if names.get(name) in special}
    end = ids.get("eos_token_id", tokenizer.end_of_text_id)
    if end is not None:
        ids = {"bos_token_id": end, "eos_token_id": end} | ids
    of_turns = [id_ for id_ in tokenizer.end_ids if id_ not in (end, tokenizer.end_of_text_id)]
    if of_turns:
        ids["eot_token_id"] = of_turns[0]
    if tokenizer.begin_ids:
        ids["bos_token_id"] = tokenizer.begin_ids[-1]
    fields: dict[str, Any] = {KEY + key: id_ for key, id_ in ids.items()}
    fields[f"{KEY}add_bos_token"] = bool(tokenizer.begin_ids)
    if tokenizer.chat_template is not None:
        fields["tokenizer.chat_template"] = tokenizer.chat_template
    return fields
