"""The settings of the training loop."""

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from groundup.settings import Seed, Settings

FREE = {"checkpoint_every", "keep_checkpoints", "minutes"}
# How the validation is looked at decides something only where it may end the training.
SEEN_ONLY = {"eval_every", "eval_tokens", "patience"}


class TrainConfig(Settings):
    """How a model is trained: how long, how fast, with what, and what is kept."""

    steps: PositiveInt = 2000
    """Optimiser steps. With `minutes`, the most there may be."""
    minutes: float | None = Field(default=None, gt=0.0, le=1e6)
    """A budget of training time: the schedule fits itself to it, evaluation not counted."""
    micro_batch: PositiveInt = 16
    """Windows in one forward and backward pass."""
    grad_accumulation: PositiveInt = 1
    """Passes whose gradients are averaged into one optimiser step."""
    optimizer: Literal["adamw", "muon"] = "muon"
    """`adamw` for everything, or `muon` for the matrices of the blocks and AdamW for the rest."""
    learning_rate: PositiveFloat = 3e-3
    """Peak rate of AdamW."""
    matrix_learning_rate: PositiveFloat = 0.02
    """Peak rate of Muon."""
    schedule: Literal["cosine", "wsd", "inverse-sqrt"] = "wsd"
    """After the warm-up: fall along a cosine; stay and fall linearly at the end (wsd); or fall as one
    over the root of the step, without an end in view (inverse-sqrt, Vaswani et al. 2017)."""
    warmup: float = Field(default=0.02, ge=0.0, lt=1.0)
    """Share of the training in which the rate rises from 0."""
    decay: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the training, at its end, in which a wsd rate falls."""
    final_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Where the rate ends, as a share of its peak."""
    weight_decay: NonNegativeFloat = 0.1
    """Pull of the matrices towards zero, times the learning rate (Loshchilov and Hutter 2019)."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """AdamW's memory of the gradient."""
    beta2: float = Field(default=0.95, ge=0.0, lt=1.0)
    """AdamW's memory of the squared gradient; 0.95 as in GPT-3, steadier than Adam's 0.999."""
    momentum: float = Field(default=0.95, ge=0.0, lt=1.0)
    """Muon's memory of the gradient."""
    clip_norm: PositiveFloat = 1.0
    """Gradients longer than this are scaled down to it."""
    answer_weight: PositiveFloat = 1.0
    """Weight of the tokens that an assistant says, beside 1 for all others."""
    eval_every: NonNegativeInt = 250
    """Steps between evaluations on the validation text; 0: only at the end."""
    eval_tokens: PositiveInt = 100_000
    """Validation tokens looked at in each evaluation; the last one takes them all."""
    patience: NonNegativeInt = 0
    """End the training after so many evaluations without a better one, with the best weights; 0: never."""
    checkpoint_every: PositiveInt = 250
    """Steps between checkpoints, at most. Where steps are long, one is also written every half minute,
    as long as writing takes less than a fiftieth of the time."""
    keep_checkpoints: PositiveInt = 2
    """How many of the newest checkpoints stay."""
    seed: Seed = 0
    """Decides the starting weights, the order of the data and the dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; `auto` takes a GPU if there is one."""

    def decisive(self) -> dict[str, Any]:
        """The settings that decide the weights: those that may not differ when a run is resumed."""
        return self.model_dump(exclude=FREE if self.patience else FREE | SEEN_ONLY)

    @model_validator(mode="after")
    def _schedule_begins(self) -> "TrainConfig":
        if self.schedule == "inverse-sqrt" and not self.warmup:
            raise ValueError(
                "an inverse-sqrt schedule falls from where the warmup ends: set warmup"
            )
        return self


class ParallelConfig(Settings):
    """How one training is spread over processes, each with a GPU or some cores of its own. It decides how
    fast a model is trained, and not which: a run may go on with another layout than it began with."""

    processes: PositiveInt = 1
    """How many processes `groundup` starts on this machine; under torchrun, which starts them itself, leave
    it at 1."""
    data: PositiveInt | None = None
    """So many groups, each with the whole model and a part of the batch (DistributedDataParallel, Li et al.
    2020). Default: as many as the processes allow."""
    shard: PositiveInt = 1
    """So many processes share the weights, the gradients and the optimiser's state, and bring a block
    together when it is at work (fully sharded, Zhao et al. 2023)."""
    tensor: PositiveInt = 1
    """So many processes share every matrix: some heads each, some columns of the feed-forward each
    (Shoeybi et al. 2019). They talk twice in each block, so they belong on one machine."""
    checkpointing: Literal["none", "selective", "full"] = "none"
    """What is kept of the forward pass for the backward one: everything; the products of matrices; or
    nothing but what enters each block, which is then computed once more (Chen et al. 2016)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: matrices are multiplied in half precision; weights and optimiser stay in single."""
    timeout: float = Field(default=10.0, gt=0.0, le=10_000)
    """A process that waits for another one for so many minutes says which one it is and in what, and all
    end; torchrun starts them again."""
    compile: bool = False
    """Let torch.compile make one kernel of many in each block: slow to begin, faster on GPUs."""
