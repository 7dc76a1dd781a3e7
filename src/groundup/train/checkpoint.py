"""Resumable training state: everything the next step depends on, written so that nothing is lost.

A checkpoint is a folder `step-00001000/` of `model.safetensors` (what is trained; what is frozen, as
the base of adapters is, comes again from the model that training began with), `optimizer.pt`
(optimisers and random state, read with `weights_only`) and `state.json` (where training stands, and
the checksum of the other two). It is not what a user loads: that is a model directory
(`groundup.weights`).
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from groundup.errors import CorruptFileError, InputError
from groundup.files import atomic_directory
from groundup.model.gpt import GPT
from groundup.train.parallel import is_first
from groundup.train.parts import part_like, whole

FILES = ("model.safetensors", "optimizer.pt")
STATE_KEYS = {"step", "tokens", "seconds", "identity", "checksums"}


@dataclass
class TrainState:
    """Where training stands after `step` optimiser steps."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    """Time spent in training steps alone, over all sessions."""


def identity_of(decisive: Mapping[str, Any]) -> str:
    """A hash of all that decides the course of a training, plain values: what a checkpoint carries, and
    must agree with."""
    return hashlib.blake2b(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def save_checkpoint(
    directory: Path,
    model: GPT,
    optimizers: list[torch.optim.Optimizer],
    state: TrainState,
    identity: str,
    keep: int,
) -> Path:
    """Write the checkpoint of this step under `directory`; only the newest `keep` stay. What is spread over
    processes is brought together, and the first one writes: any number of them can go on from it."""
    path = directory / f"step-{state.step:08d}"
    weights = trained_weights(model)
    kept = {
        "optimizers": [_whole_state(optimizer) for optimizer in optimizers],
        "random_state": torch.get_rng_state(),
        "gpu_random_states": torch.cuda.get_rng_state_all(),
    }
    if not is_first():
        return path
    with atomic_directory(path) as folder:
        save_file(weights, folder / FILES[0])
        with (folder / FILES[1]).open("wb") as file:
            torch.save(kept, file)
        described = asdict(state) | {
            "identity": identity,
            "checksums": {name: _checksum(folder / name) for name in FILES},
        }
        (folder / "state.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
    for old in checkpoints(directory)[:-keep]:
        shutil.rmtree(old)
    return path


def load_checkpoint(
    path: Path, model: GPT, optimizers: list[torch.optim.Optimizer], identity: str
) -> TrainState:
    """Put a checkpoint's state into `model` and `optimizers` and return where it stands.

    Raises `CorruptFileError` for a cut or changed file and `InputError` where `identity` (what
    decides the course of training: settings, model and data) is not the one it was saved under, or
    other parameters of `model` are trained than were then.
    """
    described = verify_checkpoint(path)
    if described["identity"] != identity:
        raise InputError(
            "this checkpoint belongs to a run with other settings or data",
            str(path),
            "resume with the settings it began with, or choose a new --out",
        )
    _put_weights(path, model)
    kept = torch.load(path / FILES[1], weights_only=True)
    for optimizer, state in zip(optimizers, kept["optimizers"], strict=True):
        optimizer.load_state_dict(_own_state(optimizer, state))
    torch.set_rng_state(kept["random_state"])
    torch.cuda.set_rng_state_all(kept["gpu_random_states"])
    return TrainState(described["step"], described["tokens"], described["seconds"])


def load_weights(path: Path, model: GPT) -> None:
    """Put only the weights of a checkpoint into `model`, to look at them.

    Raises `CorruptFileError` where their file is cut, changed or gone, and `InputError` where other
    parameters of `model` are trained than were then.
    """
    _verify(path, FILES[0], _read_state(path))
    _put_weights(path, model)


def _put_weights(path: Path, model: GPT) -> None:
    parameters, saved = _trained(model), load_file(path / FILES[0])
    if {n: p.shape for n, p in parameters.items()} != {n: t.shape for n, t in saved.items()}:
        raise InputError(
            "this checkpoint holds other parameters than are trained now", str(path),
            "freeze, or put adapters on, what was frozen or had adapters then",
        )  # fmt: skip
    put_weights(model, saved)


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


def _whole_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    described = optimizer.state_dict()
    states = {
        number: {k: whole(v) if isinstance(v, Tensor) else v for k, v in state.items()}
        for number, state in described["state"].items()
    }
    return described | {"state": states}


def _own_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Of a whole optimiser's state, this process's part."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter, of_parameter in zip(parameters, _in_order(state), strict=True):
        for name, value in of_parameter.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                of_parameter[name] = part_like(value.to(parameter.device), parameter)
    return state


def _in_order(state: dict[str, Any]) -> list[dict[str, Any]]:
    """What an optimiser keeps of each parameter, in the order of its groups."""
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    return [state["state"].get(number, {}) for number in numbers]


def _trained(model: GPT) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def saved_identity(path: Path) -> str:
    """What decided the course of training that a checkpoint belongs to."""
    return _read_state(path)["identity"]


def verify_checkpoint(path: Path) -> dict:
    """What `state.json` says of a checkpoint. Raises `CorruptFileError` for a cut or changed file."""
    described = _read_state(path)
    for name in FILES:
        _verify(path, name, described)
    return described


def _verify(path: Path, name: str, described: dict) -> None:
    if not (path / name).is_file() or _checksum(path / name) != described["checksums"][name]:
        raise _damaged(path, name)


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoints under `directory`, oldest first."""
    return sorted(directory.glob("step-*"))


def _read_state(path: Path) -> dict:
    try:
        described = json.loads((path / "state.json").read_text(encoding="utf-8"))
        if set(described) >= STATE_KEYS and set(described["checksums"]) >= set(FILES):
            return described
    except (OSError, ValueError, TypeError):
        pass
    raise _damaged(path, "state.json")


def _damaged(path: Path, name: str) -> CorruptFileError:
    before = [other.name for other in checkpoints(path.parent) if other.name < path.name]
    return CorruptFileError(
        "a file of this checkpoint is cut or changed", str(path / name),
        f"remove {path} to go on from {before[-1]}" if before
        else f"remove {path} and start again without --resume",
    )  # fmt: skip


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
