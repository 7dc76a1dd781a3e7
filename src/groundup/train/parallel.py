"""One training on several processes, by PyTorch's own engine: torch.distributed, and torchrun to start it.

The processes form a mesh of data x shard x tensor (`ParallelConfig`). Neither the model nor the objective
nor the loop knows of it: `spread` puts the untouched model over the mesh, in place, and `objective` and
`batches` are this process's share of the training's. Every process draws its own micro-batches of the one
order that a single process would go through, so the losses do not depend on how many there are.
"""

import contextlib
import math
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from groundup.errors import InputError
from groundup.language import N_
from groundup.model.experts import MixtureOfExperts
from groundup.model.gpt import GPT
from groundup.train.clock import ALONE, TOGETHER, Clock
from groundup.train.config import ParallelConfig, TrainConfig
from groundup.train.objectives import Objective
from groundup.train.parts import whole
from groundup.train.processes import is_first, process_count, process_rank, sum_of_all
from groundup.train.recompute import lighten

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from groundup.train.loop import Batches, Run


@torch.no_grad()
def gathered(model: GPT) -> GPT | None:
    """A model that is spread over processes, as a plain one in the first of them, and None in the others: all
    have to ask together."""
    if process_count() == 1:
        return model
    plain = GPT(model.config) if is_first() else None
    for name, spread in model.named_parameters():
        tensor = whole(spread)
        if plain:
            plain.get_parameter(name).copy_(tensor)
    return plain


class Layout(NamedTuple):
    """The sides of the mesh."""

    data: int
    shard: int
    tensor: int

    @property
    def shards(self) -> bool:
        """Whether the weights are sharded: also over a shard of one, where matrices are shared as well, of
        which DistributedDataParallel knows nothing."""
        return self.shard > 1 or (self.tensor > 1 and self.data > 1)

    @property
    def together(self) -> int:
        """So many processes have one whole model."""
        return self.shard * self.tensor


