"""Adapters to and from files, in the format of PEFT: a folder with `adapter_config.json` and
`adapter_model.safetensors`, whose tensors are named after the layers of the base in its family.

Where a family keeps several of our layers in one (GPT-2's `c_attn`, Phi-3's `qkv_proj`), both ways are
exact. Theirs is taken apart by its rows: each of ours gets the same A and its own rows of B. Ours are put
side by side, each A with a B that is zero in the rows of the others,

    B A = [B₁ 0; 0 B₂] [A₁; A₂],

which has the ranks of all together; such a one is known by its zeros, and taken apart to what it was.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from safetensors.torch import save_file
from torch import Tensor

from groundup.errors import CorruptFileError, InputError, nearest, unknown
from groundup.files import atomic_directory, write_json
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
from groundup.settings import Settings
from groundup.tokenizer.files import read_json
from groundup.weights.assembly import Slot, slots
from groundup.weights.families import FAMILIES, Family, family_for
from groundup.weights.huggingface import (
    FLOATS,
    Stored,
    missing_weights,
    read_config,
    renaming,
    tensors_in,
)

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."


class PeftConfig(Settings):
    """What we read of an adapter_config.json, in its own words."""

    r: PositiveInt = 8
    lora_alpha: PositiveFloat = 8.0
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    use_rslora: bool = False
    use_dora: bool = False
    rank_pattern: dict[str, PositiveInt] = {}
    """Ranks of the layers whose names end in what these expressions match."""
    alpha_pattern: dict[str, PositiveFloat] = {}
    base_model_name_or_path: str | None = None

    def rank(self, layer: str) -> int:
        return self.rank_pattern.get(_pattern(self.rank_pattern, layer), self.r)

    def scale(self, layer: str) -> float:
        """The factor on B A."""
        alpha = self.alpha_pattern.get(_pattern(self.alpha_pattern, layer), self.lora_alpha)
        return alpha / self._root(self.rank(layer))

    def alpha(self, scale: float, rank: int) -> float:
        """The alpha that gives this factor at this rank."""
        return scale * self._root(rank)

    def _root(self, rank: int) -> float:
        return math.sqrt(rank) if self.use_rslora else float(rank)


def _pattern(patterns: dict[str, Any], layer: str) -> str:
    found = (key for key in patterns if re.match(rf"(.*\.)?({key})$", layer))
    return next(found, "")


# Values of keys of which others would mean another computation; and keys that say how an adapter was
# made, or only how PEFT finds its layers, which its tensors say as well.
ONLY = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    # What is left out here changes the base as well (PiSSA, OLoRA, CorDA, LoftQ).
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal", "lora_ga"),
}
NO_MATTER = {
    "auto_mapping", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules",
    "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size", "revision",
    "runtime_config", "target_modules", "task_type",
}  # fmt: skip


def read_peft_config(directory: Path) -> PeftConfig:
    """The adapter_config.json of an adapter.

    Raises `InputError` for an adapter that is no LoRA, or more than one, and `CorruptFileError` for a
    file that is no JSON."""
    path = directory / CONFIG
    if not path.is_file():
        raise InputError(f"this folder is no adapter: no {CONFIG}", str(directory), "name another")
    given = {key: value for key, value in read_json(path).items() if value is not None}
    for key, known in ONLY.items():
        if given.get(key, known[0]) not in known:
            raise InputError(
                f"{key} {given[key]!r} is not supported in an adapter", str(path),
                f"supported: {', '.join(map(repr, known))}",
            )  # fmt: skip
    for key, value in given.items():
        if value and key not in {*ONLY, *NO_MATTER, *PeftConfig.model_fields}:
            raise InputError(
                f"{key} {value!r} is not supported in an adapter", str(path),
                "merge the adapter into its base with the program that made it",
            )  # fmt: skip
    fields = {key: value for key, value in given.items() if key in PeftConfig.model_fields}
    config = PeftConfig.parse(fields, str(path))
    for pattern in (*config.rank_pattern, *config.alpha_pattern):
        try:
            re.compile(pattern)
        except re.error as error:
            raise CorruptFileError(f"{pattern!r} is no pattern ({error})", str(path)) from None
    return config


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


def load_adapter(model: GPT, directory: str | Path, name: str = "default") -> None:
    """Put the adapter in `directory` on `model` under a name, and to work; as after `add_lora`, only its
    parameters require gradients then.

    Raises `InputError` for an adapter of another kind or for another base, and `CorruptFileError` for
    files that are cut or do not fit each other."""
    directory = Path(directory)
    config, tensors = read_peft_config(directory), read_tensors(directory)
    plan = {slot.theirs.removesuffix(".weight"): slot for slot in _slots_like(model, tensors)}
    named = renaming(tensors, list(plan))
    places = {named(theirs): slot for theirs, slot in plan.items()}
    adapters: dict[str, Lora] = {}
    layers = linear_layers(model)
    for theirs, found in tensors.items():
        if theirs not in places:
            close = nearest(theirs, places)
            raise InputError(
                f"this adapter is for another base: the model has no linear layer {theirs!r}",
                str(directory), f"the nearest there is {close!r}" if close else "use its own base",
            )  # fmt: skip
        slot = places[theirs]
        ours = {
            name.removesuffix(".weight"): layers[name.removesuffix(".weight")] for name in slot.ours
        }
        _check(found, ours, config, theirs)
        adapters |= _apart(found, slot, ours, config, theirs, model)
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


def _slots_like(model: GPT, tensors: dict[str, Tensors]) -> list[Slot]:
    """The linear layers of the model in the words of the family that has the most of these: one
    configuration may belong to several, which split their matrices otherwise."""
    families = [family for family in FAMILIES.values() if family.covers(model.config)]

    def known(plan: list[Slot]) -> int:
        names = [slot.theirs.removesuffix(".weight") for slot in plan]
        named = renaming(tensors, names)
        return sum(named(name) in tensors for name in names)

    return max((_slots(model, family) for family in (*families, None)), key=known)


def _slots(model: GPT, family: Family | None) -> list[Slot]:
    return slots([f"{layer}.weight" for layer in linear_layers(model)], family)


def _check(found: Tensors, ours: dict[str, Base], config: PeftConfig, theirs: str) -> None:
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
    rows = sum(layer.out_features for layer in ours.values())
    wanted: dict[Stored, tuple[int, ...]] = {
        found.a: (rank, next(iter(ours.values())).in_features),
        found.b: (rows, rank),
    }
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
    found: Tensors, slot: Slot, ours: dict[str, Base], config: PeftConfig, theirs: str, model: GPT
) -> dict[str, Lora]:
    """The adapters of our layers that are in one of theirs."""
    a, b = found.a.read(), found.b.read()
    rows = replace(slot.layout, transposed=False)
    shapes = [(layer.out_features,) for layer in ours.values()]
    parts = rows.to_ours(b, shapes, model.config)
    magnitudes: Sequence[Tensor | None] = [None] * len(ours)
    if found.magnitude:
        magnitudes = rows.to_ours(found.magnitude.read(), shapes, model.config)
    adapters = {}
    for name, part, columns, magnitude in zip(
        ours, parts, _columns(parts), magnitudes, strict=True
    ):
        if len(columns):
            rank = len(columns)
            alpha = config.alpha(config.scale(theirs), rank)
            kind = Dora if config.use_dora else Lora
            lora = kind(ours[name], rank, alpha, config.lora_dropout, config.use_rslora)
            adapters[name] = _filled(lora, a[columns], part[:, columns], magnitude)
    return adapters


def _columns(parts: Sequence[Tensor]) -> list[Tensor]:
    """For each part of a B the columns that it uses: its own where each has some of its own, as in those
    that we put together; else all."""
    used = [part.ne(0).any(dim=0) for part in parts]
    times = torch.stack(used).sum(dim=0)
    if len(parts) == 1 or times.max() != 1:
        used = [torch.ones_like(part) for part in used]
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
    layers, plan = linear_layers(model), _slots(model, _family(model, base))
    joined: dict[str, Joined] = {}
    for slot in plan:
        ours = {n: layers[n] for n in (full.removesuffix(".weight") for full in slot.ours)}
        if adapters.keys() & ours.keys():
            theirs = slot.theirs.removesuffix(".weight")
            joined[theirs] = _together(slot, ours, adapters, model)
    tensors = {
        f"{PREFIX}{theirs}.{ending}": tensor.detach().cpu().contiguous()
        for theirs, one in joined.items()
        for ending, tensor in one.tensors().items()
    }
    turned = any(slot.layout.transposed for slot in plan)
    with atomic_directory(directory) as folder:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        config = _describe(next(iter(adapters.values())), joined, str(base)).model_dump()
        names = [slot.theirs.removesuffix(".weight") for slot in plan]
        write_json(folder / CONFIG, {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "inference_mode": True,
            "fan_in_fan_out": turned, "target_modules": _targets(joined, names), **config,
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


def _together(
    slot: Slot, ours: dict[str, Base], adapters: Mapping[str, Lora], model: GPT
) -> Joined:
    """The adapters of our layers that are in one of theirs, side by side."""
    present = [adapters[name] for name in ours if name in adapters]
    a, scale = torch.cat([lora.a for lora in present]), present[0].scale
    blocks, at = [], 0
    for name, layer in ours.items():
        block = a.new_zeros(layer.out_features, len(a))
        if lora := adapters.get(name):
            block[:, at : at + lora.rank] = lora.b * (lora.scale / scale)
            at += lora.rank
        blocks.append(block)
    rows = replace(slot.layout, transposed=False)
    magnitude = None
    if isinstance(present[0], Dora):
        if len(present) < len(ours):
            raise InputError(
                f"{', '.join(ours)} are one layer in files, so DoRA can have none of them alone",
                "the adapter", "put DoRA on all of them, or use LoRA",
            )  # fmt: skip
        lengths = [lora.magnitude for lora in present if isinstance(lora, Dora)]
        magnitude = rows.to_theirs(lengths, model.config)
    return Joined(a, rows.to_theirs(blocks, model.config), magnitude, scale)


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
