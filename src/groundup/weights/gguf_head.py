"""The head of a GGUF file, llama.cpp's format: its fields, and where its tensors lie.

The format is described in ggml's docs/gguf.md. The `gguf` library has a reader as well; it makes an
object of each token of the vocabulary, which takes seconds, and this one takes a tenth. What the types of
numbers are and how they are turned back into floats is the library's.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize
from torch import Tensor

from groundup.errors import CorruptFileError, InputError
from groundup.language import N_

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
MOST_AXES = 4
# The kinds of values, by their numbers: as `struct` and as numpy have them; 8 is text and 9 a list.
NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
TEXT, LIST = 8, 9
# The types of numbers that need no turning into floats.
STRAIGHT = {"F32": np.float32, "F16": np.float16, "F64": np.float64, "BF16": np.int16}


@dataclass(frozen=True)
class GGUFTensor:
    """A tensor in a GGUF file, before it is read."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    """Where it begins, in bytes."""

    @property
    def n_bytes(self) -> int:
        """How much of the file it takes."""
        values, size = GGML_QUANT_SIZES[GGMLQuantizationType[self.dtype]]
        return math.prod(self.shape) // values * size

    def read(self) -> Tensor:
        """The tensor, mapped into memory by itself where its numbers can be used as they are, else as
        float32."""
        kind = STRAIGHT.get(self.dtype, np.uint8)
        count = self.n_bytes // np.dtype(kind).itemsize
        # "c": what is written to it stays in memory.
        numbers = np.memmap(self.file, kind, mode="c", offset=self.offset, shape=(count,))
        if self.dtype in STRAIGHT:
            tensor = torch.from_numpy(numbers)
            return (tensor.view(torch.bfloat16) if kind is np.int16 else tensor).view(self.shape)
        quantization = GGMLQuantizationType[self.dtype]
        values, size = GGML_QUANT_SIZES[quantization]
        rows = numbers.reshape(-1, size * row_of_blocks(self.shape, values))
        try:
            with np.errstate(all="ignore"):
                floats = dequantize(rows, quantization)
        except NotImplementedError:
            raise InputError(
                f"tensor {self.name!r} is stored as {self.dtype}", str(self.file),
                f"supported: {', '.join(readable_types())}",
            ) from None  # fmt: skip
        if not np.isfinite(floats).all():
            raise CorruptFileError(
                f"tensor {self.name!r} holds what is no number", str(self.file),
                "copy or download the file again",
            )  # fmt: skip
        return torch.from_numpy(floats).view(self.shape)


def row_of_blocks(shape: tuple[int, ...], values: int) -> int:
    """How many blocks of so many values the library should take for a row: it works on sixteen rows at
    a time, and on larger ones than a matrix has it is three times as fast."""
    return max(shape[-1] // values, math.gcd(math.prod(shape) // values, 512))


@dataclass(frozen=True)
class Head:
    """What a GGUF file says before its numbers."""

    fields: dict[str, Any]
    tensors: dict[str, GGUFTensor]


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_head(path: Path) -> Head:
    """The head of a file. Raises `InputError` for what is no GGUF file or of a kind that is not
    supported, and `CorruptFileError` where it is cut or changed."""
    size = path.stat().st_size
    if size < 24 or not is_gguf(path):
        raise InputError("this is not a GGUF file", str(path), "a GGUF file begins with 'GGUF'")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(data)
        version = reader.number("I")
        if version not in VERSIONS:
            kind = N_("for processors of the other byte order") if version % 65536 == 0 else version
            raise InputError(
                f"GGUF version {kind} is not supported", str(path), "convert the model again"
            )
        try:
            return _head(reader, path, size)
        except (struct.error, ValueError, OverflowError, MemoryError) as error:
            raise CorruptFileError(
                f"the file's head is cut or changed ({error})", str(path), "copy the file again"
            ) from None


def _head(reader: "_Reader", path: Path, size: int) -> Head:
    n_tensors, n_fields = reader.number("Q"), reader.number("Q")
    fields = {reader.text(): reader.value(reader.number("I")) for _ in range(n_fields)}
    if fields.get("split.count", 1) > 1:
        raise InputError(
            f"this model is split into {fields['split.count']} files", str(path),
            "join them with llama.cpp's llama-gguf-split --merge",
        )  # fmt: skip
    described = [
        (reader.text(), reader.many("Q", min(reader.number("I"), MOST_AXES)), *reader.many("IQ", 1))
        for _ in range(n_tensors)
    ]
    alignment = fields.get("general.alignment", ALIGNMENT)
    if alignment <= 0 or alignment % 4:
        raise ValueError(f"general.alignment {alignment}")
    begin = -(-reader.at // alignment) * alignment
    tensors = {
        name: _tensor(path, name, shape, kind, begin + offset, size)
        for name, shape, kind, offset in described
    }
    return Head(fields, tensors)


def _tensor(
    path: Path, name: str, sizes: tuple[int, ...], kind: int, offset: int, size: int
) -> GGUFTensor:
    try:
        dtype = GGMLQuantizationType(kind).name
    except ValueError:
        raise InputError(
            f"tensor {name!r} is of type {kind}, which is not known", str(path),
            f"supported: {', '.join(readable_types())}",
        ) from None  # fmt: skip
    tensor = GGUFTensor(path, name, sizes[::-1], dtype, offset)  # the last axis comes first there
    values, _ = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    if not sizes or 0 in sizes or sizes[0] % values:
        raise ValueError(f"tensor {name!r} of shape {sizes} is no whole number of {dtype} blocks")
    if offset % 4:
        raise ValueError(f"tensor {name!r} begins at byte {offset}")
    if offset + tensor.n_bytes > size:
        raise CorruptFileError(
            f"the file is cut: tensor {name!r} ends at byte {offset + tensor.n_bytes:,}, "
            f"the file at {size:,}",
            str(path), "copy or download the file again",
        )  # fmt: skip
    return tensor


@cache
def readable_types() -> tuple[str, ...]:
    """The types of numbers that `GGUFTensor.read` knows: those that the library turns into floats."""
    return tuple(kind.name for kind in GGMLQuantizationType if _is_readable(kind))


def _is_readable(kind: GGMLQuantizationType) -> bool:
    if kind.name in STRAIGHT:
        return True
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


class _Reader:
    """Takes one thing after another from the bytes of a file."""

    def __init__(self, data: mmap.mmap):
        self.data, self.at = data, len(MAGIC)

    def many(self, kinds: str, count: int) -> tuple[Any, ...]:
        layout = "<" + kinds * count
        found = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return found

    def number(self, kind: str) -> Any:
        return self.many(kind, 1)[0]

    def text(self) -> str:
        length = self.number("Q")
        if self.at + length > len(self.data):
            raise ValueError(f"a text of {length} bytes at byte {self.at}")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8")

    def value(self, kind: int) -> Any:
        """A value of this kind; single precision as the shortest decimal number that gives it, so that
        1e-5 is 1e-5."""
        if kind == TEXT:
            return self.text()
        if kind == LIST:
            return self._list(self.number("I"), self.number("Q"))
        if kind not in NUMBERS:
            raise ValueError(f"a value of kind {kind}")
        number = self.number(NUMBERS[kind])
        return float(str(np.float32(number))) if NUMBERS[kind] == "f" else number

    def _list(self, kind: int, count: int) -> list[Any]:
        if kind == TEXT:
            return [self.text() for _ in range(count)]
        if kind not in NUMBERS:
            raise ValueError(f"a list of values of kind {kind}")
        found = np.frombuffer(self.data, f"<{NUMBERS[kind]}", count, self.at)
        self.at += found.nbytes
        return found.tolist()
