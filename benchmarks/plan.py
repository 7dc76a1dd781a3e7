"""What `groundup plan` foretells of three recipes, beside what `groundup run` then takes.

On the real texts that lie beside the repository. A run of law-zh takes about ten minutes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

TEXTS = Path(__file__).parents[2] / "shared" / "data"
RECIPES = {
    "shakespeare-modern": TEXTS / "en/tinyshakespeare.txt",
    "shakespeare-classic": TEXTS / "en/tinyshakespeare.txt",
    "law-zh": TEXTS / "zh/legal-qa.jsonl",
}


def groundup(verb: str, recipe: str, text: Path, out: Path) -> dict:
    command = [sys.executable, "-m", "groundup.cli.main", verb, recipe, "--data", str(text)]
    result = subprocess.run(
        [*command, "--out", str(out), "--json"], capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return json.loads(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES))
    for recipe in parser.parse_args().recipes:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            plan = groundup("plan", recipe, RECIPES[recipe], out)
            run = groundup("run", recipe, RECIPES[recipe], out)
        seconds = sum(stage["seconds"] for stage in run["stages"])
        memory = max(stage["memory_bytes"] for stage in run["stages"])
        print(
            f"{recipe:<20} seconds: foretold {plan['seconds']:6.0f}, took {seconds:6.0f}, "
            f"ratio {plan['seconds'] / seconds:.2f}   memory: foretold "
            f"{plan['memory_bytes'] / 1e9:.2f} GB, took {memory / 1e9:.2f} GB, ratio "
            f"{plan['memory_bytes'] / memory:.2f}   {run['val_bits_per_byte']:.3f} bits per byte"
        )


if __name__ == "__main__":
    main()
