"""Measuring: the run's `metrics.jsonl`, and what share of the machine the training uses."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from groundup.files import atomic_file, disk_errors
from groundup.model.linear import linear
from groundup.train.processes import is_first

# What a row says of its place in the training, beside its figures.
PLACE = {"step", "tokens", "seconds", "time"}


class MetricsFile:
    """One JSON object per line, appended; a resumed run first drops the lines after its step, so
    that the file reads as if nothing had happened."""

    def __init__(self, path: Path, step: int):
        self.path = path
        rows = [row for row in read_metrics(path) if row["step"] <= step]
        if not is_first():
            return
        with atomic_file(path) as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def has_evaluation(self, step: int) -> bool:
        """Whether there is a row of this step that is none of training."""
        return any(row["step"] == step and "loss" not in row for row in read_metrics(self.path))

    def write(self, **row: Any) -> None:
        if not is_first():
            return
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a last line cut by a crash is passed over."""
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return rows


def curves(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Each figure of a metrics file as points (step, value), in order: what was logged, and
    `tokens_per_second`, which follows from the tokens and seconds between two logged steps. Of two
    values at one step the later stands; what is no finite number has no point."""
    points: dict[str, dict[int, float]] = {}
    tokens, seconds = 0, 0.0
    for row in rows:
        figures = {name: value for name, value in row.items() if name not in PLACE}
        if "tokens" in row and row["seconds"] > seconds:
            figures["tokens_per_second"] = (row["tokens"] - tokens) / (row["seconds"] - seconds)
            tokens, seconds = row["tokens"], row["seconds"]
        for name, value in figures.items():
            if isinstance(value, int | float) and math.isfinite(value):
                points.setdefault(name, {})[row["step"]] = float(value)
    return {name: sorted(of.items()) for name, of in points.items()}


def matrix_peak(
    size: int = 2048, repeats: int = 3, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> float:
    """The most FLOP/s this machine reaches in matrix products, by the library's own product or by the
    one that our layers use: the yardstick of a training step, as the rest of its work could at best
    be free."""
    own = torch.Generator().manual_seed(0)  # measuring must not move the run's random numbers
    left, right = (torch.randn(size, size, generator=own).to(device, dtype) for _ in range(2))
    best = float("inf")
    for product in (torch.mm, linear):
        for _ in range(repeats):
            start = time.perf_counter()
            product(left, right)[0, 0].item()  # a GPU has finished only when its result is read
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
