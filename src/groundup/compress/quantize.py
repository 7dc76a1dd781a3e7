"""A whole model in few bits by GPTQ: rounded in one pass of calibration text."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from groundup.compress.masks import hooked
from groundup.compress.rounding import clipped_grid, error_correcting, hessian_of
from groundup.model.gpt import GPT
from groundup.model.quantized import (
    QuantizedLinear,
    grouped,
    linear_layers_of_blocks,
    quantized_linear,
    rounded,
)


@torch.inference_mode(False)
@torch.no_grad()
def quantize_by(model: GPT, bits: int, windows: Int[Tensor, "windows time"]) -> GPT:
    """Put the linear layers of the blocks into `bits` bits by GPTQ, in place: in one pass of all windows,
    each layer at the moment when they reach it. So its inputs are those that the layers before it, which
    are rounded already, give. An expert that no token goes to is rounded by itself."""
    layers = linear_layers_of_blocks(model)
    rounding = Rounding(bits)
    with hooked({layer: partial(rounding.round, name) for name, layer in layers.items()}):
        model.hidden(windows.to(model.device))
    for name, layer in layers.items():
        model.blocks.set_submodule(name, rounding.made.get(name) or rounded(layer, bits))
    return model


class Rounding:
    """The layers that are done, and the Hessian of the last inputs, which several layers may share."""

    def __init__(self, bits: int):
        self.bits = bits
        self.made: dict[str, QuantizedLinear] = {}
        self.inputs: Tensor | None = None
        self.hessian: Tensor | None = None

    def round(self, name: str, layer: nn.Module, given: tuple[Any, ...]) -> None:
        """Round a layer by the inputs that it is about to multiply, and let it go on with what it is."""
        assert isinstance(layer, nn.Linear)
        (inputs,) = given
        if inputs is not self.inputs:
            self.inputs, self.hessian = inputs, hessian_of(inputs)
        assert self.hessian is not None
        groups = grouped(layer.weight.float(), self.bits)
        padding = groups[0].numel() - layer.in_features
        hessian = F.pad(self.hessian, (0, padding, 0, padding))
        grid = clipped_grid(groups, self.bits, hessian.diagonal())
        made = quantized_linear(layer, self.bits)
        made.put(error_correcting(groups, grid, self.bits, hessian), grid)
        self.made[name] = made
        layer.weight = nn.Parameter(made.weight)
