"""What a model is made of, in words, from ids to logits: the boxes of its diagram.

Every sentence is about a part that the configuration really builds. `drawing.py` turns the boxes into
text and HTML.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from groundup.model.config import GATED, LayerKind, ModelConfig
from groundup.model.cost import Layers, anatomy, layers_alike, window

NORMS = {
    "layernorm": "LayerNorm",
    "rmsnorm": "RMSNorm",
    "zero-centered-rmsnorm": "RMSNorm (scale stored as 1 + w)",
}
ACTIVATIONS = {
    "relu": "ReLU", "gelu": "GELU", "relu2": "ReLU²", "swiglu": "SwiGLU", "geglu": "GeGLU",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A box: what it is, more about it, and the parameters of one such part."""

    title: str
    details: tuple[str, ...] = ()
    parameters: int = 0


@dataclass(frozen=True)
class Residual:
    """Parts that read the stream one after another; what the last gives is added to the stream."""

    branch: tuple[Part, ...]


@dataclass(frozen=True)
class Block:
    """Layers that are alike: parts beside the stream, norms on it, and the parameters of one layer."""

    title: str
    steps: tuple[Part | Residual, ...]
    parameters: int


@dataclass(frozen=True)
class Diagram:
    """From token ids to logits, with a word about what runs from block to block."""

    before: tuple[Part, ...]
    stream: str
    blocks: tuple[Block, ...]
    after: tuple[Part, ...]


def diagram(config: ModelConfig) -> Diagram:
    """The boxes of the model that `config` describes."""
    found = anatomy(config)
    stream = f"the residual stream, {config.d_model:,} wide"
    if len(found.layers) > 1:
        stream += f", through {order(config)}"
    return Diagram(
        tuple(_before(config, found.outside)),
        stream,
        tuple(_block(config, layers) for layers in found.layers),
        tuple(_after(config, found.outside)),
    )


def _before(config: ModelConfig, parameters: dict[str, int]) -> Iterator[Part]:
    details = [f"{config.vocab_size:,} tokens × {config.d_model:,}"]
    if config.scale_embeddings:
        details.append("multiplied by the root of d_model")
    yield Part("embedding", tuple(details), parameters["embedding"])
    if config.position == "learned":
        size = f"{config.context_length:,} places × {config.d_model:,}, added"
        yield Part("position: learned", (size,), parameters["position"])
    if config.position == "sinusoidal":
        yield Part("position: sines and cosines", (f"theta {_number(config.rope_theta)}, added",))


def _after(config: ModelConfig, parameters: dict[str, int]) -> Iterator[Part]:
    if config.norm_place != "post":
        yield Part(NORMS[config.norm], (), parameters["final_norm"])
    details = [f"{config.d_model:,} → {config.vocab_size:,} logits"]
    if config.tie_embeddings:
        details.append("the matrix of the embedding (tied)")
    if config.logit_softcap:
        details.append(f"logits bent to stay below {_number(config.logit_softcap)}")
    yield Part("head", tuple(details), parameters["head"])


def _block(config: ModelConfig, layers: Layers) -> Block:
    mixer, thinker = _mixer(config, layers), _thinker(config, layers)
    norms = (
        Part(NORMS[config.norm], (), layers.parameters[f"{part}_norm"])
        for part in ("attention", "feed_forward")
    )
    steps = [
        step
        for part, norm in zip((mixer, thinker), norms, strict=True)
        for step in _with_norm(part, norm, config.norm_place)
    ]
    alone = len(layers.numbers) == config.n_layers
    name = "block" if alone else layer_name(config, layers.numbers[0])
    title = f"{len(layers.numbers)} × {name}"
    return Block(title, tuple(steps), sum(layers.parameters.values()))


def _with_norm(part: Part, norm: Part, place: str) -> tuple[Part | Residual, ...]:
    """A sub-layer and its norm where `norm_place` puts it."""
    return {
        "pre": (Residual((norm, part)),),
        "post": (Residual((part,)), norm),
        "output": (Residual((part, norm)),),
        "sandwich": (Residual((norm, part, norm)),),
    }[place]


def layer_name(config: ModelConfig, layer: int) -> str:
    """What tells this layer from those of other kinds."""
    kinds = layers_alike(config)
    kind, has_experts = config.layer_kind(layer), config.has_experts(layer)
    said = []
    if len({kind for kind, _ in kinds}) > 1:
        said.append(_looks(config, kind))
    if len({has_experts for _, has_experts in kinds}) > 1:
        said.append("experts" if has_experts else "plain feed-forward")
    return " with ".join(said)


def _looks(config: ModelConfig, kind: LayerKind) -> str:
    return {
        "full": "full attention",
        "window": f"window of {config.window or 0:,}",
        "nope": "attention without rotation",
        "linear": "Gated DeltaNet",
    }[kind]


def order(config: ModelConfig) -> str:
    """How layers of several kinds follow each other: "5 × window of 512, then 1 × full attention,
    repeated"."""
    names = [layer_name(config, layer) for layer in range(config.n_layers)]
    start, period = _repeated(names)
    if period in (1, len(names) - start):
        return _runs(names)
    first = f"first {_runs(names[:start])}; after that " if start else ""
    return f"{first}{_runs(names[start : start + period])}, repeated"


def _repeated(names: Sequence[str]) -> tuple[int, int]:
    """The earliest start and the shortest period with which the rest of `names` repeats itself."""
    for end in range(1, len(names)):
        for start in range(end):
            period = end - start
            if all(names[i] == names[i - period] for i in range(end, len(names))):
                return start, period
    return 0, len(names)


def _runs(names: Sequence[str]) -> str:
    return ", then ".join(f"{len(list(run))} × {name}" for name, run in groupby(names))


