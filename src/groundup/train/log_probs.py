"""How likely a model finds given answers: differentiable sums of log p, for losses that compare them.

Only the positions whose target is weighted get logits, and of those a chunk at a time
(`model/loss.py`): a long prompt costs none, and 50,000 tokens of vocabulary fit.
"""

from jaxtyping import Float, Int
from torch import Tensor

from groundup.model.gpt import GPT
from groundup.model.loss import log_probs


def token_log_probs(
    model: GPT, ids: Int[Tensor, "rows window"], weights: Float[Tensor, "rows time"]
) -> Float[Tensor, "rows time"]:
    """log p in nats of each target (`ids` after the first) given the ids before it; 0 at targets
    whose weight is 0."""
    hidden = model.hidden(ids[:, :-1])
    counted = weights != 0
    head = model.head
    found = log_probs(hidden[counted], head.weight, ids[:, 1:][counted], head.softcap)
    return hidden.new_zeros(weights.shape).masked_scatter(counted, found)


def row_log_probs(
    model: GPT, ids: Int[Tensor, "rows window"], weights: Float[Tensor, "rows time"]
) -> Float[Tensor, " rows"]:
    """log p of each row's weighted targets together: Σ weight · log p."""
    return (token_log_probs(model, ids, weights) * weights).sum(dim=1)
