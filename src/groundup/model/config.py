"""Every architecture that groundup knows, as one settings class.

From the transformer of 2017 over GPT-2 to Llama and Qwen3: what changed is a handful of parts, and
each of them is a field here. `GPT` chooses its parts by these fields once, when it is built.
"""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from groundup.settings import Settings


def _default_d_ff(fields: dict) -> int:
    """4 · d_model (Vaswani et al. 2017); SwiGLU has a third matrix, so 2/3 of that (Shazeer 2020),
    rounded up to a multiple of 32 for the processor's sake."""
    width = 4 * fields["d_model"]
    return -(-width * 2 // 3 // 32) * 32 if fields["feed_forward"] == "swiglu" else width


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
    feed_forward: Literal["relu", "gelu", "relu2", "swiglu"] = "relu2"
    """Activation of the feed-forward: ReLU (2017), GELU (GPT), ReLU² (So et al. 2021), SwiGLU
    (Shazeer 2020, Llama)."""
    d_ff: PositiveInt = Field(default_factory=_default_d_ff)
    """Inner width of the feed-forward. Default: 4 · d_model, or 8/3 · d_model for SwiGLU."""
    position: Literal["sinusoidal", "learned", "rotary", "none"] = "rotary"
    """How order gets in: added to the embeddings (sinusoidal 2017, learned GPT) or turned into
    queries and keys (rotary, Su et al. 2021)."""
    rope_theta: PositiveFloat = 10_000.0
    """Base of the rotary (and sinusoidal) wavelengths."""
    norm: Literal["layernorm", "rmsnorm"] = "rmsnorm"
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019)."""
    norm_place: Literal["pre", "post"] = "pre"
    """Norm before each sub-layer (GPT-2 and later) or after its residual sum (2017, GPT-1)."""
    norm_epsilon: PositiveFloat = 1e-5
    """Added to the variance, so that a constant input does not divide by zero."""
    qk_norm: bool = False
    """Normalise queries and keys per head (Henry et al. 2020, Qwen3): steadier at high rates."""
    short_conv: NonNegativeInt = 0
    """Let attention see at each place so many tokens before it as well, by a short convolution: what
    stands beside a name can then be found by the name, which otherwise takes a layer and thousands
    of steps to learn (Mamba and Gated DeltaNet have it; Canon layers, Allen-Zhu 2025)."""
    bias: bool = False
    """Biases in the linear layers and LayerNorms (GPT yes, Llama no)."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability of zeroing an activation in training."""
    tie_embeddings: bool = False
    """Use the token embedding as the output matrix as well (Press and Wolf 2017)."""
    scale_embeddings: bool = False
    """Multiply token embeddings by √d_model (2017, Gemma)."""
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
        if self.position == "rotary" and self.head_dim % 2:
            raise ValueError(
                f"rotary positions turn pairs, so head_dim must be even, not {self.head_dim}"
            )
        return self
