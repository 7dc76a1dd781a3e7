"""The parts of a model for a few tokens on a CPU, as loops that are compiled.

Where a text grows token by token, every matrix is read for every token, and what PyTorch and Python do
between two products takes longer than the products. So here is what the modules of a block do, once more, as
plain loops. numba makes machine code of them when they first run, for this processor, and keeps it on disk.
The modules are the definition, and `groundup.generation.compiled` hands their numbers to the loops.

Matrices are read as they are stored, in 32, 16, 8 or 4 bits, and widened in the processor's registers: for one
row of x nothing wide goes back to memory. Products say themselves what is done with eight numbers at once, so a
row of x gives the same bits alone and among others: its sums are formed in the same order.

Read `compiled_product` and `one_row`, then `block_step`. All loops are in this one file, as numba compiles anew
what it kept on disk when the file has changed that it comes from, whatever it calls.
"""

import inspect
import os
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

# No more threads than PyTorch has; and one that waits for others gives up its processor soon: by default it
# keeps it for milliseconds, in which others cannot come to an end where the machine has more to do.
os.environ.setdefault("NUMBA_NUM_THREADS", str(torch.get_num_threads()))
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numba
from llvmlite import binding, ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, overload, register_model

SUMS = {"reassoc", "contract", "nsz"}
"""What the compiler may do to a sum: form it in an order that suits the processor, and round a product and
its sum once."""
LANES = 8
"""So many numbers are worked on at once."""
GROUP = 64
"""Numbers of a row in 4 bits that share a scale (`groundup.model.quantized.GROUPS`); all sums are formed group
by group."""
ROWS = 4
"""So many rows of x are multiplied at once with what was read of a matrix, where there are more than one."""
OUTPUTS = 32
"""Those of a product that are one thread's work at a time."""
TINY = np.finfo(np.float32).tiny
RELU, RELU2, GELU, SILU = range(4)
READS_HALF = (
    binding.get_host_cpu_features().get("f16c", False) or "x86" not in binding.get_process_triple()
)
"""Whether the processor widens numbers in half precision by itself."""
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


def instruction(function: Callable) -> Any:
    """A function of loops that says itself what machine code it becomes: it gives its types, and what makes
    the code (in LLVM's language, from which numba goes on)."""
    return intrinsic(inspect.unwrap(function))


def by_kind(inline: Literal["never", "always"] = "never") -> Callable[[Callable], Any]:
    """A function of loops whose code depends on the kinds of what it is given: what is decorated is asked for
    it when a loop is compiled that calls it."""

    def decorate(choose: Callable) -> Any:
        choose = inspect.unwrap(choose)

        @wraps(choose)
        def called(*given: Any) -> Any:
            raise TypeError(f"{choose.__name__} can be called by compiled loops only")

        overload(called, inline=inline)(choose)
        return called

    return decorate


# What the loops read


class Rows(NamedTuple):
    """A matrix (out, in), row by row, and what each row is multiplied by. The numbers are in single
    precision, in half (their bits, uint16), or codes in 8 bits (int8)."""

    numbers: np.ndarray
    scales: np.ndarray


class Nibbles(NamedTuple):
    """A matrix in 4 bits: codes (out, groups · 32), two in a byte, the first in the lower bits; scales and
    shifts (out, groups). A code stands for code · scale − shift."""

    codes: np.ndarray
    scales: np.ndarray
    shifts: np.ndarray


Matrix = Rows | Nibbles


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


# Eight numbers at once


class Lanes(types.Type):
    """Eight numbers in single precision, which a loop keeps in the processor's registers."""


EIGHT = Lanes("eight numbers")
INT32, FLOATS = ir.IntType(32), ir.VectorType(ir.FloatType(), LANES)


@register_model(Lanes)
class LanesModel(PrimitiveModel):
    """What they are to the compiler."""

    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, FLOATS)


def vector_of(kind: ir.Type, numbers: Any) -> ir.Constant:
    return ir.Constant(ir.VectorType(kind, len(numbers)), list(numbers))


