"""Group-relative policy optimisation: answers that are better than their group's mean become likelier.

A group is several answers to one question, sampled from the model and marked. In symbols: π is the
model, π_old the model that sampled, π₀ the reference; r the reward of an answer and A its advantage.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

OfTokens = Float[Tensor, "rows time"]


# lab: group_advantages
def group_advantages(
    rewards: Float[Tensor, "groups answers"], divide_by_spread: bool
) -> Float[Tensor, "groups answers"]:
    """A = (r − mean r) / std r within each group (GRPO, Shao et al. 2024, section 4.1.2): the group
    takes the place of a trained critic. The spread is torch's std, plus 1e-4: a group of equal answers
    teaches nothing.

    Without `divide_by_spread` A = r − mean r: the division weighs questions that are nearly always or
    nearly never answered above the others (Dr. GRPO, Liu et al. 2025, section 3.1).
    """
    advantages = rewards - rewards.mean(dim=1, keepdim=True)
    if divide_by_spread:
        advantages = advantages / (rewards.std(dim=1, keepdim=True) + 1e-4)
    return advantages


def clipped_gain(
    new: OfTokens, old: OfTokens, advantages: Float[Tensor, " rows"], clip: float
) -> tuple[OfTokens, Bool[Tensor, "rows time"]]:
    """min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) of each token, ρ = π / π_old, and where the clip holds it back
    (PPO, Schulman et al. 2017, equation 7).

    `new` and `old` are log-probabilities. Where they are equal, as in the first step after sampling, the
    gradient is that of A · log π: REINFORCE (Williams 1992) with the group's mean as its baseline.
    """
    ratio, weight = torch.exp(new - old), advantages[:, None]
    free, held = ratio * weight, ratio.clamp(1 - clip, 1 + clip) * weight
    return torch.minimum(free, held), held < free


def divergence(new: OfTokens, reference: OfTokens) -> OfTokens:
    """π₀/π − log(π₀/π) − 1 of each sampled token: an estimate of KL(π ‖ π₀) that is never negative (k3,
    Schulman 2020; GRPO, equation 4). Both are log-probabilities."""
    gap = reference - new
    return torch.exp(gap) - gap - 1


def over_answers(
    values: OfTokens, weights: OfTokens, answers: int, length: int | None
) -> Float[Tensor, ""]:
    """The mean over `answers` (some of which may not be in the rows, as theirs would be 0) of what
    `values` say of their tokens, 1 in `weights`: of each answer the mean over its tokens (GRPO,
    equation 3), or the sum divided by one `length` for all.

    The mean punishes each token of a long wrong answer less, so wrong answers grow longer; one length
    for all does not (Dr. GRPO, section 3.1).
    """
    lengths = weights.sum(dim=1) if length is None else length
    return ((values * weights).sum(dim=1) / lengths).sum() / answers
