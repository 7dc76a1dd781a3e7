"""The settings of pruning and distillation."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from groundup.settings import Settings
from groundup.train.config import TrainConfig

Pattern = Literal[
    "magnitude", "magnitude-layer", "wanda", "2:4", "2:4-wanda", "heads", "columns", "layers"
]


class PruneConfig(Settings):
    """What is taken from a model, and how much of it."""

    pattern: Pattern = "magnitude"
    """Single weights become zero: the smallest of the whole model (`magnitude`) or of each matrix
    (`magnitude-layer`), those that matter least to the output (`wanda`), or two of each four (`2:4`,
    `2:4-wanda`). Or whole parts go, and the model is smaller: attention `heads`, feed-forward `columns`,
    `layers`."""
    sparsity: float = Field(default=0.5, ge=0.0, lt=1.0)
    """The share that goes, of the weights of the blocks, or of the heads, columns or layers."""


class RecoverConfig(TrainConfig):
    """How a pruned model is trained to make up for what it lost: shortly, and gently."""

    steps: PositiveInt = 200
    """Optimiser steps. With `minutes`, the most there may be."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`adamw` for everything, or `muon` for the matrices of the blocks and AdamW for the rest."""
    learning_rate: PositiveFloat = 5e-4
    """Peak rate of AdamW."""
    weight_decay: NonNegativeFloat = 0.0
    """Pull of the matrices towards zero, times the learning rate (Loshchilov and Hutter 2019)."""


class DistillConfig(Settings):
    """What a student takes from its teacher."""

    divergence: Literal["forward", "reverse"] = "forward"
    """`forward`, KL(teacher ‖ student), spreads the student over all that the teacher finds possible
    (Hinton et al. 2015); `reverse`, KL(student ‖ teacher), keeps it to what the teacher finds likely
    (MiniLLM, Gu et al. 2024)."""
    temperature: PositiveFloat = 1.0
    """Divides the logits of both: above 1, what is unlikely counts more."""
    teacher_share: float = Field(default=0.9, ge=0.0, le=1.0)
    """Share of the divergence in the loss; the rest is the ordinary loss on the text itself."""
    hidden_weight: NonNegativeFloat = 0.0
    """Weight of a third part: how far the student's last hidden states, through a learned matrix, are
    from the teacher's (FitNets, Romero et al. 2015; DistilBERT, Sanh et al. 2019)."""
    cache_top_k: PositiveInt | None = None
    """Ask the teacher once, and keep its so many likeliest tokens at each position on disk (8 bytes or
    fewer for each) instead of asking it again in every epoch and every run. 64 do well. By default
    nothing is kept."""
