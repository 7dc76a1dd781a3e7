"""The linear layer gives torch's numbers, forward and backward."""

import pytest
import torch
import torch.nn.functional as F

from groundup.model.linear import Linear


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 40)])
@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients_are_those_of_torch(shape: tuple[int, int], bias: bool):
    torch.manual_seed(0)
    layer = Linear(20, 30, bias=bias)
    x = torch.randn(*shape, 20, requires_grad=True)
    inputs = [x, *layer.parameters()]
    ours, theirs = layer(x), F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours.square().sum(), inputs),
        torch.autograd.grad(theirs.square().sum(), inputs),
    )


def test_a_frozen_weight_gets_no_gradient():
    layer = Linear(4, 5, bias=False).requires_grad_(False)
    x = torch.randn(2, 3, 4, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None and x.grad is not None
