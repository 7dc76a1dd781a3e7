"""What lies on the disk of a model, without reading its numbers: the size and type of its weights."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open


@dataclass(frozen=True)
class OnDisk:
    """The files of weights: how many, how large, which types of numbers (the most frequent first), and
    why a file's header cannot be read."""

    files: int
    bytes: int
    dtype: str | None
    problem: str | None


def on_disk(place: Path) -> OnDisk:
    """The weights of a model directory, or those of a model that is one file."""
    if place.is_file():
        return OnDisk(1, place.stat().st_size, None, None)
    paths = sorted(place.glob("*.safetensors"))
    size = sum(path.stat().st_size for path in paths)
    try:
        counts = sum(map(_numbers_by_type, paths), Counter())
    except (SafetensorError, OSError) as error:
        return OnDisk(len(paths), size, None, str(error))
    types = ", ".join(name for name, _ in counts.most_common())
    return OnDisk(len(paths), size, types or None, None)


def _numbers_by_type(path: Path) -> Counter[str]:
    """How many numbers of each type a file has."""
    counts: Counter[str] = Counter()
    for _, shape, dtype in tensor_heads(path):
        counts[dtype] += prod(shape)
    return counts


def tensor_heads(path: Path) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Name, shape and type of each tensor of a safetensors file, by its header."""
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 - a list; the file itself is no mapping
            tensor = file.get_slice(name)
            yield name, tuple(tensor.get_shape()), tensor.get_dtype()
