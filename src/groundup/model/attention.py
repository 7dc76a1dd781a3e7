"""Causal self-attention: each position asks, and the positions up to it answer.

`Attention` is what runs; `attend_step_by_step` is the same mathematics written out in matrices, to
read and to test against. Both serve multi-head (Vaswani et al. 2017) and grouped-query attention
(Ainslie et al. 2023).
"""

import math
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from groundup.model.config import ModelConfig
from groundup.model.layers import ShortConvolution, norm
from groundup.model.linear import Linear
from groundup.model.positions import rotation


@runtime_checkable
class KeyValueCache(Protocol):
    """What attention needs of a cache: how much past it holds, and to add to it."""

    length: int

    def update(
        self,
        layer: int,
        k: Float[Tensor, "batch kv_heads time head_dim"],
        v: Float[Tensor, "batch kv_heads time head_dim"],
    ) -> tuple[
        Float[Tensor, "batch kv_heads total head_dim"],
        Float[Tensor, "batch kv_heads total head_dim"],
    ]: ...

    def inputs_before(
        self, layer: int, x: Float[Tensor, "batch time d_model"], width: int
    ) -> Float[Tensor, "batch width d_model"]: ...


class Attention(nn.Module):
    """Project to queries, keys and values; let each query average the values it matches."""

    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.layer, self.head_dim, self.dropout = layer, config.head_dim, config.dropout
        width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.query = Linear(config.d_model, width, bias=config.bias)
        self.key = Linear(config.d_model, kv_width, bias=config.bias)
        self.value = Linear(config.d_model, kv_width, bias=config.bias)
        self.output = Linear(width, config.d_model, bias=config.bias)
        self.query_norm = norm(config, config.head_dim) if config.qk_norm else nn.Identity()
        self.key_norm = norm(config, config.head_dim) if config.qk_norm else nn.Identity()
        self.rotate = rotation(config)
        width = config.short_conv
        self.short_conv = ShortConvolution(width, config.d_model) if width else None
        self.residual_dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "batch time d_model"]:
        start = cache.length if cache else 0
        x = self._with_neighbours(x, cache)
        q, k, v = (self._split(part(x)) for part in (self.query, self.key, self.value))
        q = self.rotate(self.query_norm(q), start)
        k = self.rotate(self.key_norm(k), start)
        if cache:
            k, v = cache.update(self.layer, k, v)
        mixed = attend(q, k, v, dropout=self.dropout if self.training else 0.0)
        return self.residual_dropout(self.output(mixed.transpose(1, 2).flatten(2)))

    def _with_neighbours(
        self, x: Float[Tensor, "batch time d_model"], cache: KeyValueCache | None
    ) -> Float[Tensor, "batch time d_model"]:
        """What queries, keys and values are made from: with `short_conv`, a few tokens back as well."""
        if self.short_conv is None:
            return x
        width = len(self.short_conv.weight)
        before = cache.inputs_before(self.layer, x, width) if cache else x.new_zeros(1)
        return self.short_conv(x, before.expand(len(x), width, x.shape[-1]))

    def _split(
        self, x: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch heads time head_dim"]:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def attend(
    q: Float[Tensor, "batch heads time head_dim"],
    k: Float[Tensor, "batch kv_heads total head_dim"],
    v: Float[Tensor, "batch kv_heads total head_dim"],
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads time head_dim"]:
    """`attend_step_by_step` in one fused kernel, without the (time × total) matrix in memory."""
    time, total = q.shape[2], k.shape[2]
    mask = causal_mask(time, total, q.device) if 1 < time < total else None
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=1 < time == total,
        enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip


def attend_step_by_step(
    q: Float[Tensor, "batch heads time head_dim"],
    k: Float[Tensor, "batch kv_heads total head_dim"],
    v: Float[Tensor, "batch kv_heads total head_dim"],
) -> Float[Tensor, "batch heads time head_dim"]:
    """softmax(q kᵀ / √head_dim, causal) v, one step a line: the reading version."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    seen = causal_mask(q.shape[2], k.shape[2], q.device)
    weights = scores.masked_fill(~seen, -math.inf).softmax(dim=-1)
    return weights @ v


def causal_mask(time: int, total: int, device: torch.device) -> Bool[Tensor, "time total"]:
    """True where query i, the (total − time + i)-th token, may look at token j: not ahead."""
    return torch.ones(time, total, dtype=torch.bool, device=device).tril(total - time)
