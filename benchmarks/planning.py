"""What `groundup plan --model` reckons, beside published runs and beside the memory of real trainings.

`python benchmarks/planning.py` prints both tables as they stand in the guide; `python
benchmarks/planning.py measure SETTINGS` trains one model and prints its memory as JSON.

Each tensor is given a mapping of its own, so that the resident memory is what the tensors hold: the C
library's heap, which training otherwise uses for speed, keeps up to twice as much.
"""

import argparse
import ctypes
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.recipe.scale.layout import Layout
from groundup.recipe.scale.memory import memory
from groundup.recipe.scale.published import PUBLISHED
from groundup.train.config import ParallelConfig, TrainConfig
from groundup.train.loop import start_run, train
from groundup.train.objectives import next_token
from groundup.train.parallel import Parallel
from groundup.train.processes import joined_processes

MEASURED = (
    {"preset": "nano", "micro_batch": 64, "optimizer": "adamw"},
    {"preset": "micro", "micro_batch": 32, "optimizer": "muon"},
    {"preset": "mini", "micro_batch": 8, "optimizer": "adamw"},
    {"preset": "mini", "micro_batch": 8, "grad_accumulation": 2, "optimizer": "muon"},
    {"preset": "llama-like", "micro_batch": 4, "optimizer": "adamw"},
    {"preset": "gpt-2-small", "n_layers": 3, "micro_batch": 1, "optimizer": "adamw"},
    {"preset": "gpt-2-small", "n_layers": 3, "micro_batch": 2, "grad_accumulation": 2,
     "optimizer": "adamw"},
    {"preset": "mini", "micro_batch": 8, "optimizer": "adamw", "data": 2},
    {"preset": "mini", "micro_batch": 8, "optimizer": "adamw", "shard": 2},
    {"preset": "mini", "micro_batch": 8, "optimizer": "adamw", "shard": 2, "checkpointing": "full"},
    {"preset": "mini", "micro_batch": 8, "optimizer": "muon", "shard": 2},
    {"preset": "gpt-2-small", "n_layers": 6, "micro_batch": 1, "optimizer": "adamw", "shard": 2},
    {"preset": "gpt-2-small", "n_layers": 6, "micro_batch": 1, "optimizer": "adamw", "tensor": 2},
)  # fmt: skip
TRAINING = ("micro_batch", "grad_accumulation", "optimizer")
PARALLEL = ("data", "shard", "tensor", "checkpointing")
_MMAP_THRESHOLD = -3  # <malloc.h>


def measure(settings: dict) -> dict:
    """Bytes of a training as reckoned and as measured, over what the process held before: of one process,
    or of the first one of several."""
    training, over = (
        {k: settings[k] for k in names if k in settings} for names in (TRAINING, PARALLEL)
    )
    fields = {k: v for k, v in settings.items() if k not in (*TRAINING, *PARALLEL, "preset")}
    config = preset(settings["preset"], **fields)
    parallel = Parallel(ParallelConfig(**over))
    wanted = TrainConfig(steps=2, device="cpu", **training)
    layout = Layout(
        micro_batch=wanted.micro_batch, accumulation=wanted.grad_accumulation, **over
    )  # fmt: skip
    reckoned = memory(config, layout, wanted.optimizer, "float32").total
    small = preset("nano", vocab_size=100, context_length=16)
    _train(small, TrainConfig(steps=2, device="cpu", grad_accumulation=parallel.replicas), parallel)
    before = psutil.Process().memory_info().rss
    passes = wanted.grad_accumulation * parallel.replicas
    _train(config, wanted.model_copy(update={"grad_accumulation": passes}), parallel)
    return settings | {"reckoned": reckoned, "measured": _peak() - before}


def _peak() -> int:
    """The most memory that this program has held. (`ru_maxrss` begins with what its parent held.)"""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)


def _train(config, wanted: TrainConfig, parallel: Parallel) -> None:
    numbers = np.random.default_rng(0)
    run = start_run(GPT(config), wanted, parallel)
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 16)
    shape = (wanted.micro_batch, config.context_length + 1)
    train(run, lambda _: numbers.integers(0, config.vocab_size, shape), next_token)


def in_process(settings: dict) -> dict:
    """`measure` in a fresh process, or several."""
    processes = math.prod(settings.get(side, 1) for side in ("data", "shard", "tensor"))
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(torchrun if processes > 1 else []), __file__]
    command += ["measure", json.dumps(settings)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("measure",))
    parser.add_argument("settings", nargs="?", type=json.loads)
    parsed = parser.parse_args()
    if parsed.what:
        with joined_processes():
            print(json.dumps(measure(parsed.settings)))
        return
    print("| run | GPUs | layout | checkpointing | published | reckoned | error |")
    print("|---|---|---|---|---:|---:|---:|")
    for run in PUBLISHED:
        layout, mark = run.layout, " (calibrates)" if run.calibrates else ""
        print(
            f"| [{run.name}]({run.source.split(' ')[0].rstrip(',')}){mark} | {layout.gpus} {run.gpu} | "
            f"{layout.data} × {layout.shard} × {layout.tensor} | {layout.checkpointing} | "
            f"{run.tokens_per_second:,.0f} | {run.foretold:,.0f} | {100 * run.error:+.0f} % |"
        )
    print("\n| model | micro-batch × passes | optimiser | reckoned | measured | error |")
    print("|---|---|---|---:|---:|---:|")
    for settings in MEASURED:
        found = in_process(settings)
        layers = f", {found['n_layers']} layers" if "n_layers" in found else ""
        over = "".join(f", {k} {found[k]}" for k in PARALLEL if k in found)
        print(
            f"| {found['preset']}{layers}{over} | {found['micro_batch']} × "
            f"{found.get('grad_accumulation', 1)} | {found['optimizer']} | "
            f"{found['reckoned'] / 1e6:,.0f} MB | {found['measured'] / 1e6:,.0f} MB | "
            f"{100 * (found['reckoned'] / found['measured'] - 1):+.1f} % |"
        )


if __name__ == "__main__":
    main()
