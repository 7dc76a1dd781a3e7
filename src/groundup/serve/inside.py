"""What the page's "Look inside" asks for: a model's numbers at one text, by `evaluate.inside`.

Positions are those of the text's tokens, from 0, as `/v1/inside/tokens` gives them; layers and heads count
from 0 as well.
"""

import asyncio
from collections.abc import Callable
from itertools import accumulate
from typing import Annotated, Any, TypeVar

import torch
from fastapi import APIRouter, Request
from pydantic import Field
from torch import Tensor

from groundup.evaluate import inside
from groundup.generation.sampling import SamplingConfig
from groundup.serve.errors import ApiError
from groundup.serve.openai import Body, Text
from groundup.serve.served import Served, check_name, language_model, text_of
from groundup.serve.streaming import in_turn
from groundup.tokenizer.tokenizer import Tokenizer

T = TypeVar("T")
# A map has a number for each two tokens: beyond this one head's would be megabytes.
MOST_MAPPED = 512
Index = Annotated[int, Field(ge=0)]
Top = Annotated[int, Field(ge=1, le=100)]
router = APIRouter()


class TextBody(Body):
    """`POST /v1/inside/tokens` and `/surprise`"""

    model: str = ""
    text: Annotated[Text, Field(min_length=1)]


class PlaceBody(TextBody):
    """A place in a text: after one of its tokens."""

    position: Index | None = None
    """After which token (default: the last)."""