def place(context: Any, builder: Any, kind: Any, array: Any, at: Any, of: ir.Type) -> Any:
    """The address of an element of an array, as one of a vector."""
    made = context.make_array(kind)(context, builder, array)
    address = cgutils.get_item_pointer(context, builder, kind, made, at)
    return builder.bitcast(address, ir.VectorType(of, LANES).as_pointer())


@instruction
def zeros(typing):
    return EIGHT(), lambda context, builder, signature, given: ir.Constant(FLOATS, None)


@instruction
def all_of(typing, number):
    """Eight times the same number."""

    def make(context, builder, signature, given):
        return spread(builder, given[0])

    return EIGHT(types.float32), make


@instruction
def add_product(typing, total, a, b):
    """total + a · b, rounded once where the processor can."""

    def make(context, builder, signature, given):
        made = builder.fmul(given[1], given[2], flags=("contract",))
        return builder.fadd(given[0], made, flags=("contract",))

    return EIGHT(EIGHT, EIGHT, EIGHT), make


@instruction
def sum_of(typing, eight):
    """Half is added to half, until one is left."""

    def make(context, builder, signature, given):
        (total,), count = given, LANES
        while count > 1:
            count //= 2
            low, high = vector_of(INT32, range(count)), vector_of(INT32, range(count, 2 * count))
            total = builder.fadd(
                builder.shuffle_vector(total, total, low),
                builder.shuffle_vector(total, total, high),
            )
        return builder.extract_element(total, INT32(0))

    return types.float32(EIGHT), make


@instruction
def load(typing, array, row, i):
    """Eight numbers of a row from the i-th on: in single precision, in half (uint16), or whole (int8)."""
    kinds = {types.float32: ir.FloatType(), types.uint16: ir.HalfType(), types.int8: ir.IntType(8)}

    def make(context, builder, signature, given):
        of = kinds[array.dtype]
        made = builder.load(place(context, builder, array, given[0], given[1:], of), align=1)
        if array.dtype == types.int8:
            return builder.sitofp(builder.sext(made, ir.VectorType(INT32, LANES)), FLOATS)
        return made if array.dtype == types.float32 else builder.fpext(made, FLOATS)

    return EIGHT(array, types.intp, types.intp), make


@instruction
def store(typing, array, row, i, eight):
    def make(context, builder, signature, given):
        to = place(context, builder, array, given[0], given[1:3], ir.FloatType())
        builder.store(given[3], to, align=1)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, EIGHT), make


