"""Linear layers and embeddings whose matrix is kept in 8 or 4 bits for each number.

A number is stored as a small whole number, its code, and stands for (code − zero) · scale. Numbers that
lie together in a row share scale and zero, a `Grid`:

- In 8 bits a whole row, one output channel, does. Its largest number by size becomes ±127, and zero is 0
  ("absmax" quantisation, Dettmers et al. 2022).
- In 4 bits every 64 numbers do: the fewer steps there are, the more an outlier costs its neighbours. The
  range from least to largest is cut into 15 steps, and zero is the code of 0 (asymmetric quantisation,
  Jacob et al. 2018).

`quantize_step_by_step` is the definition; the modules hold the same numbers packed. Where gradients are
wanted, and on other devices, they decode the matrix anew for each product. Inference on a CPU multiplies
the codes themselves (`kernels.py` for few rows, `packed.py` for many), wherever that is faster.

Read `Grid` and its functions, then the modules, then `quantize`.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from groundup.errors import InputError
from groundup.model.gpt import GPT, Embedding, Head, SoftcappedHead
from groundup.model.linear import Linear, linear
from groundup.model.loss import softcap
from groundup.model.packed import int8_product, multiplies_fast

if TYPE_CHECKING:
    from groundup.model.kernels import Matrix, Nibbles, Rows

GROUPS = {8: None, 4: 64}
"""The bits there are, and how many numbers share a scale; None for a whole row."""
TABLE_BITS = 8
"""Those of embedding and head, whatever the others have: they are rounded without calibration."""
FEW_ROWS = 32
"""Up to so many rows at once compiled loops are the fastest product; for more, whole numbers are (8 bits), or
decoding the matrix for all of them is (4 bits)."""
CODES = {8: (-127, 127), 4: (0, 15)}
"""The lowest and the highest code."""


# Numbers and codes


class Grid(NamedTuple):
    """What the codes of a matrix stand for: (code − zero) · scale, by groups of each row."""

    scales: Float[Tensor, "out groups"]
    zeros: Float[Tensor, "out groups"]


# lab: quantize
def quantize_step_by_step(
    weight: Float[Tensor, "out in"], bits: int, group: int
) -> Float[Tensor, "out in"]:
    """The matrix that `bits` bits hold instead of this one where `group` numbers of a row share a scale:
    (code − zero) · scale, the code being the nearest whole number to w / scale + zero. The reading
    version, for rows of whole groups.

    8 bits: scale = max |w| / 127, zero = 0, codes from −127 to 127.
    4 bits: scale = (high − low) / 15, rounded to bfloat16, where low is the least number of the group, at
    most 0, and high the largest, at least 0; zero = −low / scale, rounded; codes from 0 to 15.

    >>> quantize_step_by_step(torch.tensor([[0.0, -1.0, 14.0, 6.3]]), bits=4, group=4)
    tensor([[ 0., -1., 14.,  6.]])
    """
    groups = weight.unflatten(1, (-1, group))
    low = groups.amin(-1, keepdim=True).clamp(max=0)
    high = groups.amax(-1, keepdim=True).clamp(min=0)
    if bits == 8:
        scales = torch.maximum(-low, high) / 127
        zeros, lowest, highest = 0, -127, 127
    else:
        scales = ((high - low) / 15).bfloat16().float()  # stored in half the bytes of a float
        zeros, lowest, highest = (-low / scales).round(), 0, 15
    codes = (groups / scales + zeros).round().clamp(lowest, highest)
    return ((codes - zeros) * scales).nan_to_num().flatten(1)  # a group of zeros has scale 0


def grid_of(
    groups: Float[Tensor, "out groups group"],
    bits: int,
    shrink: Float[Tensor, "out groups"] | float = 1.0,
) -> Grid:
    """The grid from the least to the largest number of each group, or of this share of that range: the
    numbers outside are cut off."""
    low, high = groups.amin(-1).clamp(max=0) * shrink, groups.amax(-1).clamp(min=0) * shrink
    if bits == 8:
        return Grid(_not_zero(torch.maximum(-low, high) / 127), torch.zeros_like(low))
    scales = _not_zero(((high - low) / 15).bfloat16().float())
    return Grid(scales, (-low / scales).round())


def _not_zero(scales: Tensor) -> Tensor:
    """A group of zeros: any scale will do."""
    return torch.where(scales == 0, 1.0, scales)


def grouped(weight: Float[Tensor, "out in"], bits: int) -> Float[Tensor, "out groups group"]:
    """The numbers that share a scale; a row that is no whole number of groups is filled with zeros."""
    group = GROUPS[bits] or weight.shape[1]
    return F.pad(weight, (0, -weight.shape[1] % group)).unflatten(1, (-1, group))


def codes_of(
    groups: Float[Tensor, "out groups group"], grid: Grid, bits: int
) -> Float[Tensor, "out groups group"]:
    """The code of the nearest number of the grid."""
    return (groups / grid.scales[..., None] + grid.zeros[..., None]).round().clamp(*CODES[bits])


def numbers_of(
    codes: Float[Tensor, "out groups group"], grid: Grid
) -> Float[Tensor, "out groups group"]:
    """What codes stand for."""
    return (codes - grid.zeros[..., None]) * grid.scales[..., None]


# lab: pack
def pack(codes: UInt8[Tensor, "out in"]) -> UInt8[Tensor, "out half"]:
    """Codes from 0 to 15, two in a byte: the first of a pair in the lower four bits. An odd one at the
    end of a row gets a 0 beside it.

    >>> pack(torch.tensor([[5, 1, 7]], dtype=torch.uint8))
    tensor([[21,  7]], dtype=torch.uint8)
    """
    pairs = F.pad(codes, (0, codes.shape[1] % 2)).unflatten(1, (-1, 2))
    return pairs[..., 0] | pairs[..., 1] << 4


def unpack(packed: UInt8[Tensor, "out half"]) -> UInt8[Tensor, "out in"]:
    """The codes in the bytes."""
    return torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)


# Linear layers


class QuantizedLinear(nn.Module, ABC):
    """`Linear`, with its matrix in few bits: y = decoded(W) x + b, differentiable in x and b."""

    bits: int
    codes: Tensor
    scales: Tensor
    softcap: float | None = None
    """Bends what comes out, where the layer is a head (Gemma 2)."""

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None = None):
        super().__init__()
        self.in_features, self.out_features, self.bias = in_features, out_features, bias

    @property
    @abstractmethod
    def weight(self) -> Float[Tensor, "out in"]:
        """The matrix as it is multiplied with, decoded."""

    @abstractmethod
    def product(self, x: Float[Tensor, "rows in"]) -> Float[Tensor, "rows out"] | None:
        """decoded(W) x from the codes, without gradients; None where this machine has no kernel."""

    def forward(self, input: Tensor) -> Tensor:
        return softcap(self.logits(input), self.softcap)

    def logits(self, input: Tensor) -> Tensor:
        """What comes out, not bent."""
        if torch.is_grad_enabled() or input.device.type != "cpu" or input.dtype != torch.float32:
            return _DecodedProduct.apply(input, self, self.bias)
        made = self.product(input.flatten(0, -2))
        if made is None:
            return _DecodedProduct.apply(input, self, self.bias)
        made = made.view(*input.shape[:-1], self.out_features)
        return made if self.bias is None else made + self.bias

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bits={self.bits}"


class Int8Linear(QuantizedLinear):
    """A matrix in 8 bits: a code for each number, a scale for each row."""

    bits = 8

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None = None):
        super().__init__(in_features, out_features, bias)
        self.register_buffer("codes", torch.empty(out_features, in_features, dtype=torch.int8))
        self.register_buffer("scales", torch.empty(out_features, 1))

    def put(self, codes: Tensor, grid: Grid) -> None:
        """Take these codes (out × groups × group) of this grid."""
        self.codes, self.scales = codes.flatten(1).to(torch.int8), grid.scales.clone()

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        return self.codes * self.scales

    def product(self, x: Float[Tensor, "rows in"]) -> Float[Tensor, "rows out"] | None:
        if len(x) <= FEW_ROWS:
            return few_rows(x, self.rows)
        return int8_product(x, self.codes, self.scales) if multiplies_fast() else None

    @property
    def rows(self) -> "Rows":
        """The matrix as compiled loops want it."""
        from groundup.model.kernels import Rows

        return Rows(self.codes.numpy(), self.scales[:, 0].numpy())


class Int4Linear(QuantizedLinear):
    """A matrix in 4 bits: two codes to a byte, for each 64 a scale in bfloat16 and a zero in 4 bits.

    The first product decodes scales and zeros for compiled loops, and keeps that."""

    bits = 4

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None = None):
        super().__init__(in_features, out_features, bias)
        group = GROUPS[4]
        assert group is not None
        groups = -(-in_features // group)
        self.zeros: Tensor
        self.register_buffer(
            "codes", torch.empty(out_features, groups * group // 2, dtype=torch.uint8)
        )
        self.register_buffer("scales", torch.empty(out_features, groups, dtype=torch.bfloat16))
        self.register_buffer("zeros", torch.empty(out_features, -(-groups // 2), dtype=torch.uint8))
        self._nibbles: tuple[Tensor, Nibbles] | None = None

    def put(self, codes: Tensor, grid: Grid) -> None:
        """Take these codes (out × groups × group) of this grid."""
        self.codes = pack(codes.flatten(1).to(torch.uint8))
        self.zeros = pack(grid.zeros.to(torch.uint8))
        self.scales = grid.scales.bfloat16()

    @property
    def grid(self) -> Grid:
        """What the codes stand for."""
        zeros = unpack(self.zeros)[:, : self.scales.shape[1]]
        return Grid(self.scales.float(), zeros.float())

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        groups = unpack(self.codes).float().unflatten(1, (self.scales.shape[1], -1))
        return numbers_of(groups, self.grid).flatten(1)[:, : self.in_features]

    def product(self, x: Float[Tensor, "rows in"]) -> Float[Tensor, "rows out"] | None:
        return few_rows(x, self.nibbles) if len(x) <= FEW_ROWS else None

    @property
    def nibbles(self) -> "Nibbles":
        """The matrix as compiled loops want it."""
        from groundup.model.kernels import Nibbles

        if self._nibbles is None or self._nibbles[0] is not self.codes:
            scales, zeros = self.grid
            made = Nibbles(self.codes.numpy(), scales.numpy(), (scales * zeros).numpy())
            self._nibbles = self.codes, made
        return self._nibbles[1]


def few_rows(x: Float[Tensor, "rows in"], matrix: "Matrix") -> Float[Tensor, "rows out"]:
    """x · Wᵀ by compiled loops, which are loaded here: nobody else should wait for the compiler."""
    from groundup.model.kernels import product

    return torch.from_numpy(product(matrix, x.numpy()))


KINDS: dict[int, type[Int8Linear] | type[Int4Linear]] = {8: Int8Linear, 4: Int4Linear}


class _DecodedProduct(torch.autograd.Function):
    """y = W x + b;  dx = Wᵀ dy,  db = Σ dy. The matrix is decoded again on the way back, not kept: a
    model's decoded matrices would take more memory than it saves."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: QuantizedLinear, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        return linear(x, layer.weight.to(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        needs_x, _, needs_bias = ctx.needs_input_grad
        return (
            gradient @ ctx.layer.weight.to(gradient.dtype) if needs_x else None,
            None,
            gradient.flatten(0, -2).sum(0) if needs_bias else None,
        )


