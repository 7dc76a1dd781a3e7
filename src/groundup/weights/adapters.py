"""Adapters to and from files, in the format of PEFT: a folder with `adapter_config.json` and
`adapter_model.safetensors`, whose tensors are named after the layers of the base in its family.

Where a family keeps several of our layers in one (GPT-2's `c_attn`, Phi-3's `qkv_proj`), both ways are
exact. Theirs is taken apart by its rows: each of ours gets the same A and its own rows of B. Ours are put
side by side, each A with a B that is zero in the rows of the others,

    B A = [B₁ 0; 0 B₂] [A₁; A₂],

which has the ranks of all together; such a one is known by its zeros, and taken apart to what it was.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from groundup.errors import CorruptFileError, InputError, nearest, unknown
from groundup.files import atomic_directory, write_json
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.lora import (
    Base,
    Dora,
    Lora,
    adapted_layers,
    adapter_names,
    adapter_parameters,
    attach,
    linear_layers,
)
from groundup.weights.assembly import slots
from groundup.weights.families import FAMILIES, Family, family_for
from groundup.weights.huggingface import (
    FLOATS,
    Stored,
    missing_weights,
    read_config,
    renaming,
    tensors_in,
)
from groundup.weights.layouts import Layout
from groundup.weights.peft_config import CONFIG, PeftConfig, read_peft_config

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."


# Reading


@dataclass(frozen=True)
class Tensors:
    """The tensors of one of their layers."""

    a: Stored
    b: Stored
    magnitude: Stored | None


ENDINGS = {
    "lora_A.weight": "a", "lora_B.weight": "b", "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One of their linear layers, and those of ours that are in it."""

    name: str
    layout: Layout
    """How the rows of ours lie in theirs, as B's do."""
    transposed: bool
    """Whether its weight is (in, out); A and B never are."""
    ours: dict[str, Base]

    @property
    def shapes(self) -> list[tuple[int]]:
        return [(layer.out_features,) for layer in self.ours.values()]


def load_adapter(model: GPT, directory: str | Path, name: str = "default") -> None:
    """Put the adapter in `directory` on `model` under a name, and to work; as after `add_lora`, only its
    parameters require gradients then.

    Raises `InputError` for an adapter of another kind or for another base, and `CorruptFileError` for
    files that are cut or do not fit each other."""
    directory = Path(directory)
    config, tensors = read_peft_config(directory), read_tensors(directory)
    places = _places_like(model, tensors)
    adapters: dict[str, Lora] = {}
    for theirs, found in tensors.items():
        if theirs not in places:
            close = nearest(theirs, places)
            raise InputError(
                f"this adapter is for another base: the model has no linear layer {theirs!r}",
                str(directory), f"the nearest there is {close!r}" if close else "use its own base",
            )  # fmt: skip
        _check(found, places[theirs], config, theirs)
        adapters |= _apart(found, places[theirs], config, theirs, model.config)
    attach(model, adapters, name)


def read_tensors(directory: Path) -> dict[str, Tensors]:
    """The tensors of an adapter by their layers' names in the base, before they are read."""
    path = directory / WEIGHTS
    if not path.is_file():
        raise missing_weights(directory, WEIGHTS)
    parts: dict[str, dict[str, Stored]] = {}
    for full, stored in tensors_in(path).items():
        layer, _, ending = full.removeprefix(PREFIX).partition(".lora_")
        if f"lora_{ending}" not in ENDINGS:
            raise InputError(
                f"tensor {full!r} is no part of an adapter of linear layers", str(path),
                "merge the adapter into its base with the program that made it",
            )  # fmt: skip
        parts.setdefault(layer, {})[ENDINGS[f"lora_{ending}"]] = stored
    if not parts:
        raise CorruptFileError("the adapter holds no tensors", str(path), "save it again")
    for layer, part in parts.items():
        for end, full in (("a", "lora_A"), ("b", "lora_B")):
            if end not in part:
                raise CorruptFileError(
                    f"tensor {f'{layer}.{full}.weight'!r} is missing", str(path),
                    "copy or save the adapter again",
                )  # fmt: skip
    return {
        layer: Tensors(part["a"], part["b"], part.get("magnitude")) for layer, part in parts.items()
    }


def _places_like(model: GPT, tensors: dict[str, Tensors]) -> dict[str, Place]:
    """The linear layers of the model by the names that these tensors have, in the words of the family
    that knows the most of them: one configuration may belong to several, which join other layers."""
    best: dict[str, Place] = {}
    for family in (None, *(family for family in FAMILIES.values() if family.covers(model.config))):
        places = _places(model, family)
        named = renaming(tensors, [place.name for place in places])
        known = {named(place.name): place for place in places}
        if not best or len(known.keys() & tensors) > len(best.keys() & tensors):
            best = known
    return best


