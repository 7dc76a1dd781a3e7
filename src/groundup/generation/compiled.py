"""From the modules of a model to the compiled loops of `groundup.model.kernels`.

The loops know blocks that norm what they read, attention with rotary or added positions, with windows and
with norms of queries and keys, and feed-forwards without experts; heads as wide as a number of eights; matrices
in 32, 16, 8 or 4 bits. For models with anything else `compiled` gives None, and the modules run.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.generation.paged import PagedCache, PagedPast, Parts
from groundup.model.attention import Attention, NoGate
from groundup.model.gpt import GPT, Head, PreNormBlock, SoftcappedHead
from groundup.model.kernels import (
    GELU,
    LANES,
    LOCK,
    READS_HALF,
    RELU,
    RELU2,
    SILU,
    Block,
    Gated,
    Heads,
    Kept,
    Matrix,
    Norm,
    Plain,
    Product,
    Rows,
    Tokens,
    block_step,
    normed,
    product,
    use_threads,
)
from groundup.model.layers import (
    FeedForward,
    GeGLU,
    LayerNorm,
    NoConvolution,
    RMSNorm,
    SwiGLU,
    ZeroCenteredRMSNorm,
    gelu,
    relu2,
)
from groundup.model.linear import Linear
from groundup.model.loss import softcap
from groundup.model.places import Places
from groundup.model.positions import Rotary
from groundup.model.quantized import FEW_ROWS, Int4Linear, Int8Linear

BENDS = {F.relu: RELU, relu2: RELU2, gelu: GELU, F.silu: SILU}
EMPTY, NO_SCALES = np.empty(0, np.float32), np.empty((0, 0, 0), np.float32)


class NotCompiledError(Exception):
    """The model has a part that the loops do not know."""


def compiled(model: GPT) -> "Compiled | None":
    """The model with loops for a few tokens; None where it has parts that they do not know."""
    try:
        return Compiled(model)
    except NotCompiledError:
        return None


class Compiled:
    """A model whose few new tokens go through the loops. For many it is the model itself.

    The loops read the model's own numbers, so that what is trained in place holds for them too. Only of
    the scales of matrices in 4 bits and of norms around one they have copies."""

    def __init__(self, model: GPT):
        """Raises `NotCompiledError`."""
        self.model, config = model, model.config
        self.blocks = [block_of(block) for block in model.blocks]
        self.kinds = [kind_of(block) for block in model.blocks]
        self.final_norm, self.matrix = norm_of(model.final_norm), matrix_of(model.head)
        self.like = torch.empty(1, config.n_kv_heads, 0, config.head_dim)
        self.compile()

    @torch.inference_mode()
    def compile(self) -> None:
        """Let nobody who waits for a token wait for the compiler: read one now, for a cache of its own."""
        past = PagedPast(PagedCache(1, 1), [[0]], [0], [1], [1], torch.device("cpu"))
        self.head(self.hidden(torch.zeros(1, 1, dtype=torch.long), past)[:, -1])

    def hidden(self, ids: Tensor, past: PagedPast, padding: Tensor | None = None) -> Tensor:
        """`GPT.hidden`, with zeros at padding."""
        if past.is_new.sum() > FEW_ROWS:
            return self.model.hidden(ids, past, padding)
        places, new = Places(ids, past, padding), past.is_new
        x = self.model.embedded(ids, places)
        stream = x.numpy()[new]
        tokens = {kind: tokens_of(past, places, *kind) for kind in set(self.kinds)}
        like = past.cache.store(self.like)
        with LOCK:
            use_threads()
            for layer, (block, kind) in enumerate(zip(self.blocks, self.kinds, strict=True)):
                room = past.slots(kind[0]).room
                keys, values = map(kept, past.cache.layer(layer, like, like, room))
                block_step(stream, block, keys, values, tokens[kind])
            hidden = np.zeros(x.shape, np.float32)
            hidden[new] = normed(stream, self.final_norm)
        return torch.from_numpy(hidden)

    def head(self, hidden: Tensor) -> Tensor:
        """`GPT.head`, for rows of states."""
        if len(hidden) > FEW_ROWS:
            return self.model.head(hidden)
        logits = torch.from_numpy(product(self.matrix, hidden.numpy()))
        return softcap(logits, self.model.config.logit_softcap)


def kept(parts: Parts) -> Kept:
    """Keys or values as the cache stores them."""
    numbers, *scales = (part.numpy() for part in parts)
    return Kept(numbers, scales[0] if scales else NO_SCALES)


def tokens_of(past: PagedPast, places: Places, window: int | None, rotate: nn.Module) -> Tokens:
    """Where the new tokens of a pass stand, for layers with this window and rotation."""
    slots, new = past.slots(window), past.is_new
    seen = slots.seen
    # In one layout whatever their number is, so that the loops are compiled once.
    rows, at = map(np.ascontiguousarray, new.nonzero())
    end = seen.shape[1] - past.time + at + 1
    count = past.position[:, past.length :][new] + 1
    first = end - (count if window is None else np.minimum(count, window))
    cos, sin = turns(places, rotate, new)
    return Tokens(cos, sin, slots.written, rows, first, end, seen)


def turns(places: Places, rotate: nn.Module, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of each new token; of no pairs where nothing is turned."""
    if not isinstance(rotate, Rotary):
        none = np.empty((new.sum(), 0), np.float32)
        return none, none
    tables = (table.reshape(-1, *table.shape[-2:]).numpy() for table in places.turn(rotate))
    cos, sin = (np.broadcast_to(table, (*new.shape, table.shape[-1]))[new] for table in tables)
    return cos, sin


