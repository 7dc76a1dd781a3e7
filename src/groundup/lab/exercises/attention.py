"""Exercises on attention."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.lab.exercises.pieces import LAST, dropping_all, in_pieces, shaken
from groundup.language import N_
from groundup.model.attention import Attention, attend_step_by_step, causal_mask
from groundup.model.config import ModelConfig
from groundup.model.places import Places
from groundup.model.positions import rotation

ATTEND = "groundup.model.attention:attend"
"""What attends in the running model: a fused kernel, which calls no part of ours."""


def by_steps(part: Callable) -> Callable:
    """For parts of the reading version, which find their own place in it: let it run."""
    return attend_step_by_step


def weights_inputs(draw: Draw) -> tuple:
    batch, total, time = 2, 6, draw.in_turn((4, 1, 4, 6, 4))
    mask = causal_mask(time, total, torch.device("cpu"))
    if draw.in_turn((False, False, True)):  # padding: another mask for each text
        mask = mask & (draw.normal(batch, 1, 1, total) > 0) | (torch.arange(total) == 0)
    q, k = 2 * draw.normal(batch, 3, time, 5), draw.normal(batch, 3, total, 5)
    scale = draw.in_turn((None, None, 0.3))
    return q, k, mask, scale, draw.in_turn((math.inf, math.inf, math.inf, 1.5))


def mask_sizes(draw: Draw) -> tuple:
    time = draw.integer(2, 5)
    return time, time + draw.integer(0, 4), torch.device("cpu")


def joined_heads(draw: Draw) -> tuple:
    batch, time, heads, head_dim = draw.in_turn(
        ((1, 3, 2, 4), (2, 5, 3, 4), (3, 1, 2, 6), (2, 4, 1, 5), (1, 2, 5, 3))
    )
    return draw.normal(batch, time, heads * head_dim), head_dim


def grouped_heads(draw: Draw) -> tuple:
    kv_heads, group = draw.in_turn(((2, 3), (3, 2), (1, 4), (3, 1), (2, 2)))
    return draw.normal(2, kv_heads, 5, 4), kv_heads * group


def attend_inputs(draw: Draw) -> tuple:
    kv_heads, time, total = draw.in_turn(((2, 5, 5), (4, 3, 5), (1, 1, 5), (2, 3, 5), (2, 2, 5)))
    q = 2 * draw.normal(2, 4, time, 3)
    k, v = draw.normal(2, kv_heads, total, 3), draw.normal(2, kv_heads, total, 6)
    mask = None
    if draw.in_turn((False, True)):
        mask = (draw.normal(2, 1, time, total) > 0) | (torch.arange(total) == 0)
    scale, softcap = draw.in_turn((None, 0.3, None)), draw.in_turn((math.inf, math.inf, 1.5))
    return q, k, v, mask, draw.in_turn((0.0, 0.0, 0.0, 0.0, 1.0)), scale, softcap


def attention_inputs(draw: Draw) -> tuple:
    windowed, gated = draw.in_turn((False, True)), draw.in_turn((False, False, True))
    config = ModelConfig(
        context_length=16, d_model=12, n_heads=4, head_dim=draw.in_turn((2, 6)),
        n_kv_heads=draw.in_turn((4, 2, 1)), qk_norm=draw.in_turn((False, True, True)),
        position=draw.in_turn(("rotary", "rotary", "rotary", "none")), attention_gate=gated,
        short_conv=draw.in_turn((0, 0, 0, 2)), dropout=0.5,
        layer_pattern=["window" if windowed else "full"], window=3 if windowed else None,
    )  # fmt: skip
    padding = torch.tensor([0, 2]) if draw.in_turn((False, False, False, True)) else None
    return (
        config,
        draw.normal(2, 7, config.d_model),
        padding,
        draw.in_turn((7, 4, 6)),
        draw.in_turn(LAST),
    )


def use_attention(
    part: type[Attention],
    config: ModelConfig,
    x: Tensor,
    padding: Tensor | None,
    first: int,
    drops: bool,
) -> Tensor:
    """What a layer gives for x, of which it reads the `first` positions before the others."""
    layer = shaken(part(config, 0, rotation(config, config.layer_kind(0))))
    if drops:
        layer = dropping_all(layer)
    return in_pieces(
        lambda piece, past: layer(piece, Places(piece[..., 0].long(), past, padding)), x, first
    )


EXERCISES = (
    Exercise(
        name="attention_weights",
        target="groundup.model.attention:attention_weights",
        title=N_("The weights of attention"),
        text=N_("""\
