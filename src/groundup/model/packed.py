"""Products of many rows with a matrix in 8 bits, on a CPU, without ever decoding it.

With many rows at once, as in a prompt, the multiplications take the time, and processors multiply whole
numbers fastest, which suits codes that share a scale along a whole row. (For few rows reading the matrix takes
the time: `groundup.model.kernels`.)
"""

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor

KERNELS: Any = torch.ops.aten
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


@lru_cache
def multiplies_fast() -> bool:
    """Whether this processor multiplies whole numbers in 8 bits faster than others, and exactly: without VNNI
    it takes thirty times as long as to decode the matrix, and some cut off sums of large products."""
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", lambda: False)()
    return has_vnni and hasattr(KERNELS, "_int_mm")
