"""What a tuning is made of when its rows are read: the rest of the way is the same for every kind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.model.gpt import GPT
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
    finish: Callable[[], dict[str, Any]]
    """The final figures, once the model has the weights that it keeps."""
    save: Callable[[Path], object]
    """Write the model directory."""
    improves: str = "val_loss"
    """The figure of `evaluate` that early stopping looks at, the lower the better."""
    watch: Callable[[Run], str | None] = lambda run: None
    """Called after each step: something that the user should know, if there is anything."""
    notes: list[str] = field(default_factory=list)
    """What the user should know before: rows left out, prompts cut."""