Which of the tokens before it matter to a token? It asks with a query, a vector of head_dim numbers; each
token answers with a key of the same size. The score of the two is their dot product: large where they point
the same way. Softmax makes of a query's scores weights that are positive and add up to 1.

    scores  = q · k * scale                   for each query and each key
    weights = exp(score) / Σ exp(scores)      the sum over the keys that this query may see

A dot product of head_dim random numbers of variance 1 has the variance head_dim. Without the scale of
1/√head_dim, softmax would soon give everything to one key, and its gradient would vanish.

    q     (batch, heads, time, head_dim)
    k     (batch, heads, total, head_dim)
    mask  (time, total) or (batch, 1, time, total), True where the query may see the key

With head_dim = 4, scale is 1/2. Dot products of 2, 0 and 4, the third of them masked:

    scores   1      0      2
    weights  0.731  0.269  0         e / (e + 1) and 1 / (e + 1)

The softcap is of one family of models only (Gemma 2), and infinite in all others.
"""),
        hints=(
            N_("Of which two shapes is (…, time, total) the matrix product? And what must a masked score "
               "be, that its exp is 0?"),
            N_("Scores: q times k with its last two axes exchanged, times the scale. Then the softcap, if "
               "it is finite. Then put −∞ where the mask is False, and only then take the softmax over the "
               "keys."),
            N_("scores = q @ k.transpose(-2, -1) * scale, then scores.masked_fill(~mask, -math.inf), then "
               "softmax(dim=-1)."),
        ),
        inputs=weights_inputs,
        learns=True,
        mistakes=(
            Mistake(" * (q.shape[-1] ** -0.5 if scale is None else scale)", "",
                    N_("The scores are not scaled: multiply them by 1/√head_dim, or by the scale that is "
                       "given.")),
            Mistake("q.shape[-1] ** -0.5", "q.shape[-1] ** -1",
                    N_("The scores are divided by head_dim, and should be by its square root.")),
            Mistake("softmax(dim=-1)", "softmax(dim=-2)",
                    N_("The softmax runs over the queries: each query's weights must add up to 1, so it has "
                       "to run over the keys, the last axis.")),
            Mistake("scores.masked_fill(~mask, -math.inf).softmax(dim=-1)",
                    "scores.softmax(dim=-1).masked_fill(~mask, 0.0)",
                    N_("The mask comes after the softmax: what was masked has taken its share already, and "
                       "the weights do not add up to 1. Mask the scores.")),
            Mistake("-math.inf)", "0.0)",
                    N_("Masked scores are 0, and exp(0) is 1: the key is still seen. They must be −∞.")),
            Mistake("if softcap < math.inf:", "if False:",
                    N_("The softcap is missing: where it is finite, a score becomes softcap · tanh(score / "
                       "softcap).")),
        ),
        plugs=(Plug("groundup.model.attention:attention_weights"), Plug(ATTEND, by_steps)),
    ),
    Exercise(
        name="causal_mask",
        target="groundup.model.attention:causal_mask",
        title=N_("The causal mask"),
        text=N_("""\
A model that predicts the next token must not look at it. In training all positions of a text are computed
at once, so each query is told which keys it may see: its own and those before it, none after it.

Of `total` tokens, the first total − time were read before and lie in the cache; the queries are the last
`time` ones. Query i is the (total − time + i)-th token. With time = 2 and total = 4:

    True  True  True  False
    True  True  True  True
