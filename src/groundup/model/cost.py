"""What a model costs, without building it: parameters, floating-point operations and bytes.

Parameters are counted on the model itself, with one layer of each kind, on torch's device "meta", where
tensors have a shape but no numbers: so the count holds for every part that a model can be made of, and
the largest takes no longer than the smallest. Operations are counted as PaLM does (Chowdhery et al.
2022, appendix B): 2 per weight and token forward, twice that backward, and attention's two products
over all that a token may look at. Everything is tested against the real model.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from groundup.model.config import GATED, LatentConfig, LayerKind, ModelConfig
from groundup.model.gpt import GPT

BYTES = 4
PARTS: tuple[str, ...] = (
    "embedding", "position", "attention", "delta", "feed_forward", "experts", "norms", "head",
)  # fmt: skip


@dataclass(frozen=True)
class Layers:
    """The layers that are alike: which they are, and what one of them is made of."""

    kind: LayerKind
    has_experts: bool
    numbers: tuple[int, ...]
    parameters: dict[str, int]
    """By the names that the parts have in a block of `gpt.py`."""
    idle: int
    """Parameters of the experts that do not work on a token."""
    multiplied: int
    """Weights that each token is multiplied with."""


@dataclass(frozen=True)
class Anatomy:
    """The parts of a model and their parameters."""

    outside: dict[str, int]
    """What stands outside the blocks, by its name in `gpt.py`."""
    layers: tuple[Layers, ...]
    """In the order in which the kinds first come."""


def anatomy(config: ModelConfig) -> Anatomy:
    """The parts of the model that `config` describes, counted. Asked again, it is not built again."""
    return _anatomy(config.model_dump_json())


@lru_cache
def _anatomy(described: str) -> Anatomy:
    config = ModelConfig.model_validate_json(described)
    alike = layers_alike(config)
    model = _skeleton(config, n_layers=1 + max(numbers[0] for numbers in alike.values()))
    outside = {
        name: _size(getattr(model, name).parameters())
        for name in ("embedding", "position", "final_norm", "head")
    }
    if config.tie_embeddings:
        outside["head"] = 0
    layers = tuple(_count(config, numbers, model.blocks[numbers[0]]) for numbers in alike.values())
    return Anatomy(outside, layers)


def layers_alike(config: ModelConfig) -> dict[tuple[LayerKind, bool], tuple[int, ...]]:
    """The numbers of the layers of each kind, by what they attend to and whether they have experts."""
    found: dict[tuple[LayerKind, bool], tuple[int, ...]] = {}
    for layer in range(config.n_layers):
        key = config.layer_kind(layer), config.has_experts(layer)
        found[key] = (*found.get(key, ()), layer)
    return found


def _skeleton(config: ModelConfig, n_layers: int) -> GPT:
    """The first layers of the model, with no more experts than work on a token, as all are alike."""
    experts = config.experts
    if experts.count:
        experts = experts.model_copy(update={"count": experts.active})
    with torch.device("meta"):
        return GPT(config.model_copy(update={"n_layers": n_layers, "experts": experts}))


def _count(config: ModelConfig, numbers: tuple[int, ...], block: nn.Module) -> Layers:
    layer, experts = numbers[0], config.experts
    parameters = {name: _size(part.parameters()) for name, part in block.named_children()}
    multiplied = _size(weight for weight in block.parameters() if weight.ndim > 1)
    idle = 0
    if config.has_experts(layer):
        left_out = experts.count - experts.active
        idle = left_out * _size(block.get_submodule("feed_forward.experts.0").parameters())
        rows = left_out * config.d_model  # the router has one for each expert, and uses all
        parameters["feed_forward"] += rows + idle
        multiplied += rows
    kind = config.layer_kind(layer)
    return Layers(kind, config.has_experts(layer), numbers, parameters, idle, multiplied)


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def parameters(config: ModelConfig) -> dict[str, int]:
    """Trained numbers by part, over all layers. Tied embeddings are counted once, under
    `embedding`."""
    found = anatomy(config)
    counts: dict[str, int] = dict.fromkeys(PARTS, 0)
    for name, size in found.outside.items():
        counts[_part(name)] += size
    for layers in found.layers:
        for name, size in layers.parameters.items():
            counts[_part(name, layers)] += size * len(layers.numbers)
    return counts


def _part(name: str, layers: Layers | None = None) -> str:
    """The row of `parameters` that a part of `gpt.py` counts under."""
    if name.endswith("norm"):
        return "norms"
    if layers and name == "attention" and layers.kind == "linear":
        return "delta"
    return "experts" if layers and name == "feed_forward" and layers.has_experts else name


def parameter_count(config: ModelConfig) -> int:
    """All trained numbers of the model."""
    return sum(parameters(config).values())


# lab: parameter_count
def parameter_count_by_formula(config: ModelConfig) -> int:
    """`parameter_count` of a model of plain parts, from its sizes alone, as for GPT-2 and Llama: see
    `is_plain`.

    >>> parameter_count_by_formula(ModelConfig(vocab_size=10, d_model=8, n_heads=2, n_layers=1))
    952
    """
    d_model, d_ff, bias = config.d_model, config.d_ff, config.bias
    queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    attention = d_model * (queries + 2 * keys) + queries * d_model  # keys and values are alike
    attention += config.qkv_bias * (queries + 2 * keys) + bias * d_model
    wide = 2 if config.feed_forward in GATED else 1  # matrices from d_model to d_ff
    feed_forward = wide * (d_model * d_ff + bias * d_ff) + d_ff * d_model + bias * d_model
    per_number = 2 if config.norm == "layernorm" and bias else 1
    norms = 2 * per_number * (d_model + config.qk_norm * config.head_dim)
    final_norm = 0 if config.norm_place == "post" else per_number * d_model
    positions = config.context_length * d_model if config.position == "learned" else 0
    tables = config.vocab_size * d_model * (1 if config.tie_embeddings else 2)
    return config.n_layers * (attention + feed_forward + norms) + final_norm + positions + tables


def is_plain(config: ModelConfig) -> bool:
    """Whether all layers are alike, with attention, one feed-forward, two norms of the stream, and
    those of each head, at most."""
    special = (
        config.latent.kv_rank, config.experts.count, config.attention_gate, config.short_conv,
        "linear" in config.layer_pattern, config.norm_place == "sandwich",
        config.qk_norm_scope == "all",
    )  # fmt: skip
    return not any(special)


def active_parameter_count(config: ModelConfig) -> int:
    """The trained numbers that one token meets: all but those of the experts it does not go to."""
    idle = sum(layers.idle * len(layers.numbers) for layers in anatomy(config).layers)
    return parameter_count(config) - idle


def forward_flops_per_token(config: ModelConfig) -> int:
    """Operations to predict one token with the context full."""
    multiplications = config.vocab_size * config.d_model
    for layers in anatomy(config).layers:
        multiplications += len(layers.numbers) * (layers.multiplied + _mixing(config, layers.kind))
    return 2 * multiplications


def training_flops_per_token(config: ModelConfig) -> int:
    """Operations to learn from one token: forward, and twice that backward."""
    return 3 * forward_flops_per_token(config)


def _mixing(config: ModelConfig, kind: LayerKind) -> int:
    """Multiplications between tokens, for each token: its query with the keys that it may look at, and
    its weights with their values. A linear layer reads its memory, corrects it and reads it again."""
    if kind == "linear":
        return 3 * _memory_size(config)
    seen = min(window(config, kind) or config.context_length, config.context_length)
    value_dim = config.latent.value_dim if config.latent.kv_rank else config.head_dim
    return config.n_heads * (config.head_dim + value_dim) * seen


def window(config: ModelConfig, kind: LayerKind) -> int | None:
    """How many tokens a token of such a layer may look at; None is all before it."""
    return config.window if kind == "window" and not config.latent.kv_rank else None


def _memory_size(config: ModelConfig) -> int:
    delta = config.delta
    return delta.n_value_heads * delta.key_dim * delta.value_dim


def memory_bytes(config: ModelConfig, length: int | None = None) -> dict[str, int]:
    """Bytes of the weights in single precision and as they would be stored in fewer bits (the scales
    of quantisation left out), of training (weights, gradients and AdamW's two averages, in single
    precision), and of the cache of one text of `length` tokens (default: the context)."""
    count = parameter_count(config)
    return {
        "weights": BYTES * count,
        "weights_float16": 2 * count,
        "weights_int8": count,
        "weights_int4": -(-count // 2),
        "training": 4 * BYTES * count,
        "key_value_cache": cache_bytes(config, length),
    }


def cache_bytes(config: ModelConfig, length: int | None = None) -> int:
    """Bytes that generation keeps, in single precision, of a text of `length` tokens (default: the
    context)."""
    tokens = config.context_length if length is None else length
    layers = layers_alike(config).items()
    return BYTES * sum(len(numbers) * _kept(config, kind, tokens) for (kind, _), numbers in layers)


def _kept(config: ModelConfig, kind: LayerKind, length: int) -> int:
    """Numbers that one layer keeps of a text: of each token, or of the whole."""
    delta, latent = config.delta, config.latent
    if kind == "linear":
        channels = 2 * delta.n_key_heads * delta.key_dim + delta.n_value_heads * delta.value_dim
        return _memory_size(config) + (delta.conv_width - 1) * channels
    if latent.kv_rank:
        return (latent.kv_rank + latent.rope_dim) * length
    sight = window(config, kind)
    tokens = length if sight is None else min(sight - 1, length)  # what the next token looks at
    return 2 * config.n_kv_heads * config.head_dim * tokens + config.short_conv * config.d_model


def cache_alternatives(config: ModelConfig) -> dict[str, ModelConfig]:
    """The same shape with other ways to remember, of which the model may be one itself: every head
    with keys and values of its own (`mha`), groups that share them (`gqa`), one latent vector
    (`mla`), only a window of the past (`window`)."""
    heads, latent = config.n_heads, config.latent
    width = latent.value_dim if latent.kv_rank else config.head_dim
    kv_heads = config.n_kv_heads if 1 < config.n_kv_heads < heads else _quarter(heads)
    # The sizes of DeepSeek-V2 (section 3.1.2): 4 heads wide, and half a head for positions.
    like_deepseek = LatentConfig(kv_rank=4 * width, rope_dim=max(1, width // 2), value_dim=width)
    plain = {"layer_pattern": ["full"], "latent": LatentConfig(), "head_dim": width}
    sight = config.window or min(4096, max(1, config.context_length // 4))
    changes = {
        "mha": plain | {"n_kv_heads": heads},
        "gqa": plain | {"n_kv_heads": kv_heads},
        "mla": {"layer_pattern": ["full"], "latent": latent if latent.kv_rank else like_deepseek},
        "window": plain | {"layer_pattern": ["window"], "window": sight},
    }
    return {name: config.model_copy(update=change) for name, change in changes.items()}


def _quarter(heads: int) -> int:
    """The largest divisor of `heads` up to a quarter of them."""
    return max(n for n in range(1, max(1, heads // 4) + 1) if heads % n == 0)


def cache_lengths(config: ModelConfig) -> list[int]:
    """256, 1k, 4k, 16k, … tokens, and the context."""
    shorter = (256 * 4**n for n in range(20))
    return [
        *(length for length in shorter if length < config.context_length),
        config.context_length,
    ]
