"""The paged cache: keys and values in blocks of a few tokens, which texts take and give back.

A text that grows does not know how long it will be. Room for its longest future would mostly stand
empty; so each text takes a block whenever its last one is full, and a table says which blocks are
its own, in order, wherever they lie: as an operating system does with the pages of its memory
(PagedAttention, Kwon et al. 2023). A full block never changes again, so texts that begin alike can
hold the same one.

`BlockPool` is the bookkeeping and holds numbers only, `PagedCache` holds the tensors, and
`PagedPast` is what the model sees of them in one pass. How a key or a value is stored, whole or in 8 bits,
is a pair of functions (`STORED_AS`).
"""

import hashlib
import heapq
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8, Shaped
from torch import Tensor

from groundup.generation.config import KvCacheDtype
from groundup.model.places import KeysAndValues

Parts = tuple[Tensor, ...]
"""What keys or values are stored as: tensors that differ in their last dimension only."""


def whole(x: Float[Tensor, "*slots width"]) -> Parts:
    """As they are."""
    return (x,)


def from_whole(x: Float[Tensor, "*slots width"]) -> Float[Tensor, "*slots width"]:
    """What `whole` made its part of."""
    return x


def in_8_bits(
    x: Float[Tensor, "*slots width"],
) -> tuple[Int8[Tensor, "*slots width"], Float[Tensor, "*slots 1"]]:
    """The vector of each token and head as whole numbers from -127 to 127, and their scale: the largest
    of the vector is 127. So what a text is stored as depends on nothing that stands beside it.

    Keys have a few channels that are far larger than the others, and with 2 bits they would need a scale
    for each channel (KIVI, Liu et al. 2024); with 8 the others keep enough."""
    precise = x.to(torch.promote_types(x.dtype, torch.float32))
    largest = precise.abs().amax(-1, keepdim=True)
    scale = (largest / 127).clamp(min=torch.finfo(x.dtype).tiny).to(x.dtype)  # not 0 / 0
    return (precise / scale).round().clamp(-127, 127).to(torch.int8), scale


def from_8_bits(
    codes: Int8[Tensor, "*slots width"], scale: Float[Tensor, "*slots 1"]
) -> Float[Tensor, "*slots width"]:
    """What `in_8_bits` made codes of, each number at most half a scale away."""
    return codes * scale


STORED_AS: dict[KvCacheDtype, tuple[Callable[..., Parts], Callable[..., Tensor]]] = {
    "auto": (whole, from_whole),
    "int8": (in_8_bits, from_8_bits),
}
"""To parts and back."""


class BlockPool:
    """Which blocks are free, how many texts hold each, and what is in the full ones.

    A block is in one of three states: held by texts; *remembered*, as nobody holds it but its name
    is known, so that a text that begins alike may take it up again; or free, with nothing in it.
    """

    def __init__(self, n_blocks: int):
        self.n_blocks = n_blocks
        self.holders = [0] * n_blocks
        self._free = list(
            range(n_blocks)
        )  # the lowest first, so that texts mostly lie in one piece
        self._remembered: OrderedDict[int, None] = OrderedDict()  # the longest unused one first
        self._names: dict[int, bytes] = {}
        self._named: dict[bytes, int] = {}

    @property
    def available(self) -> int:
        """How many blocks `take` can give."""
        return len(self._free) + len(self._remembered)

    @property
    def shared(self) -> int:
        """How many blocks several texts hold."""
        return sum(holders > 1 for holders in self.holders)

    def take(self) -> int | None:
        """A block for new tokens: a free one, else the remembered one that was longest unused; None
        if texts hold all of them."""
        if self._free:
            block = heapq.heappop(self._free)
        elif self._remembered:
            block, _ = self._remembered.popitem(last=False)
            del self._named[self._names.pop(block)]
        else:
            return None
        self.holders[block] = 1
        return block

    def share(self, name: bytes) -> int | None:
        """The block of this name, held by one more text; None if there is none."""
        block = self._named.get(name)
        if block is not None:
            self._remembered.pop(block, None)
            self.holders[block] += 1
        return block

    def publish(self, block: int, name: bytes) -> None:
        """The block is full: others may find it by its name. (Where two texts filled a block with the
        same tokens at the same time, the first one is found.)"""
        if block not in self._names and name not in self._named:
            self._names[block], self._named[name] = name, block

    def hide(self, block: int) -> None:
        """Parts of the block are gone: nobody finds it any more."""
        if block in self._names:
            del self._named[self._names.pop(block)]

    def release(self, block: int) -> None:
        """One text less holds the block."""
        self.holders[block] -= 1
        if self.holders[block] == 0:
            if block in self._names:
                self._remembered[block] = None
            else:
                heapq.heappush(self._free, block)


