"""Symptoms of the learning rate and its schedule."""

import math
from collections.abc import Iterator

import numpy as np

from groundup.doctor.finding import Finding
from groundup.doctor.run import ExaminedRun
from groundup.train.config import TrainConfig
from groundup.train.schedules import rate


def reach(config: TrainConfig, first: int = 0, last: int | None = None) -> float:
    """How far the rate lets a weight move between two steps, at most: the sum of the rates, as an
    Adam step moves a weight by about its rate (Kingma and Ba 2015, section 2.1)."""
    progress = np.linspace(0, 1, 201)
    shares = np.array([rate(float(p), config) for p in progress])
    of_run = (progress >= first / config.steps) & (
        progress <= (last or config.steps) / config.steps
    )
    if not of_run.any():
        return 0.0
    return config.learning_rate * float(shares[of_run].mean()) * ((last or config.steps) - first)


def too_low(run: ExaminedRun) -> Iterator[Finding]:
    """A rate at which no weight can leave its place: weights begin at about 0.02, and to learn
    is to move that far. A tenth of it over the whole training is too little; continued training at
    1e-5 for 2000 steps moves 0.01 and more."""
    config = run.train_config
    if len(run.steps) < 3 or config.minutes is not None:
        return
    first, last, far = run.steps[0]["loss"], run.steps[-1]["loss"], reach(config)
    if far < 0.002 and last > 0.9 * first:
        yield Finding(
            "learning-rate-too-low", "the learning rate is too low for anything to be learned",
            f"learning_rate {config.learning_rate:g} over {config.steps} steps moves a weight by at "
            f"most {far:.1g}, and weights begin at about 0.02; the loss went from {first:.3f} to "
            f"{last:.3f} at step {run.steps[-1]['step']} ({run.metrics_path})",
            "begin with 1e-3 to 5e-3 for a small model (6e-4 for GPT-2's 124 million parameters)",
        )  # fmt: skip


def no_decay(run: ExaminedRun) -> Iterator[Finding]:
    """A rate that ends above half of its peak: its noise stays in the weights, and a decay over the
    last fifth would take it out (Hägele et al. 2024). Where a training ends by minutes the schedule
    fits itself to them, so only the settings count."""
    config = run.train_config
    ends = rate(1.0, config)
    if ends > 0.5:
        yield Finding(
            "no-decay", "the learning rate is still high when the training ends",
            f"it ends at {ends:.0%} of its peak (schedule {config.schedule}, decay "
            f"{config.decay:g}, final_rate {config.final_rate:g} in recipe.toml)",
            "set final_rate to 0.1 or less and, with wsd, decay to 0.2 or more",
        )  # fmt: skip


def long_warm_up(run: ExaminedRun) -> Iterator[Finding]:
    """A warm-up over more than half of the training: GPT-3 took a thousandth, PaLM and Llama a
    hundredth, small models up to a tenth."""
    warmup = run.train_config.warmup
    if warmup > 0.5:
        yield Finding(
            "long-warm-up", "the learning rate rises for most of the training",
            f"warmup {warmup:g} in recipe.toml: the peak is reached at step "
            f"{math.ceil(warmup * run.train_config.steps)} of {run.train_config.steps}",
            "set warmup to 0.01 to 0.1",
        )  # fmt: skip