def _mixer(config: ModelConfig, layers: Layers) -> Part:
    """How the tokens of these layers learn of each other."""
    size = layers.parameters["attention"]
    if layers.kind == "linear":
        return Part("Gated DeltaNet: a memory in place of attention", _delta(config), size)
    if config.latent.kv_rank:
        return Part("attention: latent (MLA)", tuple(_latent(config, layers)), size)
    return Part(f"attention: {sharing(config)}", tuple(_attention(config, layers)), size)


def sharing(config: ModelConfig) -> str:
    """How many query heads share their keys and values."""
    if config.n_kv_heads == config.n_heads:
        return "multi-head (MHA)"
    return "multi-query (MQA)" if config.n_kv_heads == 1 else "grouped-query (GQA)"


def _attention(config: ModelConfig, layers: Layers) -> Iterator[str]:
    heads = f"{config.n_heads} query heads, {config.n_kv_heads} of keys and values"
    yield f"{heads}, each {config.head_dim} wide"
    if config.short_conv:
        yield f"before it a convolution over {config.short_conv} tokens of the past"
    if config.qk_norm:
        scope = "each head by itself" if config.qk_norm_scope == "head" else "all heads together"
        yield f"queries and keys normed, {scope}: {NORMS[config.norm]}"
    yield from _looking(config, layers)
    if config.attention_gate:
        yield "gated by a sigmoid of its input"
    if config.bias or config.qkv_bias:
        yield f"biases in {_biased(config)}"


def _biased(config: ModelConfig) -> str:
    if not config.qkv_bias:
        return "the output"
    return "all projections" if config.bias else "queries, keys and values"


def _latent(config: ModelConfig, layers: Layers) -> Iterator[str]:
    sizes = config.latent
    yield (
        f"{config.n_heads} heads; queries and keys {config.head_dim} wide, values {sizes.value_dim}"
    )
    yield (
        f"keys and values made from {sizes.kv_rank} normed numbers per token, which are cached with one "
        f"turned key of {sizes.rope_dim} for all heads"
    )
    if sizes.query_rank:
        yield f"queries through {sizes.query_rank} normed numbers"
    yield from _looking(config, layers)
    if config.bias:
        yield "biases where it narrows, and in the output"


def _looking(config: ModelConfig, layers: Layers) -> Iterator[str]:
    """What attention may look at, how it knows where, and how it weighs."""
    sight = window(config, layers.kind)
    yield "looks at the whole past" if sight is None else f"looks at the last {sight:,} tokens"
    if config.position == "rotary":
        yield _rotation(config, layers)
    if config.attention_scale:
        yield f"scores multiplied by {config.attention_scale:.4g}"
    if config.attention_softcap:
        yield f"scores bent to stay below {_number(config.attention_softcap)}"


def _rotation(config: ModelConfig, layers: Layers) -> str:
    if layers.kind == "nope":
        return "not turned by position"
    theta, scaling = config.rope_theta, config.rope_scaling
    if layers.kind == "window":
        theta = config.rope_theta_window or theta
    text = f"turned by position: rotary, theta {_number(theta)}"
    if config.turned_dim < config.head_dim:
        text += f", {config.turned_dim} of {config.head_dim} numbers"
    if layers.kind == "window" or scaling.kind == "none":
        return text
    if scaling.kind != "linear":
        text += f", learned on {scaling.original_context_length:,} tokens"
    return f"{text}, stretched {scaling.factor:g} × ({scaling.kind})"


def _delta(config: ModelConfig) -> tuple[str, ...]:
    sizes = config.delta
    return (
        f"{sizes.n_key_heads} query and key heads, each {sizes.key_dim} wide; "
        f"{sizes.n_value_heads} value heads, each {sizes.value_dim} wide",
        f"before it a convolution over {sizes.conv_width} tokens",
        f"remembers {sizes.n_value_heads} × {sizes.key_dim} × {sizes.value_dim} numbers, however "
        "long the text",
        "what it reads is normed (RMSNorm) and gated",
    )


def _thinker(config: ModelConfig, layers: Layers) -> Part:
    """What every token does by itself in these layers."""
    size, d_model = layers.parameters["feed_forward"], config.d_model
    if layers.has_experts:
        title = f"mixture of {config.experts.count} experts, {config.experts.active} for each token"
        return Part(title, tuple(_experts(config, layers)), size)
    details = [f"{d_model:,} → {config.d_ff:,} → {d_model:,}"]
    if config.feed_forward in GATED:
        details[0] += f", gated by another {d_model:,} → {config.d_ff:,}"
    if config.bias:
        details.append("biases")
    return Part(f"feed-forward: {ACTIVATIONS[config.feed_forward]}", tuple(details), size)


def _experts(config: ModelConfig, layers: Layers) -> Iterator[str]:
    experts, d_model = config.experts, config.d_model
    yield f"each a SwiGLU {d_model:,} → {experts.d_ff:,} → {d_model:,}"
    if experts.shared_d_ff:
        gated = ", gated" if experts.shared_gate else ""
        yield f"and one {d_model:,} → {experts.shared_d_ff:,} → {d_model:,} for every token{gated}"
    weights = "adding up to 1" if experts.renormalize else "not adding up to 1"
    scale = f", times {experts.scale:g}" if experts.scale != 1 else ""
    yield f"a router weighs them, {weights}{scale}"
    if experts.groups > 1:
        yield f"from the best {experts.active_groups} of {experts.groups} groups"
    active = layers.parameters["feed_forward"] - layers.idle
    yield f"{active:,} parameters work on a token"


def _number(number: float) -> str:
    """1,000,000 rather than 1000000.0."""
    return f"{number:,.12g}"
