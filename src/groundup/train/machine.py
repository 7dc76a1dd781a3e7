"""Two switches of the machine that make training on a CPU faster."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# <malloc.h>: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Flush numbers too small for a normal float: they take a hundred times as long as others.

    The switch is the processor's, so the caller's own arithmetic would feel it too: it is put back.
    """
    already = (torch.tensor(2e-40) / 2).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


def keep_freed_memory() -> None:
    """Call once before training.

    By default the C library of Linux gives every large tensor back to the system and asks for it
    again, page by page, at each step.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
