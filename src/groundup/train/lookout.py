"""When a training hangs: which of its processes the others wait for, and in what.

A thread in each process keeps a word in the store that all share of where its process is. It costs the training
nothing: what the process does stands in its clock, and PyTorch's flight recorder has every collective that
was begun. A process that has waited in one of them for `--parallel.timeout` looks which ones do not wait, says
so, and ends; all others see that it has spoken, and end as well.
"""

import contextlib
import json
import os
import pickle
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch._C import _distributed_c10d as c10d
from torch.distributed.distributed_c10d import (
    _get_default_group,
    _get_default_store,
    _set_pg_timeout,
)

from groundup.errors import GroundupError
from groundup.language import N_, shown
from groundup.train.loop import Run
from groundup.train.processes import PATIENCE

# A word every so many seconds, or ten times in the timeout where that is shorter.
INTERVAL = 5.0
# PyTorch's own timeouts come later: they say less.
GRACE = timedelta(minutes=2)
DOING = {
    "data": N_("getting a batch"),
    "compute": N_("computing"),
    "communication": N_("averaging with the others"),
    "checkpoint": N_("writing a checkpoint"),
    "evaluation": N_("evaluating"),
    "other": N_("between two steps"),
}
CLAIMED, TOLD = "hang claimed", "hang told"


class Word(NamedTuple):
    """Where a process is."""

    rank: int
    number: int
    """The how-manieth it is: a process whose number stays does not answer."""
    host: str
    step: int
    doing: str
    seconds: float
    """So long already."""
    collective: str
    """In which it waits for others; empty where it does not."""
    place: str
    """The line at which it is, where it is there for long."""


@contextlib.contextmanager
def looked_after(run: Run, folder: Path) -> Iterator[None]:
    """End all processes of `run`, with one message, when they have waited for one of them for too long. The
    flight recorder's traces go to `folder`. Alone, nothing is done."""
    if run.parallel.is_alone:
        yield
        return
    lookout = _Lookout(run, folder)
    lookout.begin()
    try:
        yield
    finally:
        lookout.end()


class _Lookout:
    def __init__(self, run: Run, folder: Path):
        self.run, self.folder = run, folder
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self.timeout = 60 * run.parallel.config.timeout
        self.interval = min(INTERVAL, self.timeout / 10)
        self.store: Any = _get_default_store()
        self.store = self.store.clone()  # the main thread may be waiting at its own
        mesh = run.parallel.mesh
        self.groups = [_get_default_group(), *(mesh.get_all_groups() if mesh else ())]
        self.main, self.number, self.is_patient = threading.get_ident(), 0, False
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def begin(self) -> None:
        for group in self.groups:
            _set_pg_timeout(timedelta(seconds=self.timeout) + GRACE, group)
        self.thread.start()

    def end(self) -> None:
        """No longer look. Does not return where a hang is told meanwhile."""
        self.ended.set()
        self.thread.join()

    def _look(self) -> None:
        with contextlib.suppress(dist.DistError):  # the store has gone, and torchrun with it
            while not self.ended.wait(self.interval):
                self._say()
                self._leave_if_told()
                if self._waits_too_long():
                    self._suspect()
            self._leave_if_told()

    def _say(self) -> None:
        clock, self.number = self.run.clock, self.number + 1
        seconds = time.perf_counter() - clock.since
        is_long = seconds > self.interval
        collective, self.is_patient = _waited_for() if is_long else ("", False)
        self.word = Word(
            self.rank, self.number, socket.gethostname(), self.run.state.step + 1, clock.doing, seconds,
            collective, _place(self.main) if is_long else "",
        )  # fmt: skip
        self.store.set(_key(self.rank), json.dumps(self.word))

    def _waits_too_long(self) -> bool:
        return bool(self.word.collective) and self.word.seconds > self.timeout

    def _words(self) -> dict[int, Word]:
        keys = [_key(rank) for rank in range(self.count)]
        if not self.store.check(keys):  # to get one that is not there is to wait for it
            keys = [key for key in keys if self.store.check([key])]
        words = [Word(*json.loads(word)) for word in self.store.multi_get(keys)]
        return {word.rank: word for word in words}

    def _suspect(self) -> None:
        """Tell of the hang, unless it is none or another process does."""
        before = self._words()
        for _ in range(3):
            time.sleep(self.interval)
            self._say()
        words = self._words()
        silent = {r for r in range(self.count) if r not in words or words[r] == before.get(r)}
        # Some work of the first process may take as long as it likes, but it answers then.
        is_hang = self._waits_too_long() and (silent or not self.is_patient)
        if not is_hang or self.store.add(CLAIMED, 1) > 1:
            return
        moment = time.strftime("%Y%m%d-%H%M%S")
        message = hang(words, silent, self.count, self._trace_file(moment).parent).told(shown)
        # The main thread waits within a library, and cannot be made to raise.
        print(f"{shown('error')}: {message}", file=sys.__stderr__, flush=True)
        self.store.set(TOLD, moment)
        self._keep_trace(moment)
        time.sleep(2 * self.interval)  # for the others to keep their traces
        os._exit(GroundupError.exit_status)

    def _leave_if_told(self) -> None:
        if self.store.check([TOLD]):
            self._keep_trace(self.store.get(TOLD).decode())
            os._exit(GroundupError.exit_status)

    def _keep_trace(self, moment: str) -> None:
        path = self._trace_file(moment)
        with contextlib.suppress(OSError):  # a full disk, which may be why it hangs
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_trace(self.groups))

    def _trace_file(self, moment: str) -> Path:
        """Where PyTorch's own variable says, or in a folder for this hang: its analyser wants a file for
        each process, whose name ends with its number."""
        name = os.environ.get("TORCH_FR_DUMP_TEMP_FILE", f"{self.folder / moment / 'process_'}")
        return Path(f"{name}{self.rank}")


