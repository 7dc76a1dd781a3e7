"""Every architecture that groundup knows, as one settings class.

From the transformer of 2017 over GPT-2 to Llama, Gemma, DeepSeek and Qwen3: what changed is a handful
of parts, and each of them is a field here; a part with several sizes of its own has a table. `GPT`
chooses its parts by these fields once, when it is built.
"""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from groundup.settings import Settings

LayerKind = Literal["full", "window", "nope", "linear"]
GATED = ("swiglu", "geglu")


class RopeScaling(Settings):
    """How rotary frequencies learned on short texts are stretched for longer ones."""

    kind: Literal["none", "linear", "llama3", "yarn", "longrope"] = "none"
    """`linear` (all frequencies, Chen et al. 2023), `llama3` (the low ones, smoothly), `yarn` (by how
    often each turns, Peng et al. 2023) or `longrope` (by searched factors, Ding et al. 2024)."""
    factor: PositiveFloat = 1.0
    """How many times longer texts become."""
    original_context_length: PositiveInt = 8192
    """The context that the frequencies were learned on."""
    low_frequency_factor: PositiveFloat = 1.0
    """`llama3`: fewer turns than this over the original context are stretched whole."""
    high_frequency_factor: PositiveFloat = 4.0
    """`llama3`: more turns than this over the original context are left alone."""
    beta_fast: PositiveFloat = 32.0
    """`yarn`: more turns than this are left alone."""
    beta_slow: PositiveFloat = 1.0
    """`yarn`: fewer turns than this are stretched whole."""
    mscale: NonNegativeFloat = 0.0
    """`yarn` in DeepSeek: how much the turned parts grow with the logarithm of the factor."""
    mscale_all_dim: NonNegativeFloat = 0.0
    """`yarn` in DeepSeek: the same for all of the attention scores."""
    attention_factor: PositiveFloat | None = None
    """Multiplies turned queries and keys. Default: what the paper of `kind` gives for the factor."""
    short_factors: list[PositiveFloat] = []
    """`longrope`: the stretch of each frequency up to the original context."""
    long_factors: list[PositiveFloat] = []
    """`longrope`: the stretch of each frequency in longer texts."""


class ExpertsConfig(Settings):
    """A mixture of experts in place of one feed-forward (Shazeer et al. 2017; Mixtral, Qwen3-MoE)."""

    count: NonNegativeInt = 0
    """Number of experts; 0 is one plain feed-forward."""
    active: PositiveInt = 2
    """How many experts work on each token."""
    d_ff: PositiveInt = 128
    """Inner width of one expert."""
    shared_d_ff: NonNegativeInt = 0
    """Inner width of an expert that works on every token (DeepSeek); 0 is none."""
    shared_gate: bool = False
    """Weight the shared expert by a gate (Qwen3-Next)."""
    dense_layers: NonNegativeInt = 0
    """So many first layers have a plain feed-forward."""
    every: PositiveInt = 1
    """Each so many-th layer has experts."""
    renormalize: bool = True
    """The weights of the active experts add up to 1."""
    scale: PositiveFloat = 1.0
    """Multiplies the weights of the active experts (DeepSeek)."""
    groups: PositiveInt = 1
    """Groups of experts, of which a token may use only the best few (DeepSeek-V2)."""
    active_groups: PositiveInt = 1
    """How many of the groups a token may use."""
    balance_loss: NonNegativeFloat = 0.001
    """Weight of the router's auxiliary loss, which keeps all experts in use (Fedus et al. 2021)."""


class LatentConfig(Settings):
    """Multi-head latent attention (DeepSeek-V2, 2024): keys and values of all heads are made from one
    short vector per token, and only that is cached."""

    kv_rank: NonNegativeInt = 0
    """Width of that vector; 0 is no latent attention."""
    query_rank: NonNegativeInt = 0
    """Width that queries pass through; 0 is straight."""
    rope_dim: PositiveInt = 64
    """The part of `head_dim` that is turned by position, with a key that all heads share."""
    value_dim: PositiveInt = 128
    """Width of one head's values."""


class DeltaConfig(Settings):
    """Gated DeltaNet (Yang et al. 2024), the kind of layer called "linear": a memory of fixed size
    instead of keys and values of the whole past."""

    n_key_heads: PositiveInt = 2
    """Number of query and key heads."""
    n_value_heads: PositiveInt = 2
    """Number of value heads: each query and key serves a whole number of them."""
    key_dim: PositiveInt = 32
    """Width of a query or key head."""
    value_dim: PositiveInt = 32
    """Width of a value head."""
    conv_width: PositiveInt = 4
    """How many tokens the short convolution before it sees."""


