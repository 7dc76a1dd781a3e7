"""The training loop. There is one; everything that is trained here is trained by it.

`train` takes a step after another and tells the hooks; what is optional (logging, checkpoints, evaluation,
samples) is a hook. `train_step` is: rate → gradients → clip → update, and `accumulate` makes the gradients:
get batch → loss from the objective → backward.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor, nn

from groundup.errors import InputError, TrainingError
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.train.checkpoint import TrainState
from groundup.train.clock import Clock
from groundup.train.config import TrainConfig
from groundup.train.machine import denormals_as_zero, keep_freed_memory
from groundup.train.objectives import Objective
from groundup.train.optimizers import build_optimizers, clip_gradients, set_rate
from groundup.train.parallel import Parallel
from groundup.train.schedules import rate

# batches(n): the n-th micro-batch of the run, a pure function of n. That is what makes resume exact.
# It is an array of ids ("batch window"), or a named tuple of arrays that says how many `tokens` it holds.
Batches = Callable[[int], Any]


@dataclass
class Run:
    """A training under way: what the hooks get to see."""

    model: GPT
    config: TrainConfig
    optimizers: list[torch.optim.Optimizer]
    parallel: Parallel = field(default_factory=Parallel)
    state: TrainState = field(default_factory=TrainState)
    loss: float = math.nan
    gradient_norm: float = math.nan
    rate: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    """What the objective tells beside the loss."""
    checkpoint: Path | None = None
    """The newest one, if there is any."""
    stopped: bool = False
    """Set to end the training before its time."""
    clock: Clock = field(default_factory=Clock)
    """Where its time goes."""

    @cached_property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that are learned; the others are frozen."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1: by steps or by time, whichever is further."""
        by_steps = self.state.step / self.config.steps
        if self.config.minutes is None:
            return by_steps
        return max(by_steps, self.state.seconds / (60 * self.config.minutes))

    @property
    def finished(self) -> bool:
        return self.stopped or self.progress >= 1


Hook = Callable[[Run], None]


def start_run(model: GPT, config: TrainConfig, parallel: Parallel | None = None) -> Run:
    """The model on its device, and over the processes of `parallel`, with fresh optimisers. Seeds the
    dropout with `config.seed`; replicas, which read different text, also drop different numbers."""
    parallel = parallel or Parallel()
    keep_freed_memory()
    torch.manual_seed(config.seed + parallel.replica)
    parallel.spread(model.train(), pick_device(config.device))
    own = parallel.own(config)
    return Run(model, own, build_optimizers(model, own), parallel, clock=parallel.clock())


@denormals_as_zero()
def train(run: Run, batches: Batches, objective: Objective, hooks: Iterable[Hook] = ()) -> None:
    """Train until the steps or the minutes of `run.config` are used up.

    Raises `TrainingError` when a loss or a gradient is no longer a number; the weights are then
    those before the bad step.
    """
    clock, share = run.clock, run.config.grad_accumulation
    batches, objective = run.parallel.take_part(batches, objective, share, clock)
    batches = clock.timed("data", batches)
    while not run.finished:
        began, tokens = time.perf_counter(), run.state.tokens
        with clock.on("compute"):
            train_step(run, batches, objective)
        run.state.seconds += time.perf_counter() - began
        with clock.on("communication"):
            run.parallel.agree(run, run.state.tokens - tokens)
        for hook in hooks:
            hook(run)


# lab: train
def train_step(run: Run, batches: Batches, objective: Objective) -> None:
    """One step: all optimisers get the rate that the schedule has for `run.progress`; the gradients of
    the step are made and clipped, their norm is kept, and loss and norm are checked; each optimiser
    makes its update. The next step finds one step more in `run.state`, and no gradients.

    Raises `TrainingError`, before the update, when the loss or the norm is no longer a number.
    """
    run.rate = rate(run.progress, run.config)
    set_rate(run.optimizers, run.rate)
    accumulate(run, batches, objective)
    run.gradient_norm = clip_gradients(run.trained, run.config.clip_norm)
    refuse_nan(run)
    for optimizer in run.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    run.state.step += 1


# lab: accumulate
def accumulate(run: Run, batches: Batches, objective: Objective) -> None:
    """The gradients of one step, added to the parameters' `.grad`: the mean over its micro-batches.

    Step s, counted from 0, has as many as `grad_accumulation` says, the first of which is
    `batches(s · grad_accumulation)`. Sets `run.loss` and `run.figures` to the means of what the
    objective gave, and counts the tokens in `run.state.tokens`.
    """
    count, device = run.config.grad_accumulation, run.model.device
    run.loss, run.figures = 0.0, {}
    for micro in range(count):
        batch = batches(run.state.step * count + micro)
        loss, figures = with_figures(objective(run.model, on_device(batch, device)))
        (loss / count).backward()
        run.loss += loss.item() / count
        for name, figure in figures.items():
            run.figures[name] = run.figures.get(name, 0.0) + figure / count
        run.state.tokens += count_tokens(batch)


def on_device(batch: Any, device: torch.device) -> Any:
    """A batch of arrays as one of tensors."""
    if batch is None:
        return None
    if isinstance(batch, ndarray):
        return torch.from_numpy(batch).to(device)
    return type(batch)(*(on_device(part, device) for part in batch))


def count_tokens(batch: Any) -> int:
    """How many tokens a batch teaches from: of an array, all but the first of each row."""
    return batch[:, 1:].size if isinstance(batch, ndarray) else batch.tokens


def with_figures(
    result: Tensor | tuple[Tensor, Mapping[str, Tensor]],
) -> tuple[Tensor, dict[str, float]]:
    """What an objective gave: the loss, and the figures beside it if there are any."""
    loss, figures = result if isinstance(result, tuple) else (result, {})
    return loss, {name: figure.item() for name, figure in figures.items()}


def pick_device(name: str) -> torch.device:
    """The device of a setting; `auto` is CUDA, then Apple's MPS, then the CPU."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, there in present.items() if there), "cpu")
    if not present.get(name, True):
        raise InputError(
            f"device {name!r} is not available here", "train.device", "use auto or cpu"
        )
    return torch.device(name)


def refuse_nan(run: Run) -> None:
    """Stop before a bad number reaches the weights, and say which one it was: raises `TrainingError`."""
    for name, value in ((N_("loss"), run.loss), (N_("gradient"), run.gradient_norm)):
        if not math.isfinite(value):
            raise TrainingError(
                f"the {name} became {value} (learning rate {run.rate:.3g} of its peak)",
                f"step {run.state.step + 1}",
                "lower --train.learning_rate or --train.matrix_learning_rate, or lengthen "
                f"--train.warmup; the last good checkpoint: {run.checkpoint or N_('none yet')}",
            )
