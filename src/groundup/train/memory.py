"""What a training step keeps in memory, found without running it.

The model's own forward pass is traced with "fake" tensors, which have shapes but no numbers, and what
autograd would keep for the backward pass is added up. So the figure holds for every part a model can
be made of, and for models far larger than this machine.
"""

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.train.config import TrainConfig
from groundup.train.objectives import Objective, next_token

# Numbers that an optimiser keeps for each weight.
AVERAGES = {"adamw": 2, "muon": 1}


def training_bytes(
    config: ModelConfig, train: TrainConfig, objective: Objective = next_token
) -> dict[str, int]:
    """Bytes of the weights, their gradients, the optimiser's averages and the activations of one
    micro-batch, on one device in single precision."""
    with FakeTensorMode():
        model = GPT(config)
        ids = torch.zeros(train.micro_batch, config.context_length + 1, dtype=torch.long)
        activations = _kept_for_backward(model, ids, objective)
        matrices = sum(_bytes(p) for p in model.blocks.parameters() if p.ndim == 2)
        weights = sum(map(_bytes, model.parameters()))
    averages = AVERAGES[train.optimizer] * matrices + AVERAGES["adamw"] * (weights - matrices)
    return {
        "weights": weights,
        "gradients": weights,
        "optimizer": averages,
        "activations": activations,
    }


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
