"""What a config.json says in other terms than ours: each part reads it and writes it.

Both the older keys (`rope_theta`, `rope_scaling`) and those of transformers 5 (`rope_parameters`) are
read; the older ones are written, as every program knows them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundup.errors import InputError, unknown
from groundup.model.config import LayerKind, ModelConfig

Given = Mapping[str, Any]


@dataclass(frozen=True)
class ConfigPart:
    """A pair of functions: their keys to our (dotted) fields, and a configuration to their keys."""

    read: Callable[[Given, str], dict[str, Any]]
    write: Callable[[ModelConfig], dict[str, Any]]


# Rotary positions

SCALING_KEYS = {
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor", "original_context_length": "original_max_position_embeddings",
        "low_frequency_factor": "low_freq_factor", "high_frequency_factor": "high_freq_factor",
    },
    "yarn": {
        "factor": "factor", "original_context_length": "original_max_position_embeddings",
        "beta_fast": "beta_fast", "beta_slow": "beta_slow", "mscale": "mscale",
        "mscale_all_dim": "mscale_all_dim", "attention_factor": "attention_factor",
    },
    "longrope": {
        "factor": "factor", "original_context_length": "original_max_position_embeddings",
        "attention_factor": "attention_factor", "short_factors": "short_factor",
        "long_factors": "long_factor",
    },
}  # fmt: skip
KINDS = {"default": "none", "su": "longrope"}


def rope(
    theta: float, window: float | None = None, share: float | None = None, mscale: bool = False
) -> ConfigPart:
    """Rotary positions: the defaults of a family's theta, of that of its window layers, and of the
    share of a head that is turned (None where it always is the whole); `mscale` where YaRN grows the
    scores as DeepSeek does."""

    def read(given: Given, where: str) -> dict[str, Any]:
        by_kind = given.get("rope_parameters") or {}
        table = by_kind.get("full_attention", by_kind)
        local = by_kind.get("sliding_attention", {})
        scaling = table or given.get("rope_scaling") or {}
        fields = {
            "rope_theta": table.get("rope_theta", given.get("rope_theta", theta)),
            "rope_theta_window": local.get("rope_theta", given.get("rope_local_base_freq", window)),
        }
        if share is not None:
            turned = given.get("partial_rotary_factor", share)
            fields["rope_share"] = table.get("partial_rotary_factor", turned)
        if not mscale and scaling.get("mscale_all_dim"):
            raise InputError("mscale_all_dim is not supported", where, "supported in: deepseek_v2")
        return fields | _read_scaling(scaling, given, where)

    def write(config: ModelConfig) -> dict[str, Any]:
        if config.rope_scaling.kind == "longrope" and share is None:
            # `transformers` would take it, but not llama.cpp's converter.
            raise InputError("rope_scaling.kind longrope is Phi-3's")
        keys: dict[str, Any] = {
            "rope_theta": config.rope_theta,
            "rope_scaling": _write_scaling(config),
        }
        if config.rope_scaling.kind == "longrope":
            original = config.rope_scaling.original_context_length
            keys["original_max_position_embeddings"] = original
        if share is not None:
            keys["partial_rotary_factor"] = config.rope_share
        if window is not None:
            keys["rope_local_base_freq"] = config.rope_theta_window or config.rope_theta
        return keys

    return ConfigPart(read, write)


def _read_scaling(scaling: Given, given: Given, where: str) -> dict[str, Any]:
    named = scaling.get("rope_type", scaling.get("type", "default"))
    kind = KINDS.get(named, named)
    if kind == "none":
        return {}
    if kind not in SCALING_KEYS:
        raise unknown("rope_type", named, ["default", *SCALING_KEYS], where)
    context = given.get("max_position_embeddings", 1)
    original = given.get("original_max_position_embeddings", context)
    original = scaling.get("original_max_position_embeddings", original)
    known = {"factor": context / original, "original_max_position_embeddings": original}
    known |= {key: value for key, value in scaling.items() if value is not None}
    fields = {"rope_scaling.kind": kind}
    for ours, theirs in SCALING_KEYS[kind].items():
        if theirs in known:
            fields[f"rope_scaling.{ours}"] = known[theirs]
    return fields


def _write_scaling(config: ModelConfig) -> dict[str, Any] | None:
    scaling = config.rope_scaling
    if scaling.kind == "none":
        return None
    values = {theirs: getattr(scaling, ours) for ours, theirs in SCALING_KEYS[scaling.kind].items()}
    # Zero stands for "not given" here, and would be taken for a number there.
    return {"rope_type": scaling.kind} | {key: v for key, v in values.items() if v}


# Which layers attend to what

LETTERS: dict[str, LayerKind] = {"f": "full", "w": "window", "l": "linear"}
TYPES: dict[str, LayerKind] = {
    "full_attention": "full",
    "sliding_attention": "window",
    "linear_attention": "linear",
}


def shortest_pattern(kinds: Sequence[LayerKind]) -> list[LayerKind]:
    """The shortest beginning of `kinds` that gives all of them when it is repeated."""
    lengths = range(1, len(kinds) + 1)
    repeats = (n for n in lengths if all(k == kinds[i % n] for i, k in enumerate(kinds)))
    return list(kinds[: next(repeats, 0)])


def windowed(kinds: Sequence[LayerKind], window: int | None, context: int) -> dict[str, Any]:
    """The fields for layers of these kinds; a window as long as the context is none."""
    if window is not None and window >= context:
        window = None
    seen: list[LayerKind] = [
        "full" if kind == "window" and window is None else kind for kind in kinds
    ]
    return {"layer_pattern": shortest_pattern(seen) or ["full"], "window": window}


def _kinds(config: ModelConfig) -> list[LayerKind]:
    return [config.layer_kind(layer) for layer in range(config.n_layers)]


def layer_types(otherwise: str) -> ConfigPart:
    """A list with the kind of each layer; `otherwise` is the family's pattern, in first letters."""

    def read(given: Given, where: str) -> dict[str, Any]:
        named = given.get("layer_types") or _patterned(given)
        for kind in named:
            if kind not in TYPES:
                raise unknown("layer type", str(kind), TYPES, where)
        kinds: list[LayerKind] = [TYPES[kind] for kind in named]
        context = given.get("max_position_embeddings", 1)
        return windowed(kinds, given.get("sliding_window"), context)

    def _patterned(given: Given) -> list[str]:
        pattern = otherwise
        for key in ("sliding_window_pattern", "full_attention_interval"):
            if key in given:
                pattern = otherwise[0] * (given[key] - 1) + otherwise[-1]
        names = {LETTERS[letter]: letter for letter in LETTERS}
        by_letter = {names[kind]: name for name, kind in TYPES.items()}
        layers = range(given.get("num_hidden_layers", 0))
        return [by_letter[pattern[layer % len(pattern)]] for layer in layers]

    def write(config: ModelConfig) -> dict[str, Any]:
        names = {kind: name for name, kind in TYPES.items()}
        kinds = [names.get(kind, kind) for kind in _kinds(config)]
        return {"layer_types": kinds, "sliding_window": config.window}

    return ConfigPart(read, write)


