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


LARGEST_HALF = torch.finfo(torch.float16).max
FEW_ROWS = 3
"""For more, widening the matrix is faster."""
NUMBERS_AT_ONCE = 1 << 20


class Linear(nn.Linear):
    """`torch.nn.Linear`, the same numbers up to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias, for x of shape (…, in) and weight (out, in); differentiable, unless the weight is
    in half precision beside an x in single."""
    if weight.dtype == torch.float16 and x.dtype == torch.float32:
        return half_product(x, weight, bias)
    if ONE_DNN and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32:
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return F.linear(x, weight, bias)  # which autocast narrows, and the compiler knows
        if not torch.is_grad_enabled():  # generation: nothing to remember for a gradient
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return _Product.apply(x, weight, bias)
    return F.linear(x, weight, bias)


def half_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x · weightᵀ + bias for a weight in half precision, to which x and the product are rounded.

    PyTorch's kernel for half precision is fast for single rows only, which is what generation needs. For
    more rows the numbers are widened, a part of the matrix at a time: the part stays in the processor's
    cache, so that this costs hardly more than reading it."""
    narrow = x.clamp(-LARGEST_HALF, LARGEST_HALF).half()
    if x.device.type != "cpu" or x.numel() // x.shape[-1] <= FEW_ROWS:
        made = F.linear(narrow, weight).float()
    else:
        wide, parts = narrow.float(), weight.split(max(1, NUMBERS_AT_ONCE // weight.shape[1]))
        made = torch.cat([linear(wide, part.float()) for part in parts], dim=-1).half().float()
    return made if bias is None else made + bias


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
