"""What the fields of a GGUF file say in other terms than ours, in the way of config_parts.py.

Keys are without the name of the architecture before them. The tables of rotary positions are tensors in
a file; here they stand among the fields, under their names.
"""

from typing import Any

import numpy as np

from groundup.errors import InputError, unknown
from groundup.model.config import LayerKind, ModelConfig, RopeScaling
from groundup.model.positions import STRETCHES, attention_factor, frequencies, yarn_scale
from groundup.weights.config_parts import ConfigPart, Given, windowed

SHORT, LONG, STRETCH = (
    "rope_factors_short.weight",
    "rope_factors_long.weight",
    "rope_freqs.weight",
)
TABLES = (SHORT, LONG, STRETCH)
TYPE, FACTOR, ORIGINAL, GROWTH = (
    f"rope.scaling.{name}" for name in ("type", "factor", "original_context_length", "attn_factor")
)
# What llama.cpp's code has for YaRN, whatever a file says.
BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}
LOG_MULTIPLIER = "rope.scaling.yarn_log_multiplier"


# Rotary positions


def rope(*kinds: str, share: bool = False) -> ConfigPart:
    """Rotary positions, with the kinds of scaling that llama.cpp has for the architecture; `share`
    where a part of each head may be turned."""

    def read(given: Given, where: str) -> dict[str, Any]:
        fields = {"rope_theta": given.get("rope.freq_base", 10_000.0)}
        if share and "rope.dimension_count" in given:
            heads, d_model = given.get("attention.head_count", 1), given.get("embedding_length", 1)
            head_dim = given.get("attention.key_length", d_model // heads)
            fields["rope_share"] = given["rope.dimension_count"] / head_dim
        scaling = _read_scaling(given, where)
        kind = scaling.get("kind", "none")
        if kind not in ("none", *kinds):
            raise unknown("rope.scaling.type", kind, ["none", *kinds], where)
        return fields | {f"rope_scaling.{name}": value for name, value in scaling.items()}

    def write(config: ModelConfig) -> dict[str, Any]:
        scaling = config.rope_scaling
        keys = {"rope.freq_base": config.rope_theta, "rope.dimension_count": config.turned_dim}
        if share and scaling.kind == "longrope":
            return keys | _write_longrope(config, scaling)
        return keys | SCALINGS[scaling.kind](config, scaling)

    return ConfigPart(read, write)


def _read_scaling(given: Given, where: str) -> dict[str, Any]:
    context = given.get("context_length", 1)
    kind = given.get(TYPE, "linear")  # llama.cpp's default, with the factor 1
    factor = given.get(FACTOR, given.get("rope.scale_linear", 0.0)) or 1.0
    original = given.get(ORIGINAL, context)
    if STRETCH in given:
        return _read_stretch(given)
    if kind == "longrope" or SHORT in given:
        return {
            "kind": "longrope", "factor": context / original, "original_context_length": original,
            "attention_factor": given.get(GROWTH), "short_factors": given.get(SHORT, []),
            "long_factors": given.get(LONG, []),
        }  # fmt: skip
    if kind == "yarn":
        growth = given.get("rope.scaling.yarn_attn_factor")
        if GROWTH in given:
            growth = given[GROWTH] * yarn_scale(factor)
        mscale = round(10 * given.get(LOG_MULTIPLIER, 0.0), 6)
        betas = {name: given.get(f"rope.scaling.yarn_{name}", BETAS[name]) for name in BETAS}
        return betas | {
            "kind": kind, "factor": factor, "original_context_length": original,
            "attention_factor": growth, "mscale": mscale, "mscale_all_dim": mscale,
        }  # fmt: skip
    if kind == "none" or (kind == "linear" and factor == 1.0):
        return {}
    return {"kind": kind, "factor": factor}


def _read_stretch(given: Given) -> dict[str, Any]:
    """A file has the factor of each frequency, not Llama 3's rule that made them. A rule that gives
    the same ones is taken; without one they stand for themselves."""
    factors = np.asarray(given[STRETCH], dtype=np.float64)
    theta = given.get("rope.freq_base", 10_000.0)
    for power in range(1, 24):
        rule = {
            "kind": "llama3",
            "factor": float(factors.max()),
            "original_context_length": 2**power,
        }
        ours = _stretch(2 * len(factors), theta, RopeScaling(**rule))
        if np.allclose(ours, factors, rtol=1e-5, atol=0.0):
            return rule
    table = {"short_factors": factors.tolist(), "long_factors": factors.tolist()}
    return {"kind": "longrope", "attention_factor": 1.0} | table


def _stretch(width: int, theta: float, scaling: RopeScaling) -> list[float]:
    """How many times each wavelength becomes longer."""
    frequency = frequencies(width, theta)
    return (frequency / STRETCHES[scaling.kind](frequency, width, theta, scaling)).tolist()


def _write_linear(config: ModelConfig, scaling: RopeScaling) -> dict[str, Any]:
    return {TYPE: "linear", FACTOR: scaling.factor}


def _write_llama3(config: ModelConfig, scaling: RopeScaling) -> dict[str, Any]:
    return {STRETCH: _stretch(config.turned_dim, config.rope_theta, scaling)}


def _write_yarn(config: ModelConfig, scaling: RopeScaling) -> dict[str, Any]:
    keys = {TYPE: "yarn", FACTOR: scaling.factor, ORIGINAL: scaling.original_context_length}
    if scaling.attention_factor is not None:
        keys[GROWTH] = scaling.attention_factor / yarn_scale(scaling.factor)
    if config.latent.kv_rank and not scaling.mscale_all_dim:
        raise InputError(
            "llama.cpp's latent attention has no YaRN without rope_scaling.mscale_all_dim"
        )
    return keys | ({LOG_MULTIPLIER: scaling.mscale_all_dim / 10} if scaling.mscale_all_dim else {})


def _write_longrope(config: ModelConfig, scaling: RopeScaling) -> dict[str, Any]:
    return {
        TYPE: "longrope", ORIGINAL: scaling.original_context_length,
        GROWTH: attention_factor(scaling), SHORT: scaling.short_factors, LONG: scaling.long_factors,
    }  # fmt: skip


def _write_same(config: ModelConfig, scaling: RopeScaling) -> dict[str, Any]:
    if scaling.short_factors != scaling.long_factors or attention_factor(scaling) != 1.0:
        raise InputError("rope_scaling.kind longrope is Phi-3's")
    return {STRETCH: scaling.short_factors}


SCALINGS = {
    "none": lambda config, scaling: {}, "linear": _write_linear, "llama3": _write_llama3,
    "yarn": _write_yarn, "longrope": _write_same,
}  # fmt: skip


# Which layers see what

PATTERN, WINDOW = "attention.sliding_window_pattern", "attention.sliding_window"


def windows(period: int, theta: bool = False) -> ConfigPart:
    """Each so many-th layer sees all, the others a window; `theta` where those have their own rotary
    base."""

    def read(given: Given, where: str) -> dict[str, Any]:
        layers = given.get("block_count", 0)
        pattern = given.get(PATTERN, period)
        if isinstance(pattern, int):
            every = max(pattern, 1)
            pattern = [pattern == 0 or layer % every < every - 1 for layer in range(layers)]
        kinds: list[LayerKind] = ["window" if seen else "full" for seen in pattern]
        fields = windowed(kinds, given.get(WINDOW) or None, given.get("context_length", 1))
        if theta:
            fields["rope_theta_window"] = given.get("rope.freq_base_swa", 10_000.0)
        return fields

    def write(config: ModelConfig) -> dict[str, Any]:
        if config.window is None:
            return {}
        kinds = [config.layer_kind(layer) for layer in range(config.n_layers)]
        every = kinds.index("full") + 1 if "full" in kinds else 0
        keys: dict[str, Any] = {WINDOW: config.window, PATTERN: every}
        if theta:
            keys["rope.freq_base_swa"] = config.rope_theta_window or config.rope_theta
        return keys

    return ConfigPart(read, write)


def _read_window(given: Given, where: str) -> dict[str, Any]:
    window = given.get(WINDOW) or None
    kinds: list[LayerKind] = ["window" if window else "full"]
    return windowed(kinds, window, given.get("context_length", 1))


# llama.cpp itself lets Phi-3 see all: a window is read, and not written.
PHI3_WINDOW = ConfigPart(_read_window, lambda config: {WINDOW: 0})


# Heads and experts


def _read_heads(given: Given, where: str) -> dict[str, Any]:
    key = given.get("attention.key_length")
    value = given.get("attention.value_length", key)
    if key != value:
        raise InputError(
            f"values of another width ({value}) than keys ({key}) are not supported", where
        )
    return {} if key is None else {"head_dim": key}


HEADS = ConfigPart(
    _read_heads,
    lambda config: dict.fromkeys(
        ("attention.key_length", "attention.value_length"), config.head_dim
    ),
)


def scaled_as(layers_of_27b: int) -> ConfigPart:
    """The scale of attention scores that llama.cpp's code has for Gemma, by the number of layers."""

    def read(given: Given, where: str) -> dict[str, Any]:
        width = given.get("embedding_length", 1) // given.get("attention.head_count", 1)
        if given.get("block_count") != layers_of_27b:
            width = given.get("attention.key_length", width)
        return {"attention_scale": width**-0.5}

    return ConfigPart(read, lambda config: {})


def _read_experts(given: Given, where: str) -> dict[str, Any]:
    if not given.get("expert_count"):
        return {}
    width = given.get("expert_feed_forward_length", given.get("feed_forward_length"))
    return {
        "experts.count": given["expert_count"], "experts.active": given.get("expert_used_count", 2),
        "experts.d_ff": width,
    }  # fmt: skip


def _write_mixtral(config: ModelConfig) -> dict[str, Any]:
    experts = config.experts
    if not experts.count:
        return {}
    return {
        "expert_count": experts.count, "expert_used_count": experts.active,
        "feed_forward_length": experts.d_ff,
    }  # fmt: skip


MIXTRAL_EXPERTS = ConfigPart(_read_experts, _write_mixtral)
QWEN_EXPERTS = ConfigPart(
    _read_experts,
    lambda config: (
        _write_mixtral(config)
        | {"feed_forward_length": config.d_ff, "expert_feed_forward_length": config.experts.d_ff}
    ),
)


def _read_deepseek(given: Given, where: str) -> dict[str, Any]:
    for key in ("expert_count", "expert_shared_count"):
        if not given.get(key):
            raise InputError(
                f"{key} {given.get(key)} is not supported", where, "supported: 1 or more"
            )
    return _read_experts(given, where) | {
        "n_kv_heads": given.get("attention.head_count"),
        "experts.shared_d_ff": given["expert_shared_count"] * given["expert_feed_forward_length"],
        "experts.dense_layers": given.get("leading_dense_block_count", 0),
        "experts.scale": given.get("expert_weights_scale", 0.0) or 1.0,
        "experts.renormalize": given.get("expert_weights_norm", False),
        "latent.query_rank": given.get("attention.q_lora_rank", 0),
    }


def _write_deepseek(config: ModelConfig) -> dict[str, Any]:
    experts, latent = config.experts, config.latent
    return {
        "feed_forward_length": config.d_ff, "expert_count": experts.count,
        "expert_used_count": experts.active, "expert_feed_forward_length": experts.d_ff,
        "expert_shared_count": experts.shared_d_ff // experts.d_ff,
        "leading_dense_block_count": experts.dense_layers,
        "expert_weights_scale": experts.scale, "expert_weights_norm": experts.renormalize,
        # There, latent attention is one wide key head, shared by all.
        "attention.head_count_kv": 1, "attention.value_length": latent.kv_rank,
        "attention.key_length": latent.kv_rank + latent.rope_dim,
        # Without this field, llama.cpp knows by the number of layers whether there is one.
        "attention.q_lora_rank": latent.query_rank,
    }  # fmt: skip


DEEPSEEK = ConfigPart(_read_deepseek, _write_deepseek)
