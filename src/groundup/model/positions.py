"""How a transformer, which by itself sees a set, learns that its input is a sequence.

Additive schemes are modules `(x, start) → x` on the embeddings; rotary works inside attention, on
queries and keys. `start` is the position of the first token, above 0 when a cache holds the past.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.model.config import ModelConfig


class NoPosition(nn.Module):
    """Adds nothing. A causal mask alone already tells a decoder something about order."""

    def forward(
        self, x: Float[Tensor, "batch time d_model"], start: int
    ) -> Float[Tensor, "batch time d_model"]:
        return x


class LearnedPosition(nn.Module):
    """One trained vector per position (GPT, Radford et al. 2018)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.context_length, config.d_model))

    def forward(
        self, x: Float[Tensor, "batch time d_model"], start: int
    ) -> Float[Tensor, "batch time d_model"]:
        return x + self.weight[start : start + x.shape[1]]


class SinusoidalPosition(nn.Module):
    """Sines and cosines of wavelengths from 2π to theta·2π (Vaswani et al. 2017, section 3.5)."""

    table: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        angle = _angles(
            config.context_length, config.d_model + config.d_model % 2, config.rope_theta
        )
        table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, : config.d_model]
        self.register_buffer("table", table, persistent=False)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], start: int
    ) -> Float[Tensor, "batch time d_model"]:
        return x + self.table[start : start + x.shape[1]]


class Rotary(nn.Module):
    """Turns each pair (i, i + head_dim/2) of a query or key by position · theta^(−2i/head_dim).

    The product of a turned query and a turned key depends only on how far apart they stand
    (RoFormer, Su et al. 2021). Pairs are laid out in halves, as Llama's and Qwen's weights have
    them."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        angle = _angles(config.context_length, config.head_dim, config.rope_theta)
        self.register_buffer("cos", angle.cos().repeat(1, 2), persistent=False)
        # The minus of the first half is folded into the sines: one multiplication less.
        self.register_buffer("sin", torch.cat([-angle.sin(), angle.sin()], 1), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch heads time head_dim"], start: int
    ) -> Float[Tensor, "batch heads time head_dim"]:
        end = start + x.shape[2]
        swapped = x.roll(x.shape[-1] // 2, dims=-1)
        return x * self.cos[start:end] + swapped * self.sin[start:end]


class NoRotation(nn.Module):
    """Leaves queries and keys as they are, where order comes in elsewhere."""

    def forward(
        self, x: Float[Tensor, "batch heads time head_dim"], start: int
    ) -> Float[Tensor, "batch heads time head_dim"]:
        return x


def _angles(length: int, width: int, theta: float) -> Float[Tensor, "length half"]:
    """Position times frequency, for width/2 frequencies falling from 1 to 1/theta. On the CPU even
    where a model is built without memory (device "meta"): tables are not in the saved weights."""
    options = {"dtype": torch.float64, "device": "cpu"}
    frequency = theta ** -(torch.arange(0, width, 2, **options) / width)
    return torch.outer(torch.arange(length, **options), frequency).float()


def additive_position(config: ModelConfig) -> nn.Module:
    """The part that is added to the embeddings."""
    schemes = {"learned": LearnedPosition, "sinusoidal": SinusoidalPosition}
    return schemes[config.position](config) if config.position in schemes else NoPosition()


def rotation(config: ModelConfig) -> nn.Module:
    """The part that turns queries and keys."""
    return Rotary(config) if config.position == "rotary" else NoRotation()
