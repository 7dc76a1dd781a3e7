"""Group-relative policy optimisation: each part of the formula, and REINFORCE as its first step."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tune.policy_loss import clipped_gain, divergence, group_advantages, over_answers


def numbers(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_an_advantage_is_how_much_better_an_answer_is_than_its_group():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    plain = group_advantages(rewards, divide_by_spread=False)
    assert plain.tolist() == [[0.5, -0.5, -0.5, 0.5], [0.75, -0.25, -0.25, -0.25], [0, 0, 0, 0]]
    divided = group_advantages(rewards, divide_by_spread=True)
    torch.testing.assert_close(divided[:2].std(dim=1), torch.ones(2), atol=1e-3, rtol=0)
    assert divided[2].eq(0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_right_after_sampling_the_gradient_is_that_of_reinforce(seed: int):
    logits = numbers(seed, 4, 5, 9).requires_grad_()
    said = torch.randint(0, 9, (4, 5, 1), generator=torch.Generator().manual_seed(seed))
    log_p = logits.log_softmax(-1).gather(2, said)[..., 0]
    advantages = numbers(seed + 1, 4)
    gain, held = clipped_gain(log_p, log_p.detach(), advantages, clip=0.2)
    torch.testing.assert_close(gain, advantages[:, None].expand(4, 5))
    assert not held.any()
    (ours,) = torch.autograd.grad(gain.sum(), logits, retain_graph=True)
    # d log softmax = 1ₜ − p, times the advantage of the answer.
    one_hot = torch.zeros_like(logits).scatter(2, said, 1.0)
    wanted = advantages[:, None, None] * (one_hot - logits.detach().softmax(-1))
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "slope"),
    [
        (1.1, 2.0, 2.2, 2.2),  # near enough: free to move
        (1.5, 2.0, 2.4, 0.0),  # good, and likelier by enough already
        (0.5, 2.0, 1.0, 1.0),  # good, and less likely: may come back
        (0.5, -2.0, -1.6, 0.0),  # bad, and unlikely enough already
        (1.5, -2.0, -3.0, -3.0),  # bad, and likelier: must come back
    ],
)
def test_a_probability_that_has_moved_far_enough_is_moved_no_further(ratio, advantage, gain, slope):
    new = torch.tensor([[ratio]]).double().log().requires_grad_()
    value, held = clipped_gain(
        new, torch.zeros(1, 1).double(), torch.tensor([advantage]).double(), 0.2
    )
    assert value.item() == pytest.approx(gain)
    assert held.item() == (slope == 0)
    assert torch.autograd.grad(value.sum(), new)[0].item() == pytest.approx(slope)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 3))
def test_the_divergence_is_never_negative_and_has_the_mean_of_the_true_one(seed: int, scale: float):
    new, reference = (numbers(seed + i, 7).mul(scale).log_softmax(-1)[None] for i in (0, 1))
    estimates = divergence(new, reference)
    assert estimates.ge(0).all()
    assert divergence(new, new).eq(0).all()
    true = (new.exp() * (new - reference)).sum()  # KL(π ‖ π₀)
    torch.testing.assert_close((new.exp() * estimates).sum(), true)


def test_answers_count_alike_or_tokens_do():
    values = torch.tensor([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0]])
    weights = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert over_answers(values, weights, 2, None).item() == pytest.approx((1.5 + 4) / 2)
    assert over_answers(values, weights, 2, 10).item() == pytest.approx((0.3 + 0.4) / 2)
    assert over_answers(values[:1], weights[:1], 2, 10).item() == pytest.approx(0.3 / 2)
