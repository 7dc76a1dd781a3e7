"""Products with matrices in few bits, on a CPU, from their codes: x · Wᵀ without ever decoding W.

A model that writes reads all of its matrices for every token: there the time is that of reading them, so
the fewer bytes, the faster. PyTorch has kernels for that, `_weight_int8pack_mm` and
`_weight_int4pack_mm_for_cpu`; in single precision they are slower than a product of floats (torch 2.13),
in bfloat16 several times as fast. So they take x rounded to 8 binary digits, and give their results so.

With many rows at once, as in a prompt, the multiplications take the time. Then processors multiply whole
numbers fastest, which suits codes that share a scale along a whole row (`int8_product`).
"""

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int8, UInt8
from torch import Tensor

KERNELS: Any = torch.ops.aten
NEEDED = {
    8: ("_weight_int8pack_mm",),
    4: ("_weight_int4pack_mm_for_cpu", "_convert_weight_to_int4pack_for_cpu"),
}
FINE = 254
"""Steps of the finer half of a number in one step of the coarser."""
ROWS_AT_ONCE = 256
"""What comes between stays in the processor's cache: more than twice as fast as 8,192 rows at once."""


def int8_product(
    x: Float[Tensor, "rows in"], codes: Int8[Tensor, "out in"], scales: Float[Tensor, "out 1"]
) -> Float[Tensor, "rows out"]:
    """x · Wᵀ in whole numbers, for many rows.

    A number of x becomes coarse + fine / 254 steps, both from −127 to 127, where 127 steps are the largest
    of its row. So it is off by at most 1/64,516 of that, and the product by that times Σ |W| of a row."""
    made = x.new_empty(len(x), len(codes))
    for part, out in zip(x.split(ROWS_AT_ONCE), made.split(ROWS_AT_ONCE), strict=True):
        step = part.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
        steps = part / step
        coarse = steps.round()
        fine = (steps - coarse).mul_(FINE).round_()
        sums = KERNELS._int_mm(torch.cat([coarse, fine]).to(torch.int8), codes.T).float()
        torch.add(sums[: len(part)], sums[len(part) :], alpha=1 / FINE, out=out)
        out.mul_(step).mul_(scales.T)
    return made


def int8_kernel(
    x: Float[Tensor, "rows in"], codes: Int8[Tensor, "out in"], scales: Float[Tensor, "out 1"]
) -> Float[Tensor, "rows out"]:
    """x · Wᵀ in bfloat16, for few rows. The scales stay out of it, so that they are not rounded."""
    rows = x.bfloat16()
    return KERNELS._weight_int8pack_mm(rows, codes, rows.new_ones(len(codes))) * scales.T


def int4_kernel(
    x: Float[Tensor, "rows in"],
    arranged: UInt8[Tensor, "out half"],
    scales_and_shifts: Tensor,
) -> Float[Tensor, "rows out"]:
    """x · Wᵀ in bfloat16, for few rows, of what `arrange` gave."""
    group = x.shape[1] // len(scales_and_shifts)
    made = KERNELS._weight_int4pack_mm_for_cpu(x.bfloat16(), arranged, group, scales_and_shifts)
    return made.float()


def arrange(
    codes: UInt8[Tensor, "out in"],
    scales: Float[Tensor, "out groups"],
    zeros: Float[Tensor, "out groups"],
) -> tuple[UInt8[Tensor, "out half"], Float[Tensor, "groups out two"]]:
    """Codes, scales and zeros as the kernel for 4 bits wants them, for which a code stands for
    (code − 8) · scale + shift."""
    arranged = KERNELS._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
    pairs = torch.stack([scales, (8 - zeros) * scales], dim=-1)
    return arranged, pairs.transpose(0, 1).bfloat16().contiguous()


@lru_cache
def multiplies_exactly() -> bool:
    """Whether whole numbers are multiplied here, and exactly: without VNNI, some processors cut off sums of
    large products."""
    if not hasattr(KERNELS, "_int_mm"):
        return False
    rows, many = (torch.full((n, 1024), -127, dtype=torch.int8) for n in (2, 16))
    try:
        sums = (KERNELS._int_mm(rows, many.T), -KERNELS._int_mm(-rows, many.T))
    except RuntimeError:  # no kernel for this processor
        return False
    return all(bool((each == 127 * 127 * 1024).all()) for each in sums)


def has_kernel(bits: int, out_features: int, in_features: int) -> bool:
    """Whether this PyTorch has the kernel for few rows, for such a matrix. They work on 16 numbers at once:
    that for 4 bits refuses an `out_features` in between, that for 8 bits reads beyond the end of such an
    `in_features`. (Rows in 4 bits are filled up to whole groups.)"""
    fits = out_features % 16 == 0 and (bits == 4 or in_features % 16 == 0)
    return fits and all(hasattr(KERNELS, name) for name in NEEDED[bits])
