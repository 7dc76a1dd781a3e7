"""The parts of a model for a few tokens on a CPU, as loops that are compiled.

Where a text grows token by token, every matrix is read for every token, and what PyTorch and Python do
between two products takes longer than the products. So here is what the modules of a block do, once more, as
plain loops. numba makes machine code of them when they first run, for this processor, and keeps it on disk.
The modules are the definition, and `groundup.generation.compiled` hands their numbers to the loops.

Matrices are read as they are stored, in 32, 16, 8 or 4 bits, and widened in the processor's registers:
nothing wide goes back to memory. A row of x gives the same numbers alone and among others, as its sums are
formed in the same order.

Read `product_of_rows`, then `block_step`. All loops are in this one file, as numba compiles anew what it kept
on disk when the file has changed that it comes from, whatever it calls.
"""

import inspect
import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch

# No more threads than PyTorch has; and one that waits for others gives up its processor soon: by default it
# keeps it for milliseconds, in which others cannot come to an end where the machine has more to do.
os.environ.setdefault("NUMBA_NUM_THREADS", str(torch.get_num_threads()))
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numba
from numba import njit, prange, types
from numba.extending import overload

SUMS = {"reassoc", "contract", "nsz"}
"""What the compiler may do to a sum: form it in an order that suits the processor, and round a product and
its sum once."""
IN_ORDER = {"contract"}
"""The latter only."""
TILE = 16
"""So many outputs of a matrix in 4 bits lie side by side: as many as a processor works on at once."""
GROUP = 64
"""Numbers of a row in 4 bits that share a scale (`groundup.model.quantized.GROUPS`)."""
TINY = np.finfo(np.float32).tiny
RELU, RELU2, GELU, SILU = range(4)
LOCK = Lock()
"""To be held by who calls a loop: numba's threads serve one caller at a time."""


def loop(fastmath: set[str] | None = None, parallel: bool = False) -> Callable[[Callable], Any]:
    """To be compiled when it is first called. (Itself, and not what checks its types in the tests.)"""

    def decorate(function: Callable) -> Any:
        made: Any = njit(inspect.unwrap(function), fastmath=fastmath or False, parallel=parallel)
        with suppress(RuntimeError):  # where nothing can be kept on disk, it is compiled each time
            made.enable_caching()
        return made

    return decorate


# What the loops read


class Rows(NamedTuple):
    """A matrix (out, in), row by row, and what each row is multiplied by. The numbers are in single
    precision, in half (their bits, uint16), or codes in 8 bits (int8)."""

    numbers: np.ndarray
    scales: np.ndarray


class Tiles(NamedTuple):
    """A matrix in 4 bits as `tiles` arranges it: words (tiles, groups · 8, 16) of eight codes each, one word
    for each of 16 outputs; scales and shifts (tiles, groups, 16)."""

    words: np.ndarray
    scales: np.ndarray
    shifts: np.ndarray
    out_features: int


Matrix = Rows | Tiles


class Product(NamedTuple):
    """A linear layer; its bias may be empty."""

    matrix: Matrix
    bias: np.ndarray


class Norm(NamedTuple):
    """RMSNorm, or LayerNorm where `centered`; its bias may be empty."""

    weight: np.ndarray
    bias: np.ndarray
    epsilon: np.float32
    centered: bool


class Heads(NamedTuple):
    """An attention layer. The norms of queries and keys may have an empty weight: then there is none."""

    query: Product
    key: Product
    value: Product
    output: Product
    query_norm: Norm
    key_norm: Norm
    scale: np.float32


class Gated(NamedTuple):
    """A feed-forward in which a bent projection gates another."""

    gate: Product
    up: Product
    down: Product
    bend: int


class Plain(NamedTuple):
    """A feed-forward that widens, bends and narrows."""

    up: Product
    down: Product
    bend: int


class Block(NamedTuple):
    """A block that norms what it reads."""

    attention_norm: Norm
    heads: Heads
    feed_forward_norm: Norm
    feed_forward: Gated | Plain


class Kept(NamedTuple):
    """The keys or the values of a layer in the cache: numbers (slots, heads, width) as they are, without
    scales; or codes in 8 bits, and a scale for each head (slots, heads, 1)."""

    numbers: np.ndarray
    scales: np.ndarray


