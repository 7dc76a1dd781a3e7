"""Exercises on the whole model."""

from collections.abc import Callable

import torch
from torch import Tensor

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.lab.exercises.pieces import in_pieces, shaken
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.cost import is_plain, parameters
from groundup.model.gpt import GPT


def gpt_inputs(draw: Draw) -> tuple:
    config = ModelConfig(
        vocab_size=20, context_length=8, d_model=12, n_layers=draw.in_turn((2, 1)), n_heads=2,
        position=draw.in_turn(("rotary", "learned")), scale_embeddings=draw.in_turn((False, True)),
        norm_place=draw.in_turn(("pre", "pre", "post")), dropout=0.5,
    )  # fmt: skip
    padding = torch.tensor([0, 2]) if draw.in_turn((False, False, True, False, True)) else None
    segments = None
    if draw.in_turn((False, False, False, True, False)):
        segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, -1]])
    first = draw.in_turn((7, 4, 7, 7, 5))
    return config, draw.integers(20, 2, 7), padding, segments, first


def use_gpt(
    part: type[GPT],
    config: ModelConfig,
    ids: Tensor,
    padding: Tensor | None,
    segments: Tensor | None,
    first: int,
) -> Tensor:
    """The hidden states of ids, of which a model reads the `first` before the others."""
    model = shaken(part(config))
    return in_pieces(lambda piece, past: model.hidden(piece, past, padding, segments), ids, first)


def sizes(draw: Draw) -> tuple:
    return (
        ModelConfig(
            vocab_size=draw.integer(50, 99), context_length=draw.integer(10, 30), d_model=12,
            n_layers=draw.integer(2, 5), n_heads=4, n_kv_heads=draw.in_turn((4, 2)), d_ff=30,
            head_dim=draw.in_turn((3, 4, 8)), position=draw.in_turn(("learned", "none", "sinusoidal")),
            feed_forward=draw.in_turn(("gelu", "swiglu")), norm=draw.in_turn(("layernorm", "rmsnorm")),
            norm_place=draw.in_turn(("pre", "pre", "pre", "post")), bias=draw.in_turn((True, False, False)),
            qkv_bias=draw.in_turn((True, False, True)), tie_embeddings=draw.in_turn((True, False)),
            qk_norm=draw.in_turn((False, False, False, False, True)),
        ),
    )  # fmt: skip


def count(part: Callable) -> Callable:
    """The learner's formula where it holds."""
    return lambda config: part(config) if is_plain(config) else sum(parameters(config).values())


