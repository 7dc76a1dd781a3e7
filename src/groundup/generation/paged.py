"""The paged cache: keys and values in blocks of a few tokens, which texts take and give back.

A text that grows does not know how long it will be. Room for its longest future would mostly stand
empty; so each text takes a block whenever its last one is full, and a table says which blocks are
its own, in order, wherever they lie: as an operating system does with the pages of its memory
(PagedAttention, Kwon et al. 2023). A full block never changes again, so texts that begin alike can
hold the same one. (Layers with a window keep all of a text as well here: a block is a piece of it in
every layer.)

`BlockPool` is the bookkeeping and holds numbers only, `PagedCache` holds the tensors, and
`PagedPast` is what the model sees of them in one pass.
"""

import hashlib
from array import array
from collections import OrderedDict, deque
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.model.places import KeysAndValues


class BlockPool:
    """Which blocks are free, how many texts hold each, and what is in the full ones.

    A block is in one of three states: held by texts; *remembered*, as nobody holds it but its name
    is known, so that a text that begins alike may take it up again; or free, with nothing in it.
    """

    def __init__(self, n_blocks: int):
        self.n_blocks = n_blocks
        self.holders = [0] * n_blocks
        self._free = deque(range(n_blocks))
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
            block = self._free.popleft()
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

    def release(self, block: int) -> None:
        """One text less holds the block."""
        self.holders[block] -= 1
        if self.holders[block] == 0:
            if block in self._names:
                self._remembered[block] = None
            else:
                self._free.append(block)


def block_name(before: bytes, tokens: Sequence[int]) -> bytes:
    """The name of a full block: a digest of its tokens and, by the name of the block before it, of all
    that its keys and values depend on. (SHA-256, so that nobody can make a text whose blocks are
    taken for those of another.)"""
    return hashlib.sha256(before + array("q", tokens).tobytes()).digest()


class PagedCache:
    """The keys and values of `n_blocks` blocks of `block_size` tokens, for every layer: tensors of
    shape (n_blocks · block_size, kv_heads, width), made when a layer first brings some."""

    def __init__(self, n_blocks: int, block_size: int):
        self.n_blocks, self.block_size = n_blocks, block_size
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer whose new ones look like these."""
        if layer not in self.layers:
            slots = self.n_blocks * self.block_size
            keys, values = (x.new_empty(slots, x.shape[1], x.shape[3]) for x in (k, v))
            self.layers[layer] = keys, values
        return self.layers[layer]


class PagedPast:
    """The past of one pass over several texts, each row a text: a `groundup.model.places.Past`.

    The rows end at the same place, as in `Batch`: a text with less past or fewer new tokens stands
    behind padding. So the model needs not know that their keys lie scattered in blocks.
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
        self.cache = cache
        self.states: dict[tuple[int, str], Tensor] = {}
        ends = [before + more for before, more in zip(known, new, strict=True)]
        self.end, self.time = max(ends), max(new)
        self.length = self.end - self.time
        padding = torch.tensor([self.end - end for end in ends])
        self.padding = padding.to(device) if padding.any() else None
        position = torch.arange(self.end) - padding[:, None]
        lengths = torch.maximum(position + 1, torch.tensor(prompts)[:, None])
        self.lengths: Int[Tensor, "rows time"] | None = lengths[:, self.length :].to(device)
        slots = _slots(tables, position, cache.block_size)
        is_new = (position >= torch.tensor(known)[:, None])[:, self.length :]
        self.written = slots[:, self.length :][is_new].to(device)
        self.is_new, self.slots = is_new.to(device), slots.to(device)

    def update(
        self,
        layer: int,
        k: Float[Tensor, "rows kv_heads time key_dim"],
        v: Float[Tensor, "rows kv_heads time value_dim"],
        window: int | None = None,
    ) -> KeysAndValues:
        """Write the new keys and values to their blocks; returns, side by side, all that the new tokens
        may look at."""
        buffers = self.cache.layer(layer, k, v)
        seen = self.slots if window is None else self.slots[:, -(self.time + window - 1) :]
        for buffer, x in zip(buffers, (k, v), strict=True):
            buffer[self.written] = x.transpose(1, 2)[self.is_new]
        keys, values = (
            buffer.index_select(0, seen.flatten()).unflatten(0, seen.shape).transpose(1, 2)
            for buffer in buffers
        )
        return keys, values


def _slots(
    tables: Sequence[Sequence[int]], position: Int[Tensor, "rows end"], block_size: int
) -> Int[Tensor, "rows end"]:
    """Where in the buffers the token at each position of a text lies. Padding, which nothing looks at,
    has the place of the first token: elsewhere there may be no numbers at all."""
    most = max(map(len, tables))
    table = torch.tensor([[*blocks, *[0] * (most - len(blocks))] for blocks in tables])
    inside = position.clamp(min=0)
    return table.gather(1, inside // block_size) * block_size + inside % block_size