def _key(rank: int) -> str:
    return f"process {rank}"


def _trace(groups: list[dist.ProcessGroup]) -> bytes:
    """What the flight recorder has, of GPUs where there are any. That of processors leaves out which
    processes a group has, and the analyser needs it."""
    if torch.cuda.is_available():
        return c10d._dump_nccl_trace()  # type: ignore[attr-defined]  # torch gives it no types
    trace = pickle.loads(c10d._dump_fr_trace())  # type: ignore[attr-defined]  # nor this
    trace["pg_config"] = {
        group.group_name: {
            "name": group.group_name, "desc": group.group_desc,
            "ranks": str(dist.get_process_group_ranks(group)),
        }
        for group in groups
    }  # fmt: skip
    return pickle.dumps(trace)


def _waited_for() -> tuple[str, bool]:
    """The oldest collective that this process has begun and not ended, with its group, and whether it may
    take as long as it likes; empty where there is none."""
    recorders = ("_dump_nccl_trace_json", "_dump_fr_trace_json")
    recorded = [json.loads(getattr(c10d, name)()) for name in recorders if hasattr(c10d, name)]
    begun = [entry for one in recorded for entry in one["entries"] if not entry["retired"]]
    if not begun:
        return "", False
    oldest = min(begun, key=lambda entry: entry["time_created_ns"])
    kind, group = oldest["profiling_name"].partition(":")[2], oldest["process_group"][1]
    return f"{kind} ({group})", oldest["timeout_ms"] >= PATIENCE / timedelta(milliseconds=1)


def _place(thread: int) -> str:
    """The line at which a thread is."""
    frame = sys._current_frames()[thread]
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} ({frame.f_code.co_name})"


def hang(words: dict[int, Word], silent: set[int], count: int, traces: Path) -> GroundupError:
    """What is told of a hang: which processes are waited for and where they are, and which ones wait."""
    missing = [r for r in range(count) if r in silent or not words[r].collective]
    waiting: dict[str, list[int]] = {}
    for rank in sorted(set(range(count)) - set(missing)):
        word = words[rank]
        at = N_(f"step {word.step}, {DOING[word.doing]}: waits in {word.collective}")
        waiting.setdefault(at, []).append(rank)
    told = [_missing(rank, words.get(rank), rank in silent) for rank in missing]
    told += [N_(f"process {_named(ranks)}: {at}") for at, ranks in waiting.items()]
    what = N_("the training hangs: its processes wait for one another, each in something else")
    if missing:
        what = N_(f"the training hangs: all wait for process {_named(missing)}")
    return GroundupError(
        what, "; ".join(map(shown, told)),
        "look at what that process does, and at its machine; where it was only slow, give a longer "
        "--parallel.timeout; the checkpoints are kept: torchrun with --max-restarts starts all of them again, "
        "else go on with the same command, and --resume; the flight recorder's traces: "
        f"python -m torch.distributed.flight_recorder.fr_trace {traces}",
    )  # fmt: skip


def _missing(rank: int, word: Word | None, is_silent: bool) -> str:
    if word is None:
        return N_(f"process {rank}: was never heard of")
    at = N_(f"step {word.step}, {DOING[word.doing]}")
    if is_silent:
        return N_(f"process {rank} on {word.host}: does not answer any more, last seen at {at}")
    return N_(f"process {rank} on {word.host}: {at} for {word.seconds:.0f} s, at {word.place}")


def _named(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks))
