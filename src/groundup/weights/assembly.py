"""A model from tensors in files: which of theirs holds which of ours, whether all fit, and putting them
in, one after another, so that no second copy of a model is ever held."""

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from groundup.errors import CorruptFileError, InputError, nearest
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.weights.families import Family
from groundup.weights.layouts import Layout

Model = TypeVar("Model", bound=GPT)


@runtime_checkable
class Stored(Protocol):
    """A tensor in a file, before it is read."""

    @property
    def file(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...

    def read(self) -> Tensor:
        """The tensor, mapped into memory by itself, so that it can be let go by itself."""
        ...


@dataclass
class Slot:
    """One of their tensors, and those of ours that are made of it."""

    layout: Layout
    theirs: str
    ours: list[str] = field(default_factory=list)


def slots(names: Iterable[str], family: Family | None) -> list[Slot]:
    """Which of their tensors holds which of ours, in the order of ours."""
    places = {} if family is None else _by_module(family)
    found: dict[str, Slot] = {}
    for name in names:
        numbers = re.findall(r"(?<=\.)\d+(?=\.)", name)
        pattern = re.sub(r"(?<=\.)\d+(?=\.)", "*", name)
        module, _, suffix = pattern.rpartition(".")
        if module in places:
            layout, ending = places[module], f".{suffix}"
        else:
            layout, ending = places.get(pattern, Layout(pattern)), ""
        theirs = layout.theirs
        for number in numbers:
            theirs = theirs.replace("*", number, 1)
        found.setdefault(theirs + ending, Slot(layout, theirs + ending)).ours.append(name)
    return list(found.values())


def _by_module(family: Family) -> dict[str, Layout]:
    return {
        name: layout if isinstance(layout, Layout) else Layout(layout)
        for ours, layout in family.names.items()
        for name in ((ours,) if isinstance(ours, str) else ours)
    }


@dataclass(frozen=True)
class Source:
    """Tensors in files, and what is to be said of them."""

    stored: Mapping[str, Stored]
    where: Path
    readable: Container[str]
    """The types of numbers that can be read."""
    known: str
    """The same, for a message."""
    named: Callable[[str], str] = str
    """What the files call a tensor of the family."""
    ignored: Callable[[str], bool] = lambda name: False
    """Whether a tensor that the model does not have may be there."""


def blank(
    build: Callable[[ModelConfig], Model], config: ModelConfig, family: Family | None
) -> tuple[Model, list[Slot]]:
    """A model without numbers, and where they come from. `build` makes one of a configuration."""
    with torch.device("meta"):  # no memory, no initialisation: the weights are put in whole
        model = build(config)
    return model, slots(dict(model.named_parameters()), family)


def fill(model: Model, plan: list[Slot], source: Source, dtype: torch.dtype) -> Model:
    """A blank model with the tensors of `source`, ready for use (dropout off).

    Raises `CorruptFileError` where tensors are missing, too many or of a wrong shape."""
    config, wanted = model.config, dict(model.named_parameters())
    found = match(plan, source)
    for slot in plan:
        shape = slot.layout.to_theirs([wanted[name] for name in slot.ours], config).shape
        check(found[slot.theirs], tuple(shape), source)
    weights = {}
    for slot in plan:
        theirs = found[slot.theirs].read().to(dtype)
        ours = slot.layout.to_ours(theirs, [wanted[name].shape for name in slot.ours], config)
        for name, tensor in zip(slot.ours, ours, strict=True):
            # A view of a part keeps the whole alive, which is all used; a turned one is made straight.
            weights[name] = tensor.contiguous()
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    return model.eval()


def match(plan: list[Slot], source: Source) -> dict[str, Stored]:
    """For each slot its stored tensor; refuses missing and unknown ones."""
    named = {slot.theirs: source.named(slot.theirs) for slot in plan}
    known = set(named.values())
    missing = [name for name in named.values() if name not in source.stored]
    extra = [n for n in source.stored if n not in known and not source.ignored(n)]
    if missing:
        raise CorruptFileError(
            f"tensor {_listed(missing)} is missing" if len(missing) == 1
            else f"tensors {_listed(missing)} are missing",
            str(source.where), _nearest_names(missing, extra),
        )  # fmt: skip
    if extra:
        raise CorruptFileError(
            f"the config does not know tensor{'s' if len(extra) > 1 else ''} {_listed(extra)}",
            str(source.where), "use the config that was saved with these weights",
        )  # fmt: skip
    return {theirs: source.stored[name] for theirs, name in named.items()}


def check(tensor: Stored, shape: tuple[int, ...], source: Source) -> None:
    """Refuses a stored tensor of another shape, or of a type that cannot be read."""
    if tensor.shape != shape:
        raise CorruptFileError(
            f"tensor {tensor.name!r} has shape {tensor.shape}, but the config asks for {shape}",
            str(tensor.file), "use the config that was saved with these weights",
        )  # fmt: skip
    if tensor.dtype not in source.readable:
        raise InputError(
            f"tensor {tensor.name!r} is stored as {tensor.dtype}", str(tensor.file),
            f"supported: {source.known}",
        )  # fmt: skip


def _listed(names: list[str]) -> str:
    first = ", ".join(map(repr, names[:5]))
    return N_(f"{first} and {len(names) - 5} more") if len(names) > 5 else first


def _nearest_names(missing: list[str], extra: list[str]) -> str:
    close = {name: nearest(name, extra) for name in missing[:3]}
    found = [f"{other!r} for {name!r}" for name, other in close.items() if other]
    if not found:
        return N_("use the config saved with these weights, or copy the model again")
    return N_(f"the nearest names there are {', '.join(found)}")