def _read_window_everywhere(given: Given, where: str) -> dict[str, Any]:
    window = given.get("sliding_window")
    kinds: list[LayerKind] = ["window" if window else "full"]
    return windowed(kinds, window, given.get("max_position_embeddings", 1))


def _read_window_from_layer(given: Given, where: str) -> dict[str, Any]:
    if not given.get("use_sliding_window", False):
        return {}
    if "layer_types" in given:
        return layer_types("f").read(given, where)
    first, layers = given.get("max_window_layers", 0), given.get("num_hidden_layers", 0)
    kinds: list[LayerKind] = ["window" if layer >= first else "full" for layer in range(layers)]
    context = given.get("max_position_embeddings", 1)
    return windowed(kinds, given.get("sliding_window"), context)


def _write_window_from_layer(config: ModelConfig) -> dict[str, Any]:
    kinds = _kinds(config)
    if "window" not in kinds:
        return {"use_sliding_window": False}
    first = {"max_window_layers": kinds.index("window"), "use_sliding_window": True}
    return first | layer_types("f").write(config)


def _read_nope(given: Given, where: str) -> dict[str, Any]:
    layers, interval = given.get("num_hidden_layers", 0), given.get("no_rope_layer_interval", 4)
    turned = given.get("no_rope_layers") or [(i + 1) % interval != 0 for i in range(layers)]
    kinds: list[LayerKind] = ["full" if is_turned else "nope" for is_turned in turned]
    return {"layer_pattern": shortest_pattern(kinds) or ["full"]}


