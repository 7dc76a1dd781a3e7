"""Texts that a model reads piece by piece, and what it remembers of them in between."""

import torch
from torch import Tensor

from groundup.generation.config import KvCacheDtype
from groundup.generation.paged import PagedCache, PagedPast
from groundup.model.gpt import GPT


def in_pieces(
    model: GPT,
    ids: Tensor,
    sizes: list[int],
    padding: Tensor | None = None,
    block_size: int = 3,
    kv_cache_dtype: KvCacheDtype = "auto",
) -> Tensor:
    """The logits of `ids` (rows, time), read in pieces of these sizes, the last of
    which holds the rest."""
    rows, time = ids.shape
    blocks = -(-time // block_size)
    cache = PagedCache(rows * blocks, block_size, kv_cache_dtype)
    order = torch.randperm(rows * blocks).tolist()
    tables = [order[row * blocks : (row + 1) * blocks] for row in range(rows)]
    before = [0] * rows if padding is None else padding.tolist()
    pieces, states, start = [], {}, 0
    for size in [*sizes, time]:
        part = ids[:, start : start + size]
        if not part.shape[1]:
            break
        known = [max(0, start - empty) for empty in before]
        start += part.shape[1]
        new = [start - empty - has for empty, has in zip(before, known, strict=True)]
        past = PagedPast(cache, tables, known, new, known, ids.device)
        past.states = states
        pieces.append(model(part, past, past.padding))
        states = past.states
    return torch.cat(pieces, dim=1)