def lay_out(config: ParallelConfig, processes: int) -> Layout:
    """The layout of `config` for so many processes. Raises `InputError` where they are not as many."""
    inner = config.shard * config.tensor
    data = config.data or max(1, processes // inner)
    needed = data * inner
    if needed != processes:
        there = N_(f"there is {processes}") if processes == 1 else N_(f"there are {processes}")
        raise InputError(
            f"a layout of data {data} x shard {config.shard} x tensor {config.tensor} needs {needed} "
            f"processes, and {there}", "parallel",
            f"start so many: --parallel.processes {needed}, or torchrun --nproc-per-node {needed}; or "
            "change the layout",
        )  # fmt: skip
    return Layout(data, config.shard, config.tensor)


class Parallel:
    """What this process is among those of a training, and its share of it."""

    def __init__(self, config: ParallelConfig | None = None):
        self.config = config or ParallelConfig()
        self.layout = lay_out(self.config, process_count())
        self.replicas = self.layout.data * self.layout.shard
        """So many processes, or groups of them that share every matrix, read different text."""
        self.replica = process_rank() // self.layout.tensor
        self.mesh: DeviceMesh | None = None

    @property
    def is_alone(self) -> bool:
        return process_count() == 1

    def divide(self, train: TrainConfig) -> TrainConfig:
        """The same step in micro-batches of which every replica gets as many as the others.

        Raises `InputError` where the windows of a step cannot be divided so."""
        pieces = self.replicas // math.gcd(self.replicas, train.grad_accumulation)
        if train.micro_batch % pieces:
            step = pieces * max(1, round(train.micro_batch / pieces))
            raise InputError(
                f"the {train.micro_batch} windows of a micro-batch cannot be divided by {pieces}, for "
                f"{self.replicas} processes that read different text", "train.micro_batch",
                f"use {step}, or a --train.grad_accumulation that {self.replicas} divides",
            )  # fmt: skip
        return train.model_copy(
            update={
                "micro_batch": train.micro_batch // pieces,
                "grad_accumulation": train.grad_accumulation * pieces,
            }
        )

    def own(self, train: TrainConfig) -> TrainConfig:
        """The settings of this process's part of each step, once it is divided."""
        share = train.grad_accumulation // self.replicas
        return train.model_copy(update={"grad_accumulation": share})

    def take_part(
        self, batches: "Batches", objective: Objective, share: int, clock: Clock
    ) -> tuple["Batches", Objective]:
        """This process's `share` of the micro-batches of each divided step, and `objective` whose gradients
        are, after the last of them, the means over all replicas."""
        if self.config.dtype == "bfloat16":
            objective = _in_bfloat16(objective)
        if self.replicas == 1:
            return batches, objective

        def own(n: int) -> Any:
            step, place = divmod(n, share)
            return batches((step * share + place) * self.replicas + self.replica)

        return own, _Synchronised(objective, share, self, clock)

    def clock(self) -> Clock:
        """One that tells the time in which this process only talks to others, and waits for them: processes
        that have the whole model do so at the end of each step. Shards do it in every block, and a GPU
        while it computes."""
        waits = self.replicas > 1 and not self.layout.shards and not torch.cuda.is_available()
        return Clock(TOGETHER if waits else ALONE)

    def spread(self, model: GPT, device: torch.device) -> None:
        """Put a model over the processes, in place, and this one's share of it on `device`."""
        for part in model.modules():
            if isinstance(part, MixtureOfExperts):
                part.register_forward_hook(_with_every_expert)
        if self.config.checkpointing != "none" or self.config.compile:
            lighten(model, self.config)
        if not self.is_alone:
            from groundup.train.mesh import (
                spread,  # a second's worth of imports that one process needs not
            )

            self.mesh = spread(model, self.layout, device)
        model.to(device)

    def agree(self, run: "Run", tokens: int) -> None:
        """Let every process have the same figures of a step that is over, for it took its part of `tokens`:
        the means of the loss and of the objective's figures, the tokens of all, the first one's seconds."""
        if self.is_alone:
            return
        state, figures = run.state, run.figures
        seconds = state.seconds if is_first() else 0.0
        own = [tokens / self.layout.tensor, seconds, run.loss, *figures.values()]
        all_tokens, state.seconds, *means = sum_of_all(own)
        state.tokens += round(all_tokens) - tokens
        run.loss, *means = (value / process_count() for value in means)
        run.figures = dict(zip(figures, means, strict=True))

    def part(self, items: Iterable[Any]) -> Iterable[Any]:
        """Every so many-th of `items`, where so many have the whole model, or shares of a whole one: what they
        do with it need not go in step. Those that share one take the same part."""
        return islice(items, process_rank() // self.layout.together, None, self.layout.data)

    def summed(self, *own: float | int) -> list[float]:
        """The sums of what each `part` came to."""
        if self.is_alone:
            return [float(figure) for figure in own]
        return [figure / self.layout.together for figure in sum_of_all(own)]

    def any_of(self, flag: bool) -> bool:
        """Whether a flag is set in any of the processes: a decision that all take together."""
        return self.any_of_each(flag)[0]

    def any_of_each(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is set in any of the processes."""
        if self.is_alone:
            return list(flags)
        told = torch.tensor(flags, dtype=torch.int8)
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return told.bool().tolist()


class _Synchronised:
    """An objective under DistributedDataParallel, or of a sharded model: gradients are added up in each
    process, and brought together once in a step."""

    def __init__(self, objective: Objective, share: int, parallel: Parallel, clock: Clock):
        self.objective, self.share, self.parallel, self.clock = objective, share, parallel, clock
        self.calls = 0
        self.replicated: DistributedDataParallel | None = None

    def __call__(self, model: GPT, batch: Any) -> Any:
        self.calls += 1
        is_last = self.calls % self.share == 0
        if self.parallel.layout.shards:
            # Shards take their part of each gradient at once, or every process would hold all of it.
            model.set_requires_all_reduce(is_last)  # type: ignore[operator]
            return self.objective(model, batch)
        if self.replicated is None:
            assert self.parallel.mesh
            group = self.parallel.mesh["data"].get_group()
            loss = _Loss(model, self.objective)
            # Buffers are constants: they need not be sent in every step.
            constants = [name for name, _ in loss.named_buffers()]
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(loss, constants)
            self.replicated = DistributedDataParallel(
                loss, process_group=group, gradient_as_bucket_view=True,
            )  # fmt: skip
            self.replicated.register_comm_hook(group, self._average)
        with contextlib.nullcontext() if is_last else self.replicated.no_sync():
            return self.replicated(batch)

    def _average(
        self, group: dist.ProcessGroup, bucket: GradBucket
    ) -> torch.futures.Future[Tensor]:
        """What DistributedDataParallel does without a hook. Once the last gradients are on their way,
        nothing is left to be computed until they have come."""
        averaged = allreduce_hook(group, bucket)
        if not bucket.is_last():
            return averaged
        self.clock.turn("communication")

        def come(averaged: torch.futures.Future[Tensor]) -> Tensor:
            self.clock.turn("compute")
            return averaged.value()

        return averaged.then(come)


class _Loss(nn.Module):
    """An objective as a module, whose output is the loss."""

    def __init__(self, model: GPT, objective: Objective):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Any) -> Any:
        return self.objective(self.model, batch)


def _with_every_expert(mixture: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """The output, as if every expert had had a part in it. Processes exchange gradients, so each needs one, of
    0, for an expert that none of its tokens has asked; and a single process, which exchanges none, trains the
    same model."""
    if not torch.is_grad_enabled():
        return output
    return output + 0 * sum(p.flatten()[0] for p in mixture.parameters() if p.requires_grad)


def _in_bfloat16(objective: Objective) -> Objective:
    def lighter(model: GPT, batch: Any) -> Any:
        with torch.autocast(model.device.type, torch.bfloat16):
            return objective(model, batch)

    return lighter
