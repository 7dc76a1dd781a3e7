"""Rounding a matrix so that its products change least, not its numbers: GPTQ (Frantar et al. 2022).

A layer computes W x. Rounding each number by itself, to the nearest of its grid, is best where all inputs
are alike and independent. They are not: the error of one column can be made up for by the columns that are
still to be rounded, where their inputs go together. How they do says H = Σ x xᵀ over calibration text, as
the squared error of the products of a row is (w − ŵ) H (w − ŵ)ᵀ.

Column by column: round it, and spread its error over the columns left so that this error is least (the
Optimal Brain Surgeon of Hassibi and Stork 1993). `error_correcting_step_by_step` is that, word for word;
`error_correcting` takes the same steps from one Cholesky factor, and moves the columns further away only
once a block.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.model.quantized import CODES, Grid, codes_of, grid_of, numbers_of

Groups = Float[Tensor, "out groups group"]
Hessian = Float[Tensor, "in in"]

DAMPING = 0.01
"""Of the mean of the diagonal of H, added to it, as in the paper: calibration text is not all text."""
BLOCK = 128
SHARES = tuple(1 - 0.03 * step for step in range(12))
"""The ranges that `clipped_grid` tries, of the whole one."""


def hessian_of(x: Float[Tensor, "*batch in"]) -> Hessian:
    """Σ x xᵀ over the inputs of a layer."""
    rows = x.flatten(0, -2)
    return rows.T @ rows


def error_correcting(groups: Groups, grid: Grid, bits: int, hessian: Hessian) -> Groups:
    """Codes of a grid for a matrix whose inputs have this Hessian; the matrix and H in the same width,
    filled up to whole groups.

    Columns whose inputs are large come first (the paper's "act-order"): their errors cost most, and most
    columns are left to make up for them."""
    order = hessian.diagonal().argsort(descending=True, stable=True)
    factor = cholesky_of_inverse(hessian[order][:, order]).to(groups.dtype)
    columns = (
        groups.flatten(1).T[order].contiguous()
    )  # a column of W is a row here: one piece of memory
    scales, zeros = (by_column(part, groups.shape[2])[order] for part in grid)
    codes = torch.empty_like(columns)
    for start in range(0, len(columns), BLOCK):
        end = min(start + BLOCK, len(columns))
        errors = torch.empty_like(columns[start:end])
        for j in range(start, end):
            code = (columns[j] / scales[j] + zeros[j]).round().clamp(*CODES[bits])
            error = (columns[j] - (code - zeros[j]) * scales[j]) / factor[j, j]
            columns[j + 1 : end].addr_(factor[j, j + 1 : end], error, alpha=-1)
            codes[j], errors[j - start] = code, error
        columns[end:].addmm_(factor[start:end, end:].T, errors, alpha=-1)
    return codes[order.argsort()].T.reshape(groups.shape)


def error_correcting_step_by_step(
    groups: Groups, grid: Grid, bits: int, hessian: Hessian
) -> Groups:
    """The same, as the paper derives it (section 3, equations 2 and 3), in double precision: the reading
    version."""
    weight, inverse = groups.double().flatten(1), damped(hessian.double()).inverse()
    scales, zeros = (by_column(part.double(), groups.shape[2]) for part in grid)
    codes = torch.empty_like(weight)
    for j in hessian.diagonal().argsort(descending=True, stable=True).tolist():
        codes[:, j] = (weight[:, j] / scales[j] + zeros[j]).round().clamp(*CODES[bits])
        error = weight[:, j] - (codes[:, j] - zeros[j]) * scales[j]
        weight -= torch.outer(error / inverse[j, j], inverse[j])
        inverse -= torch.outer(inverse[:, j], inverse[j]) / inverse[j, j]
        inverse[j, j] = 1.0  # done with: nothing moves it any more
    return codes.view_as(groups).to(groups.dtype)


def by_column(part: Float[Tensor, "out groups"], group: int) -> Float[Tensor, "in out"]:
    """What each column of the matrix has of a grid."""
    return part.repeat_interleave(group, dim=1).T


def damped(hessian: Hessian) -> Hessian:
    """H with something added to its diagonal, so that it has an inverse: inputs that were never there
    count as that little."""
    diagonal = hessian.diagonal()
    added = DAMPING * diagonal.mean()
    return hessian + torch.diag(torch.where(added > 0, added, 1.0).expand_as(diagonal))


def cholesky_of_inverse(hessian: Hessian) -> Float[Tensor, "in in"]:
    """The upper triangular U with UᵀU = H⁻¹. Row j of it is what is left of row j of the inverse, over
    √(inverse)ⱼⱼ, when the columns before j are done with: all that the steps need."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped(hessian.double())))
    return torch.linalg.cholesky(inverse, upper=True)


def clipped_grid(groups: Groups, bits: int, importance: Float[Tensor, " in"]) -> Grid:
    """For each group of a row the grid, of ranges cut shorter and shorter, with the least squared error of
    rounding, each number weighted by `importance` (the mean square of its input): a few large numbers
    that are cut off may cost less than coarse steps for all."""
    weights = importance.view(groups.shape[1:]) / importance.mean().clamp(min=1e-30)
    best = grid_of(groups, bits)
    least = _cost(groups, best, bits, weights)
    for grid in _shorter(groups, bits):
        cost = _cost(groups, grid, bits, weights)
        better = cost < least
        least = torch.where(better, cost, least)
        best = Grid(*(torch.where(better, new, old) for new, old in zip(grid, best, strict=True)))
    return best


def _shorter(groups: Groups, bits: int) -> Iterable[Grid]:
    return (grid_of(groups, bits, share) for share in SHARES[1:])


def _cost(
    groups: Groups, grid: Grid, bits: int, weights: Float[Tensor, "groups group"]
) -> Float[Tensor, "out groups"]:
    rounded = numbers_of(codes_of(groups, grid, bits), grid)
    return ((rounded - groups).square_() * weights).sum(-1)
