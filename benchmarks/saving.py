"""What the loop costs beside a bare one, and what saving beside the training costs, at a save every 20 steps.

python benchmarks/saving.py
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.train.config import TrainConfig
from groundup.train.loop import Run, start_run, train
from groundup.train.objectives import next_token
from groundup.train.optimizers import build_optimizers, clip_gradients
from groundup.train.session import Session, run_session

SHAPE = {"n_layers": 6, "n_heads": 6, "d_model": 384, "context_length": 256}
SAVE_EVERY, STEPS, ROUNDS, BATCH = 20, 61, 5, 8
IDS = torch.randint(0, 4096, (BATCH, SHAPE["context_length"] + 1))


def model() -> GPT:
    return GPT(preset("gpt-2-small", vocab_size=4096, **SHAPE))


def settings(steps: int, every: int) -> TrainConfig:
    return TrainConfig(
        optimizer="adamw", steps=steps, checkpoint_every=every, eval_every=0, keep_checkpoints=1, device="cpu"
    )  # fmt: skip


def bare(steps: int) -> float:
    """Seconds a step, of a loop in which nothing is optional."""
    own, seconds = model(), []
    optimizers = build_optimizers(own, settings(steps, steps))
    for _ in range(steps):
        began = time.perf_counter()
        loss = next_token(own, IDS)
        loss.backward()
        loss.item()
        clip_gradients(list(own.parameters()), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def looped(steps: int) -> float:
    """The same by groundup's loop, with all that lets it run on several processes."""
    times: list[float] = []
    run = start_run(model(), settings(steps, steps))
    train(run, lambda n: IDS.numpy(), next_token, [lambda run: times.append(time.perf_counter())])
    return statistics.median(b - a for a, b in zip(times, times[1:], strict=False))


def session(every: int) -> float:
    """Seconds of all steps but the first, with a save every so many of them."""
    times: list[float] = []

    def look(run: Run) -> None:
        times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        run_session(
            model(),
            Session(Path(folder), "", settings(STEPS, every), lambda n: IDS.numpy(), next_token,
                    lambda run, whole: {}, (look,)),
        )  # fmt: skip
    return times[-1] - times[0]


def compared(name: str, first: Callable[[], float], second: Callable[[], float]) -> None:
    """Alternating, and the median of what the second costs more than the first."""
    ratios = []
    for _ in range(ROUNDS):
        one = first()
        ratios.append(second() / one)
    ratio, least, most = statistics.median(ratios), min(ratios), max(ratios)
    print(f"  {name:<46} {100 * (ratio - 1):+6.2f} %   "
          f"({ROUNDS} times: {100 * (least - 1):+.2f} to {100 * (most - 1):+.2f})")  # fmt: skip


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"a training step of {SHAPE}, batch {BATCH}, in one process")
    compared("groundup's loop, beside a bare one", lambda: bare(20), lambda: looped(20))
    compared(
        f"a save every {SAVE_EVERY} steps, beside none",
        lambda: session(10**6),
        lambda: session(SAVE_EVERY),
    )


if __name__ == "__main__":
    main()
