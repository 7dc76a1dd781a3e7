"""What `groundup plan --model` reckons, beside published runs and beside the memory of real trainings.

`python benchmarks/planning.py` prints both tables as they stand in the guide; `python
benchmarks/planning.py measure SETTINGS` trains one model and prints its memory as JSON.

Each tensor is given a mapping of its own, so that the resident memory is what the tensors hold: the C
library's heap, which training otherwise uses for speed, keeps up to twice as much.
"""

import argparse
import ctypes
import json
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
from groundup.train.config import TrainConfig
from groundup.train.loop import start_run, train
from groundup.train.objectives import next_token

MEASURED = (
    {"preset": "nano", "micro_batch": 64, "optimizer": "adamw"},
    {"preset": "micro", "micro_batch": 32, "optimizer": "muon"},
    {"preset": "mini", "micro_batch": 8, "optimizer": "adamw"},
    {"preset": "mini", "micro_batch": 8, "grad_accumulation": 2, "optimizer": "muon"},
    {"preset": "llama-like", "micro_batch": 4, "optimizer": "adamw"},
    {"preset": "gpt-2-small", "n_layers": 3, "micro_batch": 1, "optimizer": "adamw"},
    {"preset": "gpt-2-small", "n_layers": 3, "micro_batch": 2, "grad_accumulation": 2,
     "optimizer": "adamw"},
)  # fmt: skip
_MMAP_THRESHOLD = -3  # <malloc.h>


def measure(settings: dict) -> dict:
    """Bytes of a training as reckoned and as measured, over what the process held before."""
    names = ("micro_batch", "grad_accumulation", "optimizer")
    given = {name: settings[name] for name in names if name in settings}
    fields = {k: v for k, v in settings.items() if k not in (*names, "preset")}
    config = preset(settings["preset"], **fields)
    wanted = TrainConfig(steps=2, device="cpu", **given)
    layout = Layout(micro_batch=wanted.micro_batch, accumulation=wanted.grad_accumulation)
    reckoned = memory(config, layout, wanted.optimizer, "float32").total
    _train(preset("nano", vocab_size=100, context_length=16), TrainConfig(steps=2, device="cpu"))
    before = psutil.Process().memory_info().rss
    _train(config, wanted)
    return settings | {"reckoned": reckoned, "measured": _peak() - before}


def _peak() -> int:
    """The most memory that this program has held. (`ru_maxrss` begins with what its parent held.)"""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)


def _train(config, wanted: TrainConfig) -> None:
    numbers = np.random.default_rng(0)
    run = start_run(GPT(config), wanted)
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 16)
    shape = (wanted.micro_batch, config.context_length + 1)
    train(run, lambda _: numbers.integers(0, config.vocab_size, shape), next_token)


def in_process(settings: dict) -> dict:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "measure", json.dumps(settings)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("measure",))
    parser.add_argument("settings", nargs="?", type=json.loads)
    parsed = parser.parse_args()
    if parsed.what:
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
        print(
            f"| {found['preset']}{layers} | {found['micro_batch']} × "
            f"{found.get('grad_accumulation', 1)} | {found['optimizer']} | "
            f"{found['reckoned'] / 1e6:,.0f} MB | {found['measured'] / 1e6:,.0f} MB | "
            f"{100 * (found['reckoned'] / found['measured'] - 1):+.1f} % |"
        )


if __name__ == "__main__":
    main()