def kind_of(block: Any) -> tuple[int | None, nn.Module]:
    """What layers that look at the same tokens in the same way have in common."""
    return block.attention.window, block.attention.rotate


def block_of(block: Any) -> Block:
    if type(block) is not PreNormBlock:
        raise NotCompiledError
    return Block(
        norm_of(block.attention_norm),
        heads_of(block.attention),
        norm_of(block.feed_forward_norm),
        feed_forward_of(block.feed_forward),
    )


def heads_of(part: Any) -> Heads:
    is_plain = (
        type(part) is Attention
        and type(part.gate) is NoGate
        and type(part.short_conv) is NoConvolution
        and part.softcap is None
        and part.head_dim % LANES == 0
    )
    if not is_plain:
        raise NotCompiledError
    query, key, value = products_of(part.query, part.key, part.value)
    norms = norm_of(part.query_norm), norm_of(part.key_norm)
    return Heads(query, key, value, product_of(part.output), *norms, np.float32(part.scale))


def feed_forward_of(part: Any) -> Gated | Plain:
    if type(part) is FeedForward:
        return Plain(product_of(part.up), product_of(part.down), BENDS[part.activation])
    if type(part) in (SwiGLU, GeGLU):
        gate, up = products_of(part.gate, part.up)
        return Gated(gate, up, product_of(part.down), BENDS[part.activation])
    raise NotCompiledError


def norm_of(part: Any) -> Norm:
    if type(part) is nn.Identity:
        return Norm(EMPTY, EMPTY, np.float32(0), False)
    if type(part) is LayerNorm:
        return Norm(numbers(part.weight), numbers(part.bias), np.float32(part.epsilon), True)
    if type(part) not in (RMSNorm, ZeroCenteredRMSNorm):
        raise NotCompiledError
    weight = numbers(part.weight)
    if type(part) is ZeroCenteredRMSNorm:
        weight = weight + np.float32(1)
    return Norm(weight, EMPTY, np.float32(part.epsilon), False)


def products_of(*layers: Any) -> list[Product]:
    """Products that read the same x, in the order that suits their kind of matrix: so they have one kind."""
    made = [product_of(layer) for layer in layers]
    if len({type(each.matrix) for each in made}) > 1:
        raise NotCompiledError
    return made


def product_of(layer: Any) -> Product:
    return Product(matrix_of(layer), numbers(getattr(layer, "bias", None)))


def matrix_of(layer: Any) -> Matrix:
    if type(layer) is Int8Linear:
        return layer.rows
    if type(layer) is Int4Linear:
        return layer.nibbles
    if type(layer) not in (Linear, Head, SoftcappedHead):
        raise NotCompiledError
    weight, ones = layer.weight.detach(), np.ones(layer.out_features, np.float32)
    if weight.dtype == torch.float16 and READS_HALF:
        return Rows(weight.view(torch.uint16).numpy(), ones)
    return Rows(numbers(weight), ones)


def numbers(of: Tensor | None) -> np.ndarray:
    if of is None:
        return EMPTY
    if of.dtype != torch.float32:
        raise NotCompiledError
    return of.detach().numpy()
