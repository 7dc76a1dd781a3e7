"""Early stopping: end when the validation no longer improves, and keep the weights that were best.

What was best so far is read from `metrics.jsonl`, so a resumed training stops where the undisturbed one
does (Prechelt 1998, "Early Stopping — But When?").
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from groundup.files import atomic_path
from groundup.train.loop import Run
from groundup.train.metrics import MetricsFile, read_metrics

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
        rows = [each for each in read_metrics(self.metrics.path) if self.figure in each]
        values = np.array([each[self.figure] for each in rows], np.float64)
        costs = -values if self.figure in HIGHER_IS_BETTER else values
        since_best = len(costs) - 1 - int(np.nan_to_num(costs, nan=np.inf).argmin())
        if since_best == 0:
            weights = {
                n: p.detach().contiguous()
                for n, p in run.model.named_parameters()
                if p.requires_grad
            }
            with atomic_path(self.best_weights) as path:
                save_file(weights, path)
        run.stopped = since_best >= self.patience

    def take_best(self, run: Run) -> None:
        """Give the model its best weights, at the end."""
        if self.figure is None or not self.best_weights.is_file():
            return
        parameters = dict(run.model.named_parameters())
        with torch.no_grad():
            for name, tensor in load_file(self.best_weights).items():
                parameters[name].copy_(tensor)
