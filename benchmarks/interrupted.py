"""law-zh on real rows, undisturbed and killed five times at random moments: is it the same model?

Training is shortened to `--steps` (40); with the recipe's own steps it takes twenty minutes.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEXT = Path(__file__).parents[2] / "shared/data/zh/legal-qa.jsonl"


def command(steps: int, out: Path) -> list[str]:
    settings = ["--pretrain.train.steps", steps, "--pretrain.train.checkpoint_every", 5]
    parts = ["run", "law-zh", "--data", TEXT, "--out", out, *settings, "--json"]
    return [sys.executable, "-m", "groundup.cli.main", *map(str, parts)]


def finish(steps: int, out: Path) -> dict:
    result = subprocess.run(command(steps, out), capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        whole = finish(options.steps, Path(folder) / "whole")
        took = time.monotonic() - began
        moments = []
        for _ in range(options.kills):
            moments.append(random.uniform(0.1, 0.6) * took)
            process = subprocess.Popen(
                command(options.steps, Path(folder) / "killed"), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            time.sleep(moments[-1])
            process.kill()
            process.wait()
        killed = finish(options.steps, Path(folder) / "killed")
    print(f"undisturbed in {took:.0f} s: {whole['model_checksum']}")
    at = ", ".join(f"{moment:.0f}" for moment in moments)
    print(f"killed after {at} s:  {killed['model_checksum']}")
    print("the same model" if whole["model_checksum"] == killed["model_checksum"] else "DIFFERENT")


if __name__ == "__main__":
    main()
