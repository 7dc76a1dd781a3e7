"""For exercises on parts of the model that read a text, all of it or piece by piece."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from groundup.generation.plain import PlainCache

M = TypeVar("M", bound=nn.Module)
LAST = (False, False, False, False, True)
"""For `Draw.in_turn`: in the last of five tries only."""


@torch.no_grad()
def in_pieces(read: Callable[[Tensor, PlainCache], Tensor], text: Tensor, first: int) -> Tensor:
    """What comes of a text (batch, time, …) whose `first` tokens are read before the others."""
    past, made = PlainCache(), []
    for piece in text.tensor_split([first], dim=1):
        if piece.shape[1]:
            made.append(read(piece, past))
    return torch.cat(made, dim=1)


@torch.no_grad()
def shaken(part: M) -> M:
    """A part that is not in training, away from the numbers it begins with, at which norms and biases
    do nothing."""
    for parameter in part.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return part.eval()


def dropping_all(part: M) -> M:
    """A part in training, whose dropout leaves out everything: so that it can be told where it is."""
    for module in part.modules():
        if isinstance(module, nn.Dropout):
            module.p = 1.0
    return part.train()
