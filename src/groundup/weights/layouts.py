"""How the same numbers lie in somebody else's tensors: joined, stacked, transposed, pairs side by side.

Every layout but a shifted one is a rearrangement, so going there and back gives the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from groundup.model.config import ModelConfig


@dataclass(frozen=True)
class Layout:
    """One of their tensors, made of one or several of ours."""

    theirs: str
    """Their name, with a star for each number in ours (but for that of a stacked one)."""
    transposed: bool = False
    """Their matrices are (in, out), as GPT-2's are."""
    groups: str = ""
    """The field with the number of groups (heads, as a rule) that each bring their own rows of each of
    our tensors; empty for one tensor after the other."""
    paired: str = ""
    """The field with how many rows at the end of each group are turned by rotary positions and have
    the two rows of a pair side by side, not in halves; empty for none."""
    apart: bool = False
    """The groups are an axis of their own: a matrix for each."""
    stacked: bool = False
    """Ours lie one behind the other along a new first axis, as llama.cpp's experts do."""
    shift: float = 0.0
    """Added to each number: llama.cpp's norms have the 1 in them that Gemma's leave out."""

    def to_theirs(self, ours: Sequence[Tensor], config: ModelConfig) -> Tensor:
        """Their tensor, from ours in the order of the name map."""
        if self.stacked:
            return torch.stack(list(ours))
        if self._is_plain(ours):
            return ours[0] + self.shift if self.shift else ours[0]
        joined = torch.cat([self._grouped(tensor, config) for tensor in ours], dim=1)
        if self.paired:
            width = number_at(config, self.paired)
            plain, halves = joined[:, :-width], joined[:, -width:]
            pairs = halves.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
            joined = torch.cat([plain, pairs], dim=1)
        rows = joined if self.apart else joined.flatten(0, 1)
        return rows.mT if self.transposed and rows.ndim > 1 else rows

    def to_ours(
        self, theirs: Tensor, shapes: Sequence[Sequence[int]], config: ModelConfig
    ) -> list[Tensor]:
        """Our tensors of these `shapes`, from theirs: views of it, where that is possible."""
        if self.stacked:
            return list(theirs.unbind())
        if self._is_plain(shapes):
            return [theirs - self.shift if self.shift else theirs]
        rows = theirs.mT if self.transposed and theirs.ndim > 1 else theirs
        joined = rows if self.apart else self._grouped(rows, config)
        if self.paired:
            width = number_at(config, self.paired)
            plain, pairs = joined[:, :-width], joined[:, -width:]
            halves = pairs.unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2)
            joined = torch.cat([plain, halves], dim=1)
        sizes = [shape[0] // len(joined) for shape in shapes]
        return [part.flatten(0, 1) for part in joined.split(sizes, dim=1)]

    def _is_plain(self, ours: Sequence[object]) -> bool:
        return len(ours) == 1 and not (self.transposed or self.paired or self.apart)

    def _grouped(self, rows: Tensor, config: ModelConfig) -> Tensor:
        groups = number_at(config, self.groups) if self.groups else 1
        return rows.unflatten(0, (groups, -1))


def number_at(config: ModelConfig, field: str) -> int:
    """The value of a field such as `n_heads` or `latent.rope_dim`."""
    value: Any = config
    for name in field.split("."):
        value = getattr(value, name)
    return value
