"""The processes of a training that run at the same time: how they find each other, which one speaks, and what
they agree on. GPUs or processors, they talk through torch.distributed; a process that is alone has nobody to
ask, and every answer here is its own.
"""

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from groundup.errors import GroundupError, InputError, LostProcessError

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
    dist.broadcast_object_list(told, group=patient_group("answers"))
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
    found = _of_all((folder.is_dir(), socket.gethostname()))
    if missing := [f"{rank} ({host})" for rank, (there, host) in enumerate(found) if not there]:
        raise InputError(
            f"the processes {', '.join(missing)} do not see the run directory of the first one",
            str(folder), "let --out be on a file system that all machines share",
        )  # fmt: skip


def sum_of_all(own: Sequence[float]) -> list[float]:
    """The sums of the figures that the processes have."""
    sums = torch.tensor(own, dtype=torch.float64)
    dist.all_reduce(sums)
    return sums.tolist()


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
def patient_group(purpose: str) -> Any:
    """The processes, who let each other wait as long as they like, for one purpose: what is said for another
    must not come between. None, where there is one."""
    return dist.new_group(backend="gloo", timeout=PATIENCE) if process_count() > 1 else None