class Tokens(NamedTuple):
    """The tokens of a pass: their cosines and sines, where their keys and values are written, and where those
    lie that they look at: `seen[row, first:end]`."""

    cos: np.ndarray
    sin: np.ndarray
    written: np.ndarray
    row: np.ndarray
    first: np.ndarray
    end: np.ndarray
    seen: np.ndarray


# Products


def product(matrix: Matrix, x: np.ndarray) -> np.ndarray:
    """x · Wᵀ for x (rows, in) in single precision."""
    with LOCK:
        use_threads()
        return KERNELS[type(matrix)](matrix, x)


@overload(product)
def _product(matrix, x):
    """The same where it is called by a loop."""
    kernel = KERNELS[matrix.instance_class]
    return lambda matrix, x: kernel(matrix, x)


def use_threads() -> None:
    """As many as PyTorch may use. To be called before anything else here: code that was kept on disk does not
    look for numba's threads itself."""
    numba.set_num_threads(min(torch.get_num_threads(), int(os.environ["NUMBA_NUM_THREADS"])))


@loop(SUMS, parallel=True)
def product_of_rows(matrix, x):
    out = np.empty((len(x), len(matrix.numbers)), np.float32)
    for o in prange(len(matrix.numbers)):
        for r in range(len(x)):
            out[r, o] = dot(matrix.numbers[o], x[r]) * matrix.scales[o]
    return out


@loop(SUMS)
def dot(row, x):
    total = np.float32(0)
    for i in range(len(x)):
        total += wide(row[i]) * x[i]
    return total


def wide(number):
    """Stands for what a number of a matrix is in single precision."""
    raise NotImplementedError


@overload(wide)
def _wide(number):
    if number == types.uint16:
        return lambda number: from_half(number)
    return lambda number: np.float32(number)


@loop(SUMS)
def from_half(bits):
    """A number in half precision: sign, exponent and fraction go to their places, and a multiplication takes
    the exponent from one bias to the other, which is right for the smallest numbers as well."""
    size, sign = np.uint32(bits) & np.uint32(0x7FFF), np.uint32(bits) & np.uint32(0x8000)
    moved = np.uint32(size << np.uint32(13) | sign << np.uint32(16))
    return moved.view(np.float32) * np.float32(2.0**112)


@loop(IN_ORDER, parallel=True)
def product_of_tiles(matrix, x):
    rows, (tiles, groups) = len(x), matrix.scales.shape[:2]
    x, sums = in_whole_groups(x, groups), sums_of_groups(x, groups)
    out = np.zeros((rows, tiles * TILE), np.float32)
    for t in prange(tiles):
        for r in range(rows):
            add_tile(matrix.words[t], matrix.scales[t], matrix.shifts[t], x[r], sums[r],
                     out[r, t * TILE : (t + 1) * TILE])  # fmt: skip
    return out[:, : matrix.out_features].copy()


@loop()
def in_whole_groups(x, groups):
    whole = np.zeros((len(x), groups * GROUP), np.float32)
    for r in range(len(x)):
        for i in range(x.shape[1]):
            whole[r, i] = x[r, i]
    return whole


@loop(SUMS)
def sums_of_groups(x, groups):
    sums = np.empty((len(x), groups), np.float32)
    for r in range(len(x)):
        for g in range(groups):
            sums[r, g] = total_of(x[r, GROUP * g : GROUP * g + GROUP])
    return sums


@loop(SUMS)
def total_of(x):
    total = np.float32(0)
    for i in range(len(x)):
        total += x[i]
    return total


@loop(IN_ORDER)
def add_tile(words, scales, shifts, x, sums, out):
    """Add the products of 16 rows of a matrix, side by side. The words of a group are written out, so that
    the compiler keeps its sum in registers."""
    for g in range(len(scales)):
        i, j = 8 * g, GROUP * g
        for a in range(TILE):
            total = (
                ((eight(words[i, a], x, j) + eight(words[i + 1, a], x, j + 8))
                 + (eight(words[i + 2, a], x, j + 16) + eight(words[i + 3, a], x, j + 24)))
                + ((eight(words[i + 4, a], x, j + 32) + eight(words[i + 5, a], x, j + 40))
                   + (eight(words[i + 6, a], x, j + 48) + eight(words[i + 7, a], x, j + 56)))
            )  # fmt: skip
            out[a] += scales[g, a] * total - shifts[g, a] * sums[g]