def block_name(before: bytes, tokens: Sequence[int]) -> bytes:
    """The name of a full block: a digest of its tokens and, by the name of the block before it, of all
    that its keys and values depend on. (SHA-256, so that nobody can make a text whose blocks are
    taken for those of another.)"""
    return hashlib.sha256(before + array("q", tokens).tobytes()).digest()


class PagedCache:
    """The keys and values of up to `n_blocks` blocks of `block_size` tokens, for every layer: tensors
    of shape (slots, kv_heads, width), which grow as blocks are used. `dtype` is how they are stored.

    In layers with a window a block lies on a page of its own, which is free again when no token will
    look at it any more (`forget`)."""

    def __init__(self, n_blocks: int, block_size: int, dtype: KvCacheDtype = "auto"):
        self.n_blocks, self.block_size = n_blocks, block_size
        self.dtype: KvCacheDtype = dtype
        self.store, self.restore = STORED_AS[dtype]
        self.layers: dict[int, tuple[Parts, Parts]] = {}
        self.pages: dict[int, int] = {}
        self._free_pages = list(range(n_blocks))

    def layer(self, layer: int, k: Parts, v: Parts, slots: int) -> tuple[Parts, Parts]:
        """Keys and values of a layer whose new ones look like these, with room for `slots`."""
        old = self.layers.get(layer)
        length = old[0][0].shape[0] if old else 0
        if length < slots:
            # Twice what there was, so that not every token makes it grow.
            room = min(max(slots, 2 * length), self.n_blocks * self.block_size)
            new = _room_for(k, room), _room_for(v, room)
            for before, after in zip(old or (), new, strict=False):
                for part, larger in zip(before, after, strict=True):
                    larger[:length] = part
            self.layers[layer] = new
        return self.layers[layer]

    def page(self, block: int) -> int:
        """Where a block lies in layers with a window."""
        if block not in self.pages:
            self.pages[block] = heapq.heappop(self._free_pages)
        return self.pages[block]

    def forget(self, block: int) -> None:
        """No window reaches back to this block."""
        if block in self.pages:
            heapq.heappush(self._free_pages, self.pages.pop(block))


