"""What llama.cpp calls our tensors, in the way of names.py: its own llama-arch.cpp has the list."""

from groundup.weights.layouts import Layout
from groundup.weights.names import GATE_AND_UP, QUERY_KEY_VALUE, Names

EMBEDDINGS: Names = {"embedding": "token_embd", "final_norm": "output_norm", "head": "output"}
PRE_NORMS: Names = {
    "blocks.*.attention_norm": "blk.*.attn_norm",
    "blocks.*.feed_forward_norm": "blk.*.ffn_norm",
}
OUTPUT_NORMS: Names = {
    "blocks.*.attention_norm": "blk.*.post_attention_norm",
    "blocks.*.feed_forward_norm": "blk.*.post_ffw_norm",
}
SANDWICH_NORMS: Names = PRE_NORMS | {
    "blocks.*.attention_output_norm": "blk.*.post_attention_norm",
    "blocks.*.feed_forward_output_norm": "blk.*.post_ffw_norm",
}
ATTENTION: Names = {
    "blocks.*.attention.query": "blk.*.attn_q",
    "blocks.*.attention.key": "blk.*.attn_k",
    "blocks.*.attention.value": "blk.*.attn_v",
    "blocks.*.attention.output": "blk.*.attn_output",
    "blocks.*.attention.query_norm": "blk.*.attn_q_norm",
    "blocks.*.attention.key_norm": "blk.*.attn_k_norm",
    "blocks.*.attention.query_norm.all_heads": "blk.*.attn_q_norm",
    "blocks.*.attention.key_norm.all_heads": "blk.*.attn_k_norm",
}
# In the architectures that turn pairs side by side.
PAIRED: Names = {
    "blocks.*.attention.query": Layout("blk.*.attn_q", groups="n_heads", paired="head_dim"),
    "blocks.*.attention.key": Layout("blk.*.attn_k", groups="n_kv_heads", paired="head_dim"),
}
JOINED: Names = {
    QUERY_KEY_VALUE: "blk.*.attn_qkv",
    "blocks.*.attention.output": "blk.*.attn_output",
}
FEED_FORWARD: Names = {
    "blocks.*.feed_forward.gate": "blk.*.ffn_gate",
    "blocks.*.feed_forward.up": "blk.*.ffn_up",
    "blocks.*.feed_forward.down": "blk.*.ffn_down",
}
EXPERTS: Names = {
    "blocks.*.feed_forward.router": "blk.*.ffn_gate_inp",
    "blocks.*.feed_forward.experts.*.gate": Layout("blk.*.ffn_gate_exps", stacked=True),
    "blocks.*.feed_forward.experts.*.up": Layout("blk.*.ffn_up_exps", stacked=True),
    "blocks.*.feed_forward.experts.*.down": Layout("blk.*.ffn_down_exps", stacked=True),
    "blocks.*.feed_forward.shared.gate": "blk.*.ffn_gate_shexp",
    "blocks.*.feed_forward.shared.up": "blk.*.ffn_up_shexp",
    "blocks.*.feed_forward.shared.down": "blk.*.ffn_down_shexp",
}
QWEN_NAMES: Names = EMBEDDINGS | PRE_NORMS | ATTENTION | FEED_FORWARD | EXPERTS
LLAMA_NAMES: Names = QWEN_NAMES | PAIRED
OLMO2_NAMES: Names = EMBEDDINGS | OUTPUT_NORMS | ATTENTION | FEED_FORWARD
GPT2_NAMES: Names = EMBEDDINGS | PRE_NORMS | JOINED | FEED_FORWARD | {"position": "position_embd"}
PHI3_NAMES: Names = (
    EMBEDDINGS
    | PRE_NORMS
    | JOINED
    | {
        GATE_AND_UP: "blk.*.ffn_up",
        "blocks.*.feed_forward.down": "blk.*.ffn_down",
    }
)
GEMMA_NAMES: Names = {
    ours: Layout(str(theirs), shift=1.0) if str(ours).endswith("norm") else theirs
    for ours, theirs in (EMBEDDINGS | SANDWICH_NORMS | ATTENTION | FEED_FORWARD).items()
}
DEEPSEEK2_NAMES: Names = (
    EMBEDDINGS
    | PRE_NORMS
    | FEED_FORWARD
    | EXPERTS
    | {
        "blocks.*.attention.query": Layout(
            "blk.*.attn_q", groups="n_heads", paired="latent.rope_dim"
        ),
        "blocks.*.attention.query.compress": "blk.*.attn_q_a",
        "blocks.*.attention.query.norm": "blk.*.attn_q_a_norm",
        "blocks.*.attention.query.expand": Layout(
            "blk.*.attn_q_b", groups="n_heads", paired="latent.rope_dim"
        ),
        "blocks.*.attention.compress": Layout("blk.*.attn_kv_a_mqa", paired="latent.rope_dim"),
        "blocks.*.attention.latent_norm": "blk.*.attn_kv_a_norm",
        "blocks.*.attention.key": Layout(
            "blk.*.attn_k_b", groups="n_heads", apart=True, transposed=True
        ),
        "blocks.*.attention.value": Layout("blk.*.attn_v_b", groups="n_heads", apart=True),
        "blocks.*.attention.output": "blk.*.attn_output",
    }
)
