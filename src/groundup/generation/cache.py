"""The cache: what the layers have already computed about the past.

Without it every new token costs a pass over the whole text again; with it, a pass over one token.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.model.places import KeysAndValues


class Cache:
    """Keys and values of up to `capacity` positions for every layer, and what else layers keep.

    A forward pass writes its part with `update` in each layer; `length`, how many positions are
    filled, moves on only when the pass is over (`advance`)."""

    def __init__(self, capacity: int):
        self.capacity, self.length = capacity, 0
        self.layers: dict[int, LayerCache] = {}
        self.states: dict[tuple[int, str], Tensor] = {}

    def update(
        self,
        layer: int,
        k: Float[Tensor, "batch kv_heads time key_dim"],
        v: Float[Tensor, "batch kv_heads time value_dim"],
        window: int | None = None,
    ) -> KeysAndValues:
        """Add this pass's keys and values of a layer; returns all that these tokens may look at."""
        if layer not in self.layers:
            # Twice the window, so that what is left of it moves to the front only now and then.
            needed = 2 * window + k.shape[2] if window else self.capacity
            self.layers[layer] = LayerCache(k, v, min(needed, self.capacity))
        return self.layers[layer].update(k, v, window)

    def clear(self) -> None:
        """Forget everything."""
        self.length = 0
        self.layers.clear()
        self.states.clear()

    def advance(self, time: int) -> None:
        """The pass over `time` positions is over: they are the past now."""
        self.length += time


class LayerCache:
    """Keys and values of one layer, in two buffers of `capacity` positions."""

    def __init__(self, k: Tensor, v: Tensor, capacity: int):
        self.keys, self.values = (x.new_empty(*x.shape[:2], capacity, x.shape[3]) for x in (k, v))
        self.filled = 0

    def update(self, k: Tensor, v: Tensor, window: int | None) -> KeysAndValues:
        time = k.shape[2]
        seen = self.filled if window is None else min(self.filled, window - 1)
        if self.filled + time > self.keys.shape[2]:
            self._move_to_front(seen, time)
        end = self.filled + time
        self.keys[:, :, self.filled : end] = k
        self.values[:, :, self.filled : end] = v
        first, self.filled = self.filled - seen, end
        return self.keys[:, :, first:end], self.values[:, :, first:end]

    def _move_to_front(self, kept: int, time: int) -> None:
        """Only the last `kept` positions are still looked at; make room for `time` more."""
        size = max(self.keys.shape[2], kept + time)
        self.keys, self.values = (
            torch.cat([x[:, :, self.filled - kept : self.filled],
                       x.new_empty(*x.shape[:2], size - kept, x.shape[3])], dim=2)
            for x in (self.keys, self.values)
        )  # fmt: skip
        self.filled = kept
