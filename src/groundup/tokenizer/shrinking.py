"""A vocabulary of merges without what a domain's texts never use.

Why those texts keep their ids. Byte-pair encoding joins, in each word, the pair whose merge was
learned first, until no merge fits. Say a merge is *fired* when it joins a pair in one of the texts.
Take away any merges but the fired ones: at each step the pairs that a merge fits are a part of what
they were, and the first of them was fired, so it is still there and still the first. So each step
joins the same pair, and each word ends as the same tokens. A fired merge makes a token that is used,
or one that a later fired merge joins; hence it is enough to keep the tokens that are used and,
through all merges that make them, the tokens these are made of: their ancestors. Words that are
taken whole, where a vocabulary does that, are used tokens too.

Any other text can still be written, since the single bytes stay; it takes more tokens.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from groundup.errors import InputError
from groundup.language import N_
from groundup.tokenizer.extending import whole_files
from groundup.tokenizer.files import parse_json
from groundup.tokenizer.saving import written
from groundup.tokenizer.tokenizer import Tokenizer

Json = dict[str, Any]


def shrunk(tokenizer: Tokenizer, used: Iterable[int]) -> tuple[Tokenizer, list[int]]:
    """`tokenizer` with the ids that are `used`, and those that must stay: the new one, and the kept
    ids in order: each has its place there as its new id.

    What must stay: special tokens and added words, single bytes, what the chat template writes, and
    the ancestors of all that. Raises `InputError` for a vocabulary that is not of merges."""
    files = whole_files(tokenizer)
    content = parse_json(files, "tokenizer.json", "")
    _check(content)
    kept = sorted(_with_ancestors(content["model"], _needed(tokenizer, content) | set(used)))
    new_id = {old: new for new, old in enumerate(kept)}
    _renumber(files, content, new_id)
    return Tokenizer.from_files(files, N_("the shrunk tokenizer")), kept


def _check(content: Json) -> None:
    model = content.get("model") or {}
    if model.get("type") != "BPE":
        kind = model.get("type", N_("one without a tokenizer.json"))
        raise InputError(
            f"only a vocabulary of merges can be shrunk, and this is {kind}", "tokenizer.json",
            "supported: BPE in a tokenizer.json, as GPT-2, Llama 3, Qwen and our own have it",
        )  # fmt: skip
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise InputError(f"a vocabulary with a {name} cannot be shrunk", "tokenizer.json")
    step = content.get("post_processor") or {}
    for one in step.get("processors", [step] if step else []):
        if one["type"] not in ("ByteLevel", "TemplateProcessing"):
            raise InputError(
                f"a post_processor of kind {one['type']} is not supported", "tokenizer.json",
                "supported: ByteLevel, TemplateProcessing",
            )  # fmt: skip


def _needed(tokenizer: Tokenizer, content: Json) -> set[int]:
    """The ids that stay whatever the texts are."""
    added = {token["id"] for token in content["added_tokens"]}
    bytes_ = {id_ for id_, token in tokenizer.vocabulary.tokens.items() if len(token) == 1}
    unknown = content["model"]["vocab"].get(content["model"].get("unk_token"))
    return (added | bytes_ | {unknown} | _of_turns(tokenizer)) - {None}


def _of_turns(tokenizer: Tokenizer) -> set[int]:
    """The ids that the chat template writes around what is said, as far as it knows the roles."""
    ids: set[int] = set()
    turns = [{"role": role, "content": ""} for role in ("system", "user", "assistant")]
    for talk in (turns, turns[1:]) if tokenizer.chat_template else ():
        with contextlib.suppress(InputError):
            ids.update(tokenizer.encode_chat(talk, add_generation_prompt=True))
    return ids


def _with_ancestors(model: Json, ids: set[int]) -> set[int]:
    """`ids` and the ids of all tokens that they can be made of."""
    vocab: Mapping[str, int] = model["vocab"]
    parts: dict[int, list[int]] = defaultdict(list)
    for left, right in _pairs(model):
        parts[vocab[left + right]] += [vocab[left], vocab[right]]
    found, waiting = set(ids), list(ids)
    while waiting:
        new = set(parts[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


def _pairs(model: Json) -> list[tuple[str, str]]:
    """The merges, in older files written with a space between."""
    merges = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    return [(left, right) for left, right in merges]


def _renumber(files: dict[str, bytes], content: Json, new_id: Mapping[int, int]) -> None:
    """Write into `files` what is kept, under its new ids."""
    model = content["model"]
    vocab = {piece: new_id[id_] for piece, id_ in model["vocab"].items() if id_ in new_id}
    merges = [
        merge
        for merge, pair in zip(model["merges"], _pairs(model), strict=True)
        if "".join(pair) in vocab
    ]
    content["model"] = model | {"vocab": vocab, "merges": merges}
    for token in content["added_tokens"]:
        token["id"] = new_id[token["id"]]
    step = content.get("post_processor") or {}
    for one in step.get("processors", [step]):
        for token in one.get("special_tokens", {}).values():
            token["ids"] = [new_id[id_] for id_ in token["ids"]]
    files["tokenizer.json"] = written(content | {"padding": None})
    _renumber_settings(files, new_id)
    for name in ("vocab.json", "merges.txt"):  # the whole vocabulary, for older programs
        files.pop(name, None)


def _renumber_settings(files: dict[str, bytes], new_id: Mapping[int, int]) -> None:
    """The same in the files beside the vocabulary, where they name ids."""
    config = parse_json(files, "tokenizer_config.json", "")
    if added := config.get("added_tokens_decoder"):
        config["added_tokens_decoder"] = {str(new_id[int(id_)]): t for id_, t in added.items()}
        files["tokenizer_config.json"] = written(config, indent=2)
    if "added_tokens.json" in files:
        tokens = parse_json(files, "added_tokens.json", "")
        renumbered = {token: new_id[id_] for token, id_ in tokens.items()}
        files["added_tokens.json"] = written(renumbered)
    if "generation_config.json" in files:
        ends = parse_json(files, "generation_config.json", "").get("eos_token_id")
        listed: list[Any] = ends if isinstance(ends, list) else [ends]
        kept = {"eos_token_id": [new_id[id_] for id_ in listed if id_ in new_id]}
        files["generation_config.json"] = written(kept)
