"""How the work of a step is divided among GPUs: replicas of the data, shards of the weights, parts of
the matrices.

A layout is data × shard × tensor. The GPUs of one tensor group stand side by side in a machine, the
shards next to them, and replicas are furthest apart, as what they exchange is least.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.recipe.scale.gpus import GPUS_IN_A_MACHINE

Checkpointing = Literal["none", "selective", "full"]
CHECKPOINTING: tuple[Checkpointing, ...] = get_args(Checkpointing)


@dataclass(frozen=True)
class Layout:
    """A division of `gpus` GPUs, and what each of them does in a step."""

    data: int = 1
    """Replicas: each has its own part of the batch (DDP)."""
    shard: int = 1
    """GPUs that share one copy of weights, gradients and averages, and have their own part of the batch
    (FSDP2's `fully_shard`)."""
    tensor: int = 1
    """GPUs that share the matrices of a block, and work on the same part of the batch."""
    checkpointing: Checkpointing = "none"
    """What of the activations is computed again: nothing, all but the matrix products, or everything."""
    micro_batch: int = 1
    """Windows in one pass of a GPU."""
    accumulation: int = 1
    """Passes in a step."""

    @property
    def gpus(self) -> int:
        return self.data * self.shard * self.tensor

    @property
    def readers(self) -> int:
        """How many parts the batch is divided into."""
        return self.data * self.shard


def divisions(gpus: int) -> Iterator[Layout]:
    """All ways to divide so many GPUs."""
    for tensor in _divisors(gpus):
        for shard in _divisors(gpus // tensor):
            yield Layout(gpus // tensor // shard, shard, tensor)


def refusal(config: ModelConfig, layout: Layout, windows: int) -> str | None:
    """Why a model with a batch of so many windows cannot be divided like this, if it cannot."""
    tensor = layout.tensor
    if tensor > GPUS_IN_A_MACHINE:
        return N_(f"tensor > {GPUS_IN_A_MACHINE} goes beyond one machine")
    special = "linear" in config.layer_pattern or config.latent.kv_rank or config.experts.count
    if tensor > 1 and special:
        return N_("tensor > 1 is for plain attention and feed-forwards only")
    sizes = {"n_heads": config.n_heads, "n_kv_heads": config.n_kv_heads, "d_ff": config.d_ff}
    for name, size in sizes.items():
        if size % tensor:
            return N_(f"tensor {tensor} does not divide {name} {size}")
    if windows % layout.readers:
        return N_(f"data x shard {layout.readers} does not divide the batch of {windows} windows")
    return None


def passes(layout: Layout, windows: int) -> Iterator[Layout]:
    """The layout with every way to take its part of the batch in equal passes, the largest first."""
    part = windows // layout.readers
    for micro_batch in reversed(_divisors(part)):
        yield replace(layout, micro_batch=micro_batch, accumulation=part // micro_batch)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
