"""The model: one class for every architecture, its parts chosen by the config when it is built.

Reading order is the way of the data: token ids → embeddings → blocks → logits.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.errors import InputError
from groundup.model.attention import Attention
from groundup.model.config import ModelConfig
from groundup.model.delta import GatedDeltaNet
from groundup.model.experts import MixtureOfExperts, balance_loss
from groundup.model.latent import LatentAttention
from groundup.model.layers import feed_forward, norm
from groundup.model.linear import Linear
from groundup.model.loss import softcap
from groundup.model.places import Past, Places
from groundup.model.positions import additive_position, rotation


class GPT(nn.Module):
    """A decoder-only transformer: `model(ids)` gives for each position the logits of the next token.

    >>> model = GPT(ModelConfig(vocab_size=100))
    >>> model(torch.zeros(1, 8, dtype=torch.long)).shape
    torch.Size([1, 8, 100])
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.d_model)
        self.embedding_scale = math.sqrt(config.d_model) if config.scale_embeddings else 1.0
        self.position = additive_position(config)
        self.dropout = nn.Dropout(config.dropout)
        rotations = {kind: rotation(config, kind) for kind in set(config.layer_pattern)}
        self.blocks = nn.ModuleList(
            BLOCKS[config.norm_place](config, layer, rotations[config.layer_kind(layer)])
            for layer in range(config.n_layers)
        )
        # Post-norm blocks end in a norm already.
        self.final_norm = (
            nn.Identity() if config.norm_place == "post" else norm(config, config.d_model)
        )
        self.head = Head(config) if config.logit_softcap is None else SoftcappedHead(config)
        self.tie_weights()
        if not self.embedding.weight.is_meta:  # without memory there are no numbers to set
            initialize(self)

    @property
    def head_is_embedding(self) -> bool:
        """Whether the output matrix is the embedding."""
        return self.config.tie_embeddings

    def tie_weights(self) -> None:
        """Let the output matrix be the embedding, where the config says so."""
        if self.head_is_embedding:
            self.head.weight = self.embedding.weight

    @property
    def device(self) -> torch.device:
        """Where the model is: its first parameter, for a table in few bits is none."""
        return next(self.parameters()).device

    def forward(
        self,
        ids: Int[Tensor, "batch time"],
        past: Past | None = None,
        padding: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch time vocab"]:
        """Logits of the token after each of `ids`. `past` is a cache of what came before them;
        `padding` is how many ids at the start of each row are no text."""
        return self.head(self.hidden(ids, past, padding))

    # lab: gpt
    def hidden(
        self,
        ids: Int[Tensor, "batch time"],
        past: Past | None = None,
        padding: Int[Tensor, " batch"] | None = None,
        segments: Int[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time d_model"]:
        """Everything but the last matrix: for losses that never hold all logits at once, and for
        generation, which wants the last position's only. `segments` tells several texts in a row
        apart: a number for each, which no neighbour has, and −1 for padding after them."""
        places = Places(ids, past, padding, segments)
        x = self.embedded(ids, places)
        for block in self.blocks:
            x = block(x, places)
        return self.final_norm(x)

    # lab: embed
    def embedded(
        self, ids: Int[Tensor, "batch time"], places: Places
    ) -> Float[Tensor, "batch time d_model"]:
        """What the first block reads: the vector of each of `ids`, scaled, with its position added;
        in training, some numbers of that are dropped."""
        x = self.embedding(ids) * self.embedding_scale
        return self.dropout(self.position(x, places))

    def auxiliary_loss(self) -> Float[Tensor, ""] | float:
        """What the last pass adds to the loss beside its predictions: the balance of the experts."""
        mixtures = [part for part in self.modules() if isinstance(part, MixtureOfExperts)]
        routings = [part.routing for part in mixtures if part.routing is not None]
        return self.config.experts.balance_loss * balance_loss(routings) if routings else 0.0


class Embedding(nn.Embedding):
    """`torch.nn.Embedding`; on the device "meta" no numbers are drawn, for which torch would load its
    compiler: a second at the start of every command."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class HalfEmbedding(Embedding):
    """A table in half precision whose rows come out in single."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).float()


def halve(model: GPT) -> GPT:
    """Put the matrices of a model into half precision, in place, for inference: half the memory and, for
    a single text on a CPU, about twice the speed. What is between the matrices stays in single precision.

    Raises `InputError` for a model that is kept in few bits."""
    if not isinstance(model.embedding, Embedding):
        raise InputError("this model is kept in few bits already", "dtype", "leave dtype out")
    table = model.embedding.weight
    with torch.device("meta"):
        model.embedding = HalfEmbedding(model.config.vocab_size, model.config.d_model)
    model.embedding.weight = table
    for part in model.modules():
        if isinstance(part, Linear | Embedding) and part.weight.dtype == torch.float32:
            # In place, so that a table that embedding and head share stays one.
            part.weight.requires_grad_(False).data = part.weight.data.half()
    return model.eval()


class Head(Linear):
    """From the stream to one logit per token id."""

    def __init__(self, config: ModelConfig):
        super().__init__(config.d_model, config.vocab_size, bias=False)
        self.softcap = config.logit_softcap


class SoftcappedHead(Head):
    """Logits bent to stay below a cap (Gemma 2)."""

    def forward(self, input: Tensor) -> Tensor:
        return softcap(super().forward(input), self.softcap)


class PreNormBlock(nn.Module):
    """Each part reads the normed stream and adds to the plain one (GPT-2 and later)."""

    def __init__(self, config: ModelConfig, layer: int, rotate: nn.Module):
        super().__init__()
        self.attention_norm = norm(config, config.d_model)
        self.attention = attention(config, layer)(config, layer, rotate)
        self.feed_forward_norm = norm(config, config.d_model)
        self.feed_forward = (
            MixtureOfExperts(config) if config.has_experts(layer) else feed_forward(config)
        )

    # lab: block
    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: Places
    ) -> Float[Tensor, "batch time d_model"]:
        x = x + self.attention(self.attention_norm(x), places)
        return x + self.feed_forward(self.feed_forward_norm(x))


class PostNormBlock(PreNormBlock):
    """Each part adds to the stream and the sum is normed (the transformer of 2017, GPT-1)."""

    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: Places
    ) -> Float[Tensor, "batch time d_model"]:
        x = self.attention_norm(x + self.attention(x, places))
        return self.feed_forward_norm(x + self.feed_forward(x))


class OutputNormBlock(PreNormBlock):
    """What each part gives is normed before it is added (OLMo 2, Swin v2)."""

    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: Places
    ) -> Float[Tensor, "batch time d_model"]:
        x = x + self.attention_norm(self.attention(x, places))
        return x + self.feed_forward_norm(self.feed_forward(x))


