"""A mixture of experts: many feed-forwards, of which a router picks a few for each token.

More parameters for the same work per token (Shazeer et al. 2017; Mixtral 2024; DeepSeek-V2 and its
shared experts 2024; Qwen3-MoE 2025).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.model.config import ExpertsConfig, ModelConfig
from groundup.model.layers import SwiGLU
from groundup.model.linear import Linear


class MixtureOfExperts(nn.Module):
    """Each token goes through its `active` best experts, weighted by the router's probabilities."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.settings = config.experts
        self.router = Linear(config.d_model, self.settings.count, bias=False)
        self.experts = nn.ModuleList(
            SwiGLU(config, self.settings.d_ff) for _ in range(self.settings.count)
        )
        self.shared = shared_expert(config)
        self.assign = by_choice
        self.routing: tuple[Tensor, Tensor] | None = None

    def forward(
        self, x: Float[Tensor, "batch time d_model"]
    ) -> Float[Tensor, "batch time d_model"]:
        tokens = x.flatten(0, -2)
        probabilities = self.router(tokens).softmax(dim=-1)
        weights, chosen = choose_experts(probabilities, self.settings)
        self.routing = (probabilities, chosen) if self.training else None
        mixed = self.shared(tokens)
        assigned = self.assign(chosen, len(self.experts))
        for expert, (token, rank) in zip(self.experts, assigned, strict=True):
            if len(token):
                given = expert(tokens[token]) * weights[token, rank, None]
                mixed = mixed.index_add(0, token, given)
        return mixed.view_as(x)


Assigned = list[tuple[Int[Tensor, " some"], Int[Tensor, " some"]]]


def by_choice(chosen: Int[Tensor, "tokens active"], experts: int) -> Assigned:
    """For each expert the tokens that chose it, and as their how-manieth choice."""
    found = ((chosen == index).nonzero(as_tuple=True) for index in range(experts))
    return [(token, rank) for token, rank in found]


def evenly(chosen: Int[Tensor, "tokens active"], experts: int) -> Assigned:
    """As many for each expert, whatever was chosen: for reckoning with shapes alone."""
    active = chosen.shape[1]
    choices = torch.arange(chosen.numel(), device=chosen.device)
    return [(part // active, part % active) for part in choices.tensor_split(experts)]


def choose_experts(
    probabilities: Float[Tensor, "tokens experts"], settings: ExpertsConfig
) -> tuple[Float[Tensor, "tokens active"], Int[Tensor, "tokens active"]]:
    """The weights and indices of the experts that work on each token."""
    if settings.groups > 1:
        probabilities = within_best_groups(probabilities, settings)
    weights, chosen = probabilities.topk(settings.active, dim=-1)
    if settings.renormalize:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights * settings.scale, chosen


def within_best_groups(
    probabilities: Float[Tensor, "tokens experts"], settings: ExpertsConfig
) -> Float[Tensor, "tokens experts"]:
    """Zero outside the few groups with the likeliest experts, so that a token's experts stand on few
    machines (DeepSeek-V2, section 2.2.2)."""
    grouped = probabilities.unflatten(-1, (settings.groups, -1))
    best = grouped.amax(dim=-1).topk(settings.active_groups, dim=-1).indices
    allowed = torch.zeros_like(grouped[..., 0]).scatter(1, best, 1.0)
    return (grouped * allowed[..., None]).flatten(1)


def balance_loss(
    routings: list[tuple[Float[Tensor, "tokens experts"], Int[Tensor, "tokens active"]]],
) -> Float[Tensor, ""]:
    """experts · Σ (share of the choices that fell on it) · (mean probability), over all layers: least
    where all experts are used alike (Switch Transformer, Fedus et al. 2021, eq. 4 to 6)."""
    probabilities = torch.cat([probability for probability, _ in routings])
    chosen = torch.cat([choice for _, choice in routings])
    experts = probabilities.shape[1]
    votes = probabilities.new_zeros(experts).scatter_add(
        0, chosen.flatten(), probabilities.new_ones(chosen.numel())
    )
    share = votes / len(chosen)
    return experts * (share * probabilities.mean(dim=0)).sum()


class GatedSharedExpert(SwiGLU):
    """An expert for every token, weighted by a gate (Qwen3-Next)."""

    def __init__(self, config: ModelConfig, d_ff: int):
        super().__init__(config, d_ff)
        self.token_gate = Linear(config.d_model, 1, bias=False)

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        return super().forward(x) * self.token_gate(x).sigmoid()


class NoExpert(nn.Module):
    """Gives nothing: where only the chosen experts work."""

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        return torch.zeros_like(x)


def shared_expert(config: ModelConfig) -> nn.Module:
    """The expert that works on every token, if there is one."""
    if config.experts.shared_d_ff == 0:
        return NoExpert()
    kind = GatedSharedExpert if config.experts.shared_gate else SwiGLU
    return kind(config, config.experts.shared_d_ff)
