"""Run every benchmark and write what they print into benchmarks/README.md.

python benchmarks/run.py [training_step generation …]
"""

import os
import platform
import re
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
    ["encoding.py"],
    ["near_duplicates.py", "found"],
    ["near_duplicates.py", "speed", "--size", "1GB"],
    ["plan.py"],
    ["interrupted.py"],
    ["saving.py"],
    ["shakespeare.py"],
    ["quickstart.py"],
    ["loading.py"],
    ["families.py"],
    ["llama_cpp.py"],
    ["tuning.py", "packing"],
    ["tuning.py", "lora"],
    ["smollm2.py", "instruct"],
    ["smollm2.py", "prefer"],
    ["spam.py"],
    ["spam.py", "--recipe", "reviews-zh", "--no-lora", "--seeds", "3"],
    ["law.py"],
    ["compress.py"],
    ["decode.py"],
    ["decode.py", "gpt2"],
    ["batching.py"],
    ["serving.py"],
)


def machine() -> str:
    """What was measured on."""
    import torch

    from groundup.train.metrics import matrix_peak

    peak = matrix_peak() / 1e9
    return (
        f"{date.today()}: {platform.machine()}, {torch.get_num_threads()} threads, fp32 matrix peak "
        f"{peak:.0f} GFLOP/s, Python {platform.python_version()}, torch {torch.__version__}"
    )


def main() -> None:
    wanted = sys.argv[1:]
    page = FOLDER / "README.md"
    # A section for each command, under its heading; those not asked for stay as they were.
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    measured = dict(re.findall(r"^`python ([^`\n]+)`\n(```\n.*?\n```)$", before, re.M | re.S))
    headings = [" ".join(["benchmarks/" + name, *options]) for name, *options in COMMANDS]
    for heading, (name, *options) in zip(headings, COMMANDS, strict=True):
        if wanted and name.removesuffix(".py") not in wanted:
            continue
        print(heading, file=sys.stderr, flush=True)
        command = [sys.executable, str(FOLDER / name), *options]
        # llama_cpp.py speaks to llama.cpp as the tests do.
        path = [str(FOLDER.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        found = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
        result = subprocess.run(command, capture_output=True, text=True, env=found)
        shown = result.stdout.strip() or f"failed: {result.stderr.strip().splitlines()[-1]}"
        measured[heading] = f"```\n{shown}\n```"
        parts = ["# Measured", "", "Written by `python benchmarks/run.py`.", "", machine(), ""]
        for each in headings:
            if each in measured:
                parts += [f"`python {each}`", measured[each], ""]
        page.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