class SandwichBlock(PreNormBlock):
    """Each part reads the normed stream, and what it gives is normed as well (Gemma 2)."""

    def __init__(self, config: ModelConfig, layer: int, rotate: nn.Module):
        super().__init__(config, layer, rotate)
        self.attention_output_norm = norm(config, config.d_model)
        self.feed_forward_output_norm = norm(config, config.d_model)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], places: Places
    ) -> Float[Tensor, "batch time d_model"]:
        attended = self.attention(self.attention_norm(x), places)
        x = x + self.attention_output_norm(attended)
        return x + self.feed_forward_output_norm(self.feed_forward(self.feed_forward_norm(x)))


BLOCKS = {
    "pre": PreNormBlock, "post": PostNormBlock, "output": OutputNormBlock, "sandwich": SandwichBlock,
}  # fmt: skip


def attention(config: ModelConfig, layer: int) -> type[nn.Module]:
    """The configured way for tokens of this layer to learn of each other."""
    if config.layer_kind(layer) == "linear":
        return GatedDeltaNet
    return LatentAttention if config.latent.kv_rank else Attention


@torch.no_grad()
def initialize(model: GPT) -> None:
    """Set the starting weights by `config.initialization`; norms begin at 1, biases at 0."""
    config = model.config
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not model.head:
            adds_to_stream = name.endswith((".output", ".down", ".read_out"))
            _initialize_linear(module, config, adds_to_stream)
    if config.initialization == "zero-residual":
        for module in model.modules():
            if isinstance(module, Attention):
                _equal_queries_and_keys(module, config)
    # 2017 ties and scales its embeddings, so they begin at 1/√d_model; an untied modern table
    # begins small all the same: the first norm makes it up, and the first logits are near zero.
    std = config.d_model**-0.5 if config.initialization == "xavier" else 0.02
    nn.init.normal_(model.embedding.weight, std=std)
    if not config.tie_embeddings:
        nn.init.normal_(model.head.weight, std=0.02)
    if config.position == "learned":
        nn.init.normal_(model.position.weight, std=0.02)  # type: ignore[arg-type]


def _initialize_linear(linear: nn.Linear, config: ModelConfig, adds_to_stream: bool) -> None:
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    if config.initialization == "xavier":
        nn.init.xavier_uniform_(linear.weight)
    elif config.initialization == "gpt-2":
        # 2·layers parts add to the stream; 1/√ of that keeps its size at the start (GPT-2, 2.3).
        nn.init.normal_(
            linear.weight, std=0.02 / math.sqrt(2 * config.n_layers) if adds_to_stream else 0.02
        )
    elif adds_to_stream:
        nn.init.zeros_(linear.weight)
    else:
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)


def _equal_queries_and_keys(attention: Attention, config: ModelConfig) -> None:
    """Each token looks first at those like itself; training goes on from there."""
    heads = attention.key.weight.unflatten(0, (config.n_kv_heads, config.head_dim))
    group = config.n_heads // config.n_kv_heads
    attention.query.weight.copy_(heads.repeat_interleave(group, dim=0).flatten(0, 1))
