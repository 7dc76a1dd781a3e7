"""Two switches of the machine that make training on a CPU faster."""

import ctypes
import sys

import torch

# <malloc.h>: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def prepare_machine() -> None:
    """Call once before training.

    Numbers too small for a normal float ("denormals") take a hundred times as long as others and
    are as good as zero: flush them. And keep freed memory: by default the C library of Linux gives
    every large tensor back to the system and asks for it again, page by page, at each step.
    """
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
