"""Seconds of one optimiser step on a layout.

A step is work and messages. The work is the floating-point operations of the passes at the share of the
peak that the GPU's generation reaches. The messages of shards and replicas travel while the GPU computes
and cost only what is left over; those of tensor parallelism are waited for. A ring needs (n − 1)/n of
the bytes for gathering or scattering and twice that for a sum (Patarasuk and Yuan 2009).
"""

from dataclasses import dataclass

from groundup.model.config import ModelConfig
from groundup.model.cost import forward_flops_per_token, parameters
from groundup.recipe.scale.gpus import GPU, GPUS_IN_A_MACHINE
from groundup.recipe.scale.layout import Checkpointing, Layout
from groundup.recipe.scale.memory import SINGLE, WIDTH, Dtype

# The share of the blocks' forward pass that is computed again on the way back.
RECOMPUTED: dict[Checkpointing, float] = {"none": 0.0, "selective": 0.0, "full": 1.0}
# AdamW reads weight, gradient and two averages and writes three of them.
NUMBERS_OF_UPDATE = 7


@dataclass(frozen=True)
class Speed:
    """Where the seconds of a step go, and how many tokens it learns from."""

    tokens: int
    compute: float
    tensor: float
    """Waiting for the other parts of a matrix."""
    shard: float
    """Gathering weights and scattering gradients, as far as the work does not hide it."""
    data: float
    """Summing gradients over replicas, as far as the work does not hide it."""
    update: float

    @property
    def seconds(self) -> float:
        return self.compute + self.tensor + self.shard + self.data + self.update

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def speed(
    config: ModelConfig, layout: Layout, gpu: GPU, dtype: Dtype, recomputed: float | None = None
) -> Speed:
    """The time of one step. `recomputed` stands for another share of the forward pass that is computed
    again than that of the layout's checkpointing."""
    again = RECOMPUTED[layout.checkpointing] if recomputed is None else recomputed
    tokens = layout.micro_batch * config.context_length
    # Single precision runs at half the rate of bfloat16 at best (TF32).
    rate = gpu.peak * gpu.efficiency * (1.0 if dtype == "bfloat16" else 0.5)
    compute = tokens * _operations(config, layout.tensor, again) / rate
    waited = _tensor_seconds(config, layout, gpu, dtype, again)
    weights, width = _weights(config, layout.tensor), WIDTH[dtype]
    gathered = _ring(gpu, layout.shard, layout.tensor) * weights * (2 * width + SINGLE)
    summed = 2 * _ring(gpu, layout.data, layout.tensor * layout.shard) * weights / layout.shard
    hidden = 2 / 3 * compute  # by the backward pass of the last micro-batch
    update = NUMBERS_OF_UPDATE * SINGLE * weights / layout.shard / gpu.bandwidth
    passes = layout.accumulation
    return Speed(
        passes * tokens * layout.readers, passes * compute, passes * waited,
        passes * max(0.0, gathered - compute), max(0.0, SINGLE * summed - hidden), update,
    )  # fmt: skip


def _operations(config: ModelConfig, tensor: int, again: float) -> float:
    """Of one GPU for each token of its part: the blocks divided, the head whole."""
    head = 2 * config.vocab_size * config.d_model
    blocks = forward_flops_per_token(config) - head
    return (3 + again) * blocks / tensor + 3 * head


def _weights(config: ModelConfig, tensor: int) -> float:
    counts = parameters(config)
    outside = counts["embedding"] + counts["position"] + counts["head"]
    return outside + (sum(counts.values()) - outside) / tensor


def _tensor_seconds(
    config: ModelConfig, layout: Layout, gpu: GPU, dtype: Dtype, again: float
) -> float:
    """Two sums for each block forward, two backward, and those that are computed again (Megatron-LM)."""
    stream = layout.micro_batch * config.context_length * config.d_model * WIDTH[dtype]
    sums = config.n_layers * (4 + 2 * again)
    return sums * 2 * stream * _ring(gpu, layout.tensor, 1)


def _ring(gpu: GPU, size: int, apart: int) -> float:
    """Seconds for each byte that a ring of `size` GPUs, every `apart`-th, gathers.

    Beyond one machine each of its GPUs of the ring brings its own network card."""
    if size == 1:
        return 0.0
    beside = min(size, max(1, GPUS_IN_A_MACHINE // apart))
    inside = size * apart <= GPUS_IN_A_MACHINE
    rate = gpu.inside if inside else min(gpu.inside, beside * gpu.network)
    return (size - 1) / size / rate
