"""One training on several processes, by PyTorch's own engine: torch.distributed, and torchrun to start it.

The processes form a mesh of data x shard x tensor (`ParallelConfig`). Neither the model nor the objective
nor the loop knows of it: `spread` puts the untouched model over the mesh, in place, and `objective` and
`batches` are this process's share of the training's. Every process draws its own micro-batches of the one
order that a single process would go through, so the losses do not depend on how many there are.
"""

import contextlib
import hashlib
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from groundup.errors import GroundupError, InputError, LostProcessError
from groundup.language import N_
from groundup.model.experts import MixtureOfExperts
from groundup.model.gpt import GPT
from groundup.train.clock import ALONE, TOGETHER, Clock
from groundup.train.config import ParallelConfig, TrainConfig
from groundup.train.objectives import Objective
from groundup.train.parts import whole
from groundup.train.recompute import lighten

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from groundup.train.loop import Batches, Run

# A process that hears nothing of another for so long gives up, and torchrun starts all of them again.
TIMEOUT = timedelta(minutes=10)
# Seconds after which a new folder is seen on every machine of a network file system.
SHARED_WITHIN = 10
# For work that one does and all wait for.
PATIENCE = timedelta(days=30)


@contextlib.contextmanager
def joined_processes() -> Iterator[None]:
    """Be one of the processes that torchrun, or another launcher, has started, for the time of the block;
    alone, nothing is done. GPUs talk by NCCL, where there are any, processors by Gloo.

    Raises `InputError` where the launcher does not say where they meet, and `GroundupError` where they do
    not, or one of them ends."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    joined_before = dist.is_initialized()  # by Ray, for one
    if not joined_before:
        _join()
    try:
        with contextlib.nullcontext() if is_first() else _silence():
            yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        raise LostProcessError(
            "another process of this training has ended, or does not answer", "parallel",
            "the checkpoints are kept: torchrun with --max-restarts starts all of them again; else go on "
            "with the same command, and --resume",
        ) from error  # fmt: skip
    finally:
        if not joined_before:
            dist.destroy_process_group()


def _join() -> None:
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, rank, count = _meet()
    # torchrun keeps its store over restarts, and in it the addresses of processes that are no more.
    store = PrefixStore(f"attempt {_attempt()}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)


def _meet() -> tuple[Store, int, int]:
    """What the processes find each other by, this one's rank, and how many they are."""
    try:
        return next(rendezvous("env://", timeout=TIMEOUT))
    except ValueError:
        raise InputError(
            "nothing says where the processes of this training meet", "environment",
            "start them with torchrun, or set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for each",
        ) from None  # fmt: skip
    except dist.DistError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        if "EADDRINUSE" in str(error):
            raise GroundupError(
                "another program listens where the processes of this training meet", place,
                "set MASTER_PORT to a free port, the same for all of them",
            ) from error  # fmt: skip
        raise GroundupError(
            "the processes of this training do not find each other", place,
            "start all of them, each with the MASTER_ADDR and MASTER_PORT of the first",
        ) from error  # fmt: skip


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Only the first process speaks."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def is_started_again() -> bool:
    """Whether torchrun has started this process anew, as one of them had ended."""
    return _attempt() > 0


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def process_count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def process_rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process is the one that writes and speaks for all."""
    return process_rank() == 0


def first_says(answer: Callable[[], Any]) -> Any:
    """What `answer` gives in the first process, in all of them: for work that one does and all wait for,
    however long it takes. What it raises there, all raise."""
    if process_count() == 1:
        return answer()
    told: list[Any] = [None]
    if is_first():
        try:
            told = [answer()]
        except Exception as error:
            told = [error]
    dist.broadcast_object_list(told, group=_patient_group())
    if isinstance(told[0], Exception):
        raise told[0]
    return told[0]


def refuse_differences(settings: str) -> None:
    """Raises `InputError` in all processes where one of them has other settings, or another groundup or
    torch."""
    if process_count() == 1:
        return
    own = hashlib.blake2b(f"{settings} {_code()} {torch.__version__}".encode()).hexdigest()
    found = _of_all(own)
    if different := [rank for rank, hashed in enumerate(found) if hashed != found[0]]:
        raise InputError(
            f"the processes {', '.join(map(str, different))} have other settings or another version of "
            "groundup than the first one", "parallel", "start all of them with the same command and code",
        )  # fmt: skip


def refuse_unshared(folder: Path) -> None:
    """Raises `InputError` in all processes where one of them does not see the folder that the first one has
    made by now."""
    if process_count() == 1:
        return
    first_says(lambda: None)
    deadline = time.monotonic() + SHARED_WITHIN
    while not folder.is_dir() and time.monotonic() < deadline:
        time.sleep(0.1)
    found = _of_all((folder.is_dir(), platform.node()))
    if missing := [f"{rank} ({host})" for rank, (there, host) in enumerate(found) if not there]:
        raise InputError(
            f"the processes {', '.join(missing)} do not see the run directory of the first one",
            str(folder), "let --out be on a file system that all machines share",
        )  # fmt: skip


def _of_all(own: Any) -> list[Any]:
    """What each process has, in all of them."""
    found: list[Any] = [None] * process_count()
    dist.all_gather_object(found, own)
    return found


def _code() -> str:
    """A hash of groundup's own source."""
    hashed = hashlib.blake2b()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        hashed.update(path.read_bytes())
    return hashed.hexdigest()


@cache
def _patient_group() -> Any:
    return dist.new_group(backend="gloo", timeout=PATIENCE)


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


@cache
def saving_group() -> Any:
    """Processes that talk while others compute: what is said in a thread must not come between what is said
    in the training. A disk may be slow."""
    return dist.new_group(backend="gloo", timeout=PATIENCE) if process_count() > 1 else None


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
        sums = torch.tensor(own, dtype=torch.float64)
        dist.all_reduce(sums)
        all_tokens, state.seconds, *means = sums.tolist()
        state.tokens += round(all_tokens) - tokens
        run.loss, *means = (value / process_count() for value in means)
        run.figures = dict(zip(figures, means, strict=True))

    def part(self, items: Iterable[Any]) -> Iterable[Any]:
        """Every so many-th of `items`, where so many have the whole model, or shares of a whole one: what they
        do with it need not go in step. Those that share one take the same part."""
        together = self.layout.shard * self.layout.tensor
        return islice(items, process_rank() // together, None, self.layout.data)

    def summed(self, *own: float | int) -> list[float]:
        """The sums of what each `part` came to."""
        if self.is_alone:
            return [float(figure) for figure in own]
        sums = torch.tensor(own, dtype=torch.float64)
        dist.all_reduce(sums)
        return (sums / (self.layout.shard * self.layout.tensor)).tolist()

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
