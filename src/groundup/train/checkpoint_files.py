"""A checkpoint's files, by torch.distributed.checkpoint: every process writes what it has, in safetensors.

Loaded where a checkpoint is written or read only, as it takes a second.
"""

import contextlib
import dataclasses
import hashlib
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch import futures as torch_futures
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex, TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.checkpoint.storage import WriteResult

from groundup.errors import GroundupError
from groundup.files import disk_errors, put_in_place, write_json
from groundup.train.processes import patient_group, process_count

# A file is put together in memory before it is written.
FILE_BYTES = 256 * 2**20
# It says so of every training in one process.
warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)


def write(tensors: dict[str, Tensor], place: Path, described: dict[str, Any]) -> Future[None]:
    """Copy this process's part of `tensors`, and write it in a thread to the folder `place`, which is there
    as soon as all processes have written. `described` is the content of its state.json, to
    whose checksums those of the files are added."""
    result = async_save(
        tensors, storage_writer=_Writer(place, described), process_group=patient_group("checkpoints"),
        no_dist=process_count() == 1,
    )  # fmt: skip
    assert isinstance(result, Future)
    return result


def wait_for(writing: Future[None]) -> None:
    """Wait until all is written; raises what was wrong in the first process that failed."""
    with _unwrapped():
        writing.result()


def sizes(place: Path) -> dict[str, torch.Size]:
    """What tensors a checkpoint holds, of what size."""
    found = HuggingFaceStorageReader(str(place)).read_metadata().state_dict_metadata
    return {name: cast(TensorStorageMetadata, tensor).size for name, tensor in found.items()}


def read_into(tensors: dict[str, Tensor], place: Path) -> None:
    """Fill `tensors`, or this process's part of them, with the numbers of a checkpoint: all processes have
    to read together."""
    reader = HuggingFaceStorageReader(str(place))
    with _unwrapped():
        load(cast(dict[str, Any], tensors), storage_reader=reader, no_dist=process_count() == 1)


@contextlib.contextmanager
def _unwrapped() -> Iterator[None]:
    """Raise what went wrong in a process, and not that something did."""
    try:
        yield
    except CheckpointException as failed:
        raise next(error for error, _ in failed.failures.values()) from None


class _Writer(HuggingFaceStorageWriter):
    """Writes into a folder beside the checkpoint's place, which the first process puts there at the end."""

    def __init__(self, place: Path, described: dict[str, Any]):
        super().__init__(str(place.with_name(f".{place.name}")), save_distributed=True)
        self.place, self.described = place, described

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Called in the first process, before any of them writes."""
        with disk_errors(self.place):
            for left in self.place.parent.glob(".step-*"):  # by a job that has died while it wrote
                shutil.rmtree(left)
            Path(self.path).mkdir(parents=True)
        return super().prepare_global_plan(plans)

    def write_data(
        self, plan: SavePlan, planner: SavePlanner
    ) -> torch_futures.Future[list[WriteResult]]:
        """Write, and tell the first process the checksum of each file."""
        with disk_errors(self.place):
            if not Path(self.path).is_dir():
                raise GroundupError(
                    "a process does not see the folder that the first one writes to", str(self.place),
                    "let --out be on a file system that all machines share",
                )  # fmt: skip
            numbered = plan.storage_data | {"fqn_to_index_mapping": _numbered(plan.items)}
            plan = dataclasses.replace(plan, storage_data=numbered)
            written = super().write_data(plan, planner).wait()
        names = {result.storage_data.relative_path for result in written}
        told: torch_futures.Future[list[WriteResult]] = torch_futures.Future()
        told.set_result(
            [
                WriteResult(MetadataIndex(name), 0, checksum(Path(self.path) / name))
                for name in sorted(names)
            ]
        )
        return told

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Called in the first process, when all have written."""
        for file in (file for files in results for file in files):
            self.described["checksums"][file.index.fqn] = file.storage_data
        with disk_errors(self.place):
            write_json(Path(self.path) / "state.json", self.described)
            put_in_place(Path(self.path), self.place)


def _numbered(items: list[WriteItem]) -> dict[str, int]:
    """The number of the file, from 1, that each tensor goes to."""
    numbers, total = {}, 0
    for item in items:
        numbers[item.index.fqn] = 1 + total // FILE_BYTES
        total += item.tensor_storage_size() or 0
    return numbers


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
