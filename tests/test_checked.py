"""What checks the types of groundup's functions in all other tests is wide awake."""

from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from beartype import beartype
from jaxtyping import Float
from torch import Tensor

from groundup.train.optimizers import adamw_step_by_step

checked = jaxtyping.jaxtyped(typechecker=beartype)


@checked
def product(
    a: Float[Tensor, "rows inner"], b: Float[Tensor, "inner columns"], turned: bool = False
) -> Float[Tensor, "rows columns"]:
    return (a @ b).T if turned else a @ b


@checked
def rows(a: list[Float[Tensor, "rows inner"]]) -> Iterator[Float[Tensor, "inner"]]:
    yield from a[0]


@checked
def twice(x: int) -> str:
    return 2 * x  # type: ignore[return-value]  # wrong, to be found out


def test_shapes_that_go_together_pass():
    assert product(torch.ones(2, 3), torch.ones(3, 4)).shape == (2, 4)
    assert product(torch.ones(5, 1), torch.ones(1, 5)).shape == (5, 5)  # names hold for one call
    assert len([*rows([torch.ones(2, 3)])]) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: product(torch.ones(2, 3), torch.ones(4, 3)),
        lambda: product(torch.ones(2, 3), torch.ones(3, 4).long()),
        lambda: product(torch.ones(2, 3), torch.ones(3, 4), turned=True),
        lambda: product(torch.ones(2, 3), torch.ones(3, 4), turned="no"),
        lambda: rows([torch.ones(2)]),
        lambda: twice(2),
    ],
)
def test_what_does_not_go_together_is_refused(wrong):
    with pytest.raises(jaxtyping.TypeCheckError):
        wrong()


def test_groundup_s_functions_are_checked(pytestconfig: pytest.Config):
    if not pytestconfig.getoption("jaxtyping_packages"):
        pytest.skip("run without --jaxtyping-packages")
    a = torch.ones(2, 3)
    with pytest.raises(jaxtyping.TypeCheckError):
        adamw_step_by_step(a, a.T, a, a, 1, 0.1, (0.9, 0.99), 0.1)
