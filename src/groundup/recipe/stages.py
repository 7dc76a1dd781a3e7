"""Stages: what is done once, and done again only when something it depends on has changed.

A stage is keyed by a hash of its inputs: its settings, and the checksums of what earlier stages made
(not of how they made it, so a change without effect goes no further). `stages.json` in the run
directory remembers key, time and memory of each.
"""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Literal

import psutil

from groundup.errors import CorruptFileError, GroundupError, InputError
from groundup.files import atomic_file
from groundup.recipe.watch import Watcher
from groundup.train.processes import first_says, is_first, process_count

State = Literal["done", "changed", "todo"]


@dataclass(frozen=True)
class Stage:
    """One part of a model's life. `inputs()` is all that decides its result, as plain values; it may
    be asked only when the stages before are done. `build` makes `result`, a file that is there when
    the stage is finished."""

    name: str
    why: str
    inputs: Callable[[], Any]
    build: Callable[[Watcher], None]
    result: Path
    fits: Callable[[], bool] | None = None
    """For a stage that can go on where it stopped: whether what lies there belongs to these inputs."""
    shared: bool = False
    """Whether the processes of a training do it together; the first one does the others alone."""

    @cached_property
    def key(self) -> str:
        described = json.dumps(self.inputs(), sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


@dataclass
class Record:
    """What `stages.json` says of a stage."""

    key: str
    finished: bool = False
    seconds: float = 0.0
    """Time spent, interrupted tries included."""
    memory_bytes: int = 0
    """The most memory the process (and its helpers) held meanwhile."""


class Ledger:
    """The records of a run directory (`stages.json`), written at once whenever one changes."""

    def __init__(self, path: Path):
        self.path = path
        self.records: dict[str, Record] = {}
        if self.path.is_file():
            self.records = self._read()

    def state(self, stage: Stage) -> State:
        """Whether a stage is done, was done (or begun) from other inputs, or is to do."""
        record = self.records.get(stage.name)
        if record is None:
            return "todo"
        if record.key != stage.key:
            return "changed"
        return "done" if record.finished and stage.result.exists() else "todo"

    def put(self, name: str, record: Record) -> None:
        self.records[name] = record
        with atomic_file(self.path) as file:
            json.dump({n: asdict(r) for n, r in self.records.items()}, file, indent=2)

    def _read(self) -> dict[str, Record]:
        try:
            rows = json.loads(self.path.read_text(encoding="utf-8"))
            return {name: Record(**row) for name, row in rows.items()}
        except (ValueError, TypeError, AttributeError):
            raise CorruptFileError(
                "not a valid list of stages", str(self.path),
                "remove this file: finished stages are then done again, training goes on",
            ) from None  # fmt: skip


def carry_out(stage: Stage, ledger: Ledger, watcher: Watcher, rebuild: bool) -> None:
    """Do a stage unless it is done. Where its inputs have changed, do it anew, or refuse if not
    `rebuild`."""
    state = ledger.state(stage)
    if state == "done":
        watcher.skipped(stage.name)
        return
    if state == "changed" and not (stage.fits and stage.fits()):
        if not rebuild:
            raise InputError(
                f"this run began with other settings or data (stage {stage.name!r})",
                str(ledger.path.parent),
                "go on with the settings it began with, or choose a new --out",
            )
        if stage.fits:
            kept = _set_aside(stage.result.parent)
            watcher.warned(
                f"what {stage.name} begins from has changed; the earlier one is now {kept}"
            )
    watcher.stage(stage.name, stage.why)
    before = ledger.records.get(stage.name)
    goes_on = before and before.key == stage.key and not before.finished
    record = before if before and goes_on else Record(stage.key)
    ledger.put(stage.name, record)
    began, memory = time.monotonic(), PeakMemory()
    try:
        with memory:
            stage.build(watcher)
        record.finished = True
    finally:
        record.seconds += time.monotonic() - began
        record.memory_bytes = max(record.memory_bytes, memory.peak)
        with contextlib.nullcontext() if record.finished else contextlib.suppress(GroundupError):
            ledger.put(stage.name, record)  # a disk that is full has been told of already


def carry_out_together(stage: Stage, ledger: Ledger, watcher: Watcher, rebuild: bool) -> None:
    """`carry_out` in each of several processes: the first one does it, and calls the others for what is to
    be done together."""
    if process_count() == 1 or not stage.shared:
        first_says(lambda: carry_out(stage, ledger, watcher, rebuild))
        return
    if not is_first():
        if first_says(lambda: None):
            stage.build(Watcher())
        return
    called = False

    def build(watcher: Watcher) -> None:
        nonlocal called
        called = first_says(lambda: True)
        stage.build(watcher)

    try:
        carry_out(replace(stage, build=build), ledger, watcher, rebuild)
    except GroundupError as error:
        if not called:
            refusal = error
            first_says(lambda: _raise(refusal))
        raise
    if not called:
        first_says(lambda: False)


def _raise(error: Exception) -> None:
    raise error


class PeakMemory:
    """The most resident memory of this process and its children while the block runs, looked at ten
    times a second.

    >>> with PeakMemory() as memory: ...
    >>> memory.peak > 0
    True
    """

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while True:
            self.peak = max(self.peak, _resident(this))
            if self._over.wait(0.1):
                return


def _resident(process: psutil.Process) -> int:
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:  # it has just ended
            continue
    return total


def _set_aside(directory: Path) -> Path:
    """Keep what took long to make beside its successor, as `directory.previous` (.2, .3, …)."""
    numbered = (f"{directory.name}.previous{f'.{n}' if n > 1 else ''}" for n in count(1))
    free = next(path for name in numbered if not (path := directory.with_name(name)).exists())
    return directory.replace(free)