@instruction
def nibbles(typing, codes, row, group, k):
    """Eight codes of a group: the k-th in each of its eight words of 32 bits, where it lies, so 16ᵏ times as
    large; but for the last, which would be taken for a sign. (`arranged` evens that out.)"""

    def make(context, builder, signature, given):
        array, row, group, k = given
        at = builder.mul(group, group.type(GROUP // 2))
        words = builder.load(place(context, builder, codes, array, [row, at], INT32), align=1)
        k = builder.trunc(k, INT32)
        last = builder.icmp_signed("==", k, INT32(LANES - 1))
        down = builder.select(last, INT32(28), INT32(0))
        mask = builder.select(last, INT32(15), builder.shl(INT32(15), builder.mul(k, INT32(4))))
        kept = builder.and_(builder.lshr(words, spread(builder, down)), spread(builder, mask))
        return builder.sitofp(kept, FLOATS)

    return EIGHT(codes, types.intp, types.intp, types.intp), make


def spread(builder: Any, number: Any) -> Any:
    """A vector of eight times the same number."""
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, number, INT32(0))
    return builder.shuffle_vector(first, first, vector_of(INT32, [0] * LANES))


# Products


def product(matrix: Matrix, x: np.ndarray) -> np.ndarray:
    """x · Wᵀ for x (rows, in) in single precision."""
    with LOCK:
        use_threads()
        return compiled_product(matrix, x)


def use_threads() -> None:
    """As many as PyTorch may use. To be called before anything else here: code that was kept on disk does not
    look for numba's threads itself."""
    numba.set_num_threads(min(torch.get_num_threads(), int(os.environ["NUMBA_NUM_THREADS"])))


@loop(parallel=True)
def compiled_product(matrix, x):
    x, sums = arranged(matrix, x)
    out = room(matrix, x)
    for job in prange(jobs(matrix)):
        outputs(out, matrix, job, x, sums)
    return out


@loop(parallel=True)
def two_products(a, b, x):
    """x times two matrices of one kind, at once, as it takes time to set threads to work. (numba's parallel
    loops take no tuple of matrices.)"""
    x, sums = arranged(a, x)
    of_a, of_b, first = room(a, x), room(b, x), jobs(a)
    for job in prange(first + jobs(b)):
        if job < first:
            outputs(of_a, a, job, x, sums)
        else:
            outputs(of_b, b, job - first, x, sums)
    return of_a, of_b


@loop(parallel=True)
def three_products(a, b, c, x):
    x, sums = arranged(a, x)
    of_a, of_b, of_c = room(a, x), room(b, x), room(c, x)
    first, second = jobs(a), jobs(a) + jobs(b)
    for job in prange(second + jobs(c)):
        if job < first:
            outputs(of_a, a, job, x, sums)
        elif job < second:
            outputs(of_b, b, job - first, x, sums)
        else:
            outputs(of_c, c, job - second, x, sums)
    return of_a, of_b, of_c


@loop()
def room(matrix, x):
    return np.empty((len(x), len(matrix[0])), np.float32)


@loop()
def jobs(matrix):
    return (len(matrix[0]) + OUTPUTS - 1) // OUTPUTS


@loop()
def outputs(out, matrix, job, x, sums):
    """Those of one job."""
    first, end = OUTPUTS * job, min(OUTPUTS * (job + 1), out.shape[1])
    if len(x) == 1 and whole_groups(matrix) == sums.shape[1]:
        one_row(out, matrix, first, end, x, sums)
    else:
        some_rows(out, matrix, first, end, x, sums)


@loop()
def one_row(out, matrix, first, end, x, sums):
    """These outputs for the only row of x."""
    for o in range(first, end):
        total = zeros()
        for g in range(sums.shape[1]):
            part = zeros()
            for k in range(GROUP // LANES):
                part = add_product(
                    part, eight_of(matrix, o, g, k), load(x, 0, GROUP * g + LANES * k)
                )
            total = add_product(total, part, all_of(scale_of_group(matrix, o, g)))
        out[0, o] = finished(matrix, o, sum_of(total), sums, 0)


@loop()
def some_rows(out, matrix, first, end, x, sums):
    """These outputs for all rows: two rows of the matrix, widened, times four rows of x, each sum formed as in
    `one_row`."""
    wide, last = np.zeros((2, x.shape[1]), np.float32), len(x) - 1
    for o in range(first, end, 2):
        other = min(o + 1, end - 1)
        widen(wide, 0, matrix, o)
        widen(wide, 1, matrix, other)
        for r in range(0, len(x), ROWS):
            rows = r, min(r + 1, last), min(r + 2, last), min(r + 3, last)
            these = those = zeros(), zeros(), zeros(), zeros()
            for g in range(sums.shape[1]):
                a = b = zeros(), zeros(), zeros(), zeros()
                for i in range(GROUP * g, GROUP * (g + 1), LANES):
                    a = add_products(a, load(wide, 0, i), x, rows, i)
                    b = add_products(b, load(wide, 1, i), x, rows, i)
                these = add_scaled(these, a, scale_of_group(matrix, o, g))
                those = add_scaled(those, b, scale_of_group(matrix, other, g))
            for row, this, that in (
                (rows[0], these[0], those[0]), (rows[1], these[1], those[1]),
                (rows[2], these[2], those[2]), (rows[3], these[3], those[3]),
            ):  # fmt: skip
                out[row, o] = finished(matrix, o, sum_of(this), sums, row)
                out[row, other] = finished(matrix, other, sum_of(that), sums, row)


@loop()
def add_products(totals, eight, x, rows, i):
    a, b, c, d = totals
    return (
        add_product(a, eight, load(x, rows[0], i)), add_product(b, eight, load(x, rows[1], i)),
        add_product(c, eight, load(x, rows[2], i)), add_product(d, eight, load(x, rows[3], i)),
    )  # fmt: skip


@loop()
def add_scaled(totals, parts, scale):
    a, b, c, d = totals
    s = all_of(scale)
    return (
        add_product(a, parts[0], s), add_product(b, parts[1], s),
        add_product(c, parts[2], s), add_product(d, parts[3], s),
    )  # fmt: skip


@loop()
def widen(wide, j, matrix, o):
    """Write row o of a matrix to row j, in single precision."""
    for g in range(whole_groups(matrix)):
        for k in range(GROUP // LANES):
            store(wide, j, GROUP * g + LANES * k, eight_of(matrix, o, g, k))
    widen_rest(wide, j, matrix, o)


# What differs between kinds of matrices


@by_kind()
def whole_groups(matrix):
    """How many whole groups a row of a matrix has."""
    if matrix.instance_class is Nibbles:
        return lambda matrix: matrix.scales.shape[1]
    return lambda matrix: matrix.numbers.shape[1] // GROUP


@by_kind(inline="always")
def eight_of(matrix, o, g, k):
    """Eight numbers of row o of a matrix: the k-th of group g."""
    if matrix.instance_class is Nibbles:
        return lambda matrix, o, g, k: nibbles(matrix.codes, o, g, k)
    return lambda matrix, o, g, k: load(matrix.numbers, o, GROUP * g + LANES * k)


@by_kind(inline="always")
def scale_of_group(matrix, o, g):
    """What the sum of a group is multiplied by."""
    if matrix.instance_class is Nibbles:
        return lambda matrix, o, g: matrix.scales[o, g]
    return lambda matrix, o, g: np.float32(1)


@by_kind(inline="always")
def finished(matrix, o, total, sums, r):
    """An output, of what its groups come to and of the sums of x."""
    if matrix.instance_class is Nibbles:
        return lambda matrix, o, total, sums, r: total - shifted(matrix.shifts, o, sums, r)
    return lambda matrix, o, total, sums, r: total * matrix.scales[o]


@loop()
def shifted(shifts, o, sums, r):
    total = np.float32(0)
    for g in range(sums.shape[1]):
        total += shifts[o, g] * sums[r, g]
    return total


@by_kind()
def arranged(matrix, x):
    """X in the order in which a matrix is read."""
    kind = in_words if matrix.instance_class is Nibbles else in_groups
    return lambda matrix, x: kind(x)


@loop()
def in_groups(x):
    """x, with zeros at its end where its last group is not whole. (The sums are for `Nibbles` only.)"""
    rows, width = x.shape
    groups = (width + GROUP - 1) // GROUP
    if width < GROUP * groups:
        whole = np.zeros((rows, GROUP * groups), np.float32)
        whole[:, :width] = x
        x = whole
    return x, np.zeros((rows, groups), np.float32)


@loop()
def in_words(x):
    """`in_groups`, in the order and divided by the powers of 16 of `nibbles`: a word of eight codes stands for
    eight neighbours, so what lies eight apart in a group comes side by side."""
    x, sums = in_groups(x)
    made, ones, words = np.empty_like(x), all_of(np.float32(1)), GROUP // LANES
    for r in range(len(x)):
        for g in range(sums.shape[1]):
            total, start, power = zeros(), GROUP * g, np.float32(1)
            for i in range(start, start + GROUP, LANES):
                total = add_product(total, load(x, r, i), ones)
            sums[r, g] = sum_of(total)
            for k in range(LANES):
                if k == LANES - 1:
                    power = np.float32(1)
                for word in range(words):
                    made[r, start + words * k + word] = x[r, start + LANES * word + k] * power
                power /= np.float32(16)
    return made, sums


@by_kind()
def widen_rest(wide, j, matrix, o):
    """`widen` for what a row has after its whole groups."""
    if matrix.instance_class is Nibbles:
        return lambda wide, j, matrix, o: None
    return lambda wide, j, matrix, o: widen_rest_of_row(wide, j, matrix.numbers, o)


@loop()
def widen_rest_of_row(wide, j, numbers, o):
    first = numbers.shape[1] // GROUP * GROUP
    rest = np.zeros((1, GROUP), numbers.dtype)
    for i in range(first, numbers.shape[1]):
        rest[0, i - first] = numbers[o, i]
    if first < numbers.shape[1]:
        for k in range(0, GROUP, LANES):
            store(wide, j, first + k, load(rest, 0, k))


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
    return biased(compiled_product(layer.matrix, x), layer.bias)


@loop()
def biased(x, bias):
    """In place."""
    for t in range(len(x)):
        for i in range(len(bias)):
            x[t, i] += bias[i]
    return x


@loop()
def attention(x, heads, keys, values, tokens):
    n, (kv_heads, width) = len(x), keys.numbers.shape[1:]
    q, k, v = three_products(heads.query.matrix, heads.key.matrix, heads.value.matrix, x)
    q = biased(q, heads.query.bias).reshape(n, -1, width)
    k = biased(k, heads.key.bias).reshape(n, kv_heads, width)
    v = biased(v, heads.value.bias).reshape(n, kv_heads, width)
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


@loop(parallel=True)
def attend(q, keys, values, tokens, scale):
    """softmax(q kᵀ · scale) v for each token and head, keys and values where they lie in the cache."""
    n, heads, width = q.shape
    q, mixed = q.reshape(n * heads, width), np.zeros((n * heads, width), np.float32)
    for job in prange(n * heads):
        attend_one(mixed, job, q, job // heads, job % heads, heads, keys, values, tokens, scale)
    return mixed.reshape(n, heads * width)


@loop()
def attend_one(mixed, job, q, t, head, heads, keys, values, tokens, scale):
    """For one token and head. (Keys and values of all slots and heads are taken as rows of one matrix.)"""
    kv_heads, width = keys.numbers.shape[1:]
    k, v = keys.numbers.reshape(-1, width), values.numbers.reshape(-1, width)
    kv, row, first = head * kv_heads // heads, tokens.row[t], tokens.first[t]
    weights = np.empty(tokens.end[t] - first, np.float32)
    for j in range(len(weights)):
        slot, total = tokens.seen[row, first + j], zeros()
        for i in range(0, width, LANES):
            total = add_product(total, load(k, slot * kv_heads + kv, i), load(q, job, i))
        weights[j] = scale * sum_of(total) * scale_of(keys, slot, kv)
    softmax(weights)
    for j in range(len(weights)):
        slot = tokens.seen[row, first + j]
        weight = all_of(weights[j] * scale_of(values, slot, kv))
        for i in range(0, width, LANES):
            more = load(v, slot * kv_heads + kv, i)
            store(mixed, job, i, add_product(load(mixed, job, i), weight, more))


@loop(SUMS)
def softmax(x):
    """In place."""
    highest, total = x.max(), np.float32(0)
    for i in range(len(x)):
        x[i] = np.exp(x[i] - highest)
        total += x[i]
    for i in range(len(x)):
        x[i] /= total


@by_kind()
def keep(kept, slot, x):
    """How a vector for each head is written to the cache."""
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


@by_kind(inline="always")
def scale_of(kept, slot, head):
    """What the numbers of a head in the cache are multiplied by."""
    if kept.types[0].dtype == types.int8:
        return lambda kept, slot, head: kept.scales[slot, head, 0]
    return lambda kept, slot, head: np.float32(1)


@by_kind()
def feed_forward(x, parts):
    """What the kind of `parts` does."""
    kind = plain if parts.instance_class is Plain else gated
    return lambda x, parts: kind(x, parts)


@loop()
def plain(x, parts):
    return linear(bent(linear(x, parts.up), parts.bend), parts.down)


@loop()
def gated(x, parts):
    gate, up = two_products(parts.gate.matrix, parts.up.matrix, x)
    gate, up = biased(gate, parts.gate.bias), biased(up, parts.up.bias)
    return linear(bent(gate, parts.bend) * up, parts.down)


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
