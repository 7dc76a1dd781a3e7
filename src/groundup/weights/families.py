"""The families of published models, each as a row: what its config.json says in our words, and what it
calls our tensors.

To add one: a row in `FAMILIES`, and a name map where its tensors are called something new. `read` and
`write` go both ways through the same row; a configuration of ours belongs to a family exactly when
writing it and reading it back loses nothing.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from groundup.errors import CorruptFileError, InputError, nearest, unknown
from groundup.model.config import ModelConfig
from groundup.model.positions import LongRotary, Rotary, rotation, score_scale
from groundup.settings import flat, nested
from groundup.weights.config_parts import (
    ATTENTION_SCALE,
    EXPERTS_IN_SOME_LAYERS,
    GPT2_CONTEXT,
    GPT2_DROPOUT,
    LATENT_HEADS,
    LIMITED_GROUPS,
    NOPE_LAYERS,
    WINDOW_EVERYWHERE,
    WINDOW_FROM_LAYER,
    ConfigPart,
    layer_types,
    rope,
)
from groundup.weights.names import (
    DEEPSEEK_NAMES,
    EXPERTS,
    GPT2_NAMES,
    LLAMA_NAMES,
    MIXTRAL_NAMES,
    OLMO2_NAMES,
    PHI3_NAMES,
    QWEN3_NEXT_NAMES,
    QWEN35_NAMES,
    SANDWICH_NAMES,
    Names,
)


@dataclass(frozen=True)
class Family:
    """A row: one `model_type` of Hugging Face's, in both directions."""

    model_type: str
    architecture: str
    names: Names
    """Our modules (or parameters) and theirs, with a star for each number of a layer or expert."""
    keys: Mapping[str, str]
    """Our fields and their keys, where the one is just the other's name."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What our fields are for every model of the family."""
    only: Mapping[str, tuple] = field(default_factory=dict)
    """Their keys of which we know these values only; the first is written."""
    absent: Mapping[str, Any] = field(default_factory=dict)
    """What a key stands for that a config.json leaves out."""
    parts: tuple[ConfigPart, ...] = ()
    """What is no plain renaming."""
    ignored: tuple[str, ...] = ()
    """Ends of names of tensors that carry nothing (tables, masks)."""

    def read(self, given: Mapping[str, Any], where: str) -> ModelConfig:
        """Their config.json as a `ModelConfig`."""
        given = {key: v for key, v in {**self.absent, **given}.items() if v is not None}
        for key, supported in self.only.items():
            if key in given and given[key] not in supported:
                raise InputError(
                    f"{key} {given[key]!r} is not supported in a {self.model_type} model",
                    where, f"supported: {', '.join(map(repr, supported))}",
                )  # fmt: skip
        fields = dict(self.fixed)
        for ours, theirs in self.keys.items():
            if theirs in given:
                fields[ours] = given[theirs]
            elif ours not in HAS_DEFAULT:
                close = nearest(theirs, given)
                raise CorruptFileError(
                    f"{theirs!r} is missing", where, f"the nearest key there is {close!r}" if close
                    else f"this does not describe a whole {self.model_type} model",
                )  # fmt: skip
        for part in self.parts:
            fields |= part.read(given, where)
        return ModelConfig.parse(nested(fields), where)

    def write(self, config: ModelConfig) -> dict[str, Any]:
        """A `ModelConfig` in their keys."""
        fields = flat(config.model_dump())
        given = {key: supported[0] for key, supported in self.only.items()}
        given |= {theirs: fields[ours] for ours, theirs in self.keys.items()}
        for part in self.parts:
            given |= part.write(config)
        return given

    @property
    def classifying(self) -> "Family":
        """The same for models with a head of labels: their `…ForSequenceClassification`."""
        stem = self.architecture.removesuffix("ForCausalLM").removesuffix("LMHeadModel")
        # Gemma 3's text model alone is a class of its own here.
        stem += "Text" if self.model_type.endswith("_text") else ""
        architecture = f"{stem}{CLASSIFIES}"
        return replace(self, architecture=architecture, names=self.names | {"head": "score"})

    def covers(self, config: ModelConfig) -> bool:
        """Whether this family's config.json can say everything about `config`."""
        try:
            back = self.read(self.write(config), "")
        except (InputError, CorruptFileError):
            return False
        return essence(back) == essence(config)


