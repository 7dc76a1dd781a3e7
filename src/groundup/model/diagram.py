"""What a model is made of, in words, from ids to logits: the boxes of its diagram.

Every sentence is about a part that the configuration really builds. `drawing.py` turns the boxes into
text and HTML.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby

from groundup.language import N_
from groundup.model.config import GATED, LayerKind, ModelConfig
from groundup.model.cost import Layers, anatomy, layers_alike, window

NORMS = {
    "layernorm": "LayerNorm",
    "rmsnorm": "RMSNorm",
    "zero-centered-rmsnorm": N_("RMSNorm (scale stored as 1 + w)"),
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
    stream = N_(f"the residual stream, {config.d_model:,} wide")
    if len(found.layers) > 1:
        stream = N_(f"{stream}, through {order(config)}")
    return Diagram(
        tuple(_before(config, found.outside)),
        stream,
        tuple(_block(config, layers) for layers in found.layers),
        tuple(_after(config, found.outside)),
    )


def _before(config: ModelConfig, parameters: dict[str, int]) -> Iterator[Part]:
    details = [N_(f"{config.vocab_size:,} tokens × {config.d_model:,}")]
    if config.scale_embeddings:
        details.append(N_("multiplied by the root of d_model"))
    yield Part(N_("embedding"), tuple(details), parameters["embedding"])
    if config.position == "learned":
        size = N_(f"{config.context_length:,} places × {config.d_model:,}, added")
        yield Part(N_("position: learned"), (size,), parameters["position"])
    if config.position == "sinusoidal":
        yield Part(
            N_("position: sines and cosines"), (N_(f"theta {_number(config.rope_theta)}, added"),)
        )


def _after(config: ModelConfig, parameters: dict[str, int]) -> Iterator[Part]:
    if config.norm_place != "post":
        yield Part(NORMS[config.norm], (), parameters["final_norm"])
    details = [f"{config.d_model:,} → {config.vocab_size:,} logits"]
    if config.tie_embeddings:
        details.append(N_("the matrix of the embedding (tied)"))
    if config.logit_softcap:
        details.append(N_(f"logits bent to stay below {_number(config.logit_softcap)}"))
    yield Part(N_("head"), tuple(details), parameters["head"])


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
    name = N_("block") if alone else layer_name(config, layers.numbers[0])
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
    looks = _looks(config, kind) if len({kind for kind, _ in kinds}) > 1 else ""
    if len({has_experts for _, has_experts in kinds}) == 1:
        return looks
    if not looks:
        return N_("experts") if has_experts else N_("plain feed-forward")
    return N_(f"{looks} with experts") if has_experts else N_(f"{looks} with plain feed-forward")


def _looks(config: ModelConfig, kind: LayerKind) -> str:
    return {
        "full": N_("full attention"),
        "window": N_(f"window of {config.window or 0:,}"),
        "nope": N_("attention without rotation"),
        "linear": "Gated DeltaNet",
    }[kind]


def order(config: ModelConfig) -> str:
    """How layers of several kinds follow each other: "5 × window of 512, then 1 × full attention,
    repeated"."""
    names = [layer_name(config, layer) for layer in range(config.n_layers)]
    start, period = _repeated(names)
    if period in (1, len(names) - start):
        return _runs(names)
    again = N_(f"{_runs(names[start : start + period])}, repeated")
    return N_(f"first {_runs(names[:start])}; after that {again}") if start else again


def _repeated(names: Sequence[str]) -> tuple[int, int]:
    """The earliest start and the shortest period with which the rest of `names` repeats itself."""
    for end in range(1, len(names)):
        for start in range(end):
            period = end - start
            if all(names[i] == names[i - period] for i in range(end, len(names))):
                return start, period
    return 0, len(names)


def _runs(names: Sequence[str]) -> str:
    runs = (f"{len(list(run))} × {name}" for name, run in groupby(names))
    return reduce(lambda before, run: N_(f"{before}, then {run}"), runs)


def _mixer(config: ModelConfig, layers: Layers) -> Part:
    """How the tokens of these layers learn of each other."""
    size = layers.parameters["attention"]
    if layers.kind == "linear":
        return Part(N_("Gated DeltaNet: a memory in place of attention"), _delta(config), size)
    if config.latent.kv_rank:
        return Part(N_("attention: latent (MLA)"), tuple(_latent(config, layers)), size)
    return Part(N_(f"attention: {sharing(config)}"), tuple(_attention(config, layers)), size)


def sharing(config: ModelConfig) -> str:
    """How many query heads share their keys and values."""
    if config.n_kv_heads == config.n_heads:
        return N_("multi-head (MHA)")
    return N_("multi-query (MQA)") if config.n_kv_heads == 1 else N_("grouped-query (GQA)")