"""),
        hints=(
            N_("Which keys may the very last query see? And how many fewer does the query before it see?"),
            N_("Query i sees the keys 0 to total − time + i, and that key itself as well. Compare two rows "
               "of numbers made by torch.arange, one of them as a column."),
            N_("A matrix of ones (dtype torch.bool) without what lies above a diagonal: "
               "Tensor.tril(diagonal)."),
        ),
        inputs=mask_sizes,
        mistakes=(
            Mistake("tril(total - time)", "tril(total - time + 1)",
                    N_("The mask is off by one: each query sees the token after it, which is the one to "
                       "predict.")),
            Mistake("tril(total - time)", "tril(total - time - 1)",
                    N_("The mask is off by one: a query does not see its own token, and the first one "
                       "nothing.")),
            Mistake("tril(total - time)", "tril()",
                    N_("The tokens in the cache are forgotten: query i stands at total − time + i, not at i.")),
            Mistake("tril(total - time)", "triu(total - time)",
                    N_("The mask is the wrong way round: queries see what comes after them.")),
            Mistake("return torch.ones(time, total, dtype=torch.bool, device=device).tril(total - time)",
                    "return ~torch.ones(time, total, dtype=torch.bool, device=device).tril(total - time)",
                    N_("True and false are exchanged: True is what may be seen.")),
        ),
        plugs=(Plug("groundup.model.attention:causal_mask"), Plug(ATTEND, by_steps)),
    ),
    Exercise(
        name="split_heads",
        target="groundup.model.attention:split_heads",
        title=N_("Splitting into heads"),
        text=N_("""\
One softmax can look for one thing only: who did it, or where, or what rhymes. So attention runs several
times side by side, in heads, each with queries, keys and values of its own (Vaswani et al. 2017, 3.2.2).
One matrix product makes the numbers of all heads at once; here they are told apart.

In x, the numbers of one head stand next to each other: the first head_dim numbers of a token are those of
its first head, and so on. Afterwards heads is an axis before time, like batch: a matrix product then works
on each head's (time, head_dim) by itself.

    x       (batch, time, heads * head_dim)
    result  (batch, heads, time, head_dim)

Two tokens, two heads of 2 numbers:

    token 0:  1 2 3 4            head 0:  1 2      head 1:  3 4
    token 1:  5 6 7 8                     5 6               7 8
"""),
        hints=(
            N_("What comes first: cutting the last axis in two, or bringing heads before time? Follow the "
               "numbers of the example."),
            N_("Cut the last axis into (heads, head_dim), which leaves the numbers where they are. Then "
               "exchange two axes, which does not."),
            N_("x.unflatten(-1, (-1, head_dim)) is (batch, time, heads, head_dim); then transpose(1, 2)."),
        ),
        inputs=joined_heads,
        learns=True,
        mistakes=(
            Mistake("x.unflatten(-1, (-1, head_dim)).transpose(1, 2)",
                    "x.reshape(x.shape[0], -1, x.shape[1], head_dim)",
                    N_("The shape is right, but numbers of different tokens are mixed: reshaping moves no "
                       "numbers. Cut off the heads first, then exchange the axes.")),
            Mistake(".transpose(1, 2)", "",
                    N_("The heads are not transposed: they stand after time, and should stand before it.")),
            Mistake("x.unflatten(-1, (-1, head_dim)).transpose(1, 2)",
                    "x.unflatten(-1, (head_dim, -1)).permute(0, 3, 1, 2)",
                    N_("Each head takes every n-th number: the numbers of one head stand next to each "
                       "other, so the last axis is (heads, head_dim), not (head_dim, heads).")),
            Mistake(".transpose(1, 2)", ".transpose(2, 3)",
                    N_("The wrong axes are exchanged: it is time and heads.")),
        ),
        plugs=(Plug("groundup.model.attention:split_heads"),),
    ),
    Exercise(
        name="share_heads",
        target="groundup.model.attention:share_heads",
        title=N_("Heads that share keys and values"),
        text=N_("""\
