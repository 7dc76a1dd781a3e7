"""Log-probabilities of answers, against a softmax over everything."""

import pytest
import torch

from groundup.model.gpt import GPT
from groundup.model.loss import log_probs, softcap
from groundup.train.log_probs import row_log_probs, token_log_probs
from tests.model.test_parts import PARTS, small


def written_out(model: GPT, ids: torch.Tensor) -> torch.Tensor:
    targets = ids[:, 1:, None]
    return model(ids[:, :-1]).log_softmax(-1).gather(2, targets)[..., 0]


@pytest.mark.parametrize("parts", ["windows", "soft caps", "memory"])
def test_sums_and_their_gradients_are_those_of_the_whole_softmax(parts: str):
    model = small(**PARTS[parts]).double()
    ids = torch.randint(0, 50, (4, 12))
    weights = torch.tensor([[0, 0, 1, 1] * 2 + [0, 0.5, 2]] * 4).double()
    weights[3] = 0
    pull = torch.tensor([1.0, -2.0, 0.5, 3.0]).double()  # a loss that weighs rows differently

    wanted = (written_out(model, ids) * weights).sum(1)
    gradients = torch.autograd.grad((wanted * pull).sum(), list(model.parameters()))
    ours = row_log_probs(model, ids, weights)
    torch.testing.assert_close(ours, wanted)
    mine = torch.autograd.grad((ours * pull).sum(), list(model.parameters()))
    for own, theirs in zip(mine, gradients, strict=True):
        torch.testing.assert_close(own, theirs, atol=1e-10, rtol=1e-8)


def test_targets_without_weight_stay_at_zero_and_the_others_have_their_value():
    model, ids = small(), torch.randint(0, 50, (2, 9))
    weights = torch.zeros(2, 8)
    weights[0, 3:] = 1
    values = token_log_probs(model, ids, weights)
    torch.testing.assert_close(values[0, 3:], written_out(model, ids)[0, 3:])
    assert values[0, :3].eq(0).all() and values[1].eq(0).all()


@pytest.mark.parametrize("cap", [None, 2.0])
def test_more_positions_than_a_chunk_holds_make_no_difference(cap: float | None):
    torch.manual_seed(0)
    hidden = torch.randn(600, 8, dtype=torch.double, requires_grad=True)
    head = torch.randn(5000, 8, dtype=torch.double, requires_grad=True)
    targets, pull = torch.randint(0, 5000, (600,)), torch.randn(600, dtype=torch.double)
    wanted = softcap(hidden @ head.T, cap).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    ours = log_probs(hidden, head, targets, cap)
    torch.testing.assert_close(ours, wanted)
    theirs = torch.autograd.grad((wanted * pull).sum(), (hidden, head))
    for own, other in zip(
        torch.autograd.grad((ours * pull).sum(), (hidden, head)), theirs, strict=True
    ):
        torch.testing.assert_close(own, other)


def test_a_frozen_head_gets_no_gradient_and_what_is_before_it_does():
    hidden, head = torch.randn(5, 4, requires_grad=True), torch.randn(9, 4)
    log_probs(hidden, head, torch.arange(5)).sum().backward()
    assert head.grad is None and hidden.grad is not None and hidden.grad.abs().sum() > 0