def _attention(config: ModelConfig, layers: Layers) -> Iterator[str]:
    yield N_(
        f"{config.n_heads} query heads, {config.n_kv_heads} of keys and values, each {config.head_dim} wide"
    )
    if config.short_conv:
        yield N_(f"before it a convolution over {config.short_conv} tokens of the past")
    if config.qk_norm:
        scope = (
            N_("each head by itself")
            if config.qk_norm_scope == "head"
            else N_("all heads together")
        )
        yield N_(f"queries and keys normed, {scope}: {NORMS[config.norm]}")
    yield from _looking(config, layers)
    if config.attention_gate:
        yield N_("gated by a sigmoid of its input")
    if config.bias or config.qkv_bias:
        yield N_(f"biases in {_biased(config)}")


def _biased(config: ModelConfig) -> str:
    if not config.qkv_bias:
        return N_("the output")
    return N_("all projections") if config.bias else N_("queries, keys and values")


def _latent(config: ModelConfig, layers: Layers) -> Iterator[str]:
    sizes = config.latent
    yield N_(
        f"{config.n_heads} heads; queries and keys {config.head_dim} wide, values {sizes.value_dim}"
    )
    yield N_(
        f"keys and values made from {sizes.kv_rank} normed numbers per token, which are cached with one "
        f"turned key of {sizes.rope_dim} for all heads"
    )
    if sizes.query_rank:
        yield N_(f"queries through {sizes.query_rank} normed numbers")
    yield from _looking(config, layers)
    if config.bias:
        yield N_("biases where it narrows, and in the output")


def _looking(config: ModelConfig, layers: Layers) -> Iterator[str]:
    """What attention may look at, how it knows where, and how it weighs."""
    sight = window(config, layers.kind)
    yield (
        N_("looks at the whole past")
        if sight is None
        else N_(f"looks at the last {sight:,} tokens")
    )
    if config.position == "rotary":
        yield _rotation(config, layers)
    if config.attention_scale:
        yield N_(f"scores multiplied by {config.attention_scale:.4g}")
    if config.attention_softcap:
        yield N_(f"scores bent to stay below {_number(config.attention_softcap)}")


def _rotation(config: ModelConfig, layers: Layers) -> str:
    if layers.kind == "nope":
        return N_("not turned by position")
    theta, scaling = config.rope_theta, config.rope_scaling
    if layers.kind == "window":
        theta = config.rope_theta_window or theta
    text = N_(f"turned by position: rotary, theta {_number(theta)}")
    if config.turned_dim < config.head_dim:
        text = N_(f"{text}, {config.turned_dim} of {config.head_dim} numbers")
    if layers.kind == "window" or scaling.kind == "none":
        return text
    if scaling.kind != "linear":
        text = N_(f"{text}, learned on {scaling.original_context_length:,} tokens")
    return N_(f"{text}, stretched {scaling.factor:g} × ({scaling.kind})")


def _delta(config: ModelConfig) -> tuple[str, ...]:
    sizes = config.delta
    return (
        N_(
            f"{sizes.n_key_heads} query and key heads, each {sizes.key_dim} wide; "
            f"{sizes.n_value_heads} value heads, each {sizes.value_dim} wide"
        ),
        N_(f"before it a convolution over {sizes.conv_width} tokens"),
        N_(
            f"remembers {sizes.n_value_heads} × {sizes.key_dim} × {sizes.value_dim} numbers, however "
            "long the text"
        ),
        N_("what it reads is normed (RMSNorm) and gated"),
    )


def _thinker(config: ModelConfig, layers: Layers) -> Part:
    """What every token does by itself in these layers."""
    size, d_model = layers.parameters["feed_forward"], config.d_model
    if layers.has_experts:
        title = N_(
            f"mixture of {config.experts.count} experts, {config.experts.active} for each token"
        )
        return Part(title, tuple(_experts(config, layers)), size)
    details = [f"{d_model:,} → {config.d_ff:,} → {d_model:,}"]
    if config.feed_forward in GATED:
        details[0] = N_(f"{details[0]}, gated by another {d_model:,} → {config.d_ff:,}")
    if config.bias:
        details.append(N_("biases"))
    return Part(N_(f"feed-forward: {ACTIVATIONS[config.feed_forward]}"), tuple(details), size)


def _experts(config: ModelConfig, layers: Layers) -> Iterator[str]:
    experts, d_model = config.experts, config.d_model
    yield N_(f"each a SwiGLU {d_model:,} → {experts.d_ff:,} → {d_model:,}")
    if experts.shared_d_ff:
        shared = N_(f"and one {d_model:,} → {experts.shared_d_ff:,} → {d_model:,} for every token")
        yield N_(f"{shared}, gated") if experts.shared_gate else shared
    weights = N_("adding up to 1") if experts.renormalize else N_("not adding up to 1")
    router = N_(f"a router weighs them, {weights}")
    yield N_(f"{router}, times {experts.scale:g}") if experts.scale != 1 else router
    if experts.groups > 1:
        yield N_(f"from the best {experts.active_groups} of {experts.groups} groups")
    active = layers.parameters["feed_forward"] - layers.idle
    yield N_(f"{active:,} parameters work on a token")


def _number(number: float) -> str:
    """1,000,000 rather than 1000000.0."""
    return f"{number:,.12g}"
