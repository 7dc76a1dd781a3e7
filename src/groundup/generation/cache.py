"""The key-value cache: what attention has already computed about the past.

Without it every new token costs a pass over the whole text again; with it, a pass over one token.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.model.gpt import GPT


class Cache:
    """Keys and values of up to `capacity` positions for every layer, in two buffers.

    A forward pass writes its part with `update` in each layer; `length`, how many positions are
    filled, moves on only when the pass is over (`advance`)."""

    def __init__(self, model: GPT, batch: int, capacity: int):
        config, weight = model.config, model.embedding.weight
        shape = (config.n_layers, batch, config.n_kv_heads, capacity, config.head_dim)
        self.keys = torch.empty(shape, device=weight.device, dtype=weight.dtype)
        self.values = torch.empty_like(self.keys)
        self.capacity, self.length = capacity, 0
        self.inputs: dict[int, Tensor] = {}

    def update(
        self,
        layer: int,
        k: Float[Tensor, "batch kv_heads time head_dim"],
        v: Float[Tensor, "batch kv_heads time head_dim"],
    ) -> tuple[
        Float[Tensor, "batch kv_heads total head_dim"],
        Float[Tensor, "batch kv_heads total head_dim"],
    ]:
        """Add this pass's keys and values of a layer; returns all of them so far."""
        end = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def inputs_before(
        self, layer: int, x: Float[Tensor, "batch time d_model"], width: int
    ) -> Float[Tensor, "batch width d_model"]:
        """The last `width` inputs of a layer's attention before `x`, zeros where the text begins; `x`
        is remembered in their place."""
        before = self.inputs.get(layer, x.new_zeros(len(x), width, x.shape[-1]))
        self.inputs[layer] = torch.cat([before, x], dim=1)[:, -width:]
        return before

    def clear(self) -> None:
        """Forget everything."""
        self.length = 0
        self.inputs.clear()

    def advance(self, time: int) -> None:
        """The pass over `time` positions is over: they are the past now."""
        self.length += time
