"""How a transformer, which by itself sees a set, learns that its input is a sequence.

Additive schemes are modules `(x, places) → x` on the embeddings; rotary works inside attention, on
queries and keys, and may be stretched for texts longer than those it was learned on.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.model.config import LayerKind, ModelConfig, RopeScaling

if TYPE_CHECKING:
    from groundup.model.places import Places


class NoPosition(nn.Module):
    """Adds nothing. A causal mask alone already tells a decoder something about order."""

    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: "Places"
    ) -> Float[Tensor, "batch time d_model"]:
        return x


class LearnedPosition(nn.Module):
    """One trained vector per position (GPT, Radford et al. 2018)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.context_length, config.d_model))

    # lab: learned_positions
    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: "Places"
    ) -> Float[Tensor, "batch time d_model"]:
        """`x` with the vector of its position added to each token's."""
        return x + places.rows(self.weight)


class SinusoidalPosition(nn.Module):
    """Sines and cosines of wavelengths from 2π to theta·2π (Vaswani et al. 2017, section 3.5)."""

    table: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        table = sinusoidal_positions(config.context_length, config.d_model, config.rope_theta)
        self.register_buffer("table", table, persistent=False)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: "Places"
    ) -> Float[Tensor, "batch time d_model"]:
        return x + places.rows(self.table)


# lab: sinusoidal_positions
def sinusoidal_positions(
    length: int, d_model: int, theta: float
) -> Float[Tensor, "length d_model"]:
    """A vector for each position from 0 to length − 1: sin(a₀), cos(a₀), sin(a₁), cos(a₁), … with
    aᵢ = position · theta^(−2i/d_model). An odd d_model has the table of d_model + 1 without its last
    column.

    >>> sinusoidal_positions(2, 4, 100.0)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0998, 0.9950]])
    """
    frequency = frequencies(d_model + d_model % 2, theta)
    position = torch.arange(length, dtype=torch.float64, device="cpu")
    angle = torch.outer(position, frequency)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :d_model].float()


