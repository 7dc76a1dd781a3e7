"""AdamW for vectors, tables and adapters, Muon for the matrices in between.

AdamW and the clipping of gradients that run are torch's, over all parameters at once;
`adamw_step_by_step` and `clip_gradients_step_by_step` are the same, written out.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.model.gpt import GPT
from groundup.model.lora import adapter_parameters
from groundup.train.config import TrainConfig
from groundup.train.parts import part_like, whole


def build_optimizers(model: GPT, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """The optimisers of all trainable parameters; each group remembers its peak rate.

    The matrices of the blocks decay; vectors (norms, biases), embedding and head do not. With
    `muon`, the matrices of the blocks go to Muon: embedding and head are tables of vectors, one
    per token, for which orthogonalising makes no sense (Jordan et al. 2024). Nor does it for the thin
    factors of an adapter, whose product is what matters: AdamW has them, and they decay.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    adapters = adapter_parameters(model)
    matrices, factors, others = [], [], []
    for name, p in named:
        is_matrix = p.ndim == 2 and name.startswith("blocks.")
        (others if not is_matrix else factors if name in adapters else matrices).append(p)
    by_adamw = [*factors, *(matrices if config.optimizer == "adamw" else [])]
    groups = [
        {"params": by_adamw, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group | {"params": alike} for group in groups for alike in _alike(group["params"])]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices and config.optimizer == "muon":
        muon = Muon(matrices, config.matrix_learning_rate, config.momentum, config.weight_decay)
        optimizers.append(muon)
    return [*optimizers, _adamw(groups, config)] if groups else optimizers


def _adamw(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True
    )


# lab: adamw
@torch.no_grad()
def adamw_step_by_step(
    parameter: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*shape"],
    square: Float[Tensor, "*shape"],
    step: int,
    learning_rate: float,
    betas: tuple[float, float],
    weight_decay: float,
    epsilon: float = 1e-8,
) -> None:
    """The `step`-th update of a parameter, counted from 1 (Loshchilov and Hutter 2019), in place.

    `mean` and `square` are the running means of the gradient and of its square, 0 before the first
    update; they are changed in place too:

        mean ← β₁ · mean + (1 − β₁) · gradient        square ← β₂ · square + (1 − β₂) · gradient²

    Both begin at 0, and are still too small by 1 − βˢᵗᵉᵖ: divided by it they are m and s. Then

        parameter ← (1 − rate · decay) · parameter − rate · m / (√s + ε)
    """
    beta1, beta2 = betas
    mean.lerp_(gradient, 1 - beta1)
    square.lerp_(gradient.square(), 1 - beta2)
    corrected_mean = mean / (1 - beta1**step)
    corrected_square = square / (1 - beta2**step)
    parameter.mul_(1 - learning_rate * weight_decay)
    parameter.sub_(learning_rate * corrected_mean / (corrected_square.sqrt() + epsilon))


def clip_gradients(parameters: Iterable[nn.Parameter], longest: float) -> float:
    """Scale the gradients down, in place, to the norm `longest` of all together, if they are longer;
    returns the norm that they had."""
    kinds = _alike(p for p in parameters if p.grad is not None)
    norms = [
        whole(
            torch.nn.utils.get_total_norm(
                [p.grad for p in kind if p.grad is not None], foreach=True
            )
        )
        for kind in kinds
    ]
    norm = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    for kind in kinds:
        if hasattr(kind[0], "full_tensor"):
            share = min(1.0, longest / (norm.item() + 1e-6))
            for parameter in kind:
                assert parameter.grad is not None
                parameter.grad.mul_(share)
        else:
            torch.nn.utils.clip_grads_with_norm_(kind, longest, norm, foreach=True)
    return norm.item()


def _alike(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Parameters by how they are spread over processes (DTensors have a mesh and placements): those of one
    kind can be computed with together."""
    kinds: dict[Any, list[nn.Parameter]] = defaultdict(list)
    for parameter in parameters:
        placed = getattr(parameter, "device_mesh", None), getattr(parameter, "placements", None)
        kinds[placed].append(parameter)
    return list(kinds.values())


# lab: clip_gradients
def clip_gradients_step_by_step(gradients: Sequence[Tensor], longest: float) -> float:
    """Scale the gradients down, in place, if all of them together are longer than `longest`; returns
    the norm that they had: the root of the sum of the squares of all numbers in all of them
    (Pascanu et al. 2013).

    >>> gradients = [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])]
    >>> clip_gradients_step_by_step(gradients, longest=1.0)
    5.0
    >>> gradients
    [tensor([0.6000]), tensor([[0.0000, 0.8000]])]
    """
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
    if norm > longest:
        for gradient in gradients:
            gradient.mul_(longest / norm)
    return norm


def set_rate(optimizers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Set every group's rate to `share` of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = share * group.setdefault("peak_lr", optimizer.defaults["lr"])


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton–Schulz (Jordan et al. 2024): every direction of a matrix
    is moved equally far, however strong its gradient.

    torch.optim.Muon does the same one matrix after another in bfloat16, which small matrices on a
    CPU take badly: here all matrices of a shape go through the iteration together, in their own
    precision (what is left to it is 4.5 % of the quickstart's step, see benchmarks/NOTES.md).
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                # A direction is one of the whole matrix, so every process needs all of it.
                looked_ahead = [whole(self._momentum(p, group)) for p in parameters]
                updates = orthogonalize(torch.stack(looked_ahead))
                # A tall matrix needs the longer step to change its output as much.
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(part_like(update, parameter), alpha=-group["lr"] * scale)

    def _momentum(self, parameter: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """Nesterov's look ahead: the running mean of the gradients, moved once more."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        mean = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        return parameter.grad.lerp(mean, group["momentum"])


def orthogonalize(
    matrices: Float[Tensor, "count rows columns"], steps: int = 5
) -> Float[Tensor, "count rows columns"]:
    """The nearest (semi-)orthogonal matrices, roughly: singular values end between 0.7 and 1.2.

    Newton–Schulz: x ← a·x + b·(xxᵀ)x + c·(xxᵀ)²x, applied to the singular values; a, b, c are
    Jordan's, chosen for the steepest rise at 0.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
