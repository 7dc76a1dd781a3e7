"""The cache: what the layers have already computed about the past.

Without it every new token costs a pass over the whole text again; with it, a pass over one token.
"""

import torch
from jaxtyping import Float, Int
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
        self.lengths: Tensor | None = None  # each pass goes to the end of the text

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
            needed = 2 * window if window else self.capacity
            self.layers[layer] = LayerCache(k, v, min(needed, self.capacity), window)
        return self.layers[layer].update(k, v)

    def clear(self) -> None:
        """Forget everything."""
        self.length = 0
        self.layers.clear()
        self.states.clear()

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Forget all rows of the batch but these."""
        self.states = {name: state[rows] for name, state in self.states.items()}
        for layer in self.layers.values():
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]

    def advance(self, time: int) -> None:
        """The pass over `time` positions is over: they are the past now."""
        self.length += time


class LayerCache:
    """Keys and values of one layer, in two buffers of `capacity` positions: all of them, or as many as
    a window still looks at."""

    def __init__(self, k: Tensor, v: Tensor, capacity: int, window: int | None):
        self.keys, self.values = (x.new_empty(*x.shape[:2], capacity, x.shape[3]) for x in (k, v))
        self.most_seen = capacity if window is None else window - 1
        self.filled = 0

    def update(self, k: Tensor, v: Tensor) -> KeysAndValues:
        """What the new positions may look at: what is kept of the past, and themselves."""
        first = self.filled - min(self.filled, self.most_seen)
        end = self.filled + k.shape[2]
        if end > self.keys.shape[2]:
            return self._start_again(k, v, first)
        self.keys[:, :, self.filled : end] = k
        self.values[:, :, self.filled : end] = v
        self.filled = end
        return self.keys[:, :, first:end], self.values[:, :, first:end]

    def _start_again(self, k: Tensor, v: Tensor, first: int) -> KeysAndValues:
        """There is no room: keep, at the front, only what the next position will look at."""
        past = slice(first, self.filled)
        joined = [
            torch.cat([buffer[:, :, past], x], dim=2)
            for buffer, x in ((self.keys, k), (self.values, v))
        ]
        self.filled = min(self.most_seen, joined[0].shape[2])
        for buffer, x in zip((self.keys, self.values), joined, strict=True):
            buffer[:, :, : self.filled] = x[:, :, x.shape[2] - self.filled :]
        return joined[0], joined[1]