class Rotary(nn.Module):
    """Turns each pair (i, i + width/2) of a query or key by position · theta^(−2i/width), as
    `rotate_step_by_step` does, with cosines and sines that are computed once for all layers.

    The product of a turned query and a turned key depends only on how far apart they stand
    (RoFormer, Su et al. 2021). Pairs are laid out in halves, as Llama's and Qwen's weights have
    them. All layers of a kind share one."""

    frequency: Tensor

    def __init__(self, frequency: Float[Tensor, " half"], factor: float = 1.0):
        """`frequency` of each pair, in radians per token; cosines and sines are multiplied by
        `factor`."""
        super().__init__()
        self.register_buffer("frequency", frequency.float(), persistent=False)
        self.factor = factor

    def turn(
        self, positions: Int[Tensor, "*batch time"], lengths: Int[Tensor, "batch time"] | int
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines for `positions` in texts of these `lengths`."""
        return self._turn(positions, self.frequency)

    def _turn(self, positions: Tensor, frequency: Tensor) -> tuple[Tensor, Tensor]:
        angle = positions[..., None].float() * frequency
        if angle.ndim == 3:  # a row of positions for each text: the same for all its heads
            angle = angle[:, None]
        cos, sin = angle.cos() * self.factor, angle.sin() * self.factor
        # The minus of the first half is folded into the sines: one multiplication less.
        return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)

    def forward(
        self, x: Float[Tensor, "batch heads time head_dim"], places: "Places"
    ) -> Float[Tensor, "batch heads time head_dim"]:
        cos, sin = (table.to(x.dtype) for table in places.turn(self))
        width = cos.shape[-1]
        turned, plain = x[..., :width], x[..., width:]
        turned = turned * cos + turned.roll(width // 2, dims=-1) * sin
        return torch.cat([turned, plain], dim=-1) if plain.shape[-1] else turned


# lab: rotary
def rotate_step_by_step(
    x: Float[Tensor, "batch heads time head_dim"],
    positions: Int[Tensor, " time"],
    frequency: Float[Tensor, " half"],
) -> Float[Tensor, "batch heads time head_dim"]:
    """Queries or keys in which each pair of numbers, the i-th and the (i + half)-th, is turned by the
    angle a = position · frequency[i]:

        x[i]        becomes  x[i] · cos a − x[i + half] · sin a
        x[i + half] becomes  x[i] · sin a + x[i + half] · cos a

    What stands beyond 2 · half stays as it is."""
    half = len(frequency)
    angle = positions[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([first * cos - second * sin, first * sin + second * cos, rest], dim=-1)


class LongRotary(Rotary):
    """LongRoPE (Ding et al. 2024): other frequencies as soon as a text is longer than the original
    context."""

    long_frequency: Tensor

    def __init__(
        self,
        short: Float[Tensor, " half"],
        long: Float[Tensor, " half"],
        original: int,
        factor: float,
    ):
        super().__init__(short, factor)
        self.register_buffer("long_frequency", long.float(), persistent=False)
        self.original = original

    def turn(
        self, positions: Int[Tensor, "*batch time"], lengths: Int[Tensor, "batch time"] | int
    ) -> tuple[Tensor, Tensor]:
        is_long = torch.as_tensor(lengths, device=positions.device)[..., None] > self.original
        return self._turn(positions, torch.where(is_long, self.long_frequency, self.frequency))


class NoRotation(nn.Module):
    """Leaves queries and keys as they are, where order comes in elsewhere."""

    def forward(
        self, x: Float[Tensor, "batch heads time head_dim"], places: "Places"
    ) -> Float[Tensor, "batch heads time head_dim"]:
        return x


def frequencies(width: int, theta: float) -> Float[Tensor, " half"]:
    """For width/2 pairs, falling from 1 to 1/theta. On the CPU even where a model is built without
    memory (device "meta"): they are not in the saved weights."""
    return theta ** -(torch.arange(0, width, 2, dtype=torch.float64, device="cpu") / width)


def _linear(frequency: Tensor, width: int, theta: float, scaling: RopeScaling) -> Tensor:
    """Positional interpolation (Chen et al. 2023): positions are divided by the factor."""
    return frequency / scaling.factor


def _llama3(frequency: Tensor, width: int, theta: float, scaling: RopeScaling) -> Tensor:
    """Llama 3.1: stretch what turns seldom over the original context, leave what turns often, and
    go smoothly from the one to the other in between."""
    turns = scaling.original_context_length * frequency / (2 * math.pi)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return kept * frequency + (1 - kept) * frequency / scaling.factor


def _yarn(frequency: Tensor, width: int, theta: float, scaling: RopeScaling) -> Tensor:
    """YaRN (Peng et al. 2023, section 3.2): as llama3, but even over the index of the pair."""

    def pair_with(turns: float) -> float:
        wavelength = scaling.original_context_length / (2 * math.pi * turns)
        return width * math.log(wavelength) / (2 * math.log(theta))

    first = max(math.floor(pair_with(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_with(scaling.beta_slow)), width - 1)
    pair = torch.arange(len(frequency), dtype=torch.float64, device="cpu")
    kept = 1 - ((pair - first) / max(last - first, 0.001)).clamp(0, 1)
    return kept * frequency + (1 - kept) * frequency / scaling.factor


STRETCHES: dict[str, Callable[[Tensor, int, float, RopeScaling], Tensor]] = {
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
}


def yarn_scale(factor: float, mscale: float = 1.0) -> float:
    """How much larger scores should be after stretching by `factor` (YaRN, section 3.4)."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def attention_factor(scaling: RopeScaling) -> float:
    """What turned queries and keys are multiplied by."""
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    if scaling.kind == "longrope":
        original = scaling.original_context_length
        return math.sqrt(1 + math.log(max(scaling.factor, 1.0)) / math.log(original))
    if scaling.kind != "yarn":
        return 1.0
    if scaling.mscale and scaling.mscale_all_dim:
        own, all_dim = scaling.mscale, scaling.mscale_all_dim
        return yarn_scale(scaling.factor, own) / yarn_scale(scaling.factor, all_dim)
    return yarn_scale(scaling.factor)


def score_scale(scaling: RopeScaling) -> float:
    """What all attention scores are multiplied by, in DeepSeek's version of YaRN."""
    if scaling.kind != "yarn" or not scaling.mscale_all_dim:
        return 1.0
    return yarn_scale(scaling.factor, scaling.mscale_all_dim) ** 2


def additive_position(config: ModelConfig) -> nn.Module:
    """The part that is added to the embeddings."""
    schemes = {"learned": LearnedPosition, "sinusoidal": SinusoidalPosition}
    return schemes[config.position](config) if config.position in schemes else NoPosition()


def rotation(config: ModelConfig, kind: LayerKind) -> nn.Module:
    """The part that turns queries and keys in layers of this kind."""
    if config.position != "rotary" or kind in ("nope", "linear"):
        return NoRotation()
    width, scaling = config.turned_dim, config.rope_scaling
    if kind == "window":
        return Rotary(frequencies(width, config.rope_theta_window or config.rope_theta))
    frequency = frequencies(width, config.rope_theta)
    if scaling.kind == "longrope":
        short, long = (
            frequency / torch.tensor(factors, dtype=torch.float64, device="cpu")
            for factors in (scaling.short_factors, scaling.long_factors)
        )
        return LongRotary(short, long, scaling.original_context_length, attention_factor(scaling))
    if scaling.kind in STRETCHES:
        frequency = STRETCHES[scaling.kind](frequency, width, config.rope_theta, scaling)
    return Rotary(frequency, attention_factor(scaling))
