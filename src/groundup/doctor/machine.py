"""What this machine is and can do, measured in about a second, and what is wrong with it."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch
from packaging.requirements import Requirement

from groundup.doctor.finding import Finding
from groundup.language import N_
from groundup.train.loop import pick_device
from groundup.train.metrics import matrix_peak

LEAST_MEMORY = 2 << 30
"""Room for the smallest presets and the data beside them."""
LEAST_DISK = 2 << 30
ROUNDS = 4


def machine_facts(place: Path) -> dict[str, Any]:
    """Versions, processors, measured matrix speeds in FLOP/s by dtype, memory, and the disk of
    `place`, where runs go."""
    memory = psutil.virtual_memory()
    device = pick_device("auto").type
    speeds = matrix_speeds(device)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "device": device,
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "processors": _usable_processors(),
        "threads": torch.get_num_threads(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "onednn": torch.backends.mkldnn.is_available(),
        "matrix_flops": speeds,
        "best_dtype": best_dtype(speeds),
        "memory_bytes": memory.total,
        "memory_free_bytes": memory.available,
        "disk_free_bytes": shutil.disk_usage(_existing(place)).free,
        "disk": str(_existing(place)),
    }


def matrix_speeds(device: str) -> dict[str, float]:
    """FLOP/s of matrix products by dtype; float16 only where a GPU does it in hardware. A processor
    without bfloat16 units takes longer for it than for float32. In turns, and the best of each, so
    that a passing program does not fall on one of them."""
    speeds = {"float32": 0.0, "bfloat16": 0.0} | ({"float16": 0.0} if device != "cpu" else {})
    size = 1024 if device == "cpu" else 4096
    for _ in range(ROUNDS):
        for kind, best in speeds.items():
            speeds[kind] = max(best, matrix_peak(size, 3, getattr(torch, kind), device))
    return speeds


def best_dtype(speeds: dict[str, float]) -> str:
    """The dtype worth using: float32, unless another is faster by a fifth at least, for it also loses
    digits."""
    fastest = max(speeds, key=lambda kind: speeds[kind])
    return fastest if speeds[fastest] > 1.2 * speeds["float32"] else "float32"


def machine_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """What is to be done about the machine: nothing, where it is well."""
    yield from _threads(facts)
    yield from _room(facts)
    yield from _versions()


def _threads(facts: dict[str, Any]) -> Iterator[Finding]:
    threads, processors, given = facts["threads"], facts["processors"], facts["omp_num_threads"]
    where = f"OMP_NUM_THREADS={given}" if given else N_("OMP_NUM_THREADS is not set")
    if threads > processors:
        yield Finding(
            "too-many-threads", "torch uses more threads than there are processors: they wait for "
            "each other", f"{threads} threads on {processors} processors; {where}",
            f"set OMP_NUM_THREADS={min(facts['cores'], processors)}",
        )  # fmt: skip
    elif given and threads < min(facts["cores"], processors) / 2 + 0.5 and processors > 1:
        yield Finding(
            "few-threads", "torch uses only a part of the processors",
            f"{threads} of {min(facts['cores'], processors)} cores; {where}",
            f"unset OMP_NUM_THREADS, or set it to {min(facts['cores'], processors)}, where nothing "
            "else needs them",
        )  # fmt: skip


def _room(facts: dict[str, Any]) -> Iterator[Finding]:
    free, disk = facts["memory_free_bytes"], facts["disk_free_bytes"]
    if free < LEAST_MEMORY:
        yield Finding(
            "little-memory", "there is little free memory",
            f"{free / 1e9:.1f} of {facts['memory_bytes'] / 1e9:.1f} GB free",
            "close other programs, or choose a smaller preset and micro_batch",
        )  # fmt: skip
    if disk < LEAST_DISK:
        yield Finding(
            "little-disk", "there is little room on the disk",
            f"{disk / 1e9:.1f} GB free at {facts['disk']}",
            "free some space, or put runs elsewhere with --out",
        )  # fmt: skip


def _versions() -> Iterator[Finding]:
    """Packages that are missing or not of a version that groundup was made for."""
    for line in metadata.requires("groundup") or []:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            present = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            present = N_("missing")
        if present == "missing" or not wanted.specifier.contains(present, prereleases=True):
            yield Finding(
                "version-clash", f"{wanted.name} is not of a version that groundup works with",
                f"installed: {present}; wanted: {wanted.name}{wanted.specifier}",
                f'pip install "{wanted.name}{wanted.specifier}"',
            )  # fmt: skip


def _usable_processors() -> int:
    """The processors that this process may use: a container may have fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)
