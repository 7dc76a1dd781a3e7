"""Bytes on one GPU.

One GPU's part of a tensor-parallel model is itself a model, with fewer heads and a narrower feed-forward
(Shoeybi et al. 2019, Megatron-LM), so it is traced as one; embedding and head stay whole. Weights,
gradients and averages are divided among the shards (Rajbhandari et al. 2020, ZeRO, stage 3); what is
computed with is gathered, block by block.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from torch import Tensor

from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.loss import CHUNK_LOGITS, LEAST_CHUNK
from groundup.recipe.scale.layout import Checkpointing, Layout
from groundup.train.memory import AVERAGES, Traced, traced

Optimizer = Literal["adamw", "muon"]
Dtype = Literal["float32", "bfloat16"]
WIDTH: dict[Dtype, int] = {"float32": 4, "bfloat16": 2}
SINGLE = 4
# Muon's update of all matrices of a shape: their momentum, the stack of it, and two states of the iteration.
COPIES_OF_MUON = 4


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    """Blocks whose shards were brought together to compute with, in the precision of computing."""
    activations: int
    """Kept for the backward pass, and computed again on the way."""
    loss: int
    """The gradients of the head and of what it reads, which come with the loss, and its logits."""
    update: int
    """What an optimiser needs beside its averages while it works."""
    accumulating: bool
    """Whether gradients of earlier passes are there during a pass."""

    @property
    def total(self) -> int:
        """The most at any time: in a pass or in the update after it."""
        passing = self.activations + self.loss + self.gathered
        if self.accumulating:
            passing += self.gradients
        return self.weights + self.optimizer + max(passing, self.gradients + self.update)


def memory(config: ModelConfig, layout: Layout, optimizer: Optimizer, dtype: Dtype) -> Memory:
    """What one GPU holds of a model in a layout. Weights, gradients and averages are in single precision;
    `dtype` is what is computed in."""
    found = _traced_part(config.model_dump_json(), layout.tensor)
    shard, width = layout.shard, WIDTH[dtype]
    matrices, others = found.matrices, found.weights - found.matrices
    averages = AVERAGES[optimizer] * matrices + AVERAGES["adamw"] * others
    group = found.largest_group if optimizer == "muon" else 0
    loss = _loss(config, layout.micro_batch, width)
    head = config.vocab_size * config.d_model * width
    return Memory(
        weights=-(-found.weights // shard), gradients=-(-found.weights // shard),
        optimizer=-(-averages // shard),
        gathered=_gathered(found, width, loss - head) if shard > 1 or dtype == "bfloat16" else 0,
        activations=_kept(config, found, layout, width), loss=loss, update=COPIES_OF_MUON * group // shard,
        accumulating=layout.accumulation > 1,
    )  # fmt: skip


@lru_cache
def _traced_part(described: str, tensor: int) -> Traced:
    config = ModelConfig.model_validate_json(described)
    part = {
        "n_heads": config.n_heads // tensor, "n_kv_heads": config.n_kv_heads // tensor,
        "d_ff": config.d_ff // tensor,
        "experts": config.experts.model_copy(update={"d_ff": config.experts.d_ff // tensor}),
    }  # fmt: skip
    return traced(config.model_copy(update=part if tensor > 1 else {}), _stream)


def _stream(model: GPT, ids: Tensor) -> Tensor:
    """All but the head and the loss, which are reckoned apart."""
    return model.hidden(ids[:, :-1]).sum() + model.auxiliary_loss()


def _kept(config: ModelConfig, found: Traced, layout: Layout, width: int) -> int:
    """The activations of a pass: what is kept of every block, and of one block what is computed again."""
    windows = layout.micro_batch
    read = windows * config.context_length * config.d_model * SINGLE  # by a block
    total, again = found.outside.of(windows), 0
    for count, all_kept, products in found.layers:
        whole = all_kept.of(windows)
        kept = _of_block(layout.checkpointing, whole, products.of(windows), read)
        total += count * kept
        again = max(again, whole - kept)
    return (total + again) * width // SINGLE


def _of_block(checkpointing: Checkpointing, whole: int, products: int, read: int) -> int:
    if checkpointing == "none":
        return whole
    return min(whole, read + products) if checkpointing == "selective" else min(whole, read)


def _loss(config: ModelConfig, windows: int, width: int) -> int:
    """What the loss keeps for the backward pass (`model/loss.py`), and beside it, at the most, the
    logits of a chunk three times (logits, log p, gradient), or in the backward pass the head's
    gradient once more."""
    head = config.vocab_size * config.d_model
    kept = (head + windows * config.context_length * config.d_model) * width
    rows = max(LEAST_CHUNK, CHUNK_LOGITS // config.vocab_size)
    return kept + max(head * width, 3 * rows * config.vocab_size * width)


def _gathered(found: Traced, width: int, after_loss: int) -> int:
    """Of FSDP (PyTorch, `fully_shard`): what stands outside the blocks, whose gradient is the loss's; and, in
    the place of what is there no more `after_loss`, the block that is computed with and the next one, the
    gradients of a block, and the same in single precision on the way to their shards."""
    narrow = width / SINGLE
    blocks = found.largest_block * (2 * narrow + narrow + 1)
    return int(narrow * found.root + max(0, blocks - after_loss))
