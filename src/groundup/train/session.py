"""A training in a directory: it goes on where it stopped, and logs, saves and evaluates on the way.

In: a model, an objective, batches, and a directory. Out: the trained model, and in the directory
`checkpoints/` and `metrics.jsonl`. Pretraining and every kind of tuning go through `run_session`.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from groundup.errors import StoppedError, TrainingError
from groundup.model.gpt import GPT
from groundup.train.checkpoint import Writing, begin_checkpoint, checkpoints, load_checkpoint
from groundup.train.clock import shares_of
from groundup.train.config import ParallelConfig, TrainConfig
from groundup.train.early_stop import EarlyStop
from groundup.train.health import ProcessLog
from groundup.train.lookout import looked_after
from groundup.train.loop import Batches, Hook, Run, start_run, train
from groundup.train.metrics import MetricsFile
from groundup.train.objectives import Objective
from groundup.train.parallel import Parallel
from groundup.train.processes import is_first

LOG_EVERY = 10
SECONDS_BETWEEN_CHECKPOINTS = 30
# Of the time, at most one part in so many goes to checkpoints that are due by time.
WRITING_SHARE = 50

# evaluate(run, whole): figures for `metrics.jsonl`, of the whole validation part or of some of it.
Evaluate = Callable[[Run, bool], dict[str, Any]]


@dataclass(frozen=True)
class Session:
    """What a training is made of, beside its model."""

    out: Path
    identity: str
    """A hash of all that decides the course of the training: what a checkpoint must agree with."""
    config: TrainConfig
    batches: Batches
    objective: Objective
    evaluate: Evaluate
    hooks: tuple[Hook, ...] = ()
    """Called after each step, before anything is written."""
    improves: str | None = None
    """The figure of `evaluate` by which the training is ended early."""
    evaluated: Callable[[dict[str, Any]], None] = lambda row: None
    """Told of each evaluation."""
    parallel: ParallelConfig = ParallelConfig()
    """How the training is spread over processes."""
    warned: Callable[[str], None] = lambda text: None
    """Told of a process that is slower than the others."""


def run_session(model: GPT, session: Session) -> tuple[Run, dict[str, Any]]:
    """Train `model`, and return the run and the figures of the last evaluation.

    Goes on from the newest checkpoint in the directory, to the same bits as without the break. Raises
    `StoppedError` on Ctrl-C or SIGTERM, when the state has been saved, and `InputError` where the
    checkpoint is of another identity.
    """
    run = _begin(model, session)
    with looked_after(run, session.out / "hang"):
        return run, _go_on(run, session)


def _go_on(run: Run, session: Session) -> dict[str, Any]:
    """Train from where the run stands to its end; the figures of the last evaluation."""
    metrics = MetricsFile(session.out / "metrics.jsonl", run.state.step)
    early_stop = EarlyStop(session.out, session.improves, session.config.patience, metrics)

    def evaluate(whole: bool) -> dict[str, Any]:
        place = {"step": run.state.step, "seconds": run.state.seconds}
        with run.clock.on("evaluation"):
            row = place | session.evaluate(run, whole)
        run.model.train()
        metrics.write(**row)
        session.evaluated(row)
        return row

    def evaluate_now(run: Run) -> None:
        every = session.config.eval_every
        if every and run.state.step % every == 0 and not run.finished:
            early_stop(run, evaluate(False))

    processes = ProcessLog(run, session.out / "processes.jsonl", session.warned)
    begun = is_first() and run.state.step > 0
    if run.parallel.any_of(begun and not metrics.has_evaluation(run.state.step)):
        evaluate_now(run)  # it was broken off between saving and evaluating
    with _stop_on_signal() as stop:
        # Saved before it is evaluated: whatever happens there, the training is not lost.
        saver = _Saver(session.out, session.identity, stop)
        save = run.clock.timed("checkpoint", saver)
        hooks = (lambda run: _log(run, metrics, processes), *session.hooks, save, evaluate_now)
        try:
            train(run, session.batches, session.objective, hooks)
        except TrainingError as error:
            metrics.write(step=run.state.step + 1, stopped=error.what)
            raise
        finally:
            saver.wait()
    if early_stop.is_on and not run.stopped:
        early_stop(run, evaluate(False))  # the last weights may be the best
    early_stop.take_best(run)
    return evaluate(True)


def _begin(model: GPT, session: Session) -> Run:
    """A new run, or the one in the directory at its newest checkpoint."""
    saved = checkpoints(session.out / "checkpoints")
    run = start_run(model, session.config, Parallel(session.parallel))
    if saved:
        run.checkpoint = saved[-1]
        run.state = load_checkpoint(run.checkpoint, model, run.optimizers, session.identity)
    return run


def _log(run: Run, metrics: MetricsFile, processes: ProcessLog) -> None:
    state = run.state
    if state.step % LOG_EVERY == 0 or state.step == 1:
        took = run.clock.lap()
        metrics.write(
            step=state.step, loss=run.loss, rate=run.rate, gradient_norm=run.gradient_norm,
            tokens=state.tokens, seconds=state.seconds, time=time.time(), **run.figures,
            **{f"{kind}_share": share for kind, share in shares_of(took).items()},
        )  # fmt: skip
        processes.write(run, took)


class _Saver:
    """The hook that has checkpoints written: every so many steps, often enough in time, when the training is
    over, and when it is stopped, which it then is. It is copied, and written while the training goes on."""

    def __init__(self, out: Path, identity: str, stop: list[int]):
        self.out, self.identity, self.stop = out, identity, stop
        self.last, self.took = time.monotonic(), 0.0
        self.writing: Writing | None = None

    def __call__(self, run: Run) -> None:
        stopping, due, has_failed = run.parallel.any_of_each(
            bool(self.stop), is_first() and self._is_due(run),
            self.writing is not None and self.writing.has_failed,
        )  # fmt: skip
        if has_failed or (self.writing and self.writing.is_over):
            self.wait()
        ends = stopping or run.finished
        if ends or due:
            self.wait()  # for the one before, where writing takes longer than the steps between
            self.writing = begin_checkpoint(
                self.out / "checkpoints", run.model, run.optimizers, run.state, self.identity,
                run.config.keep_checkpoints,
            )  # fmt: skip
            run.checkpoint, self.last = self.writing.path, time.monotonic()
        if ends:
            self.wait()
        if stopping and not run.finished:
            raise StoppedError(
                f"stopped after step {run.state.step}; the state is saved", str(run.checkpoint),
                "go on with the same command (`pretrain` and `finetune` need --resume)",
            )  # fmt: skip

    def _is_due(self, run: Run) -> bool:
        since = time.monotonic() - self.last
        long_ago = since > max(SECONDS_BETWEEN_CHECKPOINTS, WRITING_SHARE * self.took)
        return long_ago or run.state.step % run.config.checkpoint_every == 0

    def wait(self) -> None:
        """Until what is being written is on the disk."""
        if self.writing:
            writing, self.writing = self.writing, None
            writing.wait()
            self.took = writing.seconds


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[list[int]]:
    """Yield a list that is filled at the first Ctrl-C or SIGTERM; one more Ctrl-C interrupts."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        # SIGTERM comes twice where Slurm sends it to every process, and torchrun passes on its own.
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread may listen to signals
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