def essence(config: ModelConfig) -> dict[str, Any]:
    """The fields that say what the model computes: without those for training only, and without the
    sizes of parts that it does not have."""
    fields = config.model_dump()
    layers = range(config.n_layers)
    kinds = [config.layer_kind(layer) for layer in layers]
    unused = {
        "initialization": True,
        "dropout": True,
        "layer_pattern": True,
        "experts": config.experts.count == 0,
        "d_ff": all(map(config.has_experts, layers)),
        "latent": config.latent.kv_rank == 0,
        "delta": "linear" not in kinds,
        "window": "window" not in kinds,
        "rope_theta_window": "window" not in kinds,
        "rope_theta": config.position not in ("rotary", "sinusoidal"),
        "rope_share": config.position != "rotary",
        "rope_scaling": config.position != "rotary",
        "qk_norm_scope": not config.qk_norm,
        "n_kv_heads": config.latent.kv_rank > 0,
    }
    kept = {name: value for name, value in fields.items() if not unused.get(name, False)}
    kept["layers"] = kinds
    kept["experts_in"] = [config.has_experts(layer) for layer in layers]
    kept["attention_scale"] = config.attention_scale or config.head_dim**-0.5
    if "rope_scaling" in kept:
        kept["rope_scaling"] = turning(config)
    if "rope_theta_window" in kept:
        kept["rope_theta_window"] = config.rope_theta_window or config.rope_theta
    for training_only in ("balance_loss", "dense_layers", "every"):
        kept.get("experts", {}).pop(training_only, None)
    return kept


def turning(config: ModelConfig) -> list[float]:
    """All that rotary positions do, whatever it is called: the frequencies, from which length on there
    are others, and the factors on what is turned and on the scores."""
    rotary = rotation(config, "full")
    assert isinstance(rotary, Rotary)
    numbers = [*rotary.frequency.tolist(), rotary.factor, score_scale(config.rope_scaling)]
    if isinstance(rotary, LongRotary) and not rotary.frequency.equal(rotary.long_frequency):
        numbers += [rotary.original, *rotary.long_frequency.tolist()]
    return [float(f"{number:.5g}") for number in numbers]


def family_of(model_type: str, where: str) -> Family:
    """The row of a config.json's `model_type`."""
    if model_type not in FAMILIES:
        raise unknown("model_type", model_type, [OURS, *FAMILIES], where)
    return FAMILIES[model_type]


def family_for(config: ModelConfig) -> Family | None:
    """The first family that can hold `config`, or None where only groundup can."""
    return next((family for family in FAMILIES.values() if family.covers(config)), None)


def not_covered(config: ModelConfig, rows: Iterable[Family], whose: str) -> InputError:
    """The error for a configuration that none of `rows` holds: which fields the nearest cannot."""
    held: dict[str, ModelConfig] = {}
    for row in rows:
        with suppress(InputError, CorruptFileError):
            held[row.model_type] = row.read(row.write(config), "")
    lost = {name: _lost(config, back) for name, back in held.items()}
    closest = min(lost, key=lambda name: len(lost[name]))
    given, instead = (flat(one.model_dump()) for one in (config, held[closest]))
    values, others = (
        ", ".join(f"{name} {values[name]!r}" for name in lost[closest])
        for values in (given, instead)
    )
    return InputError(
        f"{whose} this: {values}", "the model's configuration",
        f"the nearest is {closest}, which has {others}: train a model with that",
    )  # fmt: skip


def _lost(config: ModelConfig, back: ModelConfig) -> list[str]:
    """The fields that became another model's on the way into a file and back."""
    wanted, found = flat(essence(config)), flat(essence(back))
    changed = {n for n in {*wanted, *found} if wanted.get(n) != found.get(n)}
    tables = {"layers": "layer_pattern", "experts_in": "experts.", "rope_scaling": "rope_scaling."}
    changed |= {tables[name] for name in changed & {*tables}}
    given, instead = flat(config.model_dump()), flat(back.model_dump())
    return [
        name for name in given
        if given[name] != instead[name] and (name in changed or f"{name.split('.')[0]}." in changed)
    ]  # fmt: skip


OURS = "groundup"
CLASSIFIES = "ForSequenceClassification"
"""How the names of Hugging Face's classes end whose head has labels."""

