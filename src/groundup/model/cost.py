"""What a model costs, by formula: parameters, floating-point operations and bytes.

Tested against the real model. The operations are counted as PaLM does (Chowdhery et al. 2022,
appendix B): 2 per weight and token forward, twice that backward, and attention's two products over
the whole context.
"""

from groundup.model.config import ModelConfig

BYTES = 4


def parameters(config: ModelConfig) -> dict[str, int]:
    """Trained numbers by part. Tied embeddings are counted once, under `embedding`."""
    d, layers = config.d_model, config.n_layers
    bias, norm = int(config.bias), config.norm == "layernorm" and config.bias
    width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    per_norm = 2 if norm else 1
    attention = 2 * d * width + 2 * d * kv_width + bias * (width + 2 * kv_width + d)
    qk_norms = 2 * config.head_dim * per_norm if config.qk_norm else 0
    short_conv = config.short_conv * d
    gates = 2 if config.feed_forward == "swiglu" else 1
    feed_forward = (gates + 1) * d * config.d_ff + bias * (gates * config.d_ff + d)
    norms = 2 * layers + (config.norm_place == "pre")
    return {
        "embedding": config.vocab_size * d,
        "position": config.context_length * d if config.position == "learned" else 0,
        "attention": layers * (attention + qk_norms + short_conv),
        "feed_forward": layers * feed_forward,
        "norms": norms * d * per_norm,
        "head": 0 if config.tie_embeddings else config.vocab_size * d,
    }


def parameter_count(config: ModelConfig) -> int:
    """All trained numbers of the model."""
    return sum(parameters(config).values())


def forward_flops_per_token(config: ModelConfig) -> int:
    """Operations to predict one token with the context full."""
    counts = parameters(config)
    in_products = counts["attention"] + counts["feed_forward"] + config.vocab_size * config.d_model
    attention = config.n_layers * config.n_heads * config.head_dim * config.context_length
    return 2 * in_products + 4 * attention


def training_flops_per_token(config: ModelConfig) -> int:
    """Operations to learn from one token: forward, and twice that backward."""
    return 3 * forward_flops_per_token(config)


def memory_bytes(config: ModelConfig, length: int | None = None) -> dict[str, int]:
    """Bytes in single precision: the weights, what training adds (gradients and AdamW's two
    averages), and the key-value cache of one text of `length` tokens (default: the context)."""
    weights = BYTES * parameter_count(config)
    tokens = config.context_length if length is None else length
    cache = 2 * config.n_layers * config.n_kv_heads * config.head_dim * tokens * BYTES
    return {"weights": weights, "training": 4 * weights, "key_value_cache": cache}
