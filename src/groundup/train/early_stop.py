"""Early stopping: end when the validation no longer improves, and keep the weights that were best.

What was best so far is read from `metrics.jsonl`, so a resumed training stops where the undisturbed one
does (Prechelt 1998, "Early Stopping — But When?").
"""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from groundup.files import atomic_path
from groundup.train.checkpoint import put_weights, trained_weights
from groundup.train.loop import Run
from groundup.train.metrics import MetricsFile, read_metrics
from groundup.train.processes import is_first

# Of all other figures, the lower one is better.
HIGHER_IS_BETTER = {"exact_answers", "reward_accuracy", "val_accuracy"}


class EarlyStop:
    """Told of every evaluation. With a `patience` of 0, or without a figure to look at, it does
    nothing."""

    def __init__(self, out: Path, figure: str | None, patience: int, metrics: MetricsFile):
        self.best_weights = out / "best.safetensors"
        self.figure = figure if patience else None
        self.patience, self.metrics = patience, metrics

    @property
    def is_on(self) -> bool:
        return self.figure is not None

    def __call__(self, run: Run, row: dict[str, Any]) -> None:
        """Keep the weights if they are the best so far; end the training if none of the last `patience`
        evaluations was."""
        if self.figure is None:
            return
        since_best = self._since_best() if is_first() else 0
        if run.parallel.any_of(is_first() and since_best == 0):
            weights = trained_weights(run.model)
            if is_first():
                with atomic_path(self.best_weights) as path:
                    save_file(weights, path)
        run.stopped = run.parallel.any_of(since_best >= self.patience)

    def _since_best(self) -> int:
        """How many evaluations ago the best one was."""
        assert self.figure
        rows = [each for each in read_metrics(self.metrics.path) if self.figure in each]
        values = np.array([each[self.figure] for each in rows], np.float64)
        costs = -values if self.figure in HIGHER_IS_BETTER else values
        return len(costs) - 1 - int(np.nan_to_num(costs, nan=np.inf).argmin())

    def take_best(self, run: Run) -> None:
        """Give the model its best weights, at the end."""
        if self.figure is None or not self.best_weights.is_file():
            return
        put_weights(run.model, load_file(self.best_weights))