EXERCISES = (
    Exercise(
        name="gpt",
        target="groundup.model.gpt:GPT.hidden",
        title=N_("The model"),
        text=N_("""\
All parts are there; this puts them together. Token ids become vectors, all blocks change these one after
another, and a last norm brings them to the same size. That is everything but the output matrix (self.head),
which makes of each vector one logit for every token of the vocabulary: GPT.forward is
self.head(self.hidden(…)).

    ids        (batch, time)             the tokens
    x          (batch, time, d_model)    self.embedded(ids, places), then block(x, places) for each of
                                         self.blocks, each reading what the one before it gave
    result     (batch, time, d_model)    self.final_norm of that

Places(ids, past, padding, segments) is made once, and told to every block: it knows the positions of the
tokens, and what each may see.

    past       the cache of the tokens read before, while a model writes; None in training
    padding    how many ids at the start of each row are no text
    segments   which of several texts in a row each token belongs to

A model of 3 blocks computes final_norm(block₂(block₁(block₀(embedded(ids))))).
"""),
        hints=(
            N_("What does the first block read, and what the second? What happens to it after the last?"),
            N_("Make the places of all four arguments, embed the ids, go through self.blocks in a loop in "
               "which x becomes what the block gives, and norm at the end."),
            N_("places = Places(ids, past, padding, segments); x = self.embedded(ids, places); for block in "
               "self.blocks: x = block(x, places); return self.final_norm(x)"),
        ),
        inputs=gpt_inputs,
        use=use_gpt,
        mistakes=(
            Mistake("return self.final_norm(x)", "return x",
                    N_("The last norm is missing: the stream has grown from block to block, and the head "
                       "expects it normed.")),
            Mistake("x = block(x, places)", "block(x, places)",
                    N_("What a block gives is thrown away: x must become block(x, places).")),
            Mistake("x = block(x, places)", "x = x + block(x, places)",
                    N_("x is added once more: a block adds to the stream itself, and gives the sum.")),
            Mistake("Places(ids, past, padding, segments)", "Places(ids, None, padding, segments)",
                    N_("The cache is not told to the places: each piece of a text is read as if it were the "
                       "beginning.")),
            Mistake("Places(ids, past, padding, segments)", "Places(ids, past, None, segments)",
                    N_("The padding is not told to the places: it is read as text.")),
            Mistake("Places(ids, past, padding, segments)", "Places(ids, past, padding)",
                    N_("The segments are not told to the places: texts that share a row see each other.")),
        ),
    ),
    Exercise(
        name="parameter_count",
        target="groundup.model.cost:parameter_count_by_formula",
        title=N_("How many parameters"),
        text=N_("""\
A model "of 124 million parameters" has so many trained numbers. They decide what it costs: memory, time,
and how much text it needs. They follow from a handful of sizes, without building anything. For each layer:

    attention      queries and output: d_model · (n_heads · head_dim) each; keys and values: d_model ·
                   (n_kv_heads · head_dim) each. qkv_bias: one for each number of queries, keys and values;
                   bias: one for each number of the output.
    feed-forward   up and down: d_model · d_ff each; a gated one (feed_forward in GATED) has a gate, as
                   large as up. bias: one for each number that a matrix gives.
    norms          two, with a weight for each of the d_model numbers; "layernorm" with bias has a shift for
                   each as well. qk_norm: two more, of head_dim numbers.

And once for the model:

    embedding      vocab_size · d_model
    head           as large; none if tie_embeddings: then it is the embedding
    positions      context_length · d_model if position is "learned"; else none are trained
    final norm     like those above; none if norm_place is "post", where blocks end in one

GPT-2 small: d_model 768, 12 layers, d_ff 3072, 12 heads of 64, all biases, tied, learned positions.

    attention      4 · 768² + 4 · 768                  =   2,362,368
    feed-forward   2 · 768 · 3072 + 3072 + 768         =   4,722,432
    norms          2 · 2 · 768                         =       3,072
    12 layers      12 · 7,087,872                      =  85,054,464
    the rest       50,257 · 768 + 1,024 · 768 + 1,536  =  39,385,344
                                                         124,439,808
"""),
        hints=(
            N_("Which matrices does one layer have, and of which shapes? Count GPT-2 small by hand first, "
               "line by line."),
            N_("Three sums for a layer: attention, feed-forward, norms; each with its biases. Times "
               "n_layers, plus embedding, head, positions and final norm. A bool counts as 0 or 1, which "
               "saves conditions."),
            N_("With q = n_heads · head_dim and k = n_kv_heads · head_dim: attention = d_model * (2 * q + 2 "
               "* k) + qkv_bias * (q + 2 * k) + bias * d_model; norms = 2 * n * (d_model + qk_norm * "
               "head_dim), where n is 2 for a layernorm with bias, and else 1."),
        ),
        inputs=sizes,
        mistakes=(
            Mistake("d_model * (queries + 2 * keys) + queries * d_model", "4 * d_model * d_model",
                    N_("That counts four square matrices: keys and values are narrower where heads share "
                       "them, and heads need not add up to d_model.")),
            Mistake("wide = 2 if config.feed_forward in GATED else 1", "wide = 1",
                    N_("The gate is missing: a gated feed-forward has three matrices.")),
            Mistake("(1 if config.tie_embeddings else 2)", "2",
                    N_("A tied output matrix is counted twice: it is the embedding.")),
            Mistake("0 if config.norm_place == \"post\" else per_number * d_model", "0",
                    N_("The final norm is missing, after the last block.")),
            Mistake("if config.position == \"learned\" else 0", "",
                    N_("Positions are counted that are not trained: only learned ones have parameters.")),
            Mistake("attention += config.qkv_bias * (queries + 2 * keys) + bias * d_model", "pass",
                    N_("The biases of attention are missing.")),
        ),
        plugs=(
            Plug("groundup.model.cost:parameter_count_by_formula"),
            Plug("groundup.model.cost:parameter_count", count),
        ),
    ),
)  # fmt: skip