While a model writes, it keeps the keys and values of every token it has read. For long texts that is more
memory than the weights. Grouped-query attention (Ainslie et al. 2023; Llama 3, Qwen) keeps fewer heads of
them, and several query heads in a row use the same one. With as many key heads as query heads it is plain
multi-head attention, with one it is multi-query attention (Shazeer 2019).

Here the heads of keys or values are repeated, so that there is one for each query head. n_heads is a
multiple of kv_heads.

    x       (batch, kv_heads, total, head_dim)
    result  (batch, n_heads, total, head_dim)

With 2 heads of keys for 6 of queries, the groups have 6 / 2 = 3 heads:

    query head   0 1 2 3 4 5
    key head     0 0 0 1 1 1
"""),
        hints=(
            N_("How many query heads share one key head? And do the copies of a head stand next to each "
               "other?"),
            N_("The group is n_heads // kv_heads. Query head i uses key head i // group."),
            N_("x.repeat_interleave(group, dim=1) repeats each head in its place; repeat would repeat the "
               "row of all heads."),
        ),
        inputs=grouped_heads,
        learns=True,
        mistakes=(
            Mistake("repeat_interleave(n_heads // x.shape[1], dim=1)", "repeat(1, n_heads // x.shape[1], 1, 1)",
                    N_("The row of all heads is repeated (0 1 0 1 …): the copies of one head must stand "
                       "next to each other (0 0 1 1 …).")),
            Mistake("n_heads // x.shape[1]", "n_heads",
                    N_("Each head is repeated n_heads times: it should be once for each query head of its "
                       "group, n_heads // kv_heads.")),
            Mistake("dim=1", "dim=2",
                    N_("The tokens are repeated instead of the heads: the heads are axis 1.")),
            Mistake("x.repeat_interleave(n_heads // x.shape[1], dim=1)", "x[:, :1].expand(-1, n_heads, -1, -1)",
                    N_("All query heads use the first key head: that is multi-query attention, which is "
                       "right only where there is one.")),
        ),
        plugs=(Plug("groundup.model.attention:share_heads"), Plug(ATTEND, by_steps)),
    ),
    Exercise(
        name="attend",
        target="groundup.model.attention:attend_step_by_step",
        title=N_("Attending"),
        text=N_("""\
Attention answers each query with an average of the values of the tokens it may see, weighted by how well
their keys match. It is the only place in the model where tokens learn of each other.

    attention = softmax(q kᵀ · scale, masked) v

    q       (batch, heads, time, head_dim)
    k       (batch, kv_heads, total, head_dim)      heads is a multiple of kv_heads
    v       (batch, kv_heads, total, value_dim)
    result  (batch, heads, time, value_dim)

If a query's weights are 0.75 and 0.25, and the values are (4, 0) and (0, 8), then the answer is (3, 2).

The parts are there: attention_weights, causal_mask and share_heads. In training some weights are left out
at random, the share `dropout` of them, by torch.nn.functional.dropout, so that no answer hangs on a single
token; the others grow by 1 / (1 − dropout). It is given as 0 where nothing is to be left out.

What runs in the model is a fused kernel with the same result (FlashAttention, Dao et al. 2022). In a model
that you train in the lab, your part runs instead.
"""),
        hints=(
            N_("Which keys and values belong to which query? And what may a query see if there is no mask?"),
            N_("Repeat the heads of k and v, make a causal mask where none is given, get the weights, drop "
               "some of them, and multiply by v."),
            N_("k and v through share_heads(…, q.shape[1]); seen = causal_mask(q.shape[2], k.shape[2], "
               "q.device) if mask is None; F.dropout(attention_weights(q, k, seen, scale, softcap), "
               "dropout) @ v."),
        ),
        inputs=attend_inputs,
        learns=True,
        mistakes=(
            Mistake("k, v = share_heads(k, q.shape[1]), share_heads(v, q.shape[1])", "pass",
                    N_("Queries have more heads than keys and values: repeat those with share_heads first.")),
            Mistake("causal_mask(q.shape[2], k.shape[2], q.device)",
                    "torch.ones(q.shape[2], k.shape[2], dtype=torch.bool)",
                    N_("Without a mask everything is seen, what is to come as well: without one, use "
                       "causal_mask.")),
            Mistake(" if mask is None else mask", "",
                    N_("The mask that is given is not used; it may forbid more than what is to come, such "
                       "as padding.")),
            Mistake("F.dropout(weights, dropout)", "weights",
                    N_("The dropout is missing: it leaves out the share `dropout` of the weights.")),
            Mistake("scale, softcap)", "scale or 1.0, softcap)",
                    N_("The scores are not scaled where no scale is given: it is 1/√head_dim then.")),
            Mistake("scale, softcap)", "scale or 1 / q.shape[-1], softcap)",
                    N_("Where no scale is given, the scores are divided by head_dim: it should be by its "
                       "square root.")),
        ),
        plugs=(Plug("groundup.model.attention:attend_step_by_step"), Plug(ATTEND)),
    ),
    Exercise(
        name="attention",
        target="groundup.model.attention:Attention.forward",
        title=N_("The attention layer"),
        text=N_("""\
