"""Multi-head latent attention (DeepSeek-V2, 2024): one short vector per token instead of the keys and
values of every head.

The cache holds `kv_rank + rope_dim` numbers per token and layer, where grouped-query attention holds
2 · n_kv_heads · head_dim. Position cannot pass through the compression, so it has a part of each
query, and one key that all heads share, for itself.
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.model.attention import attention_kernel, split_heads
from groundup.model.config import ModelConfig
from groundup.model.layers import norm
from groundup.model.linear import Linear
from groundup.model.places import Places


class LatentAttention(nn.Module):
    """Compress to a latent, cache it, and make every head's keys and values from it."""

    def __init__(self, config: ModelConfig, layer: int, rotate: nn.Module):
        super().__init__()
        sizes = config.latent
        self.layer, self.dropout, self.head_dim = layer, config.dropout, config.head_dim
        self.plain_dim = config.head_dim - sizes.rope_dim
        self.kv_parts = [sizes.kv_rank, sizes.rope_dim]
        self.query = query_projection(config)
        self.compress = Linear(config.d_model, sum(self.kv_parts), bias=config.bias)
        self.latent_norm = norm(config, sizes.kv_rank)
        self.key = Linear(sizes.kv_rank, config.n_heads * self.plain_dim, bias=False)
        self.value = Linear(sizes.kv_rank, config.n_heads * sizes.value_dim, bias=False)
        self.output = Linear(config.n_heads * sizes.value_dim, config.d_model, bias=config.bias)
        self.value_dim = sizes.value_dim
        self.rotate = rotate
        self.attend = attention_kernel(config)
        self.residual_dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: Places
    ) -> Float[Tensor, "batch time d_model"]:
        q = split_heads(self.query(x), self.head_dim)
        q = torch.cat([q[..., : self.plain_dim], self.rotate(q[..., self.plain_dim :], places)], -1)
        latent, shared_key = self.compress(x)[:, None].split(self.kv_parts, dim=-1)
        latent, shared_key = places.remember(
            self.layer, self.latent_norm(latent), self.rotate(shared_key, places), None
        )
        k = split_heads(self.key(latent[:, 0]), self.plain_dim)
        k = torch.cat([k, shared_key.expand(-1, k.shape[1], -1, -1)], dim=-1)
        v = split_heads(self.value(latent[:, 0]), self.value_dim)
        mask = places.mask(k.shape[2], None)
        mixed = self.attend(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.residual_dropout(self.output(mixed.transpose(1, 2).flatten(2)))


def query_projection(config: ModelConfig) -> nn.Module:
    """Straight from the stream, or through a narrow place with a norm."""
    width, rank = config.n_heads * config.head_dim, config.latent.query_rank
    if rank == 0:
        return Linear(config.d_model, width, bias=False)
    narrow = {
        "compress": Linear(config.d_model, rank, bias=config.bias),
        "norm": norm(config, rank),
        "expand": Linear(rank, width, bias=False),
    }
    return nn.Sequential(OrderedDict(narrow))
