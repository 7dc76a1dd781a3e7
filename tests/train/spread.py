"""One of several processes of a training, as torchrun starts it: trains the same small model in layout after
layout, and keeps the losses and the weights that the first process had in each."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.train.checkpoint import Writing, begin_checkpoint, load_checkpoint
from groundup.train.config import ParallelConfig, TrainConfig
from groundup.train.loop import Run, start_run, train
from groundup.train.objectives import next_token
from groundup.train.parallel import Parallel, gathered
from groundup.train.processes import is_first, joined_processes

STEPS, SAVED_AT = 50, 25
ROWS = np.random.default_rng(0).integers(0, 100, (800, 33))
SETTINGS = TrainConfig(
    steps=STEPS, micro_batch=8, grad_accumulation=2, optimizer="muon", device="cpu"
)


def trained(
    layout: dict[str, Any],
    saves: Path | None = None,
    resumes: Path | None = None,
    parts: dict[str, Any] | None = None,
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses of all steps, and the weights after the last, of a model that has these other `parts`; a
    checkpoint is written to the folder `saves`, or read from `resumes`."""
    parallel = Parallel(ParallelConfig(**layout))
    settings = parallel.divide(SETTINGS)
    size = settings.micro_batch
    torch.manual_seed(0)
    model = GPT(
        preset("nano", vocab_size=101, d_model=32, n_layers=2, n_heads=4, n_kv_heads=4,
               context_length=32, initialization="gpt-2", **parts or {})
    )  # fmt: skip
    run = start_run(model, settings, parallel)
    losses: list[float] = []

    def look(run: Run) -> None:
        losses.append(run.loss)
        if saves and run.state.step == SAVED_AT:
            written.append(
                begin_checkpoint(saves, model, run.optimizers, run.state, "same", keep=1)
            )

    written: list[Writing] = []
    if resumes:
        run.state = load_checkpoint(resumes / f"step-{SAVED_AT:08d}", model, run.optimizers, "same")
    train(run, lambda n: ROWS[n * size : (n + 1) * size], next_token, [look])
    for writing in written:  # the training went on beside it
        writing.wait()
    assert run.state.tokens == STEPS * 16 * 32
    assert parallel.summed(sum(parallel.part(range(10)))) == [sum(range(10))]
    weights = dict(whole.named_parameters()) if (whole := gathered(model)) else {}
    return losses, {name: weight.detach().clone() for name, weight in weights.items()}


def main() -> None:
    folder = Path(sys.argv[1])
    with joined_processes():
        for name, options in json.loads(sys.argv[2]).items():
            begun = options.get("resumes")
            found = trained(
                options["layout"], folder / name, begun and folder / begun, options.get("parts")
            )
            if is_first():
                torch.save(found, folder / f"{name}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
