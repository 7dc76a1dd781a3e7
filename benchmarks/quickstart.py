"""The quickstart's seconds, memory and held-out questions answered exactly.

python benchmarks/quickstart.py [--minutes 4.7]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", default="4.7")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "groundup.cli.main", "quickstart", "--json"]
        command += ["--minutes", options.minutes, "--out", f"{folder}/run"]
        output = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        ).stdout
    figures = json.loads(output)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    print(f"quickstart --minutes {options.minutes}: {figures['seconds']:.0f} s, {peak:.2f} GB")
    for language, levels in figures["exact_answers_by_level"].items():
        chance = figures["chance"][language]
        print(f"  {language}: " + "   ".join(
            f"level {level} {share:.2f} (guessing {chance[task]:.2f})"
            for (level, share), task in zip(levels.items(), ("find", "last", "join"), strict=True)
        ))  # fmt: skip


if __name__ == "__main__":
    main()
