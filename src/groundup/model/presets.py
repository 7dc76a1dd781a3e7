"""The models of the papers, and small ones for a laptop, as data: each row is a `ModelConfig`."""

from typing import Any

from groundup.errors import unknown
from groundup.language import N_
from groundup.model.config import ModelConfig

_TRANSFORMER = {
    "feed_forward": "relu", "position": "sinusoidal", "norm": "layernorm", "norm_place": "post",
    "bias": True, "dropout": 0.1, "tie_embeddings": True, "scale_embeddings": True,
    "initialization": "xavier",
}  # fmt: skip
_GPT = {
    "feed_forward": "gelu", "position": "learned", "norm": "layernorm", "bias": True,
    "tie_embeddings": True, "initialization": "gpt-2", "vocab_size": 50257,
}  # fmt: skip
_LLAMA = {
    "feed_forward": "swiglu", "position": "rotary", "norm": "rmsnorm", "initialization": "gpt-2",
}  # fmt: skip
_LLAMA_3 = _LLAMA | {"n_kv_heads": 8, "rope_theta": 500_000.0, "vocab_size": 128256}
# Ours: what helped most per second on a CPU (see benchmarks/NOTES.md).
_MODERN = {
    "feed_forward": "relu2", "position": "rotary", "norm": "rmsnorm", "qk_norm": True,
    "initialization": "zero-residual",
}  # fmt: skip
_NANOCHAT = _MODERN | {"vocab_size": 65536, "logit_softcap": 15.0}


def _shape(n_layers: int, d_model: int, n_heads: int, context_length: int) -> dict[str, int]:
    return {
        "n_layers": n_layers, "d_model": d_model, "n_heads": n_heads,
        "context_length": context_length,
    }  # fmt: skip


PRESETS: dict[str, dict[str, Any]] = {
    # For two CPU cores: minutes to train.
    "nano": _MODERN | _shape(4, 128, 4, 128),
    "micro": _MODERN | _shape(4, 192, 6, 256),
    "mini": _MODERN | _shape(6, 384, 6, 512),
    "llama-like": _LLAMA | _shape(6, 384, 6, 512) | {"n_kv_heads": 2},
    # Vaswani et al. 2017, the base model's decoder half, without the cross-attention.
    "transformer-2017": _TRANSFORMER | _shape(6, 512, 8, 512) | {"vocab_size": 37000},
    # Radford et al. 2018.
    "gpt-1": _GPT
    | _shape(12, 768, 12, 512)
    | {"norm_place": "post", "dropout": 0.1, "vocab_size": 40478},
    # Radford et al. 2019, table 2.
    "gpt-2-small": _GPT | _shape(12, 768, 12, 1024),
    "gpt-2-medium": _GPT | _shape(24, 1024, 16, 1024),
    "gpt-2-large": _GPT | _shape(36, 1280, 20, 1024),
    "gpt-2-xl": _GPT | _shape(48, 1600, 25, 1024),
    # Brown et al. 2020, table 2.1 (dense attention in every layer; head_dim where it is not
    # d_model / n_heads).
    "gpt-3-small": _GPT | _shape(12, 768, 12, 2048),
    "gpt-3-medium": _GPT | _shape(24, 1024, 16, 2048),
    "gpt-3-large": _GPT | _shape(24, 1536, 16, 2048),
    "gpt-3-xl": _GPT | _shape(24, 2048, 24, 2048) | {"head_dim": 128},
    "gpt-3-2.7b": _GPT | _shape(32, 2560, 32, 2048),
    "gpt-3-6.7b": _GPT | _shape(32, 4096, 32, 2048),
    "gpt-3-13b": _GPT | _shape(40, 5140, 40, 2048) | {"head_dim": 128},
    "gpt-3-175b": _GPT | _shape(96, 12288, 96, 2048),
    # Grattafiori et al. 2024 ("The Llama 3 Herd of Models"), table 3, at the context of pretraining.
    "llama-3-8b-shape": _LLAMA_3 | _shape(32, 4096, 32, 8192) | {"d_ff": 14336},
    "llama-3-70b-shape": _LLAMA_3 | _shape(80, 8192, 64, 8192) | {"d_ff": 28672},
    "llama-3-405b-shape": _LLAMA_3 | _shape(126, 16384, 128, 8192) | {"d_ff": 53248},
    # Karpathy 2025, nanochat's `--depth` 20 and 32 as first published: 64 wide for each layer, heads of
    # 128 (its norms have no scale, ours have).
    "nanochat-d20-shape": _NANOCHAT | _shape(20, 1280, 10, 2048),
    "nanochat-d32-shape": _NANOCHAT | _shape(32, 2048, 16, 2048),
}


def preset(name: str, **overrides: Any) -> ModelConfig:
    """The named preset as a `ModelConfig`; keyword arguments replace its fields.

    >>> preset("gpt-2-small", context_length=512).n_layers
    12
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return ModelConfig.parse(PRESETS[name] | overrides, where=N_(f"preset {name}"))
