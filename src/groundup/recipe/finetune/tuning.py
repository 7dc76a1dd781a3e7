"""What a tuning is made of when its rows are read: the rest of the way is the same for every kind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.evaluate.results import Measured
from groundup.model.gpt import GPT
from groundup.recipe.finetune.general import GeneralText
from groundup.sources.rows import BadRows
from groundup.train.loop import Batches, Run
from groundup.train.objectives import Objective


@dataclass(frozen=True)
class Tuning:
    """A model with an objective, batches and a way to see what came of it."""

    model: GPT
    objective: Objective
    batches: Batches
    """The n-th micro-batch."""
    batches_per_epoch: int
    evaluate: Callable[[Run, bool], dict[str, Any]]
    """Figures on the rows held out for validation: of all, or of some while training."""
    finish: Callable[[], Measured]
    """What is measured at the end, once the model has the weights that it keeps."""
    save: Callable[[Path], object]
    """Write the model directory."""
    improves: str = "val_loss"
    """The figure of `evaluate` that early stopping looks at."""
    watch: Callable[[Run], str | None] = lambda run: None
    """Called after each step: something that the user should know, if there is anything."""
    general: GeneralText | None = None
    """Text of which some should not be forgotten: it is measured before and after."""
    bad: BadRows = field(default_factory=BadRows)
    """The rows that are left out."""
    notes: list[str] = field(default_factory=list)
    """What the user should know before: how many rows are left out, which prompts are cut."""
