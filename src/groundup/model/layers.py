"""Norms and feed-forwards: the parts of a block besides attention."""

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


class RMSNorm(nn.Module):
    """Scale to mean square 1, then a trained scale (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


class ZeroCenteredRMSNorm(RMSNorm):
    """RMSNorm whose trained scale is 1 + weight, so that weight decay pulls towards 1 (Gemma)."""

    def __init__(self, width: int, epsilon: float):
        super().__init__(width, epsilon)
        nn.init.zeros_(self.weight)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return F.rms_norm(x, self.weight.shape, 1 + self.weight, self.epsilon)


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
