"""The model: one class for every architecture, its parts chosen by the config when it is built.

Reading order is the way of the data: token ids → embeddings → blocks → logits.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.model.attention import Attention, KeyValueCache
from groundup.model.config import ModelConfig
from groundup.model.layers import feed_forward, norm
from groundup.model.linear import Linear
from groundup.model.positions import additive_position


class GPT(nn.Module):
    """A decoder-only transformer: `model(ids)` gives for each position the logits of the next token.

    >>> model = GPT(ModelConfig(vocab_size=100))
    >>> model(torch.zeros(1, 8, dtype=torch.long)).shape
    torch.Size([1, 8, 100])
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.embedding_scale = math.sqrt(config.d_model) if config.scale_embeddings else 1.0
        self.position = additive_position(config)
        self.dropout = nn.Dropout(config.dropout)
        block = PreNormBlock if config.norm_place == "pre" else PostNormBlock
        self.blocks = nn.ModuleList(block(config, layer) for layer in range(config.n_layers))
        # Post-norm blocks end in a norm already.
        self.final_norm = (
            norm(config, config.d_model) if config.norm_place == "pre" else nn.Identity()
        )
        self.head = Linear(config.d_model, config.vocab_size, bias=False)
        self.tie_weights()
        initialize(self)

    def tie_weights(self) -> None:
        """Let the output matrix be the embedding, where the config says so."""
        if self.config.tie_embeddings:
            self.head.weight = self.embedding.weight

    def forward(
        self, ids: Int[Tensor, "batch time"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "batch time vocab"]:
        return self.head(self.hidden(ids, cache))

    def hidden(
        self, ids: Int[Tensor, "batch time"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "batch time d_model"]:
        """Everything but the last matrix: for losses that never hold all logits at once, and for
        generation, which wants the last position's only."""
        x = self.embedding(ids) * self.embedding_scale
        x = self.dropout(self.position(x, cache.length if cache else 0))
        for block in self.blocks:
            x = block(x, cache)
        return self.final_norm(x)


class PreNormBlock(nn.Module):
    """Each part reads the normed stream and adds to the plain one (GPT-2 and later)."""

    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.attention_norm = norm(config, config.d_model)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = norm(config, config.d_model)
        self.feed_forward = feed_forward(config)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], cache: KeyValueCache | None
    ) -> Float[Tensor, "batch time d_model"]:
        x = x + self.attention(self.attention_norm(x), cache)
        return x + self.feed_forward(self.feed_forward_norm(x))


class PostNormBlock(PreNormBlock):
    """Each part adds to the stream and the sum is normed (the transformer of 2017, GPT-1)."""

    def forward(
        self, x: Float[Tensor, "batch time d_model"], cache: KeyValueCache | None
    ) -> Float[Tensor, "batch time d_model"]:
        x = self.attention_norm(x + self.attention(x, cache))
        return self.feed_forward_norm(x + self.feed_forward(x))


@torch.no_grad()
def initialize(model: GPT) -> None:
    """Set the starting weights by `config.initialization`; norms begin at 1, biases at 0."""
    config = model.config
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not model.head:
            adds_to_stream = name.endswith(("attention.output", "feed_forward.down"))
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
