"""Gated DeltaNet (Yang, Kautz and Hatamizadeh 2024): a memory of fixed size in place of attention.

Attention keeps every key and value; this layer keeps one matrix per head, which maps keys to values.
For each token the memory fades, the value that it holds for the token's key is corrected towards the
token's value (the delta rule, Widrow and Hoff 1960), and the query reads it. Cost and memory do not
grow with the text; Qwen3-Next and Qwen3.5 have three such layers for each one of attention.

`delta_rule_step_by_step` is the definition; `delta_rule` computes the same, chunk by chunk, by matrix
products.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from groundup.model.config import ModelConfig
from groundup.model.layers import RMSNorm
from groundup.model.linear import Linear
from groundup.model.places import Places

CHUNK = 64


class GatedDeltaNet(nn.Module):
    """Project, look at the neighbours, run the memory, norm and gate what it gives."""

    def __init__(self, config: ModelConfig, layer: int, rotate: nn.Module):
        super().__init__()
        sizes = config.delta
        self.layer, self.key_dim, self.value_dim = layer, sizes.key_dim, sizes.value_dim
        key_width = sizes.n_key_heads * sizes.key_dim
        value_width = sizes.n_value_heads * sizes.value_dim
        self.widths = [key_width, key_width, value_width]
        self.group = sizes.n_value_heads // sizes.n_key_heads
        self.memory_query = Linear(config.d_model, key_width, bias=False)
        self.memory_key = Linear(config.d_model, key_width, bias=False)
        self.memory_value = Linear(config.d_model, value_width, bias=False)
        self.gate = Linear(config.d_model, value_width, bias=False)
        self.write = Linear(config.d_model, sizes.n_value_heads, bias=False)
        self.fade = Linear(config.d_model, sizes.n_value_heads, bias=False)
        self.fade_bias = nn.Parameter(torch.ones(sizes.n_value_heads))
        # How fast each head forgets, as a logarithm; spread over slow and fast heads, as in Mamba.
        self.fade_rate = nn.Parameter(torch.linspace(0.5, 16, sizes.n_value_heads).log())
        self.convolution = nn.Parameter(torch.empty(sum(self.widths), 1, sizes.conv_width))
        nn.init.uniform_(self.convolution, -(sizes.conv_width**-0.5), sizes.conv_width**-0.5)
        self.norm = RMSNorm(sizes.value_dim, config.norm_epsilon)
        self.read_out = Linear(value_width, config.d_model, bias=False)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: Places
    ) -> Float[Tensor, "batch time d_model"]:
        places.refuse_several("Gated DeltaNet")
        x = places.blank_padding(x)
        mixed = torch.cat([self.memory_query(x), self.memory_key(x), self.memory_value(x)], dim=-1)
        q, k, v = self._with_neighbours(mixed, places).split(self.widths, dim=-1)
        q, k = (self._heads(part, self.key_dim, self.group) for part in (q, k))
        v = self._heads(v, self.value_dim, 1)
        write = self.write(x).sigmoid().transpose(1, 2)
        fade = -self.fade_rate.exp() * F.softplus(self.fade(x) + self.fade_bias)
        memory = v.new_zeros(*v.shape[:2], self.key_dim, self.value_dim)
        memory = places.recall(self.layer, "memory", memory)
        read, memory = delta_rule(unit(q), unit(k), v, write, fade.transpose(1, 2), memory)
        places.keep(self.layer, "memory", memory)
        gate = F.silu(self.gate(x)).unflatten(-1, (-1, self.value_dim))
        return self.read_out((self.norm(read.transpose(1, 2)) * gate).flatten(2))

    def _with_neighbours(
        self, mixed: Float[Tensor, "batch time width"], places: Places
    ) -> Float[Tensor, "batch time width"]:
        """A causal convolution over the last few tokens, channel by channel."""
        past = self.convolution.shape[-1] - 1
        before = mixed.new_zeros(len(mixed), past, mixed.shape[-1])
        joined = torch.cat([places.recall(self.layer, "inputs", before), mixed], dim=1)
        places.keep(self.layer, "inputs", joined[:, joined.shape[1] - past :])
        channels = joined.transpose(1, 2)
        return F.silu(F.conv1d(channels, self.convolution, groups=channels.shape[1])).transpose(
            1, 2
        )

    @staticmethod
    def _heads(x: Tensor, width: int, group: int) -> Float[Tensor, "batch heads time width"]:
        return x.unflatten(-1, (-1, width)).transpose(1, 2).repeat_interleave(group, dim=1)


def unit(x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """Scaled to length 1."""
    return x * (x.square().sum(dim=-1, keepdim=True) + 1e-6).rsqrt()


def delta_rule_step_by_step(
    q: Float[Tensor, "batch heads time key_dim"],
    k: Float[Tensor, "batch heads time key_dim"],
    v: Float[Tensor, "batch heads time value_dim"],
    write: Float[Tensor, "batch heads time"],
    fade: Float[Tensor, "batch heads time"],
    memory: Float[Tensor, "batch heads key_dim value_dim"],
) -> tuple[
    Float[Tensor, "batch heads time value_dim"], Float[Tensor, "batch heads key_dim value_dim"]
]:
    """M ← eᶠᵃᵈᵉ M;  M ← M + k (write · (v − kᵀ M));  read qᵀ M / √key_dim: token by token.

    `fade` ≤ 0 is a logarithm, `write` is in (0, 1); returns what was read, and the memory."""
    read = []
    for t in range(q.shape[2]):
        memory = memory * fade[:, :, t, None, None].exp()
        key = k[:, :, t, :, None]
        correction = write[:, :, t, None, None] * (v[:, :, t, None] - key.mT @ memory)
        memory = memory + key @ correction
        read.append((q[:, :, t, None] @ memory)[:, :, 0] * q.shape[-1] ** -0.5)
    return torch.stack(read, dim=2), memory


def delta_rule(
    q: Float[Tensor, "batch heads time key_dim"],
    k: Float[Tensor, "batch heads time key_dim"],
    v: Float[Tensor, "batch heads time value_dim"],
    write: Float[Tensor, "batch heads time"],
    fade: Float[Tensor, "batch heads time"],
    memory: Float[Tensor, "batch heads key_dim value_dim"],
) -> tuple[
    Float[Tensor, "batch heads time value_dim"], Float[Tensor, "batch heads key_dim value_dim"]
]:
    """`delta_rule_step_by_step`, a chunk at a time (Yang et al. 2024, section 3.3).

    Within a chunk each correction depends on the ones before it, through the likeness of their keys:
    a triangular system of equations, which is solved for all of them at once."""
    read = []
    for start in range(0, q.shape[2], CHUNK):
        q_part, k_part, v_part, write_part, fade_part = (
            x[:, :, start : start + CHUNK] for x in (q, k, v, write, fade)
        )
        given, memory = _chunk(q_part, k_part, v_part, write_part, fade_part, memory)
        read.append(given)
    return torch.cat(read, dim=2), memory


def _chunk(
    q: Tensor, k: Tensor, v: Tensor, write: Tensor, fade: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    faded = fade.cumsum(dim=2)
    # What is left at token i of what was written at token j ≤ i.
    left = (faded[..., :, None] - faded[..., None, :]).tril().exp().tril()
    likeness = (k @ k.mT) * left * write[..., None]
    since_start = faded.exp()[..., None]
    wanted = write[..., None] * (v - since_start * (k @ memory))
    corrections = torch.linalg.solve_triangular(
        likeness.tril(-1), wanted, upper=False, unitriangular=True
    )
    q = q * q.shape[-1] ** -0.5
    read = since_start * (q @ memory) + ((q @ k.mT) * left) @ corrections
    to_end = (faded[..., -1:] - faded).exp()[..., None]
    memory = memory * faded[..., -1, None, None].exp() + (k * to_end).mT @ corrections
    return read, memory
