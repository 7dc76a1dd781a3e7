"""GPUs as data: memory, speed and connections of each, from its maker's figures.

The peaks are those of dense bfloat16 products; data sheets often print twice as much, which is for
matrices with half of their numbers zero. What of the peak a training reaches is one figure for each
generation, taken from a published run.
"""

from dataclasses import dataclass
from typing import Literal

from groundup.errors import unknown

Generation = Literal["ampere", "hopper", "blackwell", "ada"]

# The share of the peak that training reaches, recomputation counted as work. Ampere: torchtitan, Llama 3
# 8B on 64 A100. Hopper: torchtitan, Llama 3.1 8B on 8 H100, compiled. Ada: GPT-2 124M on an RTX 4090,
# nanoGPT issue 182. `published.py` has the runs; a test takes these figures from them again.
EFFICIENCY: dict[Generation, float] = {
    "ampere": 0.639, "hopper": 0.453, "ada": 0.548, "blackwell": 0.453,
}  # fmt: skip
CALIBRATED: tuple[Generation, ...] = ("ampere", "hopper")
"""The generations whose figure other runs bear out; Ada's rests on one report, Blackwell's is Hopper's."""

GIB = 1 << 30


@dataclass(frozen=True)
class GPU:
    """One GPU and what connects it to others. Bandwidths are bytes a second, in one direction."""

    name: str
    generation: Generation
    memory: int
    peak: float
    """Floating-point operations a second, dense, bfloat16."""
    bandwidth: float
    """Of its own memory."""
    inside: float
    """To the other GPUs of its machine."""
    network: float
    """To other machines."""
    price: float | None
    """Dollars for an hour, where a published run names them."""
    source: str

    @property
    def efficiency(self) -> float:
        return EFFICIENCY[self.generation]


GPUS_IN_A_MACHINE = 8

_TITAN = "https://github.com/pytorch/torchtitan/blob/main/torchtitan/tools/utils.py"
_A100 = "https://glennklockwood.com/garden/processors/A100 (NVIDIA's data sheet)"
_COMPARED = "https://acecloud.ai/blog/nvidia-b200-vs-h200-h100-a100 (NVIDIA's data sheets)"
_NANOCHAT = "https://github.com/karpathy/nanochat/issues/60"
_L4 = "https://grokipedia.com/page/NVIDIA_L4_vs_L40S (NVIDIA's data sheet)"
_RTX_4090 = "https://waredb.com/processor/nvidia-geforce-rtx-4090"
# No source stands for the network of single cards: 100 Gb/s for a machine of eight is assumed, and PCIe
# 4.0 x16 has 32 GB/s by its standard.
_PCIE, _ETHERNET = 32e9, 100e9 / 8 / GPUS_IN_A_MACHINE

GPUS: dict[str, GPU] = {
    gpu.name: gpu
    for gpu in (
        GPU("a100-40gb", "ampere", 40 * GIB, 312e12, 1.555e12, 300e9, 25e9, None, _A100),
        # 14 dollars an hour for eight: llm.c, scripts/run_gpt2_124M.sh.
        GPU("a100", "ampere", 80 * GIB, 312e12, 2.039e12, 300e9, 25e9, 14 / 8, _A100),
        # 24 dollars an hour for eight: nanochat's README.
        GPU("h100", "hopper", 80 * GIB, 989e12, 3.35e12, 450e9, 50e9, 24 / 8, f"{_COMPARED}; {_TITAN}"),
        GPU("h200", "hopper", 141 * GIB, 989e12, 4.8e12, 450e9, 50e9, None, f"{_COMPARED}; {_TITAN}"),
        GPU("b200", "blackwell", 180 * GIB, 2.25e15, 8e12, 900e9, 50e9, None, f"{_COMPARED}; {_TITAN}"),
        GPU("l4", "ada", 24 * GIB, 121e12, 0.3e12, _PCIE, _ETHERNET, None, _L4),
        GPU("rtx-4090", "ada", 24 * GIB, 165.2e12, 1.008e12, _PCIE, _ETHERNET, None,
            f"{_NANOCHAT}; {_RTX_4090}"),
    )
}  # fmt: skip


def find_gpu(name: str) -> GPU:
    """The GPU of a name; raises `InputError` with the nearest one that is known."""
    known = name.lower()
    if known not in GPUS:
        raise unknown("GPU", name, GPUS, "--gpu")
    return GPUS[known]
