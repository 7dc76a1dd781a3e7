"""Where the tokens of one forward pass stand, what came before them, and what each may look at.

Computed once per pass and used by every layer, so that no layer does it again.
"""

from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.errors import InputError
from groundup.model.positions import Rotary

KeysAndValues = tuple[
    Float[Tensor, "batch kv_heads total key_dim"], Float[Tensor, "batch kv_heads total value_dim"]
]


@runtime_checkable
class Past(Protocol):
    """What the layers need of a cache: how much past it holds, to add to it, and what they keep.

    `lengths` is how long the text was when each token of the pass was, or should have been, read: the
    whole prompt for one of a prompt, although that may come in pieces. None: as long as now."""

    states: dict[tuple[int, str], Tensor]

    @property
    def length(self) -> int: ...

    @property
    def lengths(self) -> Int[Tensor, "batch time"] | None: ...

    def update(self, layer: int, k: Tensor, v: Tensor, window: int | None) -> KeysAndValues: ...


class Places:
    """The places of `ids` (batch, time) after the `past`, with `padding` tokens before each text; or of
    several texts in a row, told apart by `segments`: each begins at position 0 and sees only itself."""

    def __init__(
        self,
        ids: Int[Tensor, "batch time"],
        past: Past | None = None,
        padding: Int[Tensor, " batch"] | None = None,
        segments: Int[Tensor, "batch time"] | None = None,
    ):
        self.past, self.padding, self.segments = past, padding, segments
        self.start = past.length if past else 0
        self.time = ids.shape[1]
        self.end = self.start + self.time
        self.index = torch.arange(self.start, self.end, device=ids.device)
        self._turns: dict[int, tuple[Tensor, Tensor]] = {}
        self._masks: dict[tuple[int, int | None], Tensor | None] = {}
        self.is_plain = padding is None and segments is None

    @cached_property
    def positions(self) -> Int[Tensor, "*batch time"]:
        """How many tokens of the text stand before each; one row for all where texts fill the rows."""
        if self.segments is not None:
            return self.index - self._beginnings(self.segments)
        if self.padding is not None:
            return (self.index - self.padding[:, None]).clamp(min=0)
        return self.index

    @property
    def lengths(self) -> Int[Tensor, "batch time"] | int:
        """How many tokens the text of each token has up to here."""
        if self.past is not None and self.past.lengths is not None:
            return self.past.lengths
        if self.padding is not None:
            return (self.end - self.padding)[:, None].expand(-1, self.time)
        if self.segments is None:
            return self.end
        beginnings = self._beginnings(self.segments)
        counts = torch.zeros_like(beginnings).scatter_add(
            1, beginnings, torch.ones_like(beginnings)
        )
        return counts.gather(1, beginnings)

    def _beginnings(self, segments: Int[Tensor, "batch time"]) -> Int[Tensor, "batch time"]:
        """Where the text of each token begins in its row."""
        begins = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True)
        return torch.where(begins, self.index, 0).cummax(dim=1).values

    def rows(self, table: Float[Tensor, "length d_model"]) -> Float[Tensor, "*batch time d_model"]:
        """The rows of a table that has one for each position."""
        return table[self.start : self.end] if self.is_plain else table[self.positions]

    def turn(self, rotary: Rotary) -> tuple[Tensor, Tensor]:
        """The cosines and sines of these places."""
        if id(rotary) not in self._turns:
            self._turns[id(rotary)] = rotary.turn(self.positions, self.lengths)
        return self._turns[id(rotary)]

    def remember(self, layer: int, k: Tensor, v: Tensor, window: int | None) -> KeysAndValues:
        """Keys and values of these tokens, after those of the past that they may look at."""
        return self.past.update(layer, k, v, window) if self.past else (k, v)

    def recall(self, layer: int, name: str, otherwise: Tensor) -> Tensor:
        """What a layer kept at the end of the last pass."""
        return self.past.states.get((layer, name), otherwise) if self.past else otherwise

    def keep(self, layer: int, name: str, state: Tensor) -> None:
        """Let a layer find `state` in the next pass."""
        if self.past:
            self.past.states[layer, name] = state

    def mask(self, total: int, window: int | None) -> Bool[Tensor, "*batch time total"] | None:
        """True where a token may look at one of the last `total`; None where that is all of them up to
        itself, which attention knows how to do without a mask."""
        if (total, window) not in self._masks:
            plain = self.is_plain and (window is None or total <= window)
            simple = plain and self.time in (1, total)
            self._masks[total, window] = None if simple else self._seen(total, window)
        return self._masks[total, window]

    def _seen(self, total: int, window: int | None) -> Bool[Tensor, "*batch time total"]:
        own = self.index[:, None]
        other = torch.arange(self.end - total, self.end, device=own.device)
        seen = other <= own
        if window is not None:
            seen &= other > own - window
        if self.padding is not None:
            # A padding token sees itself, as a softmax over nothing is no number.
            seen = seen & (other >= self.padding[:, None, None, None]) | (other == own)
        if self.segments is not None:
            seen = seen & (self.segments[:, None, :, None] == self.segments[:, None, None, :])
        return seen

    def blank_padding(
        self, x: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """`x` with zeros at padding, for layers that take in one token after another."""
        if self.padding is None:
            return x
        return x * (self.index >= self.padding[:, None])[..., None]

    def blank_others(
        self, x: Float[Tensor, "batch time width"], distance: int
    ) -> Float[Tensor, "batch time width"]:
        """`x`, what stands `distance` tokens before each, with zeros where that is another text."""
        if self.segments is None:
            return x
        return x * (self.positions >= distance)[..., None]

    def refuse_several(self, layer: str) -> None:
        """For layers that carry a state from token to token: raises `InputError` if there is a row of
        several texts. (Padding after a text does it no harm.)"""
        if self.segments is None:
            return
        if (self.segments != self.segments[:, :1]).logical_and(self.segments >= 0).any():
            raise InputError(
                f"{layer} carries its state from one token to the next, over the border of texts",
                "several texts in one row", "put one text in each row (pack = false)",
            )  # fmt: skip