LLAMA_KEYS = {
    "vocab_size": "vocab_size", "context_length": "max_position_embeddings",
    "d_model": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads", "head_dim": "head_dim", "d_ff": "intermediate_size",
    "norm_epsilon": "rms_norm_eps", "tie_embeddings": "tie_word_embeddings",
}  # fmt: skip
WITHOUT_HEAD_DIM = {ours: key for ours, key in LLAMA_KEYS.items() if ours != "head_dim"}
QWEN_EXPERTS_KEYS = {
    "experts.active": "num_experts_per_tok", "experts.d_ff": "moe_intermediate_size",
    "experts.renormalize": "norm_topk_prob", "experts.balance_loss": "router_aux_loss_coef",
}  # fmt: skip
DELTA_KEYS = {
    "delta.n_key_heads": "linear_num_key_heads", "delta.n_value_heads": "linear_num_value_heads",
    "delta.key_dim": "linear_key_head_dim", "delta.value_dim": "linear_value_head_dim",
    "delta.conv_width": "linear_conv_kernel_dim",
}  # fmt: skip
LLAMA = {"feed_forward": "swiglu", "position": "rotary", "norm": "rmsnorm", "bias": False}
GEMMA = LLAMA | {
    "feed_forward": "geglu", "norm": "zero-centered-rmsnorm", "norm_place": "sandwich",
    "scale_embeddings": True,
}  # fmt: skip
QWEN_HYBRID = LLAMA | {"norm": "zero-centered-rmsnorm", "qk_norm": True, "attention_gate": True}
SILU = {"hidden_act": ("silu", "swish")}
NO_BIAS = SILU | {"attention_bias": (False,)}
GEMMA_ONLY = {
    "hidden_activation": ("gelu_pytorch_tanh",), "attention_bias": (False,),
    "use_bidirectional_attention": (False,),
}  # fmt: skip
SOFTCAPS = {
    "attention_softcap": "attn_logit_softcapping", "logit_softcap": "final_logit_softcapping",
}  # fmt: skip

HAS_DEFAULT = (
    "n_kv_heads", "head_dim", "d_ff", "tie_embeddings", "experts.balance_loss", *SOFTCAPS,
)  # fmt: skip
"""Fields whose default is what every family means by leaving the key out."""

