"""What a training step keeps in memory, found without running it.

The model's own forward pass is traced with "fake" tensors, which have shapes but no numbers, and what
autograd would keep for the backward pass is added up. So the figure holds for every part a model can
be made of, and for models far larger than this machine.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.cost import layers_alike, parameter_count
from groundup.model.experts import MixtureOfExperts, evenly
from groundup.model.gpt import GPT
from groundup.model.presets import PRESETS, preset
from groundup.train.config import TrainConfig
from groundup.train.loop import pick_device
from groundup.train.objectives import Objective, next_token

# Numbers that an optimiser keeps for each weight.
AVERAGES = {"adamw": 2, "muon": 1}
# A part of what is free now stays free: the figures are estimates.
USABLE = 0.9
# The names in torch of matrix products and of fused attention.
PRODUCTS = {
    "mm", "addmm", "bmm", "baddbmm", "linear", "_linear_pointwise",
    "_scaled_dot_product_flash_attention_for_cpu",
}  # fmt: skip


def training_bytes(
    config: ModelConfig, train: TrainConfig, objective: Objective = next_token
) -> dict[str, int]:
    """Bytes of the weights, their gradients, the optimiser's averages and the activations of one
    micro-batch, on one device in single precision."""
    tensors = traced(config, objective)
    matrices, weights = tensors.matrices, tensors.weights
    averages = AVERAGES[train.optimizer] * matrices + AVERAGES["adamw"] * (weights - matrices)
    return {
        "weights": weights,
        "gradients": weights,
        "optimizer": averages,
        "activations": tensors.activations(train.micro_batch),
    }


def needed_bytes(config: ModelConfig, train: TrainConfig) -> int:
    """All that a training takes of the memory of its device."""
    parts = training_bytes(config, train)
    return sum(parts.values()) + copied_bytes(parts, train)


def copied_bytes(parts: dict[str, int], train: TrainConfig) -> int:
    """Of the `training_bytes`, what is copied to be written to a checkpoint while the next steps are taken, and
    takes the device's memory once more: on a GPU nothing."""
    on_processor = pick_device(train.device).type == "cpu"
    return parts["weights"] + parts["optimizer"] if on_processor else 0


@dataclass(frozen=True)
class Growth:
    """Bytes that are so many for one window, and as many more for each one beyond."""

    first: int
    more: int

    def of(self, windows: int) -> int:
        return self.first + (windows - 1) * self.more


@dataclass(frozen=True)
class Traced:
    """What a model and its training pass hold, in bytes of single precision."""

    weights: int
    matrices: int
    """Of the weights, the matrices of the blocks."""
    root: int
    """Of the weights, those outside the blocks."""
    largest_block: int
    """The weights of the largest block."""
    largest_group: int
    """The matrices of the blocks that have the commonest shape, by their size: Muon takes them together."""
    outside: Growth
    """Kept for the backward pass by what is no block, the loss with the head's gradient included, and
    by what the blocks share."""
    layers: tuple[tuple[int, Growth, Growth], ...]
    """Of each kind of layer how many there are, what one keeps for the backward pass, and how much of
    what it computes are its matrix products and its attention."""

    def activations(self, windows: int) -> int:
        """All that is kept for the backward pass."""
        return self.outside.of(windows) + sum(
            count * kept.of(windows) for count, kept, _ in self.layers
        )


def traced(config: ModelConfig, objective: Objective = next_token) -> Traced:
    """Trace a training pass; layers that are alike are traced once, so that the deepest model takes no
    longer than the shallowest."""
    alike = layers_alike(config)
    first = [numbers[0] for numbers in alike.values()]
    with FakeTensorMode():
        model = GPT(config.model_copy(update={"n_layers": 1 + max(first)}))
        for part in model.modules():
            if isinstance(part, MixtureOfExperts):
                part.assign = (
                    evenly  # what tokens choose depends on numbers, of which there are none
                )
        kinds = [model.blocks[number] for number in first]
        counts = [len(numbers) for numbers in alike.values()]
        root = sum(map(_bytes, model.parameters())) - sum(map(_weights, model.blocks))
        inside = sum(count * _weights(block) for count, block in zip(counts, kinds, strict=True))
        shapes: Counter[torch.Size] = Counter()
        for count, block in zip(counts, kinds, strict=True):
            for matrix in (p for p in block.parameters() if p.ndim == 2):
                shapes[matrix.shape] += count * _bytes(matrix)
        largest = max(map(_weights, kinds))
        outside, layers = _traced_layers(model, kinds, config, objective)
    layers = tuple((count, *layer) for count, layer in zip(counts, layers, strict=True))
    return Traced(
        root + inside, shapes.total(), root, largest, max(shapes.values()), outside, layers
    )