def _write_nope(config: ModelConfig) -> dict[str, Any]:
    return {"no_rope_layers": [int(kind != "nope") for kind in _kinds(config)]}


WINDOW_EVERYWHERE = ConfigPart(
    _read_window_everywhere, lambda config: {"sliding_window": config.window}
)
WINDOW_FROM_LAYER = ConfigPart(_read_window_from_layer, _write_window_from_layer)
NOPE_LAYERS = ConfigPart(_read_nope, _write_nope)


# Sizes and scales


def _read_scale(given: Given, where: str) -> dict[str, Any]:
    return {"attention_scale": given.get("query_pre_attn_scalar", 256) ** -0.5}


def _write_scale(config: ModelConfig) -> dict[str, Any]:
    scale = config.attention_scale or config.head_dim**-0.5
    return {"query_pre_attn_scalar": round(scale**-2)}


ATTENTION_SCALE = ConfigPart(_read_scale, _write_scale)
GPT2_DROPOUT = ConfigPart(
    lambda given, where: {"dropout": given.get("resid_pdrop", 0.1)},
    lambda config: dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout),
)
# The context under its oldest name, which llama.cpp's converter asks for.
GPT2_CONTEXT = ConfigPart(lambda given, where: {}, lambda config: {"n_ctx": config.context_length})


def _read_experts(given: Given, where: str) -> dict[str, Any]:
    dense = given.get("mlp_only_layers") or []
    if list(dense) != list(range(len(dense))):
        raise InputError(
            f"mlp_only_layers {dense} is not supported", where, "supported: the first layers only"
        )
    count = given.get("num_experts", given.get("num_local_experts", 0))
    every = given.get("decoder_sparse_step", 1)
    return {"experts.count": count, "experts.every": every, "experts.dense_layers": len(dense)}


def _write_experts(config: ModelConfig) -> dict[str, Any]:
    experts = config.experts
    return {
        "num_experts": experts.count,
        "decoder_sparse_step": experts.every,
        "mlp_only_layers": list(range(experts.dense_layers)),
    }


EXPERTS_IN_SOME_LAYERS = ConfigPart(_read_experts, _write_experts)


def _read_latent_heads(given: Given, where: str) -> dict[str, Any]:
    for key in ("n_routed_experts", "n_shared_experts"):
        if not given.get(key):
            raise InputError(
                f"{key} {given.get(key)} is not supported", where, "supported: 1 or more"
            )
    return {
        "head_dim": given.get("qk_nope_head_dim", 128) + given.get("qk_rope_head_dim", 64),
        "latent.query_rank": given.get("q_lora_rank", 0),
        "experts.shared_d_ff": given["n_shared_experts"] * given.get("moe_intermediate_size", 0),
    }


def _write_latent_heads(config: ModelConfig) -> dict[str, Any]:
    latent, experts = config.latent, config.experts
    return {
        "qk_nope_head_dim": config.head_dim - latent.rope_dim,
        "q_lora_rank": latent.query_rank or None,
        "n_shared_experts": experts.shared_d_ff // experts.d_ff,
        "head_dim": latent.rope_dim,
    }


LATENT_HEADS = ConfigPart(_read_latent_heads, _write_latent_heads)


def _read_groups(given: Given, where: str) -> dict[str, Any]:
    method = given.get("topk_method", "greedy")
    if method not in ("greedy", "group_limited_greedy"):
        raise unknown("topk_method", method, ["greedy", "group_limited_greedy"], where)
    if method == "greedy":
        return {}
    return {"experts.groups": given["n_group"], "experts.active_groups": given["topk_group"]}


def _write_groups(config: ModelConfig) -> dict[str, Any]:
    experts = config.experts
    if experts.groups == 1:
        return {"topk_method": "greedy"}
    return {
        "topk_method": "group_limited_greedy",
        "n_group": experts.groups,
        "topk_group": experts.active_groups,
    }


LIMITED_GROUPS = ConfigPart(_read_groups, _write_groups)
