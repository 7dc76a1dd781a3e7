"""Norms and feed-forwards: the parts of a block besides attention."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from groundup.model.config import ModelConfig
from groundup.model.linear import Linear
from groundup.model.places import Places


class LayerNorm(nn.Module):
    """Shift to mean 0, scale to variance 1, then a trained scale and shift (Ba et al. 2016)."""

    def __init__(self, width: int, epsilon: float, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


# lab: layer_norm
def layer_norm_step_by_step(
    x: Float[Tensor, "*batch width"],
    weight: Float[Tensor, " width"],
    bias: Float[Tensor, " width"] | None,
    epsilon: float,
) -> Float[Tensor, "*batch width"]:
    """(x − mean) / √(variance + epsilon) · weight + bias: `LayerNorm` written out. Mean and variance
    are those of the last axis; a `bias` of None is none.

    >>> layer_norm_step_by_step(torch.tensor([1.0, 3.0]), torch.ones(2), None, 0.0).tolist()
    [-1.0, 1.0]
    """
    distance = x - x.mean(dim=-1, keepdim=True)
    variance = distance.square().mean(dim=-1, keepdim=True)
    normed = distance / torch.sqrt(variance + epsilon)
    return normed * weight if bias is None else normed * weight + bias


class RMSNorm(nn.Module):
    """Scale to mean square 1, then a trained scale (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)


# lab: rms_norm
def rms_norm_step_by_step(
    x: Float[Tensor, "*batch width"], weight: Float[Tensor, " width"], epsilon: float
) -> Float[Tensor, "*batch width"]:
    """x / √(mean of x² + epsilon) · weight: `RMSNorm` written out. The mean is that of the last axis.

    >>> rms_norm_step_by_step(torch.tensor([2.0, -2.0]), torch.ones(2), 0.0).tolist()
    [1.0, -1.0]
    """
    mean_square = x.square().mean(dim=-1, keepdim=True)
    return x / torch.sqrt(mean_square + epsilon) * weight


class ZeroCenteredRMSNorm(RMSNorm):
    """RMSNorm whose trained scale is 1 + weight, so that weight decay pulls towards 1 (Gemma)."""

    def __init__(self, width: int, epsilon: float):
        super().__init__(width, epsilon)
        nn.init.zeros_(self.weight)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return F.rms_norm(x, self.weight.shape, (1 + self.weight).to(x.dtype), self.epsilon)


class AllHeadsNorm(nn.Module):
    """Norms the numbers of all heads of a position together (OLMo 2)."""

    def __init__(self, config: ModelConfig, n_heads: int):
        super().__init__()
        self.all_heads = norm(config, n_heads * config.head_dim)

    def forward(
        self, x: Float[Tensor, "batch heads time head_dim"]
    ) -> Float[Tensor, "batch heads time head_dim"]:
        joined = self.all_heads(x.transpose(1, 2).flatten(2))
        return joined.unflatten(-1, (x.shape[1], -1)).transpose(1, 2)


class ShortConvolution(nn.Module):
    """x_t + Σ w_i ⊙ x_(t−i) for i up to `width`: each position with a trained share of the ones just
    before it, channel by channel."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        # At the start a bag of neighbours in which the own token weighs most.
        self.weight = nn.Parameter(torch.full((config.short_conv, 1, config.d_model), 0.4))

    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: Places, layer: int
    ) -> Float[Tensor, "batch time d_model"]:
        x = places.blank_padding(x)
        width, time = len(self.weight), x.shape[1]
        before = places.recall(layer, "inputs", x.new_zeros(len(x), width, x.shape[-1]))
        joined = torch.cat([before, x], dim=1)
        places.keep(layer, "inputs", joined[:, -width:])
        for i, weight in enumerate(self.weight, start=1):
            neighbour = joined[:, width - i : width - i + time]
            x = x + weight * places.blank_others(neighbour, i)
        return x


class NoConvolution(nn.Module):
    """Each position by itself."""

    def forward(self, x: Tensor, places: Places, layer: int) -> Tensor:
        return x


class FeedForward(nn.Module):
    """Widen, bend, narrow: every position thinks for itself (Vaswani et al. 2017)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.up = Linear(config.d_model, config.d_ff, bias=config.bias)
        self.down = Linear(config.d_ff, config.d_model, bias=config.bias)
        self.activation = ACTIVATIONS[config.feed_forward]
        self.dropout = nn.Dropout(config.dropout)

    # lab: feed_forward
    def forward(
        self, x: Float[Tensor, "batch time d_model"]
    ) -> Float[Tensor, "batch time d_model"]:
        return self.dropout(self.down(self.activation(self.up(x))))


class SwiGLU(nn.Module):
    """A feed-forward whose second, bent projection gates the first (Shazeer 2020); `GeGLU` bends it
    otherwise."""

    def __init__(self, config: ModelConfig, d_ff: int):
        super().__init__()
        self.gate = Linear(config.d_model, d_ff, bias=config.bias)
        self.up = Linear(config.d_model, d_ff, bias=config.bias)
        self.down = Linear(d_ff, config.d_model, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)
        self.activation = F.silu

    # lab: swiglu
    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        return self.dropout(self.down(self.activation(self.gate(x)) * self.up(x)))


class GeGLU(SwiGLU):
    """SwiGLU with GELU for its bend (Gemma)."""

    def __init__(self, config: ModelConfig, d_ff: int):
        super().__init__(config, d_ff)
        self.activation = gelu


def relu2(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """max(x, 0)² (Primer, So et al. 2021): as good as GELU and cheaper."""
    return _SquaredReLU.apply(x)


class _SquaredReLU(torch.autograd.Function):
    """y = max(x, 0)²;  dx = 2 · max(x, 0) · dy: no second look at the sign of x, which autograd takes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.relu()
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return (positive * gradients[0]).mul_(2)


def gelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """GELU in the tanh form that GPT and GPT-2 were trained with (Hendrycks and Gimpel 2016)."""
    return F.gelu(x, approximate="tanh")


# lab: gelu
def gelu_step_by_step(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))): `gelu` written out.

    >>> gelu_step_by_step(torch.tensor([0.0, -20.0, 20.0])).abs().tolist()
    [0.0, 0.0, 20.0]
    """
    bent = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + bent)


ACTIVATIONS = {"relu": F.relu, "gelu": gelu, "relu2": relu2}


def norm(config: ModelConfig, width: int) -> nn.Module:
    """The configured norm over the last `width` numbers."""
    if config.norm == "layernorm":
        return LayerNorm(width, config.norm_epsilon, config.bias)
    kind = RMSNorm if config.norm == "rmsnorm" else ZeroCenteredRMSNorm
    return kind(width, config.norm_epsilon)


def qk_norm(config: ModelConfig, n_heads: int) -> nn.Module:
    """The configured norm of queries or keys with `n_heads` heads."""
    if not config.qk_norm:
        return nn.Identity()
    if config.qk_norm_scope == "all":
        return AllHeadsNorm(config, n_heads)
    return norm(config, config.head_dim)


def feed_forward(config: ModelConfig) -> nn.Module:
    """The configured plain feed-forward."""
    gated = {"swiglu": SwiGLU, "geglu": GeGLU}
    if config.feed_forward in gated:
        return gated[config.feed_forward](config, config.d_ff)
    return FeedForward(config)