ROWS = [
    Family(
        "gpt2", "GPT2LMHeadModel", GPT2_NAMES,
        keys={
            "vocab_size": "vocab_size", "context_length": "n_positions", "d_model": "n_embd",
            "n_layers": "n_layer", "n_heads": "n_head", "d_ff": "n_inner",
            "norm_epsilon": "layer_norm_epsilon", "tie_embeddings": "tie_word_embeddings",
        },
        fixed={
            "feed_forward": "gelu", "position": "learned", "norm": "layernorm", "bias": True,
        },
        only={
            "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
            "scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
        },
        absent={"tie_word_embeddings": True},
        parts=(GPT2_DROPOUT, GPT2_CONTEXT),
        ignored=(".attn.bias", ".attn.masked_bias"),
    ),
    Family(
        "llama", "LlamaForCausalLM", LLAMA_NAMES, LLAMA_KEYS, LLAMA,
        only=NO_BIAS | {"mlp_bias": (False,)}, parts=(rope(10_000.0),),
    ),
    Family(
        "mistral", "MistralForCausalLM", LLAMA_NAMES, LLAMA_KEYS, LLAMA,
        only=SILU, absent={"num_key_value_heads": 8}, parts=(rope(10_000.0), WINDOW_EVERYWHERE),
    ),
    Family(
        "qwen2", "Qwen2ForCausalLM", LLAMA_NAMES, WITHOUT_HEAD_DIM, LLAMA | {"qkv_bias": True},
        only=SILU, parts=(rope(10_000.0), WINDOW_FROM_LAYER),
    ),
    Family(
        "qwen3", "Qwen3ForCausalLM", LLAMA_NAMES, LLAMA_KEYS, LLAMA | {"qk_norm": True},
        only=NO_BIAS, absent={"head_dim": 128}, parts=(rope(10_000.0), WINDOW_FROM_LAYER),
    ),
    Family(
        "smollm3", "SmolLM3ForCausalLM", LLAMA_NAMES, LLAMA_KEYS, LLAMA,
        only=NO_BIAS | {"mlp_bias": (False,), "use_sliding_window": (False,)},
        absent={"tie_word_embeddings": True, "num_key_value_heads": 4},
        parts=(rope(2_000_000.0), NOPE_LAYERS),
    ),
    Family(
        "olmo2", "Olmo2ForCausalLM", OLMO2_NAMES, WITHOUT_HEAD_DIM,
        LLAMA | {"norm_place": "output", "qk_norm": True, "qk_norm_scope": "all"},
        only=NO_BIAS, parts=(rope(10_000.0),),
    ),
    Family(
        "olmo3", "Olmo3ForCausalLM", OLMO2_NAMES, WITHOUT_HEAD_DIM,
        LLAMA | {"norm_place": "output", "qk_norm": True, "qk_norm_scope": "all"},
        only=NO_BIAS, parts=(rope(500_000.0), layer_types("wwwf")),
    ),
    Family(
        "phi3", "Phi3ForCausalLM", PHI3_NAMES, WITHOUT_HEAD_DIM, LLAMA, only=SILU,
        parts=(rope(10_000.0, share=1.0), WINDOW_EVERYWHERE),
    ),
    Family(
        "gemma2", "Gemma2ForCausalLM", SANDWICH_NAMES, LLAMA_KEYS | SOFTCAPS, GEMMA,
        only=GEMMA_ONLY, absent={
            "tie_word_embeddings": True, "head_dim": 256, "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        parts=(rope(10_000.0), ATTENTION_SCALE, layer_types("wf")),
    ),
    Family(
        "gemma3_text", "Gemma3ForCausalLM", SANDWICH_NAMES, LLAMA_KEYS | SOFTCAPS,
        GEMMA | {"qk_norm": True},
        only=GEMMA_ONLY, absent={"tie_word_embeddings": True, "head_dim": 256},
        parts=(rope(1_000_000.0, window=10_000.0), ATTENTION_SCALE, layer_types("wwwwwf")),
    ),
    Family(
        "mixtral", "MixtralForCausalLM", MIXTRAL_NAMES,
        LLAMA_KEYS | {
            "experts.d_ff": "intermediate_size", "experts.count": "num_local_experts",
            "experts.active": "num_experts_per_tok", "experts.balance_loss": "router_aux_loss_coef",
        },
        LLAMA, only=SILU, parts=(rope(1_000_000.0), WINDOW_EVERYWHERE),
    ),
    Family(
        "qwen3_moe", "Qwen3MoeForCausalLM", LLAMA_NAMES | EXPERTS, LLAMA_KEYS | QWEN_EXPERTS_KEYS,
        LLAMA | {"qk_norm": True}, only=NO_BIAS, absent={"head_dim": 128, "norm_topk_prob": False},
        parts=(rope(10_000.0), WINDOW_FROM_LAYER, EXPERTS_IN_SOME_LAYERS),
    ),
    Family(
        "deepseek_v2", "DeepseekV2ForCausalLM", DEEPSEEK_NAMES,
        WITHOUT_HEAD_DIM | {
            "latent.kv_rank": "kv_lora_rank", "latent.rope_dim": "qk_rope_head_dim",
            "latent.value_dim": "v_head_dim", "experts.count": "n_routed_experts",
            "experts.active": "num_experts_per_tok", "experts.d_ff": "moe_intermediate_size",
            "experts.scale": "routed_scaling_factor", "experts.dense_layers": "first_k_dense_replace",
        },
        LLAMA | {"experts.renormalize": False},
        only=NO_BIAS | {"norm_topk_prob": (False,), "mlp_bias": (False,),
                        "scoring_func": ("softmax",), "moe_layer_freq": (1,)},
        parts=(rope(10_000.0, mscale=True), LATENT_HEADS, LIMITED_GROUPS),
    ),
    Family(
        "qwen3_next", "Qwen3NextForCausalLM", QWEN3_NEXT_NAMES,
        LLAMA_KEYS | QWEN_EXPERTS_KEYS | DELTA_KEYS
        | {"experts.shared_d_ff": "shared_expert_intermediate_size"},
        QWEN_HYBRID | {"experts.shared_gate": True}, only=NO_BIAS,
        absent={"norm_topk_prob": True, "head_dim": 256},
        parts=(rope(10_000.0, share=0.25), layer_types("lllf"), EXPERTS_IN_SOME_LAYERS),
    ),
    Family(
        "qwen3_5_text", "Qwen3_5ForCausalLM", QWEN35_NAMES, LLAMA_KEYS | DELTA_KEYS, QWEN_HYBRID,
        only=NO_BIAS, absent={"head_dim": 256},
        parts=(rope(10_000.0, share=0.25), layer_types("lllf")),
    ),
]  # fmt: skip
FAMILIES = {family.model_type: family for family in ROWS}
