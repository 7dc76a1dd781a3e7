"""Causal self-attention: each position asks, and the positions up to it answer.

`Attention` is what runs; `attend_step_by_step` is the same mathematics written out in matrices, to
read and to test against. Both serve multi-head (Vaswani et al. 2017) and grouped-query attention
(Ainslie et al. 2023).
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from groundup.model.config import ModelConfig
from groundup.model.layers import NoConvolution, ShortConvolution, qk_norm
from groundup.model.linear import Linear
from groundup.model.places import Places
from groundup.model.positions import score_scale


class Attention(nn.Module):
    """Project to queries, keys and values; let each query average the values it matches."""

    def __init__(self, config: ModelConfig, layer: int, rotate: nn.Module):
        super().__init__()
        self.layer, self.head_dim, self.dropout = layer, config.head_dim, config.dropout
        self.window = config.window if config.layer_kind(layer) == "window" else None
        width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.query = Linear(config.d_model, width, bias=config.qkv_bias)
        self.key = Linear(config.d_model, kv_width, bias=config.qkv_bias)
        self.value = Linear(config.d_model, kv_width, bias=config.qkv_bias)
        self.output = Linear(width, config.d_model, bias=config.bias)
        self.query_norm = qk_norm(config, config.n_heads)
        self.key_norm = qk_norm(config, config.n_kv_heads)
        self.rotate = rotate
        self.scale, self.softcap = score_scaling(config), config.attention_softcap
        self.attend = attention_kernel(config)
        self.gate = OutputGate(config, width) if config.attention_gate else NoGate()
        self.short_conv = ShortConvolution(config) if config.short_conv else NoConvolution()
        self.residual_dropout = nn.Dropout(config.dropout)

    # lab: attention
    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: Places
    ) -> Float[Tensor, "batch time d_model"]:
        x = self.short_conv(x, places, self.layer)
        q, k, v = (
            split_heads(part(x), self.head_dim) for part in (self.query, self.key, self.value)
        )
        q = self.rotate(self.query_norm(q), places)
        k = self.rotate(self.key_norm(k), places)
        k, v = places.remember(self.layer, k, v, self.window)
        mask = places.mask(k.shape[2], self.window)
        mixed = self.attend(q, k, v, mask, self.dropout if self.training else 0.0)
        mixed = self.gate(mixed.transpose(1, 2).flatten(2), x)
        return self.residual_dropout(self.output(mixed))


# lab: split_heads
def split_heads(
    x: Float[Tensor, "batch time width"], head_dim: int
) -> Float[Tensor, "batch heads time head_dim"]:
    """Each head's own numbers, `head_dim` side by side in `x`, as a matrix (time, head_dim).

    >>> split_heads(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), head_dim=2).tolist()
    [[[[1.0, 2.0]], [[3.0, 4.0]]]]
    """
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


def attend(
    q: Float[Tensor, "batch heads time head_dim"],
    k: Float[Tensor, "batch kv_heads total head_dim"],
    v: Float[Tensor, "batch kv_heads total value_dim"],
    mask: Bool[Tensor, "..."] | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Float[Tensor, "batch heads time value_dim"]:
    """`attend_step_by_step` in one fused kernel, without the (time × total) matrix in memory."""
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None and q.shape[2] > 1,
        scale=scale, enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip


# lab: attend
def attend_step_by_step(
    q: Float[Tensor, "batch heads time head_dim"],
    k: Float[Tensor, "batch kv_heads total head_dim"],
    v: Float[Tensor, "batch kv_heads total value_dim"],
    mask: Bool[Tensor, "..."] | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
    softcap: float = math.inf,
) -> Float[Tensor, "batch heads time value_dim"]:
    """softmax(q kᵀ · scale, masked) v, one step a line: the reading version. Without a `mask`, each
    query sees the keys up to its own; `dropout` is the share of the weights that is left out.

    It also is what runs where scores are bent by a `softcap` (Gemma 2), which the kernel cannot."""
    k, v = share_heads(k, q.shape[1]), share_heads(v, q.shape[1])
    seen = causal_mask(q.shape[2], k.shape[2], q.device) if mask is None else mask
    weights = attention_weights(q, k, seen, scale, softcap)
    return F.dropout(weights, dropout) @ v


# lab: attention_weights
def attention_weights(
    q: Float[Tensor, "batch heads time head_dim"],
    k: Float[Tensor, "batch heads total head_dim"],
    mask: Bool[Tensor, "..."],
    scale: float | None = None,
    softcap: float = math.inf,
) -> Float[Tensor, "batch heads time total"]:
    """How much each query takes of each key's value: softmax of q · k · scale over the keys for which
    `mask` is True, so that the weights of a query add up to 1.

    `scale` is 1/√head_dim where none is given. Below infinity, `softcap` bends each score to
    softcap · tanh(score / softcap), before the mask."""
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap < math.inf:
        scores = softcap * torch.tanh(scores / softcap)
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1)


# lab: share_heads
def share_heads(
    x: Float[Tensor, "batch kv_heads total head_dim"], n_heads: int
) -> Float[Tensor, "batch heads total head_dim"]:
    """Keys or values for `n_heads` queries: each head once for every query head of its group.

    >>> share_heads(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1), n_heads=6).flatten().tolist()
    [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    """
    return x.repeat_interleave(n_heads // x.shape[1], dim=1)


def attention_kernel(config: ModelConfig) -> Callable[..., Tensor]:
    """The way to attend that the config asks for: (q, k, v, mask, dropout) → mixed values."""
    scale = score_scaling(config)
    if config.attention_softcap is None:
        return partial(attend, scale=scale)
    return partial(attend_step_by_step, scale=scale, softcap=config.attention_softcap)


def score_scaling(config: ModelConfig) -> float:
    """What the product of a query and a key is multiplied by."""
    return (config.attention_scale or config.head_dim**-0.5) * score_scale(config.rope_scaling)


# lab: causal_mask
def causal_mask(time: int, total: int, device: torch.device) -> Bool[Tensor, "time total"]:
    """True where query i, the (total − time + i)-th token, may look at token j: not ahead."""
    return torch.ones(time, total, dtype=torch.bool, device=device).tril(total - time)


class OutputGate(nn.Module):
    """σ(W x) ⊙ what attention found: lets a head say nothing (Qiu et al. 2025, Qwen3-Next)."""

    def __init__(self, config: ModelConfig, width: int):
        super().__init__()
        self.linear = Linear(config.d_model, width, bias=config.qkv_bias)

    def forward(
        self, mixed: Float[Tensor, "batch time width"], x: Float[Tensor, "batch time d_model"]
    ) -> Float[Tensor, "batch time width"]:
        return mixed * self.linear(x).sigmoid()


class NoGate(nn.Module):
    """Passes on what attention found."""

    def forward(self, mixed: Tensor, x: Tensor) -> Tensor:
        return mixed
