import math


def parameter_count_by_formula(config):
    d, ff = config.d_model, config.d_ff
    q, kv = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    layer = [(d, q), (d, kv), (d, kv), (q, d), (d, ff), (ff, d)]
    if config.feed_forward in ("swiglu", "geglu"):
        layer.append((d, ff))
    if config.qkv_bias:
        layer += [(q,), (kv,), (kv,)]
    if config.bias:
        layer += [(d,), (ff,), (d,)]
        if config.feed_forward in ("swiglu", "geglu"):
            layer.append((ff,))
    normed = [d, d] + [config.head_dim, config.head_dim] * config.qk_norm
    has_shift = config.norm == "layernorm" and config.bias
    layer += [(width,) for width in normed for _ in range(1 + has_shift)]

    once = [(config.vocab_size, d)]
    if not config.tie_embeddings:
        once.append((config.vocab_size, d))
    if config.position == "learned":
        once.append((config.context_length, d))
    if config.norm_place != "post":
        once += [(d,)] * (1 + has_shift)
    return sum(map(math.prod, layer)) * config.n_layers + sum(map(math.prod, once))
