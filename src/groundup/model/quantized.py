"""Linear layers whose matrix is kept in 8 or 4 bits for each number.

Numbers that lie together share a scale: the largest of them, by its size, becomes 127 (8 bits) or 7
(4 bits), and each is rounded to the nearest whole number of such steps ("absmax" quantisation,
Dettmers et al. 2022). In 8 bits a whole row, one output channel, shares a scale; in 4 bits every 64
numbers do, as the fewer steps there are, the more an outlier among its neighbours costs.

`quantize_step_by_step` is the definition; `QuantizedLinear` holds the same numbers packed, and decodes
the matrix anew for each product. So it takes an eighth or a quarter of the memory, and not less time.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int8, Integer, UInt8
from torch import Tensor, nn

from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.model.linear import linear

GROUPS = {8: None, 4: 64}
"""The bits there are, and how many numbers share a scale; None for a whole row."""


def quantize_step_by_step(
    weight: Float[Tensor, "out in"], bits: int, group: int
) -> Float[Tensor, "out in"]:
    """The nearest matrix that `bits` bits can hold where `group` numbers of a row share a scale: the
    reading version, for rows of whole groups."""
    groups = weight.unflatten(1, (-1, group))
    largest = 2 ** (bits - 1) - 1
    scales = groups.abs().amax(dim=-1, keepdim=True) / largest
    codes = (groups / scales).round().nan_to_num()  # a group of zeros has scale 0
    return (codes * scales).flatten(1)


class QuantizedLinear(nn.Module):
    """`Linear`, with its matrix in 8 or 4 bits: y = decoded(W) x + b, differentiable in x and b."""

    def __init__(self, codes: Tensor, scales: Tensor, bias: nn.Parameter | None, in_features: int):
        super().__init__()
        self.in_features, self.out_features = in_features, len(codes)
        self.codes: Tensor
        self.scales: Tensor
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.bias = bias

    @classmethod
    def of(cls, layer: nn.Linear, bits: int) -> "QuantizedLinear":
        """The nearest one to a linear layer, whose bias stays as it is."""
        codes, scales = encode(layer.weight.detach(), bits)
        return cls(codes, scales, layer.bias, layer.in_features)

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """The matrix as it is multiplied with, decoded."""
        return decode(self.codes, self.scales, self.in_features)

    def forward(self, input: Tensor) -> Tensor:
        return _DecodedProduct.apply(input, self.codes, self.scales, self.bias)

    def extra_repr(self) -> str:
        bits = 8 if self.codes.dtype == torch.int8 else 4
        return f"in_features={self.in_features}, out_features={self.out_features}, bits={bits}"


def encode(
    weight: Float[Tensor, "out in"], bits: int
) -> tuple[Integer[Tensor, "out bytes"], Float[Tensor, "out groups"]]:
    """The codes and scales of a matrix: 8 bits as int8, 4 bits as two codes to a byte. Rows that are no
    whole number of groups are filled up with zeros."""
    group = GROUPS[bits] or weight.shape[1]
    groups = F.pad(weight, (0, -weight.shape[1] % group)).unflatten(1, (-1, group))
    scales = groups.abs().amax(dim=-1) / (2 ** (bits - 1) - 1)
    codes = (groups / scales[..., None]).round().nan_to_num().to(torch.int8).flatten(1)
    return (codes if bits == 8 else pack(codes)), scales


def decode(
    codes: Integer[Tensor, "out bytes"], scales: Float[Tensor, "out groups"], in_features: int
) -> Float[Tensor, "out in"]:
    """The matrix that codes and scales stand for."""
    whole = codes if codes.dtype == torch.int8 else unpack(codes)
    groups = whole.to(scales.dtype).unflatten(1, (scales.shape[1], -1))
    return (groups * scales[..., None]).flatten(1)[:, :in_features]


def pack(codes: Int8[Tensor, "out in"]) -> UInt8[Tensor, "out half"]:
    """Codes from −8 to 7, two in a byte: the first of a pair in the lower four bits."""
    first, second = (codes + 8).to(torch.uint8).unflatten(1, (-1, 2)).unbind(-1)
    return first | second << 4


def unpack(packed: UInt8[Tensor, "out half"]) -> Int8[Tensor, "out in"]:
    """The codes in the bytes."""
    return torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1).to(torch.int8) - 8


class _DecodedProduct(torch.autograd.Function):
    """y = W x + b;  dx = Wᵀ dy,  db = Σ dy. The matrix is decoded again on the way back, not kept: a
    model's decoded matrices would take more memory than it saves."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(codes, scales)
        ctx.in_features = x.shape[-1]
        return linear(x, decode(codes, scales, ctx.in_features), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        codes, scales = ctx.saved_tensors
        (gradient,) = gradients
        needs_x, *_, needs_bias = ctx.needs_input_grad
        return (
            gradient @ decode(codes, scales, ctx.in_features) if needs_x else None,
            None,
            None,
            gradient.flatten(0, -2).sum(0) if needs_bias else None,
        )


def quantize(model: GPT, bits: int) -> GPT:
    """Put the matrices of the linear layers of the blocks into `bits` bits, in place, one after
    another; embedding, head, norms and biases stay as they are. Adapters (`lora.py`) that are there or
    come later stay in full precision: a base in few bits with adapters is QLoRA (Dettmers et al. 2023).

    Raises `InputError` for a number of bits that there is not."""
    if bits not in GROUPS:
        close = min(GROUPS, key=lambda known: abs(known - bits))
        raise InputError(f"a matrix cannot be kept in {bits} bits", "bits", f"use {close}")
    for name, layer in list(model.blocks.named_modules()):
        if isinstance(layer, nn.Linear):
            model.blocks.set_submodule(name, QuantizedLinear.of(layer, bits))
    return model