def _places(model: GPT, family: Family | None) -> list[Place]:
    layers = linear_layers(model)
    return [
        Place(
            slot.theirs.removesuffix(".weight"),
            replace(slot.layout, transposed=False),
            slot.layout.transposed,
            {name: layers[name] for name in (full.removesuffix(".weight") for full in slot.ours)},
        )
        for slot in slots([f"{layer}.weight" for layer in layers], family)
    ]


def _check(found: Tensors, place: Place, config: PeftConfig, theirs: str) -> None:
    """Refuse tensors that do not fit the config, or the layers that they are for."""
    rank, where = config.rank(theirs), str(found.a.file)
    if (found.magnitude is not None) != config.use_dora:
        raise CorruptFileError(
            f"use_dora is {config.use_dora} in {CONFIG}, but {theirs!r} has "
            f"{'a' if found.magnitude else 'no'} lora_magnitude_vector",
            where, "save the adapter again",
        )  # fmt: skip
    if found.a.shape[:1] != (rank,):
        raise CorruptFileError(
            f"tensor {found.a.name!r} has shape {found.a.shape}, but {CONFIG} says rank {rank}",
            where, "use the config that was saved with these weights",
        )  # fmt: skip
    rows = sum(layer.out_features for layer in place.ours.values())
    wanted: dict[Stored, tuple[int, ...]] = {
        found.a: (rank, next(iter(place.ours.values())).in_features), found.b: (rows, rank),
    }  # fmt: skip
    if found.magnitude:
        wanted[found.magnitude] = (rows,)
    for tensor, shape in wanted.items():
        if tensor.shape != shape:
            raise InputError(
                f"this adapter is for another base: tensor {tensor.name!r} has shape "
                f"{tensor.shape}, and the model asks for {shape}",
                where, "use the base that it was trained on",
            )  # fmt: skip
        if tensor.dtype not in FLOATS:
            raise InputError(
                f"tensor {tensor.name!r} is stored as {tensor.dtype}", where,
                f"supported: {', '.join(FLOATS)}",
            )  # fmt: skip


def _apart(
    found: Tensors, place: Place, config: PeftConfig, theirs: str, shape: ModelConfig
) -> dict[str, Lora]:
    """The adapters of our layers that are in one of theirs."""
    a, b = found.a.read(), found.b.read()
    parts = place.layout.to_ours(b, place.shapes, shape)
    magnitudes: Sequence[Tensor | None] = [None] * len(parts)
    if found.magnitude:
        magnitudes = place.layout.to_ours(found.magnitude.read(), place.shapes, shape)
    adapters = {}
    columns = _columns(parts, every=config.use_dora)
    for name, part, own, magnitude in zip(place.ours, parts, columns, magnitudes, strict=True):
        if len(own):
            alpha = config.alpha(config.scale(theirs), len(own))
            kind = Dora if config.use_dora else Lora
            lora = kind(place.ours[name], len(own), alpha, config.lora_dropout, config.use_rslora)
            adapters[name] = _filled(lora, a[own], part[:, own], magnitude)
    return adapters


def _columns(parts: Sequence[Tensor], every: bool) -> list[Tensor]:
    """For each part of a B the columns that it uses: its own, where no two use the same (nor any uses
    none, if `every` part needs some), as in those that we put together; else all."""
    used = torch.stack([part.ne(0).any(dim=0) for part in parts])
    apart = used.sum(dim=0).max() == 1 and not (every and (used.sum(dim=1) == 0).any())
    if len(parts) == 1 or not apart:
        used = torch.ones_like(used)
    return [part.nonzero()[:, 0] for part in used]


@torch.no_grad()
def _filled(lora: Lora, a: Tensor, b: Tensor, magnitude: Tensor | None) -> Lora:
    lora.a.copy_(a)
    lora.b.copy_(b)
    if isinstance(lora, Dora) and magnitude is not None:
        lora.magnitude.copy_(magnitude)
    return lora


# Writing