The whole layer: make queries, keys and values of x, attend, and bring what the heads found back into the
width of the model. The parts of the layer are made by the constructor (shown below as a comment), and are
used in this order. Where a model goes without one, its place is taken by a part that changes nothing.

    x = self.short_conv(x, places, self.layer)
    q, k, v              self.query, self.key, self.value of x, each split into heads
    q, k                 self.query_norm and self.key_norm, then self.rotate(…, places): the position
    k, v = places.remember(self.layer, k, v, self.window)
                         before those of the tokens read earlier, which are in the cache
    mask = places.mask(total, self.window)
                         total is how many keys there are now
    self.attend(q, k, v, mask, dropout)
                         dropout is self.dropout in training (self.training), and otherwise 0
    self.gate(mixed, x)  of the heads joined again
    self.output, then self.residual_dropout

    x and the result     (batch, time, d_model)
    q, k, v              (batch, heads, time, head_dim)
    mixed                (batch, heads, time, head_dim), joined (batch, time, heads * head_dim)

Joining undoes splitting: token t has the numbers of its head 0, then those of its head 1, and so on. With
2 heads of 3 numbers: a0 a1 a2 b0 b1 b2.
"""),
        hints=(
            N_("split_heads cuts the last axis and then exchanges two axes. How is that undone, and in "
               "which order?"),
            N_("Follow the list line by line; only queries and keys are normed and turned, values stay as "
               "they are. Then exchange heads and time, and flatten the last two axes into one."),
            N_("q = self.rotate(self.query_norm(split_heads(self.query(x), self.head_dim)), places), the "
               "same for k, for v only the splitting. After self.attend: mixed.transpose(1, 2).flatten(2)."),
        ),
        inputs=attention_inputs,
        use=use_attention,
        mistakes=(
            Mistake("mixed.transpose(1, 2).flatten(2)", "mixed.reshape(*x.shape[:2], -1)",
                    N_("The heads are joined without being transposed back: numbers of different tokens are "
                       "mixed. Exchange heads and time before flattening.")),
            Mistake("k = self.rotate(self.key_norm(k), places)", "k = self.key_norm(k)",
                    N_("Only the queries are turned by their position: keys must be as well, for their "
                       "product to depend on the distance.")),
            Mistake("places.remember(self.layer, k, v, self.window)",
                    "places.remember(self.layer, k, self.rotate(v, places), self.window)",
                    N_("The values are turned by position: only queries and keys are, since values are "
                       "added up, not compared.")),
            Mistake("k, v = places.remember(self.layer, k, v, self.window)", "pass",
                    N_("The tokens that were read before are forgotten: places.remember puts their keys and "
                       "values before the new ones.")),
            Mistake("q, k, v, mask, self", "q, k, v, None, self",
                    N_("The mask of the places is not used: padding and tokens outside the window are seen.")),
            Mistake("self.dropout if self.training else 0.0", "self.dropout",
                    N_("Weights are dropped outside of training as well: the dropout is 0 unless "
                       "self.training.")),
        ),
    ),
)  # fmt: skip
