"""The linear layer: PyTorch's, with a faster product on CPUs.

Nearly all of a model's time goes into x · Wᵀ. PyTorch gives it to MKL, which (torch 2.13, AVX-512) is a
quarter slower in this orientation than in the others, and for a single row, as in generation, reads
memory at half its speed. PyTorch brings oneDNN as well, which `torch.compile` uses; here it is called
directly (benchmarks/NOTES.md has the figures).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ONE_DNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """`torch.nn.Linear`, the same numbers up to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias, for x of shape (…, in) and weight (out, in); differentiable."""
    if ONE_DNN and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32:
        if not torch.is_grad_enabled():  # generation: nothing to remember for a gradient
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return _Product.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class _Product(torch.autograd.Function):
    """y = x Wᵀ + b;  dx = dy W,  dW = dyᵀ x,  db = Σ dy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        gradient = gradients[0].flatten(0, -2)
        return (
            gradients[0] @ weight if needs_x else None,
            gradient.T @ x.flatten(0, -2) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )
