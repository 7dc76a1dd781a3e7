"""Exercises on tokens and positions."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from groundup.generation.paged import PagedCache, PagedPast
from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.places import Places
from groundup.model.positions import LearnedPosition, Rotary, frequencies

TINY = {"vocab_size": 13, "context_length": 7, "d_model": 8, "n_layers": 1, "n_heads": 2}


def ids_for_model(draw: Draw) -> tuple:
    fields = {
        "position": draw.choice(("learned", "sinusoidal", "rotary")),
        "scale_embeddings": draw.choice((True, True, False)),
        "dropout": 0.5,
    }
    return fields, draw.integers(13, 3, 5), draw.choice((True, True, False))


def embedded(part: type[GPT], fields: dict, ids: Tensor, training: bool) -> Tensor:
    model = part(ModelConfig.parse(TINY | fields)).train(training)
    return model.embedded(ids, Places(ids))


def vectors_and_table(draw: Draw) -> tuple:
    """Some texts, of each of which the cache holds so many tokens already."""
    known = draw.choice(([0, 0], [3, 3], [4, 1], [0, 2]))
    return draw.normal(9, 6), draw.normal(2, 5, 6), known


def positioned(part: type[LearnedPosition], table: Tensor, x: Tensor, known: list[int]) -> Tensor:
    rows, time, d_model = x.shape
    sizes = {"context_length": len(table), "d_model": d_model, "position": "learned"}
    module = part(ModelConfig.parse(TINY | sizes))
    module.weight.data = table
    past = PagedPast(
        PagedCache(1, 1), [[0]] * rows, known, [time] * rows, known, torch.device("cpu")
    )
    ids = torch.zeros(rows, time, dtype=torch.long)
    return module(x, Places(ids, past, past.padding))


def sizes_of_table(draw: Draw) -> tuple:
    return draw.integer(5, 9), draw.choice((4, 6, 10, 7)), draw.choice((100.0, 10_000.0))


def queries(draw: Draw) -> tuple:
    half = draw.choice((4, 6))
    x = draw.normal(2, 3, 5, 2 * half + draw.choice((0, 0, 1, 3)))
    positions = torch.arange(5) + draw.choice((0, 0, 4, 20))
    return x, positions, frequencies(2 * half, 50.0).float()


def turning(part: Callable) -> Callable:
    """`Rotary.forward` by a learner's function, where turning is all that is to be done."""
    ours = Rotary.forward

    def forward(self: Rotary, x: Tensor, places: Places) -> Tensor:
        if type(self) is not Rotary or self.factor != 1.0:  # stretched for longer texts
            return ours(self, x, places)

        def turned(x: Tensor, positions: Tensor) -> Any:
            return part(x, positions, self.frequency).to(x.dtype)

        if places.positions.ndim == 1:
            return turned(x, places.positions)
        texts = zip(x.split(1), places.positions, strict=True)
        return torch.cat([turned(text, positions) for text, positions in texts])

    return forward


EXERCISES = (
    Exercise(
        name="embed",
        target="groundup.model.gpt:GPT.embedded",
        title=N_("From ids to vectors"),
        text=N_("""\
A token id is a number that means nothing: 17 is not more than 16. So each id has a vector of its own, a row of
a table that is learned. These vectors are what the model computes with.

    ids         (batch, time)
    vectors     (batch, time, d_model):  vectors[b, t] = table[ids[b, t]]

Then, in this order: the vectors are multiplied by self.embedding_scale (1, or √d_model in the transformer of
2017, so that they are not small beside the positions); the position of each token is added; in training some
numbers are set to 0 at random (dropout), so that the model does not rely on single ones.

The parts are there: self.embedding(ids), self.position(x, places), self.dropout(x).
"""),
        hints=(
            N_("What must not be multiplied by the scale? And what should be dropped along with the rest?"),
            N_("Three steps: look up and scale, add positions, drop. self.position gives back x with the "
               "positions already added."),
            N_("x = self.embedding(ids) * self.embedding_scale; then self.position(x, places), and "
               "self.dropout around it."),
        ),
        inputs=ids_for_model,
        use=embedded,
        mistakes=(
            Mistake(" * self.embedding_scale", "",
                    N_("The vectors are not scaled: multiply them by self.embedding_scale.")),
            Mistake("self.embedding_scale", "self.embedding_scale**2",
                    N_("The vectors are scaled by d_model instead of √d_model.")),
            Mistake("x = self.embedding(ids) * self.embedding_scale\n"
                    "    return self.dropout(self.position(x, places))",
                    "x = self.position(self.embedding(ids), places)\n"
                    "    return self.dropout(x * self.embedding_scale)",
                    N_("The positions are scaled as well: scale before they are added.")),
            Mistake("self.dropout(self.position(x, places))", "self.position(self.dropout(x), places)",
                    N_("The dropout comes before the positions, which are never dropped then.")),
            Mistake("self.dropout(self.position(x, places))", "self.position(x, places)",
                    N_("The dropout is missing.")),
            Mistake("self.position(x, places)", "x",
                    N_("The positions are missing: the model cannot tell “dog bites man” from “man bites "
                       "dog”.")),
        ),
    ),
    Exercise(
        name="learned_positions",
        target="groundup.model.positions:LearnedPosition.forward",
        title=N_("Learned positions"),
        text=N_("""\
Attention looks at all tokens at once and by itself does not know which comes first. The simplest way to tell
it, that of GPT and GPT-2: a vector for each position, learned like all other weights, and added to the vector
of the token that stands there.

    self.weight         (context_length, d_model): a row for each position
    x                   (batch, time, d_model)
    places.positions    (time), or (batch, time) where it is not the same for all rows of the batch: how many
                        tokens of its text stand before each token

The first token of x need not be the first of its text: in generation the earlier ones were read before, and
texts of different lengths stand in one batch. So positions are never counted from the shape of x. If 4 tokens
were read before, the next three have the positions 4, 5 and 6.
"""),
        hints=(
            N_("How does one take several rows out of a table at once?"),
            N_("A tensor of whole numbers as an index takes the row of each number; the result has the shape "
               "of the index, followed by d_model. Add it to x."),
            N_("x + self.weight[places.positions]; places.rows(table) does the same, a little faster."),
        ),
        inputs=vectors_and_table,
        use=positioned,
        mistakes=(
            Mistake("places.rows(self.weight)", "self.weight[: x.shape[1]]",
                    N_("The positions are counted from the start of x. The tokens before it were read "
                       "earlier: use places.positions.")),
            Mistake("places.rows(self.weight)", "self.weight[places.index]",
                    N_("All rows of the batch get the same positions, but their texts are of different "
                       "lengths.")),
            Mistake("places.rows(self.weight)", "self.weight[places.positions + 1]",
                    N_("The positions are off by one: the first token of a text has the position 0.")),
            Mistake("x + places.rows(self.weight)", "places.rows(self.weight).expand_as(x)",
                    N_("Only the positions come back: they are added to the tokens, not put in their place.")),
            Mistake("x + ", "x * ",
                    N_("The positions are multiplied with the tokens. They are added.")),
        ),
    ),
    Exercise(
        name="sinusoidal_positions",
        target="groundup.model.positions:sinusoidal_positions",
        title=N_("Sinusoidal positions"),
        text=N_("""\
A vector for each position need not be learned. In the transformer of 2017 it is made of sines and cosines: like
the hands of many clocks, some fast, some slow, which together tell any time apart from any other. What stands a
fixed number of tokens further on has all hands turned by fixed angles, so distances are easy to see.

Pair i of the columns belongs to one clock. For the position p:

    angle            a = p · theta^(−2i / d_model)       i = 0, 1, …
    column 2i        sin(a)
    column 2i + 1    cos(a)

The result has the shape (length, d_model). With theta = 100 and d_model = 4 there are two clocks, which turn by
1 and by 0.1 a step:

    p = 0    0.0000  1.0000  0.0000  1.0000
    p = 1    0.8415  0.5403  0.0998  0.9950

frequencies(d_model, theta) gives theta^(−2i / d_model) for all i. An odd d_model is rare: make the table for
d_model + 1 and leave out its last column.
"""),
        hints=(
            N_("Which two rows of numbers make all angles, each of the one with each of the other?"),
            N_("The angles are positions (as a column) times frequencies (as a row). Take sine and cosine of "
               "all, and lay them out in turn: sin, cos, sin, cos, …"),
            N_("torch.stack([angle.sin(), angle.cos()], dim=-1) puts the two of each clock side by side, and "
               "flatten(1) makes one row of them."),
        ),
        inputs=sizes_of_table,
        mistakes=(
            Mistake("torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)",
                    "torch.cat([angle.sin(), angle.cos()], dim=-1)",
                    N_("All sines come first and all cosines after them. They should take turns: sin, cos, "
                       "sin, cos.")),
            Mistake("[angle.sin(), angle.cos()]", "[angle.cos(), angle.sin()]",
                    N_("Sine and cosine are exchanged: the sine comes first, so position 0 begins with 0.")),
            Mistake("torch.arange(length,", "torch.arange(1, length + 1,",
                    N_("The positions begin at 1. They begin at 0.")),
            Mistake("d_model % 2, theta)", "d_model % 2, theta) ** 0.5",
                    N_("The exponent is −i/d_model instead of −2i/d_model: each clock has two columns.")),
            Mistake("d_model % 2, theta)", "d_model % 2, 1 / theta)",
                    N_("The frequencies rise instead of falling: the exponent is negative.")),
        ),
    ),
    Exercise(
        name="rotary",
        target="groundup.model.positions:rotate_step_by_step",
        title=N_("Rotary positions"),
        text=N_("""\
Most models of today add no positions. They turn queries and keys by an angle that grows with the position
(RoPE, Su et al. 2021). Attention compares a query and a key by their product, and when both are turned, the
product depends only on the difference of their angles: on how far apart they stand, not on where.

Numbers are turned in pairs, as a point in a plane is. Pair i is the i-th number and the (i + half)-th, with
half = len(frequency), and its angle at position p is a = p · frequency[i]:

    x[i]         becomes   x[i] · cos a − x[i + half] · sin a
    x[i + half]  becomes   x[i] · sin a + x[i + half] · cos a

    x            (batch, heads, time, head_dim)
    positions    (time)
    frequency    (half), with 2 · half ≤ head_dim; numbers beyond 2 · half are left as they are

With one pair, frequency [1.0] and position 1, (1, 0) becomes (cos 1, sin 1) = (0.5403, 0.8415).
"""),
        hints=(
            N_("Which shape have the angles of all positions and all pairs, and does it fit the last two "
               "axes of x?"),
            N_("Angles: positions as a column times frequency. Cut x along its last axis into the first "
               "half, the second half and the rest; compute both new halves from the old ones; put all three "
               "together."),
            N_("torch.cat([first * cos - second * sin, first * sin + second * cos, rest], dim=-1), with cos "
               "and sin of positions[:, None] * frequency."),
        ),
        inputs=queries,
        plugs=(Plug("groundup.model.positions:Rotary.forward", turning),),
        learns=True,
        mistakes=(
            Mistake("first * cos - second * sin", "first * cos + second * sin",
                    N_("A sign is wrong: this is no rotation, as it changes the length of the vectors. The "
                       "first number of a pair has a minus.")),
            Mistake("angle = positions", "angle = -positions",
                    N_("The pairs are turned the other way round. A model that was trained so agrees with no "
                       "other.")),
            Mistake("positions[:, None]", "torch.arange(x.shape[-2])[:, None]",
                    N_("The positions are counted from the start of x: use those that are given.")),
            Mistake("x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]\n"
                    "    return torch.cat([first * cos - second * sin, first * sin + second * cos, rest], "
                    "dim=-1)",
                    "x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2], x[..., 2 * half :]\n"
                    "    pairs = [first * cos - second * sin, first * sin + second * cos]\n"
                    "    pairs = torch.stack(pairs, dim=-1)\n"
                    "    return torch.cat([pairs.flatten(-2), rest], dim=-1)",
                    N_("The pairs are made of neighbours, as in GPT-J. Here pair i is the i-th number and "
                       "the (i + half)-th.")),
            Mistake("return torch.cat([first * cos - second * sin,",
                    "first = first * cos - second * sin\n    return torch.cat([first,",
                    N_("The second number of a pair is computed from the first one as it is after turning: "
                       "keep the old one.")),
            Mistake(", rest], dim=-1)", "], dim=-1)",
                    N_("The numbers beyond 2 · half are missing in the result.")),
        ),
    ),
)  # fmt: skip
