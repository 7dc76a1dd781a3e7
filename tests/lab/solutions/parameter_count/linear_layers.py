def linear(inputs, outputs, bias):
    return inputs * outputs + (outputs if bias else 0)


def norm(config, width):
    return width * 2 if config.norm == "layernorm" and config.bias else width


def parameter_count_by_formula(config):
    total = config.vocab_size * config.d_model
    for _ in range(config.n_layers):
        total += linear(config.d_model, config.n_heads * config.head_dim, config.qkv_bias)
        total += 2 * linear(config.d_model, config.n_kv_heads * config.head_dim, config.qkv_bias)
        total += linear(config.n_heads * config.head_dim, config.d_model, config.bias)
        total += linear(config.d_model, config.d_ff, config.bias)
        if "glu" in config.feed_forward:
            total += linear(config.d_model, config.d_ff, config.bias)
        total += linear(config.d_ff, config.d_model, config.bias)
        total += 2 * norm(config, config.d_model)
        if config.qk_norm:
            total += 2 * norm(config, config.head_dim)
    if config.norm_place != "post":
        total += norm(config, config.d_model)
    if not config.tie_embeddings:
        total += linear(config.d_model, config.vocab_size, bias=False)
    if config.position == "learned":
        total += config.context_length * config.d_model
    return total
