"""GPTQ: the blocked form is the paper's, and what it is for comes true: products change less."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from groundup.compress.rounding import (
    BLOCK,
    cholesky_of_inverse,
    clipped_grid,
    damped,
    error_correcting,
    error_correcting_step_by_step,
    hessian_of,
)
from groundup.model.quantized import CODES, codes_of, grid_of, grouped, numbers_of


def correlated(rows: int, width: int, seed: int = 0) -> Tensor:
    """Inputs like those of a layer: they go together, and some are much larger than others."""
    source = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width // 4, width, generator=torch.Generator().manual_seed(99))
    together = torch.randn(rows, width // 4, generator=source) @ mixing
    own = torch.randn(rows, width, generator=source)
    sizes = torch.linspace(-1.5, 1.5, width).exp()[
        torch.randperm(width, generator=torch.Generator().manual_seed(98))
    ]
    return (together + own) * sizes


def squared_error(weight: Tensor, groups: Tensor, x: Tensor) -> float:
    return float((x @ (weight - groups.flatten(1)[:, : weight.shape[1]]).T).square().mean())


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("width", [64, BLOCK, BLOCK + 64, 3 * BLOCK])
def test_the_blocked_form_takes_the_steps_of_the_paper(bits: int, width: int):
    torch.manual_seed(width)
    groups = grouped(torch.randn(24, width, dtype=torch.float64), bits)
    hessian = hessian_of(correlated(500, width)).double()
    grid = grid_of(groups, bits)
    slow = error_correcting_step_by_step(groups, grid, bits, hessian)
    fast = error_correcting(groups, grid, bits, hessian)
    assert torch.equal(fast, slow)


@pytest.mark.parametrize("bits", [8, 4])
def test_in_single_precision_nearly_every_code_is_the_same(bits: int):
    torch.manual_seed(0)
    groups = grouped(torch.randn(24, 3 * BLOCK), bits)
    hessian = hessian_of(correlated(2000, 3 * BLOCK))
    grid = grid_of(groups, bits)
    slow = error_correcting_step_by_step(groups, grid, bits, hessian)
    fast = error_correcting(groups, grid, bits, hessian)
    # Where a number lies just between two codes, rounding decides, and all after it in its row follow.
    assert (fast == slow).float().mean() > 0.98


def test_the_factor_holds_what_is_left_of_the_inverse_at_each_step():
    hessian = hessian_of(correlated(300, 64)).double()
    factor = cholesky_of_inverse(hessian)
    inverse = damped(hessian).inverse()
    for j in range(64):
        torch.testing.assert_close(factor[j, j:], inverse[j, j:] / inverse[j, j].sqrt())
        inverse = inverse - torch.outer(inverse[:, j], inverse[j]) / inverse[j, j]


@pytest.mark.parametrize("bits", [8, 4])
def test_products_with_inputs_never_seen_change_less_than_by_plain_rounding(bits: int):
    torch.manual_seed(1)
    weight = torch.randn(32, 256)
    seen, held_out = correlated(2000, 256, seed=1), correlated(2000, 256, seed=2)
    hessian, groups = hessian_of(seen), grouped(weight, bits)
    grid = grid_of(groups, bits)
    plain = numbers_of(codes_of(groups, grid, bits), grid)
    better = numbers_of(error_correcting(groups, grid, bits, hessian), grid)
    assert squared_error(weight, better, held_out) < 0.5 * squared_error(weight, plain, held_out)
    # The numbers themselves are further away: that is the point.
    assert (better - groups).square().mean() > (plain - groups).square().mean()


def test_ranges_cut_by_what_inputs_weigh_help_once_more():
    torch.manual_seed(2)
    weight = torch.randn(32, 256)
    weight[:, ::64] *= 3
    x = correlated(2000, 256, seed=3)
    groups, importance = grouped(weight, 4), x.square().sum(0)
    errors = []
    for grid in (grid_of(groups, 4), clipped_grid(groups, 4, importance)):
        rounded = numbers_of(codes_of(groups, grid, 4), grid)
        errors.append(((rounded - groups).flatten(1).square() * importance).sum(1))
    assert (errors[1] <= errors[0] * (1 + 1e-5)).all()
    assert errors[1].sum() < 0.95 * errors[0].sum()


@pytest.mark.parametrize("bits", [8, 4])
def test_inputs_that_do_not_go_together_leave_plain_rounding(bits: int):
    torch.manual_seed(3)
    groups = grouped(torch.randn(16, 128), bits)
    grid = grid_of(groups, bits)
    codes = error_correcting(groups, grid, bits, torch.diag(torch.rand(128) + 0.1))
    assert torch.equal(codes, codes_of(groups, grid, bits))


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 200), out=st.integers(1, 8), rows=st.integers(0, 5),
       dead=st.integers(0, 200), bits=st.sampled_from([4, 8]))  # fmt: skip
def test_few_inputs_none_and_dead_ones_give_codes_all_the_same(
    width: int, out: int, rows: int, dead: int, bits: int
):
    x = torch.randn(rows, width)
    x[:, dead:] = 0
    groups = grouped(torch.randn(out, width), bits)
    padded = torch.nn.functional.pad(hessian_of(x), (0, groups[0].numel() - width) * 2)
    grid = clipped_grid(groups, bits, padded.diagonal())
    codes = error_correcting(groups, grid, bits, padded)
    lowest, highest = CODES[bits]
    assert codes.shape == groups.shape
    assert ((codes >= lowest) & (codes <= highest) & (codes == codes.round())).all()
