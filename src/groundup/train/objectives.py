"""What is minimised: functions from (model, batch) to a loss.

The loop knows nothing else about what kind of training it is doing.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.model.gpt import GPT
from groundup.model.loss import cross_entropy

# (model, batch) → the loss, or the loss and scalars to be logged beside it.
Objective = Callable[[GPT, Any], Tensor | tuple[Tensor, Mapping[str, Tensor]]]


def next_token(
    model: GPT,
    ids: Int[Tensor, "batch window"],
    weights: Float[Tensor, " positions"] | None = None,
    segments: Int[Tensor, "batch window"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats of each token given those before it (plain pretraining), and what the
    model itself asks for, such as the balance of its experts. `segments` tells several texts in a row
    apart."""
    inputs = None if segments is None else segments[:, :-1]
    hidden = model.hidden(ids[:, :-1], segments=inputs).flatten(0, 1)
    head = model.head
    loss = cross_entropy(hidden, head.weight, ids[:, 1:].flatten(), weights, head.softcap)
    return loss + model.auxiliary_loss()


def weighted_answers(assistant_id: int, end_id: int, weight: float) -> Objective:
    """`next_token` in which what an assistant says, up to and with its end token, counts `weight`
    times: a question is read once to be understood, its answer is what should be learned."""

    def objective(model: GPT, ids: Int[Tensor, "batch window"]) -> Float[Tensor, ""]:
        spoken = in_answer(ids[:, :-1], assistant_id, end_id)
        return next_token(model, ids, torch.where(spoken, weight, 1.0).flatten())

    return objective


# lab: loss_mask
def in_answer(
    ids: Int[Tensor, "batch time"], assistant_id: int, end_id: int
) -> Bool[Tensor, "batch time"]:
    """True where the *next* token is an assistant's: its last mark is later than the last end.

    With 1 for the assistant's mark and 2 for the end, in 7 2 1 8 9 2 7 the words 8 and 9 and the end
    after them are the assistant's:

    >>> in_answer(torch.tensor([[7, 2, 1, 8, 9, 2, 7]]), 1, 2).int().tolist()
    [[0, 0, 1, 1, 1, 0, 0]]
    """
    position = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)

    def last(mark: int) -> Tensor:
        return torch.where(ids == mark, position, -1).cummax(dim=1).values

    return last(assistant_id) > last(end_id)
