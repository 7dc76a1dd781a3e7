"""The compiled loops for few rows: each against its definition, to the last bits of float32."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.model.kernels import Matrix, Nibbles, Rows, product

BITS = ["float32", "float16", "int8", "int4"]


def matrix_of(
    kind: str, out: int, width: int, rng: np.random.Generator
) -> tuple[Matrix, np.ndarray]:
    """A random matrix as the loops read it, and its numbers."""
    numbers = rng.standard_normal((out, width)).astype(np.float32)
    ones, scales = np.ones(out, np.float32), rng.random(out).astype(np.float32)
    if kind == "float32":
        return Rows(numbers, ones), numbers
    if kind == "float16":
        half = numbers.astype(np.float16)
        return Rows(half.view(np.uint16), ones), half
    if kind == "int8":
        codes = rng.integers(-127, 128, (out, width)).astype(np.int8)
        return Rows(codes, scales), codes * scales[:, None].astype(np.float64)
    groups = -(-width // 64)
    codes, zeros = rng.integers(0, 16, (out, groups * 64)), rng.integers(0, 16, (out, groups))
    scales = rng.random((out, groups)).astype(np.float32)
    pairs = codes.astype(np.uint8).reshape(out, -1, 2)
    made = Nibbles(pairs[..., 0] | pairs[..., 1] << 4, scales, (scales * zeros).astype(np.float32))
    whole = codes.reshape(out, groups, 64) - zeros[..., None]
    return made, (whole * scales[..., None].astype(np.float64)).reshape(out, -1)[:, :width]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 9),
    width=st.integers(1, 200),
    out=st.integers(1, 50),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("kind", BITS)
def test_a_product_is_that_of_the_numbers_and_of_a_row_what_it_is_alone(
    kind: str, rows: int, width: int, out: int, seed: int
):
    rng = np.random.default_rng(seed)
    matrix, numbers = matrix_of(kind, out, width, rng)
    x = rng.standard_normal((rows, width)).astype(np.float32)
    made, exact = product(matrix, x), x.astype(np.float64) @ numbers.T.astype(np.float64)
    # In 4 bits the loops add up code · x and take Σ zero · x away again.
    terms = (
        np.abs(x) @ np.abs(numbers).T if kind != "int4" else 30 * np.abs(x).sum(-1, keepdims=True)
    )
    assert (np.abs(made - exact) <= 1e-6 * terms).all()
    assert made.shape == (rows, out) and made.dtype == np.float32
    for row in range(rows):
        assert (product(matrix, x[row : row + 1])[0] == made[row]).all()


def test_every_number_in_half_precision_is_widened_exactly():
    halves = np.arange(2**16, dtype=np.uint16)
    halves = halves[np.isfinite(halves.view(np.float16))]
    made = product(
        Rows(halves[:, None], np.ones(len(halves), np.float32)), np.ones((1, 1), np.float32)
    )
    assert (made[0] == halves.view(np.float16).astype(np.float32)).all()


@pytest.mark.parametrize("kind", BITS)
def test_any_number_of_threads_gives_the_same_bits(kind: str):
    rng, before = np.random.default_rng(0), torch.get_num_threads()
    matrix, _ = matrix_of(kind, 333, 100, rng)
    x = rng.standard_normal((3, 100)).astype(np.float32)
    made = []
    try:
        for threads in (1, 2, 64):  # and more than there are
            torch.set_num_threads(threads)
            made.append(product(matrix, x))
    finally:
        torch.set_num_threads(before)
    assert (made[0] == made[1]).all() and (made[0] == made[2]).all()


NOBODY = """
import os
import numpy as np, torch, numba
import groundup.model.quantized

# Once before, so that all of Python is there which its new user may not be allowed to read.
numba.set_num_threads(1)
numba.njit(parallel=True)(lambda x: x + 1)(np.ones(3))
os.setuid(65534)
from groundup.model.kernels import Rows, product

print(product(Rows(np.ones((3, 2), np.float32), np.ones(3, np.float32)), np.ones((1, 2), np.float32)))
"""


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="for root only")
def test_where_nothing_can_be_kept_on_disk_it_is_compiled_each_time(tmp_path):
    """As in a container, or a service of systemd, where the user may write nowhere."""
    nowhere = {
        "HOME": str(tmp_path / "none"),
        "XDG_CACHE_HOME": str(tmp_path / "none"),
        "NUMBA_CACHE_DIR": "",
    }
    told = subprocess.run(
        [sys.executable, "-c", NOBODY],
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.stdout.strip() == "[[2. 2. 2.]]", told.stderr
