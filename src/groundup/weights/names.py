"""What the families call our tensors: our module (or parameter) and theirs.

A star stands for the number of a layer or of an expert; `.weight` and `.bias` are the same on both
sides. Several of ours that lie in one of theirs stand together on the left.
"""

from groundup.weights.layouts import Layout

Names = dict[str | tuple[str, ...], str | Layout]

# Several of ours that others keep in one.
QUERY_KEY_VALUE = (
    "blocks.*.attention.query",
    "blocks.*.attention.key",
    "blocks.*.attention.value",
)
GATE_AND_UP = ("blocks.*.feed_forward.gate", "blocks.*.feed_forward.up")
MEMORY_QUERY_KEY_VALUE = (
    "blocks.*.attention.memory_query",
    "blocks.*.attention.memory_key",
    "blocks.*.attention.memory_value",
)

GPT2_NAMES: Names = {
    "embedding": "transformer.wte",
    "position": "transformer.wpe",
    "blocks.*.attention_norm": "transformer.h.*.ln_1",
    QUERY_KEY_VALUE: Layout("transformer.h.*.attn.c_attn", transposed=True),
    "blocks.*.attention.output": Layout("transformer.h.*.attn.c_proj", transposed=True),
    "blocks.*.feed_forward_norm": "transformer.h.*.ln_2",
    "blocks.*.feed_forward.up": Layout("transformer.h.*.mlp.c_fc", transposed=True),
    "blocks.*.feed_forward.down": Layout("transformer.h.*.mlp.c_proj", transposed=True),
    "final_norm": "transformer.ln_f",
    "head": "lm_head",
}
EMBEDDINGS: Names = {
    "embedding": "model.embed_tokens",
    "final_norm": "model.norm",
    "head": "lm_head",
}
ATTENTION: Names = {
    "blocks.*.attention.query": "model.layers.*.self_attn.q_proj",
    "blocks.*.attention.key": "model.layers.*.self_attn.k_proj",
    "blocks.*.attention.value": "model.layers.*.self_attn.v_proj",
    "blocks.*.attention.output": "model.layers.*.self_attn.o_proj",
    "blocks.*.attention.query_norm": "model.layers.*.self_attn.q_norm",
    "blocks.*.attention.key_norm": "model.layers.*.self_attn.k_norm",
    "blocks.*.attention.query_norm.all_heads": "model.layers.*.self_attn.q_norm",
    "blocks.*.attention.key_norm.all_heads": "model.layers.*.self_attn.k_norm",
}
FEED_FORWARD: Names = {
    "blocks.*.feed_forward.gate": "model.layers.*.mlp.gate_proj",
    "blocks.*.feed_forward.up": "model.layers.*.mlp.up_proj",
    "blocks.*.feed_forward.down": "model.layers.*.mlp.down_proj",
}
PRE_NORMS: Names = {
    "blocks.*.attention_norm": "model.layers.*.input_layernorm",
    "blocks.*.feed_forward_norm": "model.layers.*.post_attention_layernorm",
}
OUTPUT_NORMS: Names = {
    "blocks.*.attention_norm": "model.layers.*.post_attention_layernorm",
    "blocks.*.feed_forward_norm": "model.layers.*.post_feedforward_layernorm",
}
SANDWICH_NORMS: Names = {
    "blocks.*.attention_norm": "model.layers.*.input_layernorm",
    "blocks.*.attention_output_norm": "model.layers.*.post_attention_layernorm",
    "blocks.*.feed_forward_norm": "model.layers.*.pre_feedforward_layernorm",
    "blocks.*.feed_forward_output_norm": "model.layers.*.post_feedforward_layernorm",
}
LLAMA_NAMES: Names = EMBEDDINGS | ATTENTION | FEED_FORWARD | PRE_NORMS
OLMO2_NAMES: Names = EMBEDDINGS | ATTENTION | FEED_FORWARD | OUTPUT_NORMS
SANDWICH_NAMES: Names = EMBEDDINGS | ATTENTION | FEED_FORWARD | SANDWICH_NORMS
MIXTRAL_NAMES: Names = LLAMA_NAMES | {
    "blocks.*.feed_forward.router": "model.layers.*.block_sparse_moe.gate",
    "blocks.*.feed_forward.experts.*.gate": "model.layers.*.block_sparse_moe.experts.*.w1",
    "blocks.*.feed_forward.experts.*.down": "model.layers.*.block_sparse_moe.experts.*.w2",
    "blocks.*.feed_forward.experts.*.up": "model.layers.*.block_sparse_moe.experts.*.w3",
}
EXPERTS: Names = {
    "blocks.*.feed_forward.router": "model.layers.*.mlp.gate",
    "blocks.*.feed_forward.experts.*.gate": "model.layers.*.mlp.experts.*.gate_proj",
    "blocks.*.feed_forward.experts.*.up": "model.layers.*.mlp.experts.*.up_proj",
    "blocks.*.feed_forward.experts.*.down": "model.layers.*.mlp.experts.*.down_proj",
}
PHI3_NAMES: Names = (
    EMBEDDINGS
    | PRE_NORMS
    | {
        QUERY_KEY_VALUE: "model.layers.*.self_attn.qkv_proj",
        "blocks.*.attention.output": "model.layers.*.self_attn.o_proj",
        GATE_AND_UP: "model.layers.*.mlp.gate_up_proj",
        "blocks.*.feed_forward.down": "model.layers.*.mlp.down_proj",
    }
)
DEEPSEEK_NAMES: Names = (
    EMBEDDINGS
    | PRE_NORMS
    | FEED_FORWARD
    | EXPERTS
    | {
        "blocks.*.attention.query": Layout(
            "model.layers.*.self_attn.q_proj", groups="n_heads", paired="latent.rope_dim"
        ),
        "blocks.*.attention.query.compress": "model.layers.*.self_attn.q_a_proj",
        "blocks.*.attention.query.norm": "model.layers.*.self_attn.q_a_layernorm",
        "blocks.*.attention.query.expand": Layout(
            "model.layers.*.self_attn.q_b_proj", groups="n_heads", paired="latent.rope_dim"
        ),
        "blocks.*.attention.compress": Layout(
            "model.layers.*.self_attn.kv_a_proj_with_mqa", paired="latent.rope_dim"
        ),
        "blocks.*.attention.latent_norm": "model.layers.*.self_attn.kv_a_layernorm",
        ("blocks.*.attention.key", "blocks.*.attention.value"): Layout(
            "model.layers.*.self_attn.kv_b_proj", groups="n_heads"
        ),
        "blocks.*.attention.output": "model.layers.*.self_attn.o_proj",
        "blocks.*.feed_forward.shared.gate": "model.layers.*.mlp.shared_experts.gate_proj",
        "blocks.*.feed_forward.shared.up": "model.layers.*.mlp.shared_experts.up_proj",
        "blocks.*.feed_forward.shared.down": "model.layers.*.mlp.shared_experts.down_proj",
    }
)
GATED_ATTENTION: Names = {
    ("blocks.*.attention.query", "blocks.*.attention.gate.linear"): Layout(
        "model.layers.*.self_attn.q_proj", groups="n_heads"
    ),
}
DELTA: Names = {
    "blocks.*.attention.convolution": "model.layers.*.linear_attn.conv1d.weight",
    "blocks.*.attention.fade_bias": "model.layers.*.linear_attn.dt_bias",
    "blocks.*.attention.fade_rate": "model.layers.*.linear_attn.A_log",
    "blocks.*.attention.norm": "model.layers.*.linear_attn.norm",
    "blocks.*.attention.read_out": "model.layers.*.linear_attn.out_proj",
}
QWEN35_NAMES: Names = (
    LLAMA_NAMES
    | GATED_ATTENTION
    | DELTA
    | {
        MEMORY_QUERY_KEY_VALUE: "model.layers.*.linear_attn.in_proj_qkv",
        "blocks.*.attention.gate": "model.layers.*.linear_attn.in_proj_z",
        "blocks.*.attention.write": "model.layers.*.linear_attn.in_proj_b",
        "blocks.*.attention.fade": "model.layers.*.linear_attn.in_proj_a",
    }
)
QWEN3_NEXT_NAMES: Names = (
    LLAMA_NAMES
    | GATED_ATTENTION
    | DELTA
    | EXPERTS
    | {
        (*MEMORY_QUERY_KEY_VALUE, "blocks.*.attention.gate"): Layout(
            "model.layers.*.linear_attn.in_proj_qkvz", groups="delta.n_key_heads"
        ),
        ("blocks.*.attention.write", "blocks.*.attention.fade"): Layout(
            "model.layers.*.linear_attn.in_proj_ba", groups="delta.n_key_heads"
        ),
        "blocks.*.feed_forward.shared.gate": "model.layers.*.mlp.shared_expert.gate_proj",
        "blocks.*.feed_forward.shared.up": "model.layers.*.mlp.shared_expert.up_proj",
        "blocks.*.feed_forward.shared.down": "model.layers.*.mlp.shared_expert.down_proj",
        "blocks.*.feed_forward.shared.token_gate": "model.layers.*.mlp.shared_expert_gate",
    }
)