# Models


class QuantizedEmbedding(nn.Module):
    """`Embedding`, with its table in 8 bits. A head in 8 bits may have the same table."""

    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.codes: Tensor
        self.scales: Tensor
        self.register_buffer("codes", torch.empty(vocab_size, d_model, dtype=torch.int8))
        self.register_buffer("scales", torch.empty(vocab_size, 1))

    @classmethod
    def of(cls, table: Float[Tensor, "vocab d_model"]) -> "QuantizedEmbedding":
        """The nearest one to a table."""
        with torch.device("meta"):
            made = cls(*table.shape)
        groups = grouped(table.float(), TABLE_BITS)
        grid = grid_of(groups, TABLE_BITS)
        made.codes = codes_of(groups, grid, TABLE_BITS).flatten(1).to(torch.int8)
        made.scales = grid.scales
        return made

    @property
    def weight(self) -> Float[Tensor, "vocab d_model"]:
        """The whole table, decoded."""
        return self.codes * self.scales

    def forward(self, ids: Tensor) -> Tensor:
        return self.codes[ids] * self.scales[ids]


def quantized_linear(layer: nn.Linear, bits: int) -> Int8Linear | Int4Linear:
    """The module for a linear layer in `bits` bits, its bias taken over, its matrix still to be put in."""
    with torch.device(layer.weight.device):
        made = KINDS[bits](layer.in_features, layer.out_features, layer.bias)
    made.softcap = getattr(layer, "softcap", None)
    return made


