"""What a run has made: what everybody wants to know when it is over."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.evaluate.results import Result
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune.stage import TuneSummary
from groundup.recipe.pretrain import Summary
from groundup.recipe.stages import Record
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import load


@dataclass(frozen=True)
class Finished:
    """A run directory and what its stages came to."""

    run: RunDirectory
    model: Path
    """The model directory that was built last."""
    records: dict[str, Record]
    pretrained: Summary | None
    """None where a model of somebody's was tuned."""
    tuned: TuneSummary | None
    """None where nothing was tuned."""
    figures: dict[str, Any]
    """What the evaluation measured, by the names that scripts read."""
    results: list[Result]
    """What the tuning and the evaluation measured, for tables."""

    def load(self) -> tuple[GPT, Tokenizer]:
        """The model, ready for use."""
        return load(self.model)
