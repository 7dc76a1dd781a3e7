"""The loss in chunks equals torch's, in value and in gradient."""

import pytest
import torch
import torch.nn.functional as F

from groundup.model import loss
from groundup.model.loss import cross_entropy, cross_entropy_step_by_step, token_scores


@pytest.mark.parametrize("chunk_logits", [1, 700, 1 << 20])
def test_loss_and_gradients_are_those_of_torch(chunk_logits: int, monkeypatch):
    monkeypatch.setattr(loss, "CHUNK_LOGITS", chunk_logits)
    hidden = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    head = torch.randn(30, 8, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 30, (50,))
    weights = torch.rand(50, dtype=torch.float64)
    weights[::3] = 0
    ours = cross_entropy(hidden, head, targets, weights)
    each = F.cross_entropy(hidden @ head.T, targets, reduction="none")
    theirs = (each * weights).sum() / weights.sum()
    torch.testing.assert_close(ours, theirs)
    gradients = torch.autograd.grad(3 * ours, (hidden, head), retain_graph=True)
    torch.testing.assert_close(gradients, torch.autograd.grad(3 * theirs, (hidden, head)))
    losses, is_likeliest = token_scores(hidden.detach(), head.detach(), targets)
    torch.testing.assert_close(losses, each.detach())
    assert is_likeliest.tolist() == ((hidden @ head.T).argmax(-1) == targets).tolist()


def test_without_weights_it_is_the_plain_mean():
    hidden, head, targets = torch.randn(9, 4), torch.randn(5, 4), torch.randint(0, 5, (9,))
    torch.testing.assert_close(
        cross_entropy(hidden, head, targets), F.cross_entropy(hidden @ head.T, targets)
    )


def test_written_out_it_is_that_of_torch_for_large_logits_too():
    logits = 300 * torch.randn(9, 5, dtype=torch.float64).requires_grad_()
    targets = torch.randint(0, 5, (9,))
    ours, theirs = cross_entropy_step_by_step(logits, targets), F.cross_entropy(logits, targets)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients)
