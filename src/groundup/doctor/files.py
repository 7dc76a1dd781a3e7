"""Symptoms on the disk: damage, a run that was broken off, no room for what comes."""

import shutil
import time
from collections.abc import Iterator

from groundup.doctor.finding import Finding
from groundup.doctor.run import ExaminedRun
from groundup.language import N_

SILENCE = 120.0
"""Seconds without news below which a run may still be at work."""
LEAST_FREE = 1 << 30


def damage(run: ExaminedRun) -> Iterator[Finding]:
    """Files that are cut, changed or missing: every checksum is proved."""
    _ = run.tokenizer, run.train, run.validation, run.checkpoints, run.model
    for problem in run.problems:
        yield Finding(
            "damaged-file", problem.what, problem.where or str(run.path),
            problem.fix or "copy the file again, or run the same command again in a new folder",
        )  # fmt: skip


def broken_off(run: ExaminedRun) -> Iterator[Finding]:
    """A training without a finished model from which nothing has been heard for `SILENCE` and for
    five times as long as ever between two logged steps."""
    if run.finished or not run.steps:
        return
    times = [row["time"] for row in run.steps]
    longest = max((b - a for a, b in zip(times, times[1:], strict=False)), default=0.0)
    silent = time.time() - run.metrics_path.stat().st_mtime
    if silent > max(SILENCE, 5 * longest):
        newest = run.checkpoints[-1].name if run.checkpoints else N_("none")
        yield Finding(
            "broken-off", "the training was broken off",
            f"step {run.steps[-1]['step']} of {run.train_config.steps}, nothing for {silent:.0f} s; "
            f"newest checkpoint: {newest} ({run.metrics_path})",
            "give the same command again, `pretrain` with --resume: it goes on from there",
        )  # fmt: skip


def disk_full(run: ExaminedRun) -> Iterator[Finding]:
    """Too little room for two more checkpoints, or for `LEAST_FREE` bytes."""
    files = run.checkpoints[-1].iterdir() if run.checkpoints else ()
    needed = max(LEAST_FREE, 2 * sum(file.stat().st_size for file in files))
    free = shutil.disk_usage(run.path).free
    if not run.finished and free < needed:
        yield Finding(
            "little-disk", "the disk is nearly full",
            f"{free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB wanted for the next checkpoints "
            f"({run.path})",
            "free some space, or set train.keep_checkpoints to 1",
        )  # fmt: skip
