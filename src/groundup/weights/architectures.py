"""llama.cpp's architectures, each as a row in the way of families.py: what the fields of a GGUF file say in
our words, and what it calls our tensors.

A configuration belongs to an architecture when writing it and reading it back loses nothing. What
llama.cpp has in its code and not in the file (its patterns, scales and constants) is in the rows too, from
its src/models/*.cpp, so that no file is written which it would run as another model.
"""

from groundup.errors import unknown
from groundup.weights.families import GEMMA, LLAMA, SOFTCAPS, Family
from groundup.weights.gguf_names import (
    DEEPSEEK2_NAMES,
    GEMMA_NAMES,
    GPT2_NAMES,
    LLAMA_NAMES,
    OLMO2_NAMES,
    PHI3_NAMES,
    QWEN_NAMES,
)
from groundup.weights.gguf_parts import (
    DEEPSEEK,
    HEADS,
    MIXTRAL_EXPERTS,
    PHI3_WINDOW,
    QWEN_EXPERTS,
    TABLES,
    rope,
    scaled_as,
    windows,
)

# The first and the last of these are no fields of a file: its tensors say it.
KEYS = {
    "vocab_size": "vocab_size", "context_length": "context_length", "d_model": "embedding_length",
    "n_layers": "block_count", "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv", "d_ff": "feed_forward_length",
    "norm_epsilon": "attention.layer_norm_rms_epsilon", "tie_embeddings": "tie_embeddings",
}  # fmt: skip
LAYERNORM_KEYS = KEYS | {"norm_epsilon": "attention.layer_norm_epsilon"}
GEMMA_SOFTCAPS = dict(
    zip(SOFTCAPS, ("attn_logit_softcapping", "final_logit_softcapping"), strict=True)
)
CAPPED_KEYS = KEYS | GEMMA_SOFTCAPS
SIMPLE = ("linear", "yarn")
IGNORED = (*TABLES, "attn_rot_embd.weight")

ROWS = [
    Family(
        "llama", "", LLAMA_NAMES, KEYS, LLAMA,
        parts=(HEADS, rope(*SIMPLE, "llama3", "longrope"), MIXTRAL_EXPERTS), ignored=IGNORED,
    ),
    Family("qwen2", "", QWEN_NAMES, KEYS, LLAMA | {"qkv_bias": True}, parts=(rope(*SIMPLE),)),
    Family(
        "qwen3", "", QWEN_NAMES, KEYS, LLAMA | {"qk_norm": True}, parts=(HEADS, rope(*SIMPLE)),
    ),
    Family(
        "qwen3moe", "", QWEN_NAMES, KEYS, LLAMA | {"qk_norm": True},
        parts=(HEADS, rope(*SIMPLE), QWEN_EXPERTS),
    ),
    Family(
        "smollm3", "", LLAMA_NAMES, KEYS, LLAMA | {"layer_pattern": ["full", "full", "full", "nope"]},
        parts=(HEADS, rope(*SIMPLE)),
    ),
    Family(
        "olmo2", "", OLMO2_NAMES, KEYS,
        LLAMA | {
            "norm_place": "output", "qk_norm": True, "qk_norm_scope": "all",
        },
        only={"tie_embeddings": (False,)}, parts=(rope(*SIMPLE), windows(4)),
    ),
    Family(
        "phi3", "", PHI3_NAMES, KEYS, LLAMA,
        parts=(rope(*SIMPLE, "longrope", share=True), PHI3_WINDOW), ignored=IGNORED,
    ),
    Family(
        "gpt2", "", GPT2_NAMES, LAYERNORM_KEYS,
        {"feed_forward": "gelu", "position": "learned", "norm": "layernorm", "bias": True},
    ),
    Family(
        "gemma2", "", GEMMA_NAMES, CAPPED_KEYS, GEMMA,
        only={"tie_embeddings": (True,)},
        absent={"attention.sliding_window": 4096, "attn_logit_softcapping": 50.0,
                "final_logit_softcapping": 30.0},
        parts=(HEADS, rope(), windows(2), scaled_as(layers_of_27b=46)),
    ),
    Family(
        "gemma3", "", GEMMA_NAMES, KEYS | {"logit_softcap": "final_logit_softcapping"},
        GEMMA | {"qk_norm": True},
        parts=(HEADS, rope("linear"), windows(6, theta=True), scaled_as(layers_of_27b=62)),
    ),
    Family(
        "deepseek2", "", DEEPSEEK2_NAMES,
        KEYS | {
            "head_dim": "attention.key_length_mla", "latent.value_dim": "attention.value_length_mla",
            "latent.kv_rank": "attention.kv_lora_rank", "latent.rope_dim": "rope.dimension_count",
        },
        LLAMA,
        # Softmax, and no groups: llama.cpp scores those in another way than DeepSeek-V2.
        only={"expert_gating_func": (1,), "expert_group_count": (1, 0)},
        parts=(rope("yarn"), DEEPSEEK),
    ),
]  # fmt: skip
ARCHITECTURES = {row.model_type: row for row in ROWS}


def architecture_of(name: str, where: str) -> Family:
    """The row of a file's `general.architecture`."""
    if name not in ARCHITECTURES:
        raise unknown("general.architecture", name, ARCHITECTURES, where)
    return ARCHITECTURES[name]