def save_adapter(
    model: GPT, directory: str | Path, base: str | Path, name: str = "default"
) -> None:
    """Write an adapter of `model` as PEFT does, replacing one that stood there. `base` is what it
    belongs to, a model directory or a hub id: whoever loads the adapter looks for it there.

    Raises `InputError` where the model has no such adapter, or more was trained than an adapter can
    hold."""
    if name not in adapter_names(model):
        raise unknown("adapter", name, adapter_names(model), "the model")
    _refuse_more(model)
    adapters = {
        layer: part.adapter(name)
        for layer, part in adapted_layers(model).items()
        if name in part.adapters
    }
    places = _places(model, _family(model, base))
    joined = {
        place.name: _together(place, adapters, model.config)
        for place in places
        if adapters.keys() & place.ours.keys()
    }
    with atomic_directory(directory) as folder:
        tensors = {
            f"{PREFIX}{theirs}.{ending}": tensor.detach().cpu().contiguous()
            for theirs, one in joined.items()
            for ending, tensor in one.tensors().items()
        }
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        config = _describe(next(iter(adapters.values())), joined, str(base)).model_dump()
        write_json(folder / CONFIG, {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "inference_mode": True,
            "fan_in_fan_out": any(place.transposed for place in places),
            "target_modules": _targets(joined, [place.name for place in places]), **config,
        })  # fmt: skip


@dataclass(frozen=True)
class Joined:
    """The adapter of one of their layers, made of those of ours in it."""

    a: Tensor
    b: Tensor
    magnitude: Tensor | None
    scale: float

    def tensors(self) -> dict[str, Tensor]:
        """By the ends of their names."""
        found = {"lora_A.weight": self.a, "lora_B.weight": self.b}
        if self.magnitude is not None:
            found["lora_magnitude_vector"] = self.magnitude
        return found


@torch.no_grad()
def _together(place: Place, adapters: Mapping[str, Lora], shape: ModelConfig) -> Joined:
    """The adapters of our layers that are in one of theirs, side by side."""
    present = [adapters[name] for name in place.ours if name in adapters]
    a, scale = torch.cat([lora.a for lora in present]), present[0].scale
    blocks, at = [], 0
    for name, layer in place.ours.items():
        block = a.new_zeros(layer.out_features, len(a))
        if lora := adapters.get(name):
            block[:, at : at + lora.rank] = lora.b * (lora.scale / scale)
            at += lora.rank
        blocks.append(block)
    b = place.layout.to_theirs(blocks, shape)
    return Joined(a, b, _magnitude(place, present, shape), scale)


def _magnitude(place: Place, present: Sequence[Lora], shape: ModelConfig) -> Tensor | None:
    """The lengths that DoRA has trained, for all rows of one of their layers."""
    lengths = [lora.magnitude for lora in present if isinstance(lora, Dora)]
    if lengths and len(lengths) < len(place.ours):
        raise InputError(
            f"{', '.join(place.ours)} are one layer in files, so DoRA can have none of them alone",
            "the adapter", "put DoRA on all of them, or use LoRA",
        )  # fmt: skip
    return place.layout.to_theirs(lengths, shape) if lengths else None


def _describe(lora: Lora, joined: dict[str, Joined], base: str) -> PeftConfig:
    """The settings of an adapter, like those of one of its layers; what others have, as patterns."""
    general = PeftConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout.p, use_rslora=lora.rslora,
        use_dora=isinstance(lora, Dora), base_model_name_or_path=base,
    )  # fmt: skip
    ranks = {name: len(one.a) for name, one in joined.items()}
    alphas = {name: general.alpha(one.scale, ranks[name]) for name, one in joined.items()}
    return general.model_copy(update={
        "rank_pattern": {name: rank for name, rank in ranks.items() if rank != lora.rank},
        "alpha_pattern": {
            name: alpha for name, alpha in alphas.items() if not math.isclose(alpha, lora.alpha)
        },
    })  # fmt: skip


def _targets(adapted: Iterable[str], names: Sequence[str]) -> list[str]:
    """The adapted of all linear layers, in PEFT's way: the ends of their names (`q_proj`), where those
    say it all; else their names."""
    adapted = set(adapted)
    ends = {name.rpartition(".")[2] for name in adapted}
    same = {name for name in names if name.rpartition(".")[2] in ends} == adapted
    return sorted(ends if same else adapted)


def _family(model: GPT, base: str | Path) -> Family | None:
    """The family of an adapter's base: its own where it is here, as one configuration may belong to
    several."""
    described = Path(base) / "config.json"
    return read_config(described)[1] if described.is_file() else family_for(model.config)


def _refuse_more(model: GPT) -> None:
    adapters = adapter_parameters(model)
    more = [n for n, p in model.named_parameters() if p.requires_grad and n not in adapters]
    if more:
        raise InputError(
            f"{more[0]!r} was trained as a whole, which an adapter cannot hold", "the model",
            "save the whole model instead (groundup.save)",
        )  # fmt: skip
