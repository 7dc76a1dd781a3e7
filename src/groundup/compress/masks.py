"""Unstructured pruning: single weights become zero, and the matrices keep their shapes.

A weight gets a score, and within a group the lowest scores go. The score is its size (LeCun et al. 1990
did better, but Han et al. 2015 showed that size does), or its size times the size of what it is multiplied
with (Wanda: Sun et al. 2023). The group is the whole model, a matrix, a row, or four neighbours (2:4:
Mishra et al. 2021), which GPUs multiply at twice the speed. A file of zeros is as large as one of other
numbers: what is won is speed on hardware that skips them, and what compression finds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from groundup.errors import InputError
from groundup.model.gpt import GPT

PreHook = Callable[[Any, Any], Any]
"""Of a module and its inputs, in a tuple."""
Within = Literal["model", "matrix", "row", "2:4"]
Scores = dict[str, Float[Tensor, "out in"]]
Masks = dict[str, Bool[Tensor, "out in"]]
"""By the name of a linear layer in `model.blocks`: True where a weight stays."""


def prunable(model: GPT) -> dict[str, nn.Linear]:
    """The linear layers of the blocks by name, but for the routers of experts, which are small and decide
    much. Embedding and head are tables of vectors, one per token: they stay whole."""
    layers = {
        name: part
        for name, part in model.blocks.named_modules()
        if isinstance(part, nn.Linear) and not name.endswith(("router", "token_gate"))
    }
    if not layers:
        raise InputError(
            "this model has no matrices to prune", "model.blocks", "prune it before it is quantised"
        )
    return layers


def magnitudes(model: GPT) -> Scores:
    """|w|."""
    return {name: layer.weight.detach().abs() for name, layer in prunable(model).items()}


def wanda_scores(model: GPT, windows: Iterable[Int[Tensor, "_ time"]]) -> Scores:
    """|w_ij| · ‖x_j‖: how much of the output would go with a weight, x_j being all that input j was on
    these token ids (Sun et al. 2023, eq. 1). All layers are looked at in the unpruned model, in one pass;
    the paper looks at each after pruning those before it."""
    norms = input_norms(model, windows)
    return {name: scores * norms[name] for name, scores in magnitudes(model).items()}


@torch.no_grad()
def input_norms(
    model: GPT, windows: Iterable[Int[Tensor, "_ time"]]
) -> dict[str, Float[Tensor, " _"]]:
    """‖x_j‖₂ of each input of each prunable layer, over all positions of `windows`."""
    layers = prunable(model)
    squares = {name: layer.weight.new_zeros(layer.in_features) for name, layer in layers.items()}

    def looking(name: str):
        def look(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            squares[name] += inputs[0].flatten(0, -2).square().sum(0)

        return look

    with hooked({layer: looking(name) for name, layer in layers.items()}):
        for ids in windows:
            model.hidden(ids)
    return {name: square.sqrt() for name, square in squares.items()}


@contextmanager
def hooked(hooks: Mapping[nn.Module, PreHook]) -> Iterator[None]:
    """For a while, call for each of these modules a function of (module, inputs) before it works."""
    handles = [module.register_forward_pre_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def choose(scores: Scores, sparsity: float, within: Within) -> Masks:
    """Which weights stay when the lowest scores go: within each group exactly the nearest whole number
    to `sparsity` · its size; of four neighbours always two.

    Raises `InputError` for a sparsity that there is not, and where rows are no whole number of fours.
    """
    check_sparsity(sparsity)
    if within == "model":
        joined = torch.cat([part.flatten() for part in scores.values()])[None]
        stay = ~lowest(joined, round(sparsity * joined.numel()))[0]
        parts = stay.split([part.numel() for part in scores.values()])
        return {n: part.view_as(scores[n]) for n, part in zip(scores, parts, strict=True)}
    return {name: _choose_in(name, part, sparsity, within) for name, part in scores.items()}


def _choose_in(
    name: str, scores: Float[Tensor, "out in"], sparsity: float, within: Within
) -> Bool[Tensor, "out in"]:
    if within == "2:4" and scores.shape[1] % 4:
        raise InputError(
            f"2:4 takes two of each four weights of a row, but rows here have {scores.shape[1]}",
            f"blocks.{name}", "use the pattern magnitude or wanda",
        )  # fmt: skip
    groups = {"matrix": scores.reshape(1, -1), "row": scores, "2:4": scores.reshape(-1, 4)}[within]
    count = 2 if within == "2:4" else round(sparsity * groups.shape[1])
    return ~lowest(groups, count).view_as(scores)


def check_sparsity(sparsity: float) -> None:
    """Raises `InputError` for a share outside [0, 1)."""
    if not 0 <= sparsity < 1:
        raise InputError(
            f"a sparsity of {sparsity} is no share of the weights", "sparsity",
            "use a number from 0 up to, but not including, 1",
        )  # fmt: skip


# lab: prune
def lowest(scores: Float[Tensor, "groups size"], count: int) -> Bool[Tensor, "groups size"]:
    """True at exactly `count` of each row's lowest numbers.

    >>> lowest(torch.tensor([[0.3, 0.1, 0.2], [5.0, 6.0, 4.0]]), 2)
    tensor([[False,  True,  True],
            [ True, False,  True]])
    """
    found = scores.topk(count, dim=1, largest=False).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, found, True)


@torch.no_grad()
def apply_masks(model: GPT, masks: Masks) -> None:
    """Set to zero what does not stay, in place."""
    for name, mask in masks.items():
        weight = model.blocks.get_parameter(f"{name}.weight")
        weight.mul_(mask.to(weight.device))


def pruned_share(masks: Masks) -> float:
    """The share of the weights that do not stay."""
    zeros = sum(int((~mask).sum()) for mask in masks.values())
    return zeros / sum(mask.numel() for mask in masks.values())


def masks_of(model: GPT) -> Masks:
    """The masks that a pruned model was made with: of its matrices with zeros in them. A matrix that is
    all zero has not been trained yet, and is not taken for pruned."""
    stay = {name: layer.weight.detach() != 0 for name, layer in prunable(model).items()}
    return {name: mask for name, mask in stay.items() if mask.any() and not mask.all()}
