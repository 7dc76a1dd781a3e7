"""What lies on the disk of a model, without reading it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from groundup.weights.stored import OnDisk, on_disk


def test_shards_are_added_up_and_the_commonest_type_comes_first(tmp_path: Path):
    save_file({"a": torch.zeros(10, dtype=torch.int8)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(99, dtype=torch.bfloat16)}, tmp_path / "model-2.safetensors")
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert on_disk(tmp_path) == OnDisk(2, size, "BF16, I8", None)


def test_a_folder_without_weights_has_none(tmp_path: Path):
    assert on_disk(tmp_path) == OnDisk(0, 0, None, None)


def test_a_file_is_as_large_as_it_is(tmp_path: Path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" * 5)
    assert on_disk(tmp_path / "model.gguf") == OnDisk(1, 20, None, None)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not a header at all"])
def test_a_file_that_is_none_is_said_to_be(content: bytes, tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(content)
    found = on_disk(tmp_path)
    assert found.bytes == len(content) and found.dtype is None and found.problem


def test_a_file_larger_than_any_memory_is_read_by_its_header(tmp_path: Path):
    sparse(tmp_path / "model.safetensors", 1 << 36)
    assert on_disk(tmp_path).dtype == "F16" and on_disk(tmp_path).bytes > 1 << 36


def sparse(path: Path, size: int) -> None:
    """A safetensors file of `size` bytes of zeros that are nowhere on the disk."""
    tensor = {"dtype": "F16", "shape": [size // 2], "data_offsets": [0, size]}
    header = json.dumps({"embedding.weight": tensor}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