def _default_d_ff(fields: dict) -> int:
    """4 · d_model (Vaswani et al. 2017); SwiGLU has a third matrix, so 2/3 of that (Shazeer 2020),
    rounded up to a multiple of 32 for the processor's sake."""
    width = 4 * fields["d_model"]
    return -(-width * 2 // 3 // 32) * 32 if fields["feed_forward"] in GATED else width


class ModelConfig(Settings):
    """Sizes and parts of a decoder-only transformer."""

    vocab_size: PositiveInt = 4096
    """Number of token ids; given by the tokenizer."""
    context_length: PositiveInt = 256
    """The most tokens the model can look at."""
    d_model: PositiveInt = 192
    """Width of the residual stream."""
    n_layers: PositiveInt = 4
    """Number of blocks."""
    n_heads: PositiveInt = 6
    """Number of query heads."""
    n_kv_heads: PositiveInt = Field(default_factory=lambda fields: fields["n_heads"])
    """Number of key and value heads: `n_heads` is multi-head attention, fewer is grouped-query
    attention (Ainslie et al. 2023), 1 is multi-query. Default: `n_heads`."""
    head_dim: PositiveInt = Field(
        default_factory=lambda fields: max(1, fields["d_model"] // fields["n_heads"])
    )
    """Width of one head. Default: d_model / n_heads."""
    layer_pattern: list[LayerKind] = Field(default=["full"], min_length=1)
    """What the layers attend to, repeated down the model: the `full` past, a `window` of it (Mistral,
    Gemma), the full past without rotation (`nope`: SmolLM3), or a memory (`linear`: Qwen3-Next)."""
    window: PositiveInt | None = None
    """How many tokens, its own among them, a token sees in layers of kind `window`."""
    latent: LatentConfig = LatentConfig()
    """Multi-head latent attention instead of grouped-query attention."""
    delta: DeltaConfig = DeltaConfig()
    """The memory of layers of kind `linear`."""
    attention_scale: PositiveFloat | None = None
    """Multiplies the attention scores. Default: 1/√head_dim."""
    attention_softcap: PositiveFloat | None = None
    """Bend attention scores to stay below this, by cap · tanh(score / cap) (Gemma 2)."""
    attention_gate: bool = False
    """Gate what attention gives, by a sigmoid of its input (Qwen3-Next, Qiu et al. 2025)."""
    feed_forward: Literal["relu", "gelu", "relu2", "swiglu", "geglu"] = "relu2"
    """Activation of the feed-forward: ReLU (2017), GELU (GPT), ReLU² (So et al. 2021), SwiGLU and
    GeGLU (Shazeer 2020; Llama, Gemma)."""
    d_ff: PositiveInt = Field(default_factory=_default_d_ff)
    """Inner width of the feed-forward. Default: 4 · d_model, or 8/3 · d_model for a gated one."""
    experts: ExpertsConfig = ExpertsConfig()
    """A mixture of experts instead of one feed-forward."""
    position: Literal["sinusoidal", "learned", "rotary", "none"] = "rotary"
    """How order gets in: added to the embeddings (sinusoidal 2017, learned GPT) or turned into
    queries and keys (rotary, Su et al. 2021)."""
    rope_theta: PositiveFloat = 10_000.0
    """Base of the rotary (and sinusoidal) wavelengths."""
    rope_theta_window: PositiveFloat | None = None
    """The same for layers of kind `window` (Gemma 3). Default: `rope_theta`."""
    rope_share: float = Field(default=1.0, gt=0.0, le=1.0)
    """The share of `head_dim` that is turned; the rest carries no position (GPT-J, Qwen3-Next)."""
    rope_scaling: RopeScaling = RopeScaling()
    """Stretching of the rotary wavelengths, in all layers but those of kind `window`."""
    norm: Literal["layernorm", "rmsnorm", "zero-centered-rmsnorm"] = "rmsnorm"
    """LayerNorm (Ba et al. 2016), RMSNorm (Zhang and Sennrich 2019), or RMSNorm whose scale is stored
    as its distance from 1 (Gemma)."""
    norm_place: Literal["pre", "post", "output", "sandwich"] = "pre"
    """Norm before each sub-layer (GPT-2 and later), after its residual sum (2017, GPT-1), of what it
    gives, before the sum (`output`: OLMo 2), or both before it and of what it gives (`sandwich`:
    Gemma 2)."""
    norm_epsilon: PositiveFloat = 1e-5
    """Added to the variance, so that a constant input does not divide by zero."""
    qk_norm: bool = False
    """Normalise queries and keys (Henry et al. 2020): steadier at high rates."""
    qk_norm_scope: Literal["head", "all"] = "head"
    """Normalise each head by itself (Qwen3) or all heads together (OLMo 2)."""
    short_conv: NonNegativeInt = 0
    """Let attention see at each place so many tokens before it as well, by a short convolution: what
    stands beside a name can then be found by the name, which otherwise takes a layer and thousands
    of steps to learn (Mamba and Gated DeltaNet have it; Canon layers, Allen-Zhu 2025)."""
    bias: bool = False
    """Biases in the linear layers and LayerNorms (GPT yes, Llama no)."""
    qkv_bias: bool = Field(default_factory=lambda fields: fields["bias"])
    """Biases of queries, keys and values (Qwen2 has only these). Default: `bias`."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability of zeroing an activation in training."""
    tie_embeddings: bool = False
    """Use the token embedding as the output matrix as well (Press and Wolf 2017)."""
    scale_embeddings: bool = False
    """Multiply token embeddings by √d_model (2017, Gemma)."""
    logit_softcap: PositiveFloat | None = None
    """Bend the logits to stay below this, by cap · tanh(logit / cap) (Gemma 2)."""
    initialization: Literal["xavier", "gpt-2", "zero-residual"] = "gpt-2"
    """`xavier` (2017), `gpt-2` (normal 0.02, residual outputs 0.02/√(2·layers)) or
    `zero-residual` (normal 1/√fan_in, residual outputs zero: each block begins as the identity;
    queries begin equal to keys: each token looks first at those like itself)."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> "ModelConfig":
        if "head_dim" not in self.model_fields_set and self.d_model % self.n_heads:
            below = [n for n in range(1, self.d_model + 1) if self.d_model % n == 0]
            closest = min(below, key=lambda n: abs(n - self.n_heads))
            raise ValueError(
                f"n_heads {self.n_heads} does not divide d_model {self.d_model}: "
                f"use n_heads {closest}, or set head_dim"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_kv_heads {self.n_kv_heads} does not divide n_heads {self.n_heads}: "
                "each key head serves a whole number of query heads"
            )
        turned = self.turned_dim
        if self.position == "rotary" and turned % 2:
            raise ValueError(f"rotary positions turn pairs, so head_dim must be even, not {turned}")
        if "window" in self.layer_pattern and self.window is None:
            raise ValueError("layer_pattern has a layer of kind window: set window, in tokens")
        if self.delta.n_value_heads % self.delta.n_key_heads:
            raise ValueError("delta.n_key_heads must divide delta.n_value_heads")
        if self.latent.kv_rank and self.latent.rope_dim >= self.head_dim:
            raise ValueError("latent.rope_dim is a part of head_dim, so it must be smaller")
        if self.experts.active > self.experts.count > 0:
            raise ValueError("experts.active is larger than experts.count")
        if self.rope_scaling.kind == "longrope":
            self._check_longrope()
        return self

    def _check_longrope(self) -> None:
        for name in ("short_factors", "long_factors"):
            given = len(getattr(self.rope_scaling, name))
            if given != self.turned_dim // 2:
                raise ValueError(
                    f"rope_scaling.{name} has {given} numbers, "
                    f"but {self.turned_dim // 2} pairs are turned"
                )

    @property
    def turned_dim(self) -> int:
        """How much of a head is turned by rotary positions."""
        if self.latent.kv_rank:
            return self.latent.rope_dim
        return int(self.head_dim * self.rope_share)

    @property
    def has_states(self) -> bool:
        """Whether layers keep more of a text than keys and values."""
        kinds = {self.layer_kind(layer) for layer in range(self.n_layers)}
        return "linear" in kinds or self.short_conv > 0

    def layer_kind(self, layer: int) -> LayerKind:
        """What this layer attends to."""
        return self.layer_pattern[layer % len(self.layer_pattern)]

    def has_experts(self, layer: int) -> bool:
        """Whether this layer's feed-forward is a mixture of experts."""
        experts = self.experts
        return (
            experts.count > 0 and layer >= experts.dense_layers and (layer + 1) % experts.every == 0
        )


class LoraConfig(Settings):
    """A low-rank adapter: on which layers, how large, how strong."""

    rank: PositiveInt = 8
    """Rows of A and columns of B: how many directions a matrix can learn."""
    alpha: PositiveFloat = 16.0
    """Strength of what is added: it is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the inputs of A that is left out in training."""
    targets: list[str] = Field(default=["blocks.*"], min_length=1)
    """Which linear layers: names or ends of names, `*` for anything. `query` is all query projections,
    `attention.*` all of attention, `blocks.1.*` all of the second block, `blocks.*` all but the head."""
    rslora: bool = False
    """Multiply by alpha / √rank instead (rank-stabilised LoRA)."""
    dora: bool = False
    """Train the length of each row of the adapted matrix on its own as well (DoRA)."""


Pooling = Literal["last", "mean", "first"]
"""How the vectors of a text become the one that a head of labels looks at."""
