"""Resumable training state: everything the next step depends on, written so that nothing is lost.

A checkpoint is a folder `step-00001000/` of safetensors, which each process writes its part of
(`checkpoint_files.py`), and of `state.json`: where training stands, and the checksums of the other files.
Any number of processes can go on from it. Its tensors are `model.NAME` (what is trained; what is frozen, as
the base of adapters is, comes again from the model that training began with), `optimizer.NAME.WHAT` (what
the optimiser keeps of that weight) and `random.RANK.DEVICE` (the random state of a process). It is not what
a user loads: that is a model directory (`groundup.weights`).
"""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundup.errors import CorruptFileError, InputError
from groundup.model.gpt import GPT
from groundup.train.parts import part_like, whole
from groundup.train.processes import first_says, is_first, process_rank

STATE_KEYS = {"step", "tokens", "seconds", "identity"}


@dataclass
class TrainState:
    """Where training stands after `step` optimiser steps."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    """Time spent in training steps alone, over all sessions."""


def identity_of(decisive: Mapping[str, Any]) -> str:
    """A hash of plain values. Of all that decides the course of a training, it is what a checkpoint carries,
    and must agree with."""
    return hashlib.blake2b(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


class Writing:
    """A checkpoint that is being written in a thread, while the training goes on."""

    def __init__(self, path: Path, keep: int, result: Future[None]):
        self.path, self.keep, self.result = path, keep, result
        self.began, self.seconds = time.monotonic(), 0.0
        result.add_done_callback(self._measure)

    def _measure(self, result: Future[None]) -> None:
        self.seconds = time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        return self.result.done()

    @property
    def has_failed(self) -> bool:
        return self.is_over and self.result.exception() is not None

    def wait(self) -> None:
        """Until it is on the disk; of the older ones beside it, all but the newest are removed then. Raises
        what went wrong in any of the processes."""
        from groundup.train.checkpoint_files import wait_for

        wait_for(self.result)
        if is_first():
            for old in checkpoints(self.path.parent)[: -self.keep]:
                shutil.rmtree(old)


def begin_checkpoint(
    directory: Path,
    model: GPT,
    optimizers: list[torch.optim.Optimizer],
    state: TrainState,
    identity: str,
    keep: int,
) -> Writing:
    """Copy the state of a training, and begin to write it to a checkpoint of this step under `directory`, of
    which the newest `keep` stay. All processes have to begin together."""
    from groundup.train.checkpoint_files import write

    path = directory / f"step-{state.step:08d}"
    tensors = _own_weights(model) | _optimizer_state(model, optimizers) | _random_state()
    described = asdict(state) | {"identity": identity}
    checksums = {"state.json": identity_of(described)}
    return Writing(path, keep, write(tensors, path, described | {"checksums": checksums}))


def load_checkpoint(
    path: Path, model: GPT, optimizers: list[torch.optim.Optimizer], identity: str
) -> TrainState:
    """Put a checkpoint's state into `model` and new `optimizers`, and return where it stands.

    Raises `CorruptFileError` for a cut or changed file and `InputError` where `identity` (what
    decides the course of training: settings, model and data) is not the one it was saved under, or
    other parameters of `model` are trained than were then.
    """
    from groundup.train.checkpoint_files import read_into, sizes

    described = first_says(lambda: verify_checkpoint(path))
    if described["identity"] != identity:
        raise InputError(
            "this checkpoint belongs to a run with other settings or data",
            str(path),
            "resume with the settings it began with, or choose a new --out",
        )
    held = sizes(path)
    _refuse_other_weights(path, model, held)
    _make_optimizer_state(model, optimizers, held)
    # A process that there was none of goes on from the random state that it began with.
    random = {name: state for name, state in _random_state().items() if name in held}
    read_into(_own_weights(model) | _optimizer_state(model, optimizers) | random, path)
    _set_random_state(random)
    return TrainState(described["step"], described["tokens"], described["seconds"])


def load_weights(path: Path, model: GPT) -> None:
    """Put only the weights of a checkpoint into `model`, to look at them.

    Raises `CorruptFileError` where a file is cut, changed or gone, and `InputError` where other
    parameters of `model` are trained than were then.
    """
    from groundup.train.checkpoint_files import read_into, sizes

    verify_checkpoint(path)
    _refuse_other_weights(path, model, sizes(path))
    read_into(_own_weights(model), path)


def saved_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint that is known to be whole, by their names."""
    from groundup.train.checkpoint_files import read_into, sizes

    held = sizes(path)
    weights = {name: torch.zeros(held[name]) for name in held if name.startswith("model.")}
    read_into(weights, path)
    return {name.removeprefix("model."): tensor for name, tensor in weights.items()}


