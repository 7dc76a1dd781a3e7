"""Exercises on attention."""

import torch

from groundup.lab.exercise import Draw, Exercise, Mistake
from groundup.language import N_


def mask_sizes(draw: Draw) -> tuple:
    time = draw.integer(2, 5)
    return time, time + draw.integer(0, 4), torch.device("cpu")


EXERCISES = (
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
            N_("A matrix of ones (dtype torch.bool) without what lies above a diagonal: Tensor.tril(diagonal)."),
        ),
        inputs=mask_sizes,
        mistakes=(
            Mistake("tril(total - time)", "tril(total - time + 1)",
                    N_("The mask is off by one: each query sees the token after it, which is the one to predict.")),
            Mistake("tril(total - time)", "tril(total - time - 1)",
                    N_("The mask is off by one: a query does not see its own token, and the first one nothing.")),
            Mistake("tril(total - time)", "tril()",
                    N_("The tokens in the cache are forgotten: query i stands at total − time + i, not at i.")),
            Mistake("tril(total - time)", "triu(total - time)",
                    N_("The mask is the wrong way round: queries see what comes after them.")),
            Mistake("return torch.ones(time, total, dtype=torch.bool, device=device).tril(total - time)",
                    "return ~torch.ones(time, total, dtype=torch.bool, device=device).tril(total - time)",
                    N_("True and false are exchanged: True is what may be seen.")),
        ),
    ),
)  # fmt: skip