class NextBody(PlaceBody):
    """`POST /v1/inside/next`"""

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_k: Annotated[int, Field(ge=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top: Top = 20
    """How many tokens to tell of."""


class LensBody(PlaceBody):
    """`POST /v1/inside/lens`"""

    top: Top = 5
    """How many tokens to tell of, for each layer."""


class AttentionBody(TextBody):
    """`POST /v1/inside/attention`"""

    layer: Index = 0
    head: Index = 0


@router.get("/v1/inside")
async def description(request: Request) -> dict[str, Any]:
    """What can be asked of this model."""
    served: Served = request.app.state.served
    config = served.model.config
    return {
        "object": "inside", "model": served.name, "is_classifier": served.is_classifier,
        "knows_turns": served.tokenizer.knows_turns, "context_length": config.context_length,
        "vocab_size": config.vocab_size, "n_layers": config.n_layers, "n_heads": config.n_heads,
        "attention_layers": [i for i in range(config.n_layers) if inside.attends(served.model, i)],
        "most_mapped": min(MOST_MAPPED, config.context_length),
    }  # fmt: skip


@router.post("/v1/inside/tokens")
async def tokens(request: Request, body: TextBody) -> dict[str, Any]:
    """How a text is cut: whole characters, each with its tokens."""
    served: Served = request.app.state.served
    check_name(served, body.model)
    ids = await _ids(served, body.text)
    special = set(served.tokenizer.special_tokens.values())
    pieces = inside.pieces(served.tokenizer, ids)
    starts = accumulate((len(piece.ids) for piece in pieces), initial=0)
    shown = [
        {"text": piece.text, "position": start, "is_special": not special.isdisjoint(piece.ids),
         "tokens": [_named(served.tokenizer, id_) for id_ in piece.ids]}
        for piece, start in zip(pieces, starts, strict=False)
    ]  # fmt: skip
    return _answer(served, "tokens", ids) | {"pieces": shown}


@router.post("/v1/inside/surprise")
async def surprise(request: Request, body: TextBody) -> dict[str, Any]:
    """How unexpected each token of a text is, in bits: none for the first, which follows nothing."""
    served = language_model(request, body.model)
    ids = await _ids(served, body.text)
    bits = await _run(request, lambda: inside.surprise(served.model, ids).tolist())
    mean = sum(bits) / len(bits) if bits else None
    return _answer(served, "surprise", ids) | {"bits": [None, *bits], "mean_bits": mean}


@router.post("/v1/inside/next")
async def following(request: Request, body: NextBody) -> dict[str, Any]:
    """The likeliest next tokens, and what is left of each after temperature, top-k, top-p, min-p."""
    served = language_model(request, body.model)
    ids = _until(await _ids(served, body.text), body.position)
    limits = body.model_dump(include={"temperature", "top_k", "top_p", "min_p"})
    logits = await _run(request, lambda: inside.next_logits(served.model, ids).float().cpu())
    steps = list(inside.narrowings(logits, SamplingConfig(**limits)))
    best = steps[0][1].topk(min(body.top, len(logits))).indices
    return _answer(served, "next", ids) | {
        "tokens": [_named(served.tokenizer, id_) for id_ in best.tolist()],
        "steps": [
            {"name": name, "kept": int((probabilities > 0).sum()),
             "probabilities": probabilities[best].tolist()}
            for name, probabilities in steps
        ],
    }  # fmt: skip


@router.post("/v1/inside/lens")
async def lens(request: Request, body: LensBody) -> dict[str, Any]:
    """What the model would say after each layer. The first stage, before all layers, has the layer
    null."""
    served = language_model(request, body.model)
    ids = _until(await _ids(served, body.text), body.position)
    stages = await _run(request, lambda: inside.logit_lens(served.model, ids).float().cpu())
    layers = [None, *range(len(stages) - 1)]
    return _answer(served, "lens", ids) | {"stages": [
        {"layer": layer, "tokens": _likeliest(served.tokenizer, probabilities, body.top)}
        for layer, probabilities in zip(layers, stages, strict=True)
    ]}  # fmt: skip


@router.post("/v1/inside/attention")
async def attention(request: Request, body: AttentionBody) -> dict[str, Any]:
    """How much a head takes from which tokens: row i has the weights of the tokens 0 to i."""
    served = language_model(request, body.model)
    ids = await _ids(served, body.text)
    if len(ids) > MOST_MAPPED:
        message = f"the text has {len(ids):,} tokens; a map is drawn of up to {MOST_MAPPED}"
        raise ApiError(400, message, "text", "context_length_exceeded")
    if body.head >= (heads := served.model.config.n_heads):
        raise ApiError(400, f"there is no head {body.head}: use 0 to {heads - 1}", "head")

    def rows() -> list[list[float]]:
        found = inside.attention_map(served.model, ids, body.layer)[body.head].tolist()
        return [row[: i + 1] for i, row in enumerate(found)]

    return _answer(served, "attention", ids) | {
        "layer": body.layer, "head": body.head, "weights": await _run(request, rows)
    }  # fmt: skip


async def _ids(served: Served, text: str) -> list[int]:
    """A text's tokens. Raises `ApiError` if they are more than the model reads."""
    ids = await asyncio.to_thread(served.tokenizer.encode_prompt, text)
    most = served.model.config.context_length
    if not 0 < len(ids) <= most:
        message = f"the text has {len(ids):,} tokens; this model reads 1 to {most:,}"
        raise ApiError(400, message, "text", "context_length_exceeded" if ids else None)
    return ids


def _until(ids: list[int], position: int | None) -> list[int]:
    """The tokens up to a position, with it."""
    if position is None:
        return ids
    if position >= len(ids):
        message = f"there is no token {position}: the text has {len(ids):,}"
        raise ApiError(400, message, "position")
    return ids[: position + 1]


async def _run(request: Request, work: Callable[[], T]) -> T:
    """In the thread of the model, whose parts one pass at a time may watch."""
    worker = request.app.state.worker
    return await in_turn(request, lambda: worker.run(work))


def _answer(served: Served, kind: str, ids: list[int]) -> dict[str, Any]:
    return {"object": f"inside.{kind}", "model": served.name, "n_tokens": len(ids)}


def _likeliest(tokenizer: Tokenizer, probabilities: Tensor, top: int) -> list[dict[str, Any]]:
    best = torch.topk(probabilities, min(top, len(probabilities)))
    return [
        _named(tokenizer, id_) | {"probability": probability}
        for id_, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def _named(tokenizer: Tokenizer, id_: int) -> dict[str, Any]:
    """A token by its id, as text and by its bytes."""
    known = list(tokenizer.known_bytes(id_))
    return {"id": id_, "text": text_of(tokenizer, id_), "bytes": known}
