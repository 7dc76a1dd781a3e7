"""Low-rank adapters: a model is tuned by a few numbers beside its matrices (LoRA, Hu et al. 2021).

A matrix W of a trained model stays as it is. Two thin ones beside it, A with `rank` rows and B with
`rank` columns, learn what is to be added to it:

    y = W x + s · B (A x),    s = α / rank

B begins at zero, so that the model begins as it was. For rank 8 and a matrix of 1024 × 1024 that is
one number in 64 to train, to keep the optimiser's averages of, and to save.

Two variations: rsLoRA (Kalajdzievski 2023) takes s = α / √rank, so that a higher rank does not learn
more slowly; DoRA (Liu et al. 2024) trains the length of each row of W + s · B A on its own.

`add_lora` puts an adapter on the linear layers whose names match; several on one model share its
weights, and `use_adapter` says which one is at work. Nothing here changes a weight of the model.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.errors import InputError, unknown
from groundup.language import N_
from groundup.model.config import LoraConfig
from groundup.model.experts import MixtureOfExperts
from groundup.model.gpt import GPT, Head
from groundup.model.linear import linear
from groundup.model.loss import softcap
from groundup.model.quantized import QuantizedEmbedding, QuantizedLinear, decoded

Base = nn.Linear | QuantizedLinear


# lab: lora
class Lora(nn.Module):
    """What one adapter adds to one layer: s · B (A x). A is `a` (rank × in), B is `b` (out × rank)."""

    def __init__(self, base: Base, rank: int, alpha: float, dropout: float, rslora: bool):
        """A begins at random, B at zero. s is α / rank, or with `rslora` α / √rank. In training the share
        `dropout` of x is left out before A. `rank`, `alpha` and `rslora` are kept, to be saved."""
        super().__init__()
        self.rank, self.alpha, self.rslora = rank, alpha, rslora
        self.scale = alpha / (math.sqrt(rank) if rslora else rank)
        like = base.weight.detach()
        self.a = nn.Parameter(like.new_empty(rank, base.in_features))
        self.b = nn.Parameter(like.new_zeros(base.out_features, rank))
        # As linear layers of torch begin, and PEFT's A.
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "*batch in"], plain: Float[Tensor, "*batch out"], base: Base
    ) -> Float[Tensor, "*batch out"]:
        """W x + s · B (A x), where `plain` is W x (and the bias), which `base` gave."""
        return plain + linear(self.scale * linear(self.dropout(x), self.a), self.b)

    def merged(self, weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        """W + s · B A"""
        return weight + self.scale * self.b @ self.a


class Dora(Lora):
    """An adapter that turns the rows of W by W + s · B A, and gives them lengths m that it learns:
    y = m ⊙ (W + s · B A) x / ‖W + s · B A‖, with the norm of each row (the columns of the paper, whose
    matrices lie the other way round). It begins with m = ‖W‖, the model as it was."""

    def __init__(self, base: Base, rank: int, alpha: float, dropout: float, rslora: bool):
        super().__init__(base, rank, alpha, dropout, rslora)
        self.magnitude = nn.Parameter(base.weight.detach().norm(dim=1))

    def forward(
        self, x: Float[Tensor, "*batch in"], plain: Float[Tensor, "*batch out"], base: Base
    ) -> Float[Tensor, "*batch out"]:
        bias = 0.0 if base.bias is None else base.bias
        return self.stretch(base.weight) * (super().forward(x, plain, base) - bias) + bias

    def merged(self, weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        return self.stretch(weight)[:, None] * super().merged(weight)

    def stretch(self, weight: Float[Tensor, "out in"]) -> Float[Tensor, " out"]:
        """m / ‖W + s · B A‖, the norm taken as a constant on the way back (section 4.3 of the paper);
        a row of zeros stays one."""
        with torch.no_grad():
            length = super().merged(weight).norm(dim=1)
        return self.magnitude / length.clamp(min=torch.finfo(length.dtype).tiny)


class LoraLinear(nn.Module):
    """A linear layer with adapters beside it, of which one or none is at work; or, for each row of a
    batch, one of its own."""

    def __init__(self, base: Base):
        super().__init__()
        self.base = base
        self.adapters = nn.ModuleDict()
        self.active: str | None = None
        self.rows: dict[str, Tensor] | None = None
        self.merged: Tensor | None
        self.register_buffer("merged", None, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.rows is not None:
            return self.row_by_row(input, self.rows)
        if self.merged is not None:
            return linear(input, self.merged, self.bias)
        plain = self.base(input)
        if self.active is None:
            return plain
        return self.adapters[self.active](input, plain, self.base)

    def row_by_row(self, input: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        """W x for all rows at once, as it takes most of the time; then, for each adapter, what it makes of
        its own rows (Punica, Chen et al. 2023; S-LoRA, Sheng et al. 2023)."""
        plain = self.plain(input)
        for name, own in rows.items():
            if name in self.adapters:
                plain[own] = self.adapters[name](input[own], plain[own], self.base)
        return plain

    def plain(self, input: Tensor) -> Tensor:
        """What the layer gives without adapters."""
        return self.base(input)

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """The one matrix that does the same, differentiable in the adapter."""
        if self.merged is not None:
            return self.merged
        weight = self.base.weight
        return weight if self.active is None else self.adapter(self.active).merged(weight)

    @property
    def bias(self) -> nn.Parameter | None:
        return self.base.bias

    def adapter(self, name: str) -> Lora:
        """Its part of the adapter of this name."""
        found = self.adapters[name]
        assert isinstance(found, Lora)
        return found

    def use(self, name: str | None) -> None:
        """Put this adapter to work, if this layer has it, else none."""
        self.active = name if name is not None and name in self.adapters else None
        self.merged = None

    def train(self, mode: bool = True) -> "LoraLinear":
        """Training takes the adapter out of the merged matrix, in which it could not learn."""
        if mode:
            self.merged = None
        return super().train(mode)


class LoraHead(LoraLinear):
    """The head with adapters. Losses take its `weight` and never call it."""

    base: Head | QuantizedLinear

    @property
    def softcap(self) -> float | None:
        return self.base.softcap

    def forward(self, input: Tensor) -> Tensor:
        if self.rows is not None:
            return softcap(self.row_by_row(input, self.rows), self.softcap)
        return softcap(linear(input, self.weight), self.softcap)

    def plain(self, input: Tensor) -> Tensor:
        return linear(input, self.base.weight)


# Adapters on a model


def add_lora(model: GPT, config: LoraConfig, name: str = "default") -> None:
    """Put a new adapter, which changes nothing yet, on the linear layers of `model` that
    `config.targets` name, and to work. From here on only its own parameters require gradients.

    Raises `InputError` for a pattern that names no linear layer, and for a name that is taken."""
    kind = Dora if config.dora else Lora
    attach(model, {
        layer: kind(base, config.rank, config.alpha, config.dropout, config.rslora)
        for layer, base in targeted(model, config.targets).items()
    }, name)  # fmt: skip


def attach(model: GPT, adapters: Mapping[str, Lora], name: str) -> None:
    """Put one adapter, given by the names of the layers that it is for, on a model and to work."""
    if not re.fullmatch(r"\w[\w-]*", name) or hasattr(nn.ModuleDict, name):
        raise InputError(
            f"an adapter cannot be called {name!r}", "the adapter's name",
            "use letters, digits, - and _",
        )  # fmt: skip
    if name in adapter_names(model):
        raise InputError(f"the model has an adapter {name!r}", "the adapter's name", "use another")
    model.requires_grad_(False)
    for layer, adapter in adapters.items():
        place = model.get_submodule(layer)
        if isinstance(place, Base):
            is_head = place is model.head and isinstance(place, Head | QuantizedLinear)
            place = (LoraHead if is_head else LoraLinear)(place)
            model.set_submodule(layer, place)
        assert isinstance(place, LoraLinear)
        place.adapters[name] = adapter.requires_grad_(True)
        place.train(model.training)
    use_adapter(model, name)


def targeted(model: GPT, patterns: list[str]) -> dict[str, Base]:
    """The linear layers whose names, or ends of names, match one of the patterns."""
    layers = linear_layers(model)
    chosen: dict[str, Base] = {}
    for pattern in patterns:
        found = {
            name: layer for name, layer in layers.items() if fnmatchcase(f".{name}", f"*.{pattern}")
        }
        if not found:
            known = {re.sub(r"\.\d+\.", ".*.", name).removeprefix("blocks.*.") for name in layers}
            known |= {name.rpartition(".")[2] for name in layers}
            raise unknown("linear layer", pattern, known, N_("the adapter's targets"))
        chosen |= found
    return {name: layer for name, layer in layers.items() if name in chosen}


def linear_layers(model: GPT) -> dict[str, Base]:
    """The linear layers of a model by name, below their adapters where they have some. A head that is
    the embedding itself is none."""
    tied = model.head if model.head_is_embedding else None
    return {
        name.removesuffix(".base"): layer
        for name, layer in model.named_modules()
        if isinstance(layer, Base) and layer is not tied
    }


def adapted_layers(model: GPT) -> dict[str, LoraLinear]:
    """The layers with adapters, by name."""
    return {name: part for name, part in model.named_modules() if isinstance(part, LoraLinear)}


def adapter_names(model: GPT) -> list[str]:
    """The adapters of a model, the oldest first."""
    return list(dict.fromkeys(n for part in adapted_layers(model).values() for n in part.adapters))


def adapter_parameters(model: GPT, adapter: str | None = None) -> dict[str, nn.Parameter]:
    """The parameters of an adapter, or of all, by their names in `model.named_parameters()`."""
    return {
        f"{layer}.adapters.{name}.{end}": parameter
        for layer, part in adapted_layers(model).items()
        for name, lora in part.adapters.items()
        if adapter in (None, name)
        for end, parameter in lora.named_parameters()
    }


def use_adapter(model: GPT, name: str | None) -> ExitStack:
    """Put the adapter of this name to work, or none: from now on, or as a context for a while:

    >>> with use_adapter(model, "law"):
    ...     answer = generate(model, …)

    What was merged before is merged again at the end of the context. Raises `InputError` for an
    adapter that the model does not have."""
    if name is not None and name not in adapter_names(model):
        raise unknown("adapter", name, adapter_names(model), "the model")
    before = ExitStack()
    for part in adapted_layers(model).values():
        before.callback(_restore, part, part.active, part.merged)
        part.use(name)
    return before


def adapter_at_work(model: GPT) -> str | None:
    """The adapter that `use_adapter` put to work."""
    working = (part.active for part in adapted_layers(model).values())
    return next((name for name in working if name is not None), None)


def use_adapters(model: GPT, names: Sequence[str | None]) -> ExitStack:
    """Put an adapter of its own, or none, to work on each row of the batches that follow, as a context,
    for generation.

    Raises `InputError` for an adapter that the model does not have, and for one on a mixture of
    experts, which takes the rows apart."""
    for name in dict.fromkeys(names):
        check_row_adapter(model, name)
    rows = {
        name: torch.tensor([row for row, other in enumerate(names) if other == name])
        for name in dict.fromkeys(names) if name is not None
    }  # fmt: skip
    before = ExitStack()
    for part in adapted_layers(model).values():
        before.callback(setattr, part, "rows", part.rows)
        part.rows = {name: own.to(part.base.weight.device) for name, own in rows.items()}
    return before


def check_row_adapter(model: GPT, name: str | None) -> None:
    """Raises `InputError` for an adapter that `use_adapters` could not use."""
    if name is not None and name not in adapter_names(model):
        raise unknown("adapter", name, adapter_names(model), "the model")
    mixtures = [part for part in model.modules() if isinstance(part, MixtureOfExperts)]
    inside = {id(part) for mixture in mixtures for part in mixture.modules()}
    if any(id(part) in inside for part in adapted_layers(model).values()):
        raise InputError(
            "adapters on a mixture of experts work one at a time", "the model",
            "use_adapter, and requests that name no other",
        )  # fmt: skip


def _restore(part: LoraLinear, active: str | None, merged: Tensor | None) -> None:
    part.active, part.merged = active, merged


# One matrix out of two


@torch.no_grad()
def merge(model: GPT) -> None:
    """Work out W + s · B A of the adapter at work once, so that the model is as fast as without it. The
    weights themselves are left alone and kept: `unmerge`, or training, has them back to the bit."""
    for part in adapted_layers(model).values():
        if part.active is not None:
            part.merged = part.weight


def unmerge(model: GPT) -> None:
    """Let go of what `merge` worked out."""
    for part in adapted_layers(model).values():
        part.merged = None


@torch.no_grad()
def absorb(model: GPT) -> None:
    """Make the adapter at work a part of the weights, for good, and drop all adapters: a plain model
    again. Matrices in few bits that had adapters are in full precision then."""
    for name, part in adapted_layers(model).items():
        layer = part.base
        if isinstance(layer, QuantizedLinear):
            layer = decoded(layer, model)
        layer.weight = nn.Parameter(part.weight.detach())
        model.set_submodule(name, layer.train(model.training))


@torch.no_grad()
def dense_parameters(model: GPT) -> dict[str, Tensor]:
    """The model's parameters as it would have them without adapters and quantisation, by their names
    and in their order there: the adapter at work is merged into them, matrices in few bits are decoded.
    This is what a model directory holds."""
    tied = "head.weight" if model.head_is_embedding else None
    return {name: tensor.detach() for name, tensor in _dense(model, "") if name != tied}


def _dense(module: nn.Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(module, LoraLinear | QuantizedLinear | QuantizedEmbedding):
        yield f"{prefix}weight", module.weight
        if not isinstance(module, QuantizedEmbedding) and module.bias is not None:
            yield f"{prefix}bias", module.bias
        return
    for name, parameter in module.named_parameters(recurse=False):
        yield prefix + name, parameter
    for name, child in module.named_children():
        yield from _dense(child, f"{prefix}{name}.")


class Counts(NamedTuple):
    """Numbers of a model."""

    trainable: int
    """Those that require gradients."""
    all: int
    """Those of the model and its adapters, a number in few bits counted as one."""


def count_parameters(model: GPT) -> Counts:
    """How many numbers training would change, and how many there are."""
    parameters = list(model.parameters())
    layers = linear_layers(model).values()
    packed = [
        part.in_features * part.out_features for part in layers if isinstance(part, QuantizedLinear)
    ]
    if isinstance(model.embedding, QuantizedEmbedding):
        packed.append(model.embedding.codes.numel())
    return Counts(
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(p.numel() for p in parameters) + sum(packed),
    )
