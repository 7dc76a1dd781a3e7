"""Settings with the defaults of a tuning: fewer steps, smaller ones, AdamW; an adapter only if asked for."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from groundup.model.lora import LoraConfig
from groundup.train.config import TrainConfig


class TuneTrainConfig(TrainConfig):
    """How a model is tuned: how long, how fast, with what, and what is kept."""

    steps: NonNegativeInt = 0
    """Optimiser steps; 0: as many as the epochs take."""
    micro_batch: PositiveInt = 8
    """Rows in one forward and backward pass."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`adamw` for everything, or `muon` for the matrices of the blocks and AdamW for the rest."""
    learning_rate: NonNegativeFloat = 0.0
    """Peak rate of AdamW; 0: what suits the objective, with an adapter or without."""
    schedule: Literal["cosine", "wsd", "inverse-sqrt"] = "cosine"
    """After the warm-up: fall along a cosine; stay and fall linearly at the end (wsd); or fall as one
    over the root of the step (inverse-sqrt)."""
    warmup: float = 0.05
    """Share of the training in which the rate rises from 0."""
    weight_decay: NonNegativeFloat = 0.0
    """Pull of the matrices towards zero, times the learning rate."""
    eval_every: NonNegativeInt = 0
    """Steps between evaluations on the rows held out; 0: once an epoch."""


class AdapterConfig(LoraConfig):
    """An adapter that trains instead of the model: on which layers, how large, how strong."""

    rank: NonNegativeInt = 0
    """Rows of A and columns of B: how many directions a matrix can learn; 0: no adapter."""
