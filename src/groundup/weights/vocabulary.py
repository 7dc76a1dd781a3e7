"""A model gets another vocabulary: rows of its embedding and of its head are added, or left out.

All other weights are the old model's own, and the rows of ids that stay are copied. So on ids that
both know, everything up to the last matrix gives the same bits, and each logit is the product of the
same two vectors.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.model.gpt import GPT
from groundup.model.lora import dense_parameters
from groundup.tokenizer.extending import extended, pieces_of
from groundup.tokenizer.shrinking import shrunk
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.usage import Usage


def extend(model: GPT, tokenizer: Tokenizer, words: Sequence[str]) -> tuple[GPT, Tokenizer]:
    """Give each of `words` an id, and as its rows the mean of the rows of its pieces (Fast Vocabulary
    Transfer, Gee et al. 2022): the model reads and guesses it much as it did its pieces, where random
    rows would take probability from all other tokens (Hewitt 2021).

    Rows that the embedding has beyond the vocabulary are filled first. Raises `InputError` for words
    that cannot be added."""
    longer = extended(tokenizer, words)
    ids = range(tokenizer.vocab_size, longer.vocab_size)
    return _with_texts(model, tokenizer, dict(zip(ids, words, strict=True))), longer


def fitted(model: GPT, before: Tokenizer, after: Tokenizer) -> GPT:
    """A model of the tokenizer `before` for `after`, which knows the same ids and more special tokens
    (`Tokenizer.with_template`): these get the mean rows of their pieces, as words do in `extend`.

    Where the embedding has rows beyond the old vocabulary, it grows only if they are too few."""
    known = set(before.special_tokens.values()) | set(before.vocabulary.tokens)
    texts = {id_: text for text, id_ in after.special_tokens.items() if id_ not in known}
    return _with_texts(model, before, texts) if texts else model


def _with_texts(model: GPT, tokenizer: Tokenizer, texts: Mapping[int, str]) -> GPT:
    """`model` with the rows of new ids filled by the pieces of their texts."""
    size = max(model.config.vocab_size, max(texts) + 1)
    sources = [[id_] for id_ in range(size)]
    for id_, text in texts.items():
        sources[id_] = pieces_of(tokenizer, text)
    return with_rows(model, sources)


def shrink(
    model: GPT, tokenizer: Tokenizer, used: Iterable[int]
) -> tuple[GPT, Tokenizer, list[int]]:
    """Keep the ids that are `used` and those that must stay, in their order; the list of them says
    which old id each new one was.

    Raises `InputError` for a vocabulary that cannot be shrunk."""
    smaller, kept = shrunk(tokenizer, used)
    return with_rows(model, [[id_] for id_ in kept]), smaller, kept


def with_rows(model: GPT, sources: Sequence[Sequence[int]]) -> GPT:
    """`model` with an embedding and a head of new rows: row i is the mean of the old rows
    `sources[i]`. The other weights are shared with `model`."""
    weights = dense_parameters(model)
    for name in ("embedding.weight", "head.weight"):
        if name in weights:  # a tied head is the embedding
            weights[name] = means(weights[name], sources)
    config = model.config.model_copy(update={"vocab_size": len(sources)})
    with torch.device("meta"):
        changed = GPT(config)
    changed.load_state_dict(weights, strict=False, assign=True)
    changed.tie_weights()
    return changed.train(model.training)


def means(
    rows: Float[Tensor, "old d_model"], sources: Sequence[Sequence[int]]
) -> Float[Tensor, "new d_model"]:
    """For each of `sources` the mean of those rows; of a single one its very bits."""
    gathered = rows[torch.tensor([source[0] for source in sources])]
    for i, source in enumerate(sources):
        if len(source) > 1:
            gathered[i] = rows[list(source)].float().mean(0)
    return gathered


@torch.no_grad()
def largest_difference(before: GPT, after: GPT, kept: Sequence[int]) -> float:
    """The largest difference between the logits of both models on the same text, where id i of
    `after` is id `kept[i]` of `before`: that of summing in another order, nothing more."""
    length = min(64, before.config.context_length)
    new = torch.linspace(0, len(kept) - 1, length).long()[None]
    old = torch.tensor(kept)
    logits = before(old[new])[..., old]
    return float((after(new)[..., : len(kept)] - logits).abs().max())


# What is told of it

Pair = tuple[GPT, Tokenizer]


def figures(
    before: Pair, after: Pair, kept: Sequence[int], counted: tuple[Usage, Usage] | None
) -> dict[str, Any]:
    """Sizes before and after, what the texts come to (`counted`), and what `largest_difference` is."""
    found: dict[str, Any] = {}
    for when, (model, tokenizer) in (("before", before), ("after", after)):
        weights = list(model.parameters())
        found[f"vocab_size_{when}"] = tokenizer.vocab_size
        found[f"parameters_{when}"] = sum(weight.numel() for weight in weights)
        found[f"bytes_{when}"] = sum(weight.nbytes for weight in weights)
    for when, texts in zip(("before", "after"), counted or (), strict=False):
        found[f"tokens_{when}"] = texts.tokens
        found[f"bytes_per_token_{when}"] = texts.bytes_per_token
    return found | {"largest_logit_difference": largest_difference(before[0], after[0], kept)}


def word_rows(
    tokenizer: Tokenizer, words: Sequence[str], counted: Usage | None
) -> list[dict[str, Any]]:
    """Of each word added to `tokenizer`: its pieces before and its id, how often it occurs and the
    tokens that saves."""
    rows: list[dict[str, Any]] = []
    for id_, word in enumerate(words, tokenizer.vocab_size):
        pieces = pieces_of(tokenizer, word)
        rows.append({"word": word, "id": id_, "pieces": tokenizer.pieces(pieces)})
        if counted:
            times = counted.times[id_]
            rows[-1] |= {"times": times, "saved": times * (len(pieces) - 1)}
    return rows