def rounded(layer: nn.Linear, bits: int) -> QuantizedLinear:
    """A linear layer in `bits` bits, each number by itself rounded to the nearest of its grid."""
    made = quantized_linear(layer, bits)
    groups = grouped(layer.weight.detach().float(), bits)
    grid = grid_of(groups, bits)
    made.put(codes_of(groups, grid, bits), grid)
    return made


def quantize(model: GPT, bits: int) -> GPT:
    """Put the matrices of the linear layers of the blocks into `bits` bits, in place, one after
    another; embedding, head, norms and biases stay as they are. Adapters (`lora.py`) that are there or
    come later stay in full precision: a base in few bits with adapters is QLoRA (Dettmers et al. 2023).

    Raises `InputError` for a number of bits that there is not."""
    check_bits(bits)
    for name, layer in linear_layers_of_blocks(model).items():
        model.blocks.set_submodule(name, rounded(layer, bits))
    return model


def check_bits(bits: int) -> None:
    """Raises `InputError` for a number of bits that there is not."""
    if bits not in GROUPS:
        close = min(GROUPS, key=lambda known: abs(known - bits))
        raise InputError(f"a matrix cannot be kept in {bits} bits", "bits", f"use {close}")


def linear_layers_of_blocks(model: GPT) -> dict[str, nn.Linear]:
    """The linear layers of the blocks that are not in few bits, by their names in there."""
    parts = model.blocks.named_modules()
    return {name: part for name, part in parts if isinstance(part, nn.Linear)}


