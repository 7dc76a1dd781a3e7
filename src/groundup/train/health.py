"""What each of several processes took for its steps, and which of them all others wait for.

Every process tells the first one its figures at each logged step; they go to `processes.jsonl`.
"""

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, median_low
from typing import Any, NamedTuple

import psutil
import torch
import torch.distributed as dist

from groundup.language import N_
from groundup.train.loop import Run
from groundup.train.metrics import MetricsFile
from groundup.train.processes import process_count

WINDOW = 5
"""A straggler is one in most of so many logged steps in a row."""
SLOWER = 1.3
"""So much slower than the usual process, and so many seconds lost by it in the window: less is noise."""
LEAST_LOST = 1.0
WORDS = {"data": N_("getting its batches"), "compute": N_("computing")}
CURE = {
    "data": N_(
        "look what else reads from the disk or network of that machine, or keep the run's data on a disk "
        "of its own"
    ),
    "compute": N_(
        "look on that machine for another program at work, or for a GPU or processor that is too hot "
        "(`groundup doctor` measures it); otherwise leave it out"
    ),
}


class Straggler(NamedTuple):
    """A process that the others wait for."""

    process: int
    host: str
    local_rank: int
    kind: str
    """In what it is slow: "data" or "compute"."""
    seconds: float
    """That it takes for this in a step."""
    usual: float
    """That the usual process takes."""
    first: int
    """The steps of the window."""
    last: int

    def evidence(self, rows: Path) -> str:
        """The figures, and the file that they are from."""
        return N_(
            f"process {self.process} on {self.host} (local rank {self.local_rank}): {self.seconds:.3f} s a "
            f"step for {WORDS[self.kind]}, {self.usual:.3f} s elsewhere, in the steps {self.first} to "
            f"{self.last} ({rows})"
        )

    @property
    def cure(self) -> str:
        return CURE[self.kind]


def straggler(rows: Sequence[dict[str, Any]]) -> Straggler | None:
    """The process that was slowest in the last rows of `processes.jsonl`, if by so much, in most of them,
    that it matters."""
    window = rows[-WINDOW:]
    if len(window) < WINDOW or len({len(row["processes"]) for row in window}) > 1:
        return None
    found = [_slowest(window, kind) for kind in WORDS]
    slow = [each for each in found if each is not None]
    return max(slow, key=lambda each: each.seconds - each.usual, default=None)


def _slowest(window: Sequence[dict[str, Any]], kind: str) -> Straggler | None:
    of_steps = [[process[kind] for process in row["processes"]] for row in window]
    own = [median(times) for times in zip(*of_steps, strict=True)]
    rank, usual = max(range(len(own)), key=own.__getitem__), median_low(own)
    steps = sum(row["steps"] for row in window)
    if own[rank] <= SLOWER * usual or (own[rank] - usual) * steps < LEAST_LOST:
        return None
    it, first = window[-1]["processes"][rank], window[0]["step"] - window[0]["steps"] + 1
    return Straggler(
        rank, it["host"], it["local_rank"], kind, own[rank], usual, first, window[-1]["step"]
    )


class ProcessLog:
    """`processes.jsonl`: a row for each logged step, with each process's seconds a step since the one before,
    by what they went to, and the most memory it was seen to have. Alone there is nothing to write."""

    def __init__(self, run: Run, path: Path, warn: Callable[[str], None]):
        self.warn, self.warned = warn, False
        self.memory, self.step = 0, run.state.step
        self.rows: list[dict[str, Any]] = []
        if run.parallel.is_alone and not path.exists():
            return
        self.file = MetricsFile(path, run.state.step)
        self.places: list[Any] = [None] * process_count()
        if not run.parallel.is_alone:
            place = {
                "host": socket.gethostname(),
                "local_rank": int(os.environ.get("LOCAL_RANK", "0")),
            }
            dist.all_gather_object(self.places, place)

    def write(self, run: Run, seconds: dict[str, float]) -> None:
        """Tell of the steps since the last time, which took `seconds` of this process. All have to ask
        together."""
        if run.parallel.is_alone:
            return
        steps, self.step = run.state.step - self.step, run.state.step
        self.memory = max(self.memory, _memory(run))
        own = torch.tensor([*seconds.values(), steps * self.memory], dtype=torch.float64) / steps
        all_figures = [torch.empty_like(own) for _ in self.places]
        dist.all_gather(all_figures, own)
        processes = [
            {"process": rank, **place, **dict(zip([*seconds, "memory_bytes"], figures.tolist(), strict=True))}
            for rank, (place, figures) in enumerate(zip(self.places, all_figures, strict=True))
        ]  # fmt: skip
        row = {"step": run.state.step, "steps": steps, "processes": processes}
        self.file.write(**row)
        self.rows = [*self.rows[1 - WINDOW :], row]
        found = straggler(self.rows)
        if found and not self.warned:
            self.warned = True
            told = found.evidence(self.file.path)
            self.warn(N_(f"the other processes wait for a slow one: {told}; {found.cure}"))


def _memory(run: Run) -> int:
    if run.model.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return psutil.Process().memory_info().rss
