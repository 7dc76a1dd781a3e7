"""The losses of preference: each against its formula written out, with its gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tune.preference_losses import dpo, ipo, kto, orpo, simpo

BETA, SMOOTHING, GAMMA = 0.3, 0.1, 0.7


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + (-x).exp())


def dpo_written_out(policy, reference):
    """Rafailov et al. 2023, equation 7, with the smoothing of Mitchell 2023."""
    ratios = policy[:, 0].exp() / reference[:, 0].exp(), policy[:, 1].exp() / reference[:, 1].exp()
    h = BETA * ratios[0].log() - BETA * ratios[1].log()
    return -((1 - SMOOTHING) * sigmoid(h).log() + SMOOTHING * sigmoid(-h).log()).mean()


def ipo_written_out(policy, reference):
    """Azar et al. 2023, equation 17."""
    h = ((policy[:, 0] + reference[:, 1]) - (policy[:, 1] + reference[:, 0])).exp().log()
    return ((h - 1 / BETA / 2) ** 2).mean()


def kto_written_out(policy, reference):
    """The `kto_pair` of trl (0.8): each side from the other's distance."""
    with torch.no_grad():
        kl_chosen = max((policy[:, 0] - reference[:, 0]).mean(), torch.zeros(()).double())
        kl_rejected = max((policy[:, 1] - reference[:, 1]).mean(), torch.zeros(()).double())
    ratios = policy - reference
    losses = [
        1 - sigmoid(BETA * (ratios[:, 0] - kl_rejected)),
        1 - sigmoid(BETA * (kl_chosen - ratios[:, 1])),
    ]
    return torch.cat(losses).mean()


def log_ratio(loss: Callable, **more: float) -> Callable:
    def of(policy, reference):
        ratios = policy - reference
        return loss(ratios[:, 0], ratios[:, 1], beta=BETA, **more)

    return of


def value_and_gradient(loss: Callable, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    policy = inputs[0].clone().requires_grad_()
    value = loss(policy, *inputs[1:])
    return value.detach(), torch.autograd.grad(value, policy)[0]


@pytest.mark.parametrize(
    ("ours", "written_out"),
    [
        (log_ratio(dpo, label_smoothing=SMOOTHING), dpo_written_out),
        (log_ratio(ipo), ipo_written_out),
        (log_ratio(kto), kto_written_out),
    ],
)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_with_a_reference_loss_and_gradients_are_those_of_the_formula(ours, written_out, seed: int):
    generator = torch.Generator().manual_seed(seed)
    policy, reference = -8 * torch.rand(2, 6, 2, generator=generator, dtype=torch.float64)
    mine, theirs = (value_and_gradient(loss, policy, reference) for loss in (ours, written_out))
    for own, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own, other, atol=1e-12, rtol=1e-9)


def orpo_written_out(means):
    """Hong et al. 2024, equations 3 to 7."""
    p = means.exp()
    odds = p / (1 - p)
    return -p[:, 0].log().mean() + BETA * -sigmoid((odds[:, 0] / odds[:, 1]).log()).log().mean()


def simpo_written_out(means):
    """Meng et al. 2024, equation 6."""
    return -sigmoid(BETA * means[:, 0] - BETA * means[:, 1] - GAMMA).log().mean()


@pytest.mark.parametrize(
    ("ours", "written_out"),
    [
        (lambda m: orpo(m[:, 0], m[:, 1], BETA), orpo_written_out),
        (lambda m: simpo(m[:, 0], m[:, 1], BETA, GAMMA), simpo_written_out),
    ],
)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_without_one_too(ours, written_out, seed: int):
    generator = torch.Generator().manual_seed(seed)
    means = -4 * torch.rand(6, 2, generator=generator, dtype=torch.float64) - 0.01
    for own, other in zip(
        *(value_and_gradient(f, means) for f in (ours, written_out)), strict=True
    ):
        torch.testing.assert_close(own, other, atol=1e-12, rtol=1e-9)


def test_they_begin_where_they_say():
    same = torch.zeros(5, dtype=torch.float64)
    assert dpo(same, same, 0.1).item() == pytest.approx(math.log(2))
    assert dpo(same, same, 0.1, 0.2).item() == pytest.approx(math.log(2))
    assert ipo(same, same, 0.1).item() == pytest.approx(25)
    assert kto(same, same, 0.1).item() == pytest.approx(0.5)


def test_very_large_margins_are_still_numbers():
    far = torch.tensor([-1e4], requires_grad=True)
    for loss in (dpo(far, -far, 1.0), kto(far, -far, 1.0), simpo(far, -far, 2.0, 1.0)):
        assert torch.isfinite(loss) and torch.isfinite(torch.autograd.grad(loss, far)[0])
