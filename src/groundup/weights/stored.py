"""What lies on the disk of a model, without reading its numbers: the size and type of its weights."""

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open


@dataclass(frozen=True)
class Stored:
    """The files of weights: how many, how large, which types of numbers (the most frequent first), and
    why a file's header cannot be read."""

    files: int
    bytes: int
    dtype: str | None
    problem: str | None


def stored(place: Path) -> Stored:
    """The weights of a model directory, or those of a model that is one file."""
    if place.is_file():
        return Stored(1, place.stat().st_size, None, None)
    paths = sorted(place.glob("*.safetensors"))
    size = sum(path.stat().st_size for path in paths)
    try:
        counts = sum(map(_numbers_by_type, paths), Counter())
    except (SafetensorError, OSError) as error:
        return Stored(len(paths), size, None, str(error))
    types = ", ".join(name for name, _ in counts.most_common())
    return Stored(len(paths), size, types or None, None)


def _numbers_by_type(path: Path) -> Counter[str]:
    """How many numbers of each type a file has, by its header."""
    counts: Counter[str] = Counter()
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 - it is no dictionary
            tensor = file.get_slice(name)
            counts[tensor.get_dtype()] += prod(tensor.get_shape())
    return counts