class PagedPast:
    """The past of one pass over several texts, each row a text: a `groundup.model.places.Past`.

    The rows end at the same place: a text with less past or fewer new tokens stands behind padding. So
    the model needs not know that their keys lie scattered in blocks.
    """

    def __init__(
        self,
        cache: PagedCache,
        tables: Sequence[Sequence[int]],
        known: Sequence[int],
        new: Sequence[int],
        prompts: Sequence[int],
        device: torch.device,
    ):
        """The blocks of each text, how many of its tokens they hold, how many this pass adds, and how
        many are its prompt."""
        self.cache, self.tables, self.device = cache, tables, device
        self.states: dict[tuple[int, str], Tensor] = {}
        # Numbers of a few tokens: NumPy takes a fraction of the time that torch does.
        self.known = np.array(known)
        ends = self.known + new
        self.end, self.time = int(ends.max()), max(new)
        self.length = self.end - self.time
        padding = self.end - ends
        self.padding = torch.from_numpy(padding).to(device) if padding.any() else None
        self.position = np.arange(self.end) - padding[:, None]
        lengths = np.maximum(self.position[:, self.length :] + 1, np.array(prompts)[:, None])
        self.lengths: Int[Tensor, "rows time"] | None = torch.from_numpy(lengths).to(device)
        self.is_new = self.position[:, self.length :] >= self.known[:, None]
        self._slots: dict[int | None, Slots] = {}

    def update(
        self,
        layer: int,
        k: Float[Tensor, "rows kv_heads time key_dim"],
        v: Float[Tensor, "rows kv_heads time value_dim"],
        window: int | None = None,
    ) -> KeysAndValues:
        """Write the new keys and values to their blocks; returns, side by side, all that the new tokens
        may look at."""
        slots, restore = self.slots(window), self.cache.restore
        new_keys, new_values = self.cache.store(k), self.cache.store(v)
        keys, values = self.cache.layer(layer, new_keys, new_values, slots.room)
        return (
            restore(*map(slots.update, keys, new_keys)),
            restore(*map(slots.update, values, new_values)),
        )

    def slots(self, window: int | None) -> "Slots":
        """Where, in layers with this window, the tokens lie that are looked at."""
        if window not in self._slots:
            self._slots[window] = self._find(window)
        return self._slots[window]

    def _find(self, window: int | None) -> "Slots":
        count = self.end if window is None else min(self.end, self.time + window - 1)
        position = self.position[:, self.end - count :]
        size, tables = self.cache.block_size, self.tables
        if window is not None:
            # A row with fewer new tokens than others has no use for what lies before its own window,
            # which may be gone: like padding, it stands for a token that is there.
            lowest = np.maximum(self.known - window + 1, 0)
            position = np.where(position < lowest[:, None], -1, position)
            first = lowest // size
            tables = [
                [self.cache.page(b) if i >= start else 0 for i, b in enumerate(blocks)]
                for start, blocks in zip(first.tolist(), tables, strict=True)
            ]
        return Slots(_slots(tables, position, size), self.is_new, self.device)


class Slots:
    """Where the tokens of a pass lie in the buffers of a layer: those that are looked at, the last of
    which are those that are written."""

    def __init__(
        self,
        seen: Int[np.ndarray, "rows seen"],
        is_new: Bool[np.ndarray, "rows time"],
        device: torch.device,
    ):
        self.seen, self.is_new, self.device = seen, is_new, device
        self.room = int(seen.max()) + 1
        self.written = seen[:, -is_new.shape[1] :][is_new]
        # One text in one piece can be looked at where it lies.
        self.is_one_piece = len(seen) == 1 and bool((np.diff(seen) == 1).all())

    @cached_property
    def on_device(self) -> tuple[Tensor, Tensor, Tensor]:
        """Places that are seen, those that are written, and which tokens are new."""
        parts = (self.seen.flatten(), self.written, self.is_new)
        seen, written, is_new = (torch.from_numpy(part).to(self.device) for part in parts)
        return seen, written, is_new

    def update(
        self,
        buffer: Shaped[Tensor, "slots heads width"],
        x: Shaped[Tensor, "rows heads time width"],
    ) -> Shaped[Tensor, "rows heads seen width"]:
        """Write what is new; returns what is looked at."""
        if self.is_one_piece:
            buffer[self.room - x.shape[2] : self.room] = x[0].transpose(0, 1)
            return buffer[None, self.room - self.seen.shape[1] : self.room].transpose(1, 2)
        seen, written, is_new = self.on_device
        buffer[written] = x.transpose(1, 2)[is_new]
        return buffer.index_select(0, seen).unflatten(0, self.seen.shape).transpose(1, 2)


def _room_for(parts: Parts, slots: int) -> Parts:
    """Buffers for what looks like these."""
    return tuple(part.new_empty(slots, part.shape[1], part.shape[3]) for part in parts)


def _slots(
    tables: Sequence[Sequence[int]], position: Int[np.ndarray, "rows seen"], block_size: int
) -> Int[np.ndarray, "rows seen"]:
    """Where in the buffers the token at each position of a text lies. Padding, which nothing looks at,
    has the place of the first token: elsewhere there may be no numbers at all."""
    most = max(map(len, tables))
    table = np.array([[*blocks, *[0] * (most - len(blocks))] for blocks in tables])
    first = np.maximum(position, 0).max(-1, keepdims=True)
    inside = np.where(position < 0, first, position)
    blocks = np.take_along_axis(table, inside // block_size, axis=1)
    return blocks * block_size + inside % block_size