@loop(IN_ORDER)
def eight(word, x, i):
    """Σ (1 + code / 16) · x of the eight codes in a word."""
    return (
        fraction(word, 0) * x[i] + fraction(word, 1) * x[i + 1]
        + fraction(word, 2) * x[i + 2] + fraction(word, 3) * x[i + 3]
        + fraction(word, 4) * x[i + 4] + fraction(word, 5) * x[i + 5]
        + fraction(word, 6) * x[i + 6] + fraction(word, 7) * x[i + 7]
    )  # fmt: skip


@loop(IN_ORDER)
def fraction(word, place):
    """1 + code / 16 of one of the eight codes: its four bits become the first of a float's fraction, which
    takes one step less than making a float of the code."""
    low = 4 * place
    moved = word << np.uint32(19 - low) if low <= 19 else word >> np.uint32(low - 19)
    return np.uint32(moved & np.uint32(0x00780000) | np.uint32(0x3F800000)).view(np.float32)


KERNELS = {Rows: product_of_rows, Tiles: product_of_tiles}


def tiles(codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray) -> Tiles:
    """A matrix in 4 bits as `product` wants it, of codes (out, groups · 64) and, for each group, a scale and
    a zero (out, groups): a code stands for (code − zero) · scale.

    That is (1 + code / 16) · 16 · scale − (16 + zero) · scale, for `eight`."""
    out, groups = scales.shape
    more = ((0, -out % TILE), (0, 0))
    codes, scales, zeros = np.pad(codes, more), np.pad(scales, more), np.pad(zeros, more)
    eights = codes.reshape(-1, 8).astype(np.uint32) << np.arange(0, 32, 4, dtype=np.uint32)
    words = np.bitwise_or.reduce(eights, axis=1).reshape(-1, TILE, groups * GROUP // 8)
    return Tiles(_sideways(words), _by_tile(16 * scales), _by_tile(scales * (16 + zeros)), out)


def _by_tile(of_groups: np.ndarray) -> np.ndarray:
    return _sideways(of_groups.astype(np.float32).reshape(-1, TILE, of_groups.shape[1]))


def _sideways(by_tile: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(by_tile.transpose(0, 2, 1))


# A block


@loop()
def block_step(x, block, keys, values, tokens):
    """Take the stream (tokens, d_model) through a block, in place, and keep its keys and values."""
    x += attention(normed(x, block.attention_norm), block.heads, keys, values, tokens)
    x += feed_forward(normed(x, block.feed_forward_norm), block.feed_forward)


@loop(SUMS)
def normed(x, norm):
    out = np.empty_like(x)
    for t in range(len(x)):
        norm_into(out[t], x[t], norm)
    return out


@loop(SUMS)
def norm_into(out, x, norm):
    mean, square = np.float32(0), np.float32(0)
    if norm.centered:
        for i in range(len(x)):
            mean += x[i]
        mean /= np.float32(len(x))
    for i in range(len(x)):
        square += (x[i] - mean) ** 2
    scale = np.float32(1) / np.sqrt(square / np.float32(len(x)) + norm.epsilon)
    for i in range(len(x)):
        out[i] = (x[i] - mean) * scale * norm.weight[i]
    for i in range(len(norm.bias)):
        out[i] += norm.bias[i]


@loop(SUMS)
def linear(x, layer):
    out = product(layer.matrix, x)
    for t in range(len(x)):
        for i in range(len(layer.bias)):
            out[t, i] += layer.bias[i]
    return out


@loop()
def attention(x, heads, keys, values, tokens):
    n, (kv_heads, width) = len(x), keys.numbers.shape[1:]
    q = linear(x, heads.query).reshape(n, -1, width)
    k = linear(x, heads.key).reshape(n, kv_heads, width)
    v = linear(x, heads.value).reshape(n, kv_heads, width)
    for t in range(n):
        norm_and_turn(q[t], heads.query_norm, tokens.cos[t], tokens.sin[t])
        norm_and_turn(k[t], heads.key_norm, tokens.cos[t], tokens.sin[t])
        keep(keys, tokens.written[t], k[t])
        keep(values, tokens.written[t], v[t])
    return linear(attend(q, keys, values, tokens, heads.scale), heads.output)


@loop(SUMS)
def norm_and_turn(x, norm, cos, sin):
    """Norm each head and turn its pairs (i, i + half), in place."""
    half = len(cos) // 2
    for h in range(len(x)):
        if len(norm.weight):
            norm_into(x[h], x[h], norm)
        for i in range(half):
            a, b = x[h, i], x[h, i + half]
            x[h, i] = a * cos[i] + b * sin[i]
            x[h, i + half] = b * cos[i + half] + a * sin[i + half]


@loop(SUMS, parallel=True)
def attend(q, keys, values, tokens, scale):
    """softmax(q kᵀ · scale) v for each token and head, keys and values where they lie in the cache."""
    n, heads, width = q.shape
    group = heads // keys.numbers.shape[1]
    mixed = np.zeros((n, heads * width), np.float32)
    for job in prange(n * heads):
        t, h, kv = job // heads, job % heads, job % heads // group
        seen = tokens.seen[tokens.row[t], tokens.first[t] : tokens.end[t]]
        weights = np.empty(len(seen), np.float32)
        for j in range(len(seen)):
            weights[j] = (
                scale * dot(keys.numbers[seen[j], kv], q[t, h]) * scale_of(keys, seen[j], kv)
            )
        softmax(weights)
        for j in range(len(seen)):
            weight = weights[j] * scale_of(values, seen[j], kv)
            add(mixed[t, h * width : (h + 1) * width], weight, values.numbers[seen[j], kv])
    return mixed


@loop(SUMS)
def softmax(x):
    """In place."""
    highest, total = x.max(), np.float32(0)
    for i in range(len(x)):
        x[i] = np.exp(x[i] - highest)
        total += x[i]
    for i in range(len(x)):
        x[i] /= total


@loop(SUMS)
def add(out, weight, x):
    for i in range(len(x)):
        out[i] += weight * wide(x[i])


def keep(kept, slot, x):
    """Stands for how a vector for each head is written to the cache."""
    raise NotImplementedError


@overload(keep)
def _keep(kept, slot, x):
    kind = keep_in_8_bits if kept.types[0].dtype == types.int8 else keep_whole
    return lambda kept, slot, x: kind(kept, slot, x)


@loop()
def keep_whole(kept, slot, x):
    kept.numbers[slot] = x


@loop()
def keep_in_8_bits(kept, slot, x):
    """`groundup.generation.paged.in_8_bits`."""
    for h in range(len(x)):
        largest = np.float32(0)
        for i in range(x.shape[1]):
            largest = max(largest, abs(x[h, i]))
        scale = max(largest / np.float32(127), TINY)
        kept.scales[slot, h, 0] = scale
        for i in range(x.shape[1]):
            kept.numbers[slot, h, i] = np.int8(np.rint(x[h, i] / scale))


def scale_of(kept, slot, head):
    """Stands for what the numbers of a head in the cache are multiplied by."""
    raise NotImplementedError


@overload(scale_of)
def _scale_of(kept, slot, head):
    if kept.types[0].dtype == types.int8:
        return lambda kept, slot, head: kept.scales[slot, head, 0]
    return lambda kept, slot, head: np.float32(1)


def feed_forward(x, parts):
    """Stands for what the kind of `parts` does."""
    raise NotImplementedError


@overload(feed_forward)
def _feed_forward(x, parts):
    kind = plain if parts.instance_class is Plain else gated
    return lambda x, parts: kind(x, parts)


@loop()
def plain(x, parts):
    return linear(bent(linear(x, parts.up), parts.bend), parts.down)


@loop()
def gated(x, parts):
    return linear(bent(linear(x, parts.gate), parts.bend) * linear(x, parts.up), parts.down)


@loop(SUMS, parallel=True)
def bent(x, bend):
    """The activation, in place."""
    numbers = x.reshape(-1)
    for i in prange(len(numbers)):
        numbers[i] = bent_number(numbers[i], bend)
    return x


@loop(SUMS)
def bent_number(x, bend):
    one = np.float32(1)
    if bend == SILU:
        return x / (one + np.exp(-x))
    if bend == GELU:
        inner = np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x)
        return x * (one - one / (one + np.exp(inner + inner)))  # x · (1 + tanh(inner)) / 2
    positive = max(x, np.float32(0))
    return positive if bend == RELU else positive * positive
