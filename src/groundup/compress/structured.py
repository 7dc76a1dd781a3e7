"""Structured pruning: whole heads, feed-forward columns and layers go, and the matrices really shrink.

The result is an ordinary, smaller model. What goes is what the text says matters least: heads and columns
by the first-order change of the loss (Michel et al. 2019, Molchanov et al. 2019), layers by the loss
itself without them (Men et al. 2024 rank them by how little they change the stream, which is cheaper and
coarser). `keep_…` cuts, `remove_…` chooses and cuts.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.compress.masks import check_sparsity, hooked
from groundup.errors import InputError
from groundup.language import N_
from groundup.model.attention import Attention
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.layers import AllHeadsNorm, FeedForward, SwiGLU
from groundup.train.objectives import next_token

Windows = Sequence[Int[Tensor, "_ window"]]
"""Some at a time, the last time perhaps fewer."""
Kept = Int[Tensor, " _"]
"""The places of what stays, in order."""


# Heads


def remove_heads(model: GPT, sparsity: float, windows: Windows) -> GPT:
    """The model without the share `sparsity` of the heads of each layer: those that matter least.

    Under grouped-query attention whole groups go, a key head with the queries that it serves, where the
    number to remove is a whole number of groups; else as many queries from each group. Raises
    `InputError` where neither can be, and for attention whose heads cannot be told apart.
    """
    config, layers = model.config, attention_layers(model)
    removed = count_to_remove(sparsity, config.n_heads, "heads")
    group = config.n_heads // config.n_kv_heads
    if removed % group and removed % config.n_kv_heads:
        raise _undividable(config, removed)
    outputs = {name: layer.output for name, layer in layers.items()}
    found = input_gradients(model, outputs, windows)
    kept = {}
    for name, gradients in found.items():
        of_heads = gradients.unflatten(1, (config.n_heads, config.head_dim)).sum(-1)
        saliency = of_heads.abs().mean(0).view(config.n_kv_heads, group)
        kept[name] = _best_heads(saliency, removed)
    return keep_heads(model, kept)


def _best_heads(saliency: Float[Tensor, "kv_heads group"], removed: int) -> tuple[Kept, Kept]:
    """The query heads and key heads that stay."""
    kv_heads, group = saliency.shape
    numbers = torch.arange(kv_heads * group).view(kv_heads, group)
    if removed % group == 0:
        best = highest(saliency.sum(1), kv_heads - removed // group)
        return numbers[best].flatten(), best
    best = torch.stack([highest(row, group - removed // kv_heads) for row in saliency])
    return numbers.gather(1, best).flatten(), torch.arange(kv_heads)


def keep_heads(model: GPT, kept: Mapping[str, tuple[Kept, Kept]]) -> GPT:
    """The model with only these query heads and key heads, as many in each layer; by the names of the
    attention layers in `model.blocks`."""
    weights, size = dict(model.state_dict()), model.config.head_dim
    for name, (queries, keys) in kept.items():
        _take(weights, f"blocks.{name}.query", _channels(queries, size), dim=0)
        _take(weights, f"blocks.{name}.gate.linear", _channels(queries, size), dim=0)
        _take(weights, f"blocks.{name}.key", _channels(keys, size), dim=0)
        _take(weights, f"blocks.{name}.value", _channels(keys, size), dim=0)
        _take(weights, f"blocks.{name}.output", _channels(queries, size), dim=1)
    queries, keys = next(iter(kept.values()))
    return rebuilt(model.config, weights, n_heads=len(queries), n_kv_heads=len(keys))


def _channels(heads: Kept, size: int) -> Kept:
    """The rows of a projection that belong to heads."""
    return (heads[:, None] * size + torch.arange(size)).flatten()


def attention_layers(model: GPT) -> dict[str, Attention]:
    """The attention layers by their names in `model.blocks`. Raises `InputError` where a head is not
    free to go."""
    parts: dict[str, nn.Module] = dict(model.blocks.named_modules())
    layers = {name: part for name, part in parts.items() if isinstance(part, Attention)}
    if model.config.latent.kv_rank or not layers:
        raise InputError(
            "no heads can be taken from this kind of attention", "pattern heads",
            "use columns, layers or wanda",
        )  # fmt: skip
    if any(isinstance(part, AllHeadsNorm) for part in parts.values()):
        raise InputError(
            "this model norms all heads together, so without one all others change", "pattern heads",
            "use columns, layers or wanda",
        )  # fmt: skip
    return layers


def _undividable(config: ModelConfig, removed: int) -> InputError:
    heads, kv_heads = config.n_heads, config.n_kv_heads
    fitting = [n for n in range(1, heads) if n % kv_heads == 0 or n % (heads // kv_heads) == 0]
    hint = N_(f"use --sparsity {min(fitting, key=lambda n: abs(n - removed)) / heads:.4g}")
    return InputError(
        f"{removed} of {heads} heads cannot be taken evenly from {kv_heads} key heads", "sparsity",
        hint if fitting else "use columns, layers or wanda",
    )  # fmt: skip


# Feed-forward columns


def remove_columns(model: GPT, sparsity: float, windows: Windows) -> GPT:
    """The model without the share `sparsity` of the inner width of each feed-forward: the columns that
    matter least. Raises `InputError` for a model of experts."""
    layers = feed_forwards(model)
    removed = count_to_remove(sparsity, model.config.d_ff, "columns")
    downs = {name: layer.down for name, layer in layers.items()}
    found = input_gradients(model, downs, windows)
    count = model.config.d_ff - removed
    return keep_columns(model, {n: highest(g.abs().mean(0), count) for n, g in found.items()})


def keep_columns(model: GPT, kept: Mapping[str, Kept]) -> GPT:
    """The model with only these columns, as many in each layer; by the names of the feed-forwards in
    `model.blocks`."""
    weights = dict(model.state_dict())
    for name, columns in kept.items():
        _take(weights, f"blocks.{name}.gate", columns, dim=0)
        _take(weights, f"blocks.{name}.up", columns, dim=0)
        _take(weights, f"blocks.{name}.down", columns, dim=1)
    return rebuilt(model.config, weights, d_ff=len(next(iter(kept.values()))))


def feed_forwards(model: GPT) -> dict[str, FeedForward | SwiGLU]:
    """The plain feed-forwards by their names in `model.blocks`."""
    if model.config.experts.count:
        raise InputError(
            "the feed-forwards of this model are experts", "pattern columns",
            "use heads, layers or wanda",
        )  # fmt: skip
    parts = model.blocks.named_modules()
    return {name: part for name, part in parts if isinstance(part, FeedForward | SwiGLU)}


# Layers


def remove_layers(model: GPT, sparsity: float, windows: Windows) -> GPT:
    """The model without the share `sparsity` of its layers: one after another the one without which the
    loss on `windows` is least."""
    kept = list(range(model.config.n_layers))
    for _ in range(count_to_remove(sparsity, len(kept), "layers")):
        losses = {one: loss_of(model, windows, _without(kept, one)) for one in kept}
        kept.remove(min(losses, key=lambda layer: losses[layer]))
    return keep_layers(model, kept)


def _without(layers: list[int], one: int) -> list[int]:
    return [layer for layer in layers if layer != one]


@torch.no_grad()
def loss_of(model: GPT, windows: Windows, layers: Sequence[int]) -> float:
    """Mean nats per token of the model when only these layers work."""
    blocks = model.blocks
    model.blocks = nn.ModuleList(blocks[layer] for layer in layers)
    try:
        losses = [next_token(model, ids).item() for ids in windows]
    finally:
        model.blocks = blocks
    return sum(losses) / len(losses)


def keep_layers(model: GPT, kept: Sequence[int]) -> GPT:
    """The model with only these layers, in their order.

    Raises `InputError` where the config cannot say which of them have experts."""
    places = {old: new for new, old in enumerate(kept)}
    weights = {}
    for name, tensor in model.state_dict().items():
        part, *rest = name.split(".")
        if part != "blocks":
            weights[name] = tensor
        elif int(rest[0]) in places:
            weights[".".join([part, str(places[int(rest[0])]), *rest[1:]])] = tensor
    return rebuilt(model.config, weights, **_layers_config(model.config, kept))


def _layers_config(config: ModelConfig, kept: Sequence[int]) -> dict[str, object]:
    kinds = [config.layer_kind(layer) for layer in kept]
    dense = sum(layer < config.experts.dense_layers for layer in kept)
    experts = config.experts.model_copy(update={"dense_layers": dense})
    told = config.model_copy(update={"experts": experts})
    if any(config.has_experts(old) != told.has_experts(new) for new, old in enumerate(kept)):
        raise InputError(
            "layers with experts and without take turns in this model, and would no longer",
            "pattern layers", "use heads or wanda",
        )  # fmt: skip
    pattern = kinds[:1] if len(set(kinds)) == 1 else kinds
    return {"n_layers": len(kept), "layer_pattern": pattern, "experts": experts.model_dump()}


# What they have in common


def count_to_remove(sparsity: float, total: int, what: str) -> int:
    """The nearest whole number to `sparsity` · `total`. Raises `InputError` where that is nothing, though
    something is asked for, or everything."""
    check_sparsity(sparsity)
    removed = round(sparsity * total)
    if removed == total or (sparsity and not removed):
        least, most = 1 / total, (total - 1) / total
        fix = N_(f"use {least:.4g} to {most:.4g}" if total > 1 else "use another pattern")
        raise InputError(
            f"a sparsity of {sparsity:.4g} takes {removed} of {total} {what}", "sparsity", fix
        )
    return removed


def input_gradients(
    model: GPT, layers: Mapping[str, nn.Linear], windows: Windows
) -> dict[str, Float[Tensor, "batches in"]]:
    """∂loss/∂m for a factor m = 1 on each input of these layers, for each of `windows`: by how much, to
    first order, the loss falls when that input goes."""
    factors = {name: layer.weight.new_ones(layer.in_features) for name, layer in layers.items()}
    for factor in factors.values():
        factor.requires_grad_()

    def scaling(factor: Tensor):
        return lambda layer, inputs: (inputs[0] * factor,)

    with hooked({layer: scaling(factors[name]) for name, layer in layers.items()}):
        of_windows = [
            torch.autograd.grad(next_token(model, ids), list(factors.values())) for ids in windows
        ]
    by_layer = zip(*of_windows, strict=True)
    return {name: torch.stack(g) for name, g in zip(factors, by_layer, strict=True)}


def highest(scores: Float[Tensor, " size"], count: int) -> Kept:
    """Where the `count` highest numbers are, in the order of their places."""
    return scores.topk(count).indices.sort().values


def rebuilt(config: ModelConfig, weights: Mapping[str, Tensor], **changes: object) -> GPT:
    """A model of the changed config with copies of these weights, ready for use (dropout off)."""
    changed = ModelConfig.parse(config.model_dump() | changes, "pruning")
    with torch.device("meta"):
        model = GPT(changed)
    copies = {name: tensor.detach().clone() for name, tensor in weights.items()}
    model.load_state_dict(copies, assign=True)
    model.tie_weights()
    return model.eval()


def _take(weights: dict[str, Tensor], layer: str, kept: Kept, dim: int) -> None:
    """Only these rows (`dim` 0) or columns (1) of a linear layer, if it is there; a bias has rows."""
    if f"{layer}.weight" in weights:
        weights[f"{layer}.weight"] = weights[f"{layer}.weight"].index_select(dim, kept)
    if dim == 0 and f"{layer}.bias" in weights:
        weights[f"{layer}.bias"] = weights[f"{layer}.bias"][kept]
