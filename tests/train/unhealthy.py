"""One of two processes of a training, as torchrun starts it: the second one is slow in getting its batches, and
in the end gets no more of them."""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.train.config import ParallelConfig, TrainConfig
from groundup.train.objectives import next_token
from groundup.train.parallel import Parallel
from groundup.train.processes import is_first, joined_processes
from groundup.train.session import Session, run_session

SLOW, HANGS_AT = 0.04, 50


def session(folder: Path) -> Session:
    parallel = ParallelConfig(timeout=0.03)
    train = Parallel(parallel).divide(TrainConfig(steps=100, micro_batch=4, device="cpu"))

    def batches(n: int) -> np.ndarray:
        if not is_first():
            time.sleep(SLOW if n // 2 < HANGS_AT else 1000)
        return np.random.default_rng(n).integers(0, 100, (train.micro_batch, 33))

    def warned(text: str) -> None:
        if is_first():
            (folder / "warned.txt").write_text(text)

    return Session(
        folder, "", train, batches, next_token, lambda run, whole: {}, parallel=parallel, warned=warned
    )  # fmt: skip


def main() -> None:
    with joined_processes():
        shape = preset("nano", vocab_size=100, d_model=32, n_layers=1, context_length=32)
        run_session(GPT(shape), session(Path(sys.argv[1])))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