def quantize_tables(model: GPT) -> None:
    """Put the embedding and the head into 8 bits, in place: one table where the config ties them."""
    head, table = rounded(model.head, TABLE_BITS), model.embedding.weight.detach()
    model.set_submodule("embedding", QuantizedEmbedding.of(table))
    model.set_submodule("head", head)
    tie_tables(model)


def tie_tables(model: GPT) -> None:
    """Let the head have the codes of the embedding, where the config says so."""
    if model.head_is_embedding:
        model.head.codes, model.head.scales = model.embedding.codes, model.embedding.scales


def put_modules(model: GPT, bits: int) -> None:
    """Put the modules for `bits` bits, without numbers, into a model on torch's device "meta"."""
    for name, layer in linear_layers_of_blocks(model).items():
        model.blocks.set_submodule(name, quantized_linear(layer, bits))
    with torch.device("meta"):
        embedding = QuantizedEmbedding(*model.embedding.weight.shape)
    model.set_submodule("embedding", embedding)
    model.set_submodule("head", quantized_linear(model.head, TABLE_BITS))


def is_quantized(model: nn.Module) -> bool:
    """Whether any matrix of a model is in few bits."""
    return any(isinstance(part, QuantizedLinear | QuantizedEmbedding) for part in model.modules())


def dequantize(model: GPT) -> None:
    """Decode every matrix in few bits, in place: a plain model again, that computes the same."""
    for name, part in list(model.named_modules()):
        if isinstance(part, QuantizedLinear):
            model.set_submodule(name, decoded(part, model).train(model.training))
        elif isinstance(part, QuantizedEmbedding):
            with torch.device("meta"):
                embedding = Embedding(model.config.vocab_size, model.config.d_model)
            embedding.weight = nn.Parameter(part.weight)
            model.embedding = embedding
    model.tie_weights()


def decoded(layer: QuantizedLinear, model: GPT) -> nn.Linear:
    """The plain layer that computes the same as this one of a model."""
    with torch.device("meta"):
        if layer is model.head:
            made = Head(model.config) if layer.softcap is None else SoftcappedHead(model.config)
        else:
            made = Linear(layer.in_features, layer.out_features, bias=False)
    made.register_parameter("bias", layer.bias)
    made.weight = nn.Parameter(layer.weight)
    return made
