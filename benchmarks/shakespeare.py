"""Time to quality on tinyshakespeare: how many of the classic recipe's seconds the modern one needs
to reach the classic's bits per byte.

python benchmarks/shakespeare.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TEXT = Path(__file__).parents[2] / "shared" / "data" / "en" / "tinyshakespeare.txt"


def run(recipe: str, out: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "groundup.cli.main", "run", f"shakespeare-{recipe}"]
    command += ["--data", str(TEXT), "--out", str(out), "--json"]
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(output.stdout)


def main() -> None:
    if not TEXT.is_file():
        sys.exit(f"the text is not at {TEXT}")
    with tempfile.TemporaryDirectory() as folder:
        results = {name: run(name, Path(folder) / name) for name in ("classic", "modern")}
    print("tinyshakespeare, validation = the last tenth of its characters")
    for name, result in results.items():
        print(f"  {name:<8} {result['val_bits_per_byte']:.3f} bits per byte in "
              f"{result['training_seconds']:6.1f} s of training")  # fmt: skip
    share = results["modern"]["training_seconds"] / results["classic"]["training_seconds"]
    reached = results["modern"]["val_bits_per_byte"] <= results["classic"]["val_bits_per_byte"]
    print(f"  share of the seconds {share:.3f}, quality {'' if reached else 'not '}reached")


if __name__ == "__main__":
    main()
