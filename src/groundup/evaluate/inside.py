"""What goes on inside a model at one text, as numbers to look at.

Token ids in; out come the surprise at each, the distribution after them and how sampling narrows it, what
each layer would say already (the logit lens, nostalgebraist 2020), and where each head looks.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.errors import InputError
from groundup.generation.sampling import (
    COLDEST,
    SamplingConfig,
    keep_min_p,
    keep_top_k,
    keep_top_p,
)
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.model.loss import token_scores
from groundup.tokenizer.tokenizer import Tokenizer


class Piece(NamedTuple):
    """The least part of a text that is whole tokens and whole characters: mostly one token, several
    where they share a character."""

    text: str
    ids: list[int]


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[Piece]:
    """Token ids as text to look at, no character broken. All `ids` are in it, in their order."""
    found, held = [], []
    for id_, text in zip(ids, tokenizer.pieces(ids), strict=True):
        held.append(id_)
        if text:
            found.append(Piece(text, held))
            held = []
    return [*found, Piece("", held)] if held else found


@torch.inference_mode()
def surprise(model: GPT, ids: Sequence[int]) -> Float[Tensor, " later"]:
    """−log₂ p in bits of each of `ids` but the first, which has nothing before it to be expected
    from."""
    row = _row(model, ids)
    hidden = model.hidden(row)[0, :-1]
    nats, _ = token_scores(hidden, model.head.weight, row[0, 1:], model.head.softcap)
    return nats / math.log(2)


@torch.inference_mode()
def next_logits(model: GPT, ids: Sequence[int]) -> Float[Tensor, " vocab"]:
    """What the model says of the token after `ids`."""
    return model.head(model.hidden(_row(model, ids))[0, -1])


def narrowings(
    logits: Float[Tensor, " vocab"], sampling: SamplingConfig
) -> Iterator[tuple[str, Float[Tensor, " vocab"]]]:
    """The probabilities that the model gives ("model"), and those after each narrowing that `sampling`
    asks for, by the setting's name and in the order of `sampling.choose`, which draws from the last
    ones. (A penalty for repetition is none of them.)"""
    row = logits[None]
    yield "model", row.softmax(-1)[0]
    if sampling.temperature < COLDEST:
        yield "temperature", torch.zeros_like(logits).index_fill(0, logits.argmax(), 1.0)
        return
    row = row / sampling.temperature
    yield "temperature", row.softmax(-1)[0]
    ways = {"top_k": keep_top_k, "top_p": keep_top_p, "min_p": keep_min_p}
    for name, keep in ways.items():
        limit = getattr(sampling, name)
        if limit is not None:
            row = keep(row, limit)
            yield name, row.softmax(-1)[0]


@torch.inference_mode()
def logit_lens(model: GPT, ids: Sequence[int]) -> Float[Tensor, "stages vocab"]:
    """What the model would say after `ids` if the stream went to the head at once: from the embedding,
    and after each block. The last row is what it does say (nostalgebraist, "interpreting GPT: the logit
    lens", 2020)."""
    stages: list[Tensor] = []
    first = model.blocks[0]
    hooks = [first.register_forward_pre_hook(lambda _, given: stages.append(given[0][0, -1]))]
    for block in model.blocks:
        hooks.append(block.register_forward_hook(lambda _, given, x: stages.append(x[0, -1])))
    try:
        model.hidden(_row(model, ids))
    finally:
        for hook in hooks:
            hook.remove()
    return model.head(model.final_norm(torch.stack(stages))).softmax(-1)


def attends(model: GPT, layer: int) -> bool:
    """Whether a layer has attention, and no memory of fixed size in its place."""
    return hasattr(model.blocks[layer].attention, "attend")


@torch.inference_mode()
def attention_map(model: GPT, ids: Sequence[int], layer: int) -> Float[Tensor, "heads time time"]:
    """How much of each token every token takes in: `[head, i, j]` is the weight that token i gives to
    token j.

    Raises `InputError` for a layer that is not there, or has no attention."""
    if not 0 <= layer < len(model.blocks):
        raise InputError(f"there is no layer {layer}", "layer", f"use 0 to {len(model.blocks) - 1}")
    if not attends(model, layer):
        message = N_(f"layer {layer} has a memory of fixed size in place of attention")
        raise InputError(message, "layer", "look at another layer")
    attention: Any = model.blocks[layer].attention
    kernel, maps = attention.attend, []

    def watched(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        # Attention averages the values by its weights; where the values are the unit vectors, the
        # average is the weights, by the model's own kernel with its mask, scale and cap.
        units = torch.eye(k.shape[2], dtype=q.dtype, device=q.device)
        maps.append(kernel(q, k, units.expand(*k.shape[:2], -1, -1), mask, 0.0)[0])
        return kernel(q, k, v, mask, dropout)

    attention.attend = watched
    try:
        model.hidden(_row(model, ids))
    finally:
        attention.attend = kernel
    return maps[0]


def _row(model: GPT, ids: Sequence[int]) -> Int[Tensor, "1 time"]:
    """A batch of one text. Raises `InputError` for one without tokens, or longer than the context."""
    most = model.config.context_length
    if not 0 < len(ids) <= most:
        raise InputError(
            f"the text has {len(ids):,} tokens; this model reads 1 to {most:,}", "text", None
        )
    return torch.tensor([list(ids)], device=model.device)
