"""Run every benchmark and write what they print into benchmarks/README.md.

python benchmarks/run.py
"""

import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

FOLDER = Path(__file__).parent
COMMANDS = (
    ["training_step.py"],
    ["training_step.py", "--vocab-size", "50304"],
    ["generation.py"],
    ["tokenizer.py", "train"],
    ["tokenizer.py", "encode"],
    ["shakespeare.py"],
    ["quickstart.py"],
)


def machine() -> str:
    """What was measured on."""
    import torch

    from groundup.train.metrics import matrix_peak

    peak = matrix_peak(2048) / 1e9
    return (
        f"{date.today()}: {platform.machine()}, {torch.get_num_threads()} threads, fp32 matrix peak "
        f"{peak:.0f} GFLOP/s, Python {platform.python_version()}, torch {torch.__version__}"
    )


def main() -> None:
    parts = ["# Measured", "", "Written by `python benchmarks/run.py`.", "", machine(), ""]
    for name, *options in COMMANDS:
        command = [sys.executable, str(FOLDER / name), *options]
        print(" ".join(["benchmarks/" + name, *options]), file=sys.stderr, flush=True)
        result = subprocess.run(command, capture_output=True, text=True)
        shown = result.stdout.strip() or f"failed: {result.stderr.strip().splitlines()[-1]}"
        parts += [f"`python benchmarks/{' '.join([name, *options])}`", "```", shown, "```", ""]
        (FOLDER / "README.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
