"""What a run will take: seconds, memory and disk of each stage, from a short trial on this machine.

The trial does on a sample what the stages do on everything: read, clean, learn a vocabulary, encode,
train for a few steps, evaluate. What cannot fit is refused, with the largest that would.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import ceil, log2
from pathlib import Path

import numpy as np
import psutil
import torch

from groundup.evaluate.language import score_language
from groundup.generation.text import generate
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.presets import PRESETS, preset
from groundup.recipe import documents
from groundup.recipe.directory import RunDirectory
from groundup.recipe.pretrain import model_config
from groundup.recipe.run import stages
from groundup.recipe.schema import Recipe
from groundup.recipe.stages import Ledger, PeakMemory
from groundup.recipe.watch import Watcher
from groundup.sources.read import Piece
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.config import TrainConfig
from groundup.train.loop import start_run, train
from groundup.train.memory import training_bytes
from groundup.train.objectives import next_token
from groundup.world.documents import spaced

SAMPLE_BYTES = 16 << 20
SAMPLE_SECONDS = 5.0
TRIAL_SECONDS = 4.0
# A part of the memory that is free now stays free: the figures are estimates.
USABLE = 0.9


@dataclass(frozen=True)
class Estimate:
    """What one stage will take; nothing, if it is done."""

    name: str
    state: str
    seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0


@dataclass
class Plan:
    """The stages of a run with what they will take, and what stands against it."""

    stages: list[Estimate] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What cannot fit, and the largest that would."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing before."""

    @property
    def fits(self) -> bool:
        return not self.problems


def make_plan(recipe: Recipe, out: Path, watcher: Watcher) -> Plan:
    """Try a recipe out and tell what its run in `out` will take."""
    run = RunDirectory(out)
    states = _states(recipe, run)
    plan = Plan()
    trial = Trial(recipe, run)
    for name, state in states.items():
        if state == "done":
            plan.stages.append(Estimate(name, "done"))
            continue
        watcher.stage(name, "Trying on a sample.")
        with PeakMemory() as memory:
            seconds, disk = getattr(trial, name)(plan)
        plan.stages.append(Estimate(name, "todo", seconds, memory.peak, disk))
    _check_disk(plan, out)
    return plan
