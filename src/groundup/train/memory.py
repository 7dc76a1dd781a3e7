"""What a training step keeps in memory, found without running it.

The model's own forward pass is traced with "fake" tensors, which have shapes but no numbers, and what
autograd would keep for the backward pass is added up. So the figure holds for every part a model can
be made of, and for models far larger than this machine.
"""

import psutil
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.cost import parameter_count
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


def training_bytes(
    config: ModelConfig, train: TrainConfig, objective: Objective = next_token
) -> dict[str, int]:
    """Bytes of the weights, their gradients, the optimiser's averages and the activations of one
    micro-batch, on one device in single precision."""
    with FakeTensorMode():
        model = GPT(config)
        for part in model.modules():
            if isinstance(part, MixtureOfExperts):
                part.assign = (
                    evenly  # what tokens choose depends on numbers, of which there are none
                )
        one, two = (_kept_for_backward(model, _windows(config, n), objective) for n in (1, 2))
        matrices = sum(_bytes(p) for p in model.blocks.parameters() if p.ndim == 2)
        weights = sum(map(_bytes, model.parameters()))
    # Every window beyond the first adds the same.
    activations = one + (train.micro_batch - 1) * (two - one)
    averages = AVERAGES[train.optimizer] * matrices + AVERAGES["adamw"] * (weights - matrices)
    return {
        "weights": weights,
        "gradients": weights,
        "optimizer": averages,
        "activations": activations,
    }


def memory_problem(config: ModelConfig, train: TrainConfig) -> str | None:
    """What to say if training cannot fit into the memory that is free, else None."""
    free = USABLE * _free_memory(train)
    need = sum(training_bytes(config, train).values())
    if need <= free:
        return None
    return N_(
        f"training needs {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: "
        f"{_largest_that_fits(config, train, free)}"
    )


def _largest_that_fits(config: ModelConfig, train: TrainConfig, free: float) -> str:
    """The largest micro-batch for the model, or the largest preset where not even one window fits."""
    one, two = (train.model_copy(update={"micro_batch": n}) for n in (1, 2))
    first, second = (sum(training_bytes(config, each).values()) for each in (one, two))
    if first <= free:
        micro_batch = 1 + int((free - first) // (second - first))
        passes = train.grad_accumulation * -(-train.micro_batch // micro_batch)
        return N_(
            f"a train.micro_batch of {micro_batch} would fit (with a train.grad_accumulation of "
            f"{passes} it learns the same)"
        )
    shapes = {name: preset(name, vocab_size=config.vocab_size) for name in PRESETS}
    fitting = [n for n, c in shapes.items() if sum(training_bytes(c, one).values()) <= free]
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


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