def _refuse_other_weights(path: Path, model: GPT, held: Mapping[str, torch.Size]) -> None:
    own = {name: weight.shape for name, weight in _own_weights(model).items()}
    if own != {name: size for name, size in held.items() if name.startswith("model.")}:
        raise InputError(
            "this checkpoint holds other parameters than are trained now", str(path),
            "freeze, or put adapters on, what was frozen or had adapters then",
        )  # fmt: skip


def _own_weights(model: GPT) -> dict[str, Tensor]:
    return {f"model.{name}": p.detach() for name, p in _trained(model).items()}


def _optimizer_state(model: GPT, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """What the optimisers keep of each weight. Their rates and other settings are those of the recipe."""
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
    return {
        f"optimizer.{names[parameter]}.{what}": value
        for optimizer in optimizers
        for parameter, state in optimizer.state.items()
        for what, value in state.items()
    }


def _make_optimizer_state(
    model: GPT, optimizers: list[torch.optim.Optimizer], held: Mapping[str, torch.Size]
) -> None:
    """Give new optimisers the state, all 0, that those have which a checkpoint was written of."""
    of = {
        p: optimizer
        for optimizer in optimizers
        for g in optimizer.param_groups
        for p in g["params"]
    }
    parameters = dict(model.named_parameters())
    for kept, size in held.items():
        kind, _, rest = kept.partition(".")
        if kind != "optimizer":
            continue
        name, _, what = rest.rpartition(".")
        parameter = parameters[name]
        alike = size == parameter.shape
        of[parameter].state[parameter][what] = (
            torch.zeros_like(parameter) if alike else torch.zeros(size, device=parameter.device)
        )


def _random_state() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return {f"random.{process_rank()}.{device}": state for device, state in states.items()}


def _set_random_state(states: Mapping[str, Tensor]) -> None:
    for name, state in states.items():
        (torch.cuda if name.endswith("cuda") else torch).set_rng_state(state)


@torch.no_grad()
def put_weights(model: GPT, weights: Mapping[str, Tensor]) -> None:
    """Give parameters of a model, by their names, the numbers of whole tensors."""
    parameters = dict(model.named_parameters())
    for name, tensor in weights.items():
        parameter = parameters[name]
        parameter.copy_(part_like(tensor.to(parameter.device), parameter))


def trained_weights(model: GPT) -> dict[str, Tensor]:
    """The weights that are learned, whole, by their names: all processes have to ask together."""
    return {name: whole(p.detach()).contiguous() for name, p in _trained(model).items()}


def _trained(model: GPT) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def saved_identity(path: Path) -> str:
    """What decided the course of training that a checkpoint belongs to."""
    return _read_state(path)["identity"]


def verify_checkpoint(path: Path) -> dict:
    """What `state.json` says of a checkpoint. Raises `CorruptFileError` for a cut or changed file."""
    from groundup.train.checkpoint_files import checksum

    described = _read_state(path)
    for name, expected in described["checksums"].items():
        if not (path / name).is_file() or checksum(path / name) != expected:
            raise _damaged(path, name)
    return described


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoints under `directory`, oldest first."""
    return sorted(directory.glob("step-*"))


def _read_state(path: Path) -> dict:
    try:
        described = json.loads((path / "state.json").read_text(encoding="utf-8"))
        checksums = described.pop("checksums")
        if set(described) >= STATE_KEYS and checksums.pop("state.json") == identity_of(described):
            return described | {"checksums": checksums}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    raise _damaged(path, "state.json")


def _damaged(path: Path, name: str) -> CorruptFileError:
    before = [other.name for other in checkpoints(path.parent) if other.name < path.name]
    return CorruptFileError(
        "a file of this checkpoint is cut or changed", str(path / name),
        f"remove {path} to go on from {before[-1]}" if before
        else f"remove {path} and start again without --resume",
    )  # fmt: skip
