"""Memory of loading a model of 1 GB: the peak over what the process held before, by its size.

    python benchmarks/loading.py

A Llama (nothing is rearranged), a GPT-2 (every matrix is turned), each in four files, and a Llama in
bfloat16 that becomes single precision. Every weight is read once after loading, as a forward pass
would, so that pages of the file that are still mapped count.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.weights import huggingface
from groundup.weights.directory import load_model

SHAPES = {
    "llama": preset(
        "llama-like", vocab_size=32000, d_model=1024, n_layers=15, n_heads=16, n_kv_heads=16
    ),
    "gpt2": preset("gpt-2-medium", n_layers=16, vocab_size=50257),
}


def write(name: str, dtype: torch.dtype, folder: Path) -> int:
    """A random model in files; returns its bytes in single precision."""
    huggingface.SHARD_SIZE = "300MB"
    model = GPT(SHAPES[name])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.data.to(dtype)
    huggingface.write_model(model, folder, {})
    return 4 * sum(parameter.numel() for parameter in model.parameters())


def resident(line: str) -> int:
    """Bytes by /proc: VmRSS now, VmHWM the most so far."""
    status = Path("/proc/self/status").read_text()
    found = next(row for row in status.splitlines() if row.startswith(line))
    return 1024 * int(found.split()[1])


def measure(folder: Path) -> None:
    """Load in this process and print the bytes that this added at its peak."""
    before = resident("VmRSS")
    model = load_model(folder)
    total = sum(parameter.sum().item() for parameter in model.parameters())
    assert total == total
    print(resident("VmHWM") - before)


def main() -> None:
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    print("| model | stored as | size in memory | peak while loading | ratio |")
    print("|---|---|---|---|---|")
    for name, dtype in (
        ("llama", torch.float32), ("gpt2", torch.float32), ("llama", torch.bfloat16),
    ):  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            size = write(name, dtype, Path(folder))
            peaks = [
                int(subprocess.check_output([sys.executable, __file__, folder])) for _ in range(3)
            ]
            peak = sorted(peaks)[1]
        kind = str(dtype).removeprefix("torch.")
        print(
            f"| {name} | {kind} | {size / 1e9:.2f} GB | {peak / 1e9:.2f} GB | {peak / size:.2f} |"
        )


if __name__ == "__main__":
    main()
