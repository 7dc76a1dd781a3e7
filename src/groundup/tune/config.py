"""Settings with the defaults of a tuning: fewer steps, smaller ones, AdamW; an adapter only if asked for."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from groundup.data.examples import LabelledConfig
from groundup.model.config import LoraConfig, Pooling
from groundup.settings import Seed, Settings
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


TrainLayers = Literal["all", "head", "lora"] | PositiveInt


class ClassifyConfig(LabelledConfig):
    """How a model learns to label texts."""

    pooling: Pooling = "last"
    """What the head looks at: the `last` token of a text, which has seen all of it, the `mean` of all,
    or the `first`, which has seen only itself."""
    train_layers: TrainLayers = "all"
    """What is trained: `all`, the `head` alone, the last so many blocks with what follows them, or
    `lora`: the adapter and the head. With an adapter, `all` is `lora`."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    """The share of certainty that is spread over all labels, so that the model does not learn to be
    surer than it can be (Szegedy et al. 2016)."""
    language_loss: NonNegativeFloat = 0.5
    """Weight of the loss of the next token, which is learned beside the label: a model that goes on
    reading forgets less, and learns a few labels by heart less easily (Radford et al. 2018)."""


class InstructConfig(Settings):
    """How answers to instructions are learned."""

    template: str | None = None
    """The chat template: groundup, chatml, llama-3, phi-3, alpaca, or a file of Jinja. Default: the
    model's own."""
    mask: Literal["assistant", "all"] = "assistant"
    """What is learned: what the `assistant` says, with the end of its turn, or `all` of a conversation."""
    pack: bool = True
    """Put several conversations into one row, each seeing only itself; else each has its own, and most
    of it is empty. (A model that carries a state from token to token needs rows of their own.)"""
    neftune_alpha: NonNegativeFloat = 0.0
    """Noise on the embeddings (NEFTune): the paper uses 5 to 15; 0 is none."""
    replay: list[str] = []
    """General text to mix in. Default: the text that a model of groundup's own was made from."""
    replay_share: float = Field(default=0.25, ge=0.0, lt=1.0)
    """Share of the rows that are general text, so that the model does not forget it (benchmarks/law.py:
    2 % worse on it afterwards; with 0.1 it is 6 %, with none 42 %)."""
    held_out: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the conversations that are kept to measure with."""
    split_seed: Seed = 0
    """Which ones these are."""


# What the papers use; it is another quantity in each.
BETAS = {"dpo": 0.1, "ipo": 0.1, "kto": 0.1, "orpo": 0.1, "simpo": 2.0}


WITH_REFERENCE = ("dpo", "ipo", "kto")


class PreferConfig(Settings):
    """How preferences are learned."""

    loss: Literal["dpo", "ipo", "kto", "orpo", "simpo"] = "dpo"
    """What is minimised. dpo, ipo and kto hold the model near the one that it began as; orpo and simpo
    need no such reference."""
    beta: PositiveFloat | None = None
    """How strongly the model is held near the reference (dpo, ipo, kto: the larger, the nearer); the
    weight of the preference (orpo); the scale of the reward (simpo). Default: 0.1, for simpo 2."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=0.5)
    """dpo: the share of pairs taken to be the wrong way round."""
    target_margin: NonNegativeFloat = 1.0
    """simpo: by how much the reward of the chosen answer should be the larger one."""
    held_out: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Share of the prompts whose pairs are kept to measure with."""
    split_seed: Seed = 0
    """Decides which they are."""

    @property
    def strength(self) -> float:
        """`beta`, or its default for this loss."""
        return BETAS[self.loss] if self.beta is None else self.beta

    @property
    def needs_reference(self) -> bool:
        """Whether `Pairs.reference` must be there."""
        return self.loss in WITH_REFERENCE


Task = Literal[
    "find", "last", "join", "order", "arithmetic", "opposite", "copy", "translate"
]  # fmt: skip


class ReasonConfig(Settings):
    """How a model learns from the marks of its own answers."""

    tasks: tuple[Task, ...] = Field(default=("last", "join"), min_length=1)
    """The kinds of question of the sample world to ask, in turn."""
    languages: tuple[Literal["en", "zh"], ...] = Field(default=("en", "zh"), min_length=1)
    """The languages to ask them in, in turn."""
    held_out_questions: PositiveInt = 400
    """How many questions, none of which is ever asked in training, are kept for the exam."""
    split_seed: Seed = 0
    """Which rows these are, where questions are rows."""
    answers: int = Field(default=8, ge=2)
    """How often each question is answered: the size of a group."""
    max_new_tokens: PositiveInt = 32
    """How long an answer may be."""
    format_reward: float = Field(default=0.0, ge=0.0, lt=1.0)
    """What an answer gets that is wrong, but of the right kind; the exact one gets 1."""
    clip: float = Field(default=0.2, gt=0.0, lt=1.0)
    """How far a token's probability may move from that of the sampling model before it stops to
    count, as a ratio."""
    kl: NonNegativeFloat = 0.0
    """Weight of the divergence from the reference, the model before the training."""
    updates: PositiveInt = 1
    """Optimiser steps on the same answers, before new ones are sampled. (With more than one, a run that
    is broken off between two of them goes on with new answers.)"""
    divide_by_spread: bool = True
    """Divide rewards by their spread in the group (GRPO); without, all questions count alike
    (Dr. GRPO)."""
    mean_over_answer: bool = True
    """Average over the tokens of each answer (GRPO); without, all tokens count alike (Dr. GRPO)."""