def _traced_layers(
    model: GPT, kinds: list[nn.Module], config: ModelConfig, objective: Objective
) -> tuple[Growth, list[tuple[Growth, Growth]]]:
    """What a block of each kind adds to a model that has one of each, and what is left of that model
    without them."""

    def pass_with(blocks: list[nn.Module]) -> list[tuple[int, int]]:
        """(kept, products) of one window and of two."""
        model.blocks = nn.ModuleList(blocks)
        return [_traced_pass(model, _windows(config, n), objective) for n in (1, 2)]

    with_one = pass_with(kinds)
    layers = []
    outside = [kept for kept, _ in with_one]
    for block in kinds:
        with_two = pass_with([*kinds, block])
        added = [
            (kept - kept_before, products - products_before)
            for (kept, products), (kept_before, products_before) in zip(
                with_two, with_one, strict=True
            )
        ]
        kept, products = zip(*added, strict=True)
        layers.append((_growth(kept), _growth(products)))
        outside = [whole - part for whole, part in zip(outside, kept, strict=True)]
    return _growth(outside), layers


def _growth(sizes: Sequence[int]) -> Growth:
    return Growth(sizes[0], sizes[1] - sizes[0])


def _traced_pass(model: GPT, ids: Tensor, objective: Objective) -> tuple[int, int]:
    with _Products() as products:
        kept = _kept_for_backward(model, ids, objective)
    return kept, products.size


class _Products(TorchDispatchMode):
    """Adds up what matrix products and fused attention give."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in PRODUCTS:
            made = result if isinstance(result, tuple) else (result,)
            self.size += sum(_bytes(each) for each in made if isinstance(each, Tensor))
        return result


def memory_problem(config: ModelConfig, train: TrainConfig) -> str | None:
    """What to say if training cannot fit into the memory that is free, else None."""
    free = USABLE * _free_memory(train)
    need = needed_bytes(config, train)
    if need <= free:
        return None
    return N_(
        f"training needs {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: "
        f"{_largest_that_fits(config, train, free)}"
    )


def _largest_that_fits(config: ModelConfig, train: TrainConfig, free: float) -> str:
    """The largest micro-batch for the model, or the largest preset where not even one window fits."""
    one, two = (train.model_copy(update={"micro_batch": n}) for n in (1, 2))
    first, second = (needed_bytes(config, each) for each in (one, two))
    if first <= free:
        micro_batch = 1 + int((free - first) // (second - first))
        passes = train.grad_accumulation * -(-train.micro_batch // micro_batch)
        return N_(
            f"a train.micro_batch of {micro_batch} would fit (with a train.grad_accumulation of "
            f"{passes} it learns the same)"
        )
    shapes = {name: preset(name, vocab_size=config.vocab_size) for name in PRESETS}
    fitting = [n for n, c in shapes.items() if needed_bytes(c, one) <= free]
    if not fitting:
        return N_("no preset fits: free some memory")
    largest = max(fitting, key=lambda name: parameter_count(shapes[name]))
    return N_(f"the largest preset that fits is {largest} with a train.micro_batch of 1")


def _free_memory(train: TrainConfig) -> int:
    if pick_device(train.device).type == "cuda":
        return torch.cuda.mem_get_info()[0]
    return psutil.virtual_memory().available


def _windows(config: ModelConfig, count: int) -> Tensor:
    return torch.zeros(count, config.context_length + 1, dtype=torch.long)


def _kept_for_backward(model: GPT, ids: Tensor, objective: Objective) -> int:
    """The size of all tensors that autograd keeps, each memory counted once, weights left out."""
    kept: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = objective(model, ids)
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage()._cdata, None)
    del loss
    return sum(size for size, _ in kept.values())


def _weights(block: nn.Module) -> int:
    return sum(map(_bytes, block.parameters()))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
