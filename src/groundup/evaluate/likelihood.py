"""Token ids in, their likelihoods out: the one place where evaluation runs a model over a text.

A text may be longer than the model looks back. It is then read in windows that overlap, and each
token is scored once, in the window in which it was the first time reached.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.model.loss import token_scores

BATCH = 16


class Likelihood(NamedTuple):
    """How likely a model finds a text after a context."""

    nats: float
    """Σ −log p of its tokens."""
    tokens: int
    is_greedy: bool
    """Whether each token is the likeliest one at its place: greedy generation would say the text."""
    cut: int = 0
    """How many tokens at the beginning of the context the model could not look back to."""

    @classmethod
    def joined(cls, parts: Iterable["Likelihood"]) -> "Likelihood":
        """That of a text from those of its parts."""
        nats, tokens, is_greedy, cut = 0.0, 0, True, 0
        for part in parts:
            nats, tokens = nats + part.nats, tokens + part.tokens
            is_greedy, cut = is_greedy and part.is_greedy, cut + part.cut
        return cls(nats, tokens, is_greedy, cut)


class Window(NamedTuple):
    """Ids of one pass, the last `scored` of which are to be predicted from those before them; `cut`
    more of what is given were too far back."""

    ids: tuple[int, ...]
    scored: int
    cut: int = 0


def sliding_windows(
    ids: Sequence[int],
    given: int,
    context_length: int,
    stride: int | None = None,
    begin_ids: Sequence[int] = (),
) -> Iterator[Window]:
    """Windows that score each of `ids` but the first `given` exactly once.

    The first window holds as much as fits; each later one goes on by `stride` tokens, so that every
    token there has at least `context_length` − `stride` tokens before it. By default the stride is
    as long as a window. Each window begins with `begin_ids`, for models that begin every text so.
    Layout of lm-evaluation-harness, `get_rolling_token_windows`.
    """
    room = context_length + 1 - len(begin_ids)
    longest = room if begin_ids else room - 1
    stride = stride or longest
    if not 1 <= stride <= longest:
        raise InputError(
            f"stride {stride} does not fit a model that looks at {context_length} tokens",
            "stride", f"use {max(1, min(stride, longest))}",
        )  # fmt: skip
    at = given
    while at < len(ids):
        end = min(len(ids), max(room, at + stride))
        first = max(0, end - room)
        yield Window((*begin_ids, *ids[first:end]), end - at, first if at == given else 0)
        at = end


@torch.inference_mode()
def score_windows(model: GPT, windows: Sequence[Window]) -> list[Likelihood]:
    """The likelihood of the scored part of each window, all in one pass. Windows that differ in their
    last id only (the choices A, B, C, D after one question) share a row of it."""
    was_training = model.training
    model.eval()
    rows = {inputs: row for row, inputs in enumerate(dict.fromkeys(w.ids[:-1] for w in windows))}
    # Padding stands behind the text, where nothing before can see it.
    longest = max(map(len, rows))
    padded = [[*inputs, *[0] * (longest - len(inputs))] for inputs in rows]
    device = model.device
    hidden = model.hidden(torch.tensor(padded, device=device))
    asked = [hidden[rows[w.ids[:-1]], : len(w.ids) - 1][-w.scored :] for w in windows]
    targets = torch.tensor([id_ for w in windows for id_ in w.ids[-w.scored :]])
    scores = token_scores(
        torch.cat(asked), model.head.weight, targets.to(device), model.head.softcap
    )
    model.train(was_training)
    return list(_split(windows, *scores))


def _split(
    windows: Sequence[Window],
    losses: Float[Tensor, " positions"],
    is_likeliest: Bool[Tensor, " positions"],
) -> Iterator[Likelihood]:
    sizes = [window.scored for window in windows]
    parts = zip(windows, losses.double().split(sizes), is_likeliest.split(sizes), strict=True)
    for window, nats, greedy in parts:
        yield Likelihood(nats.sum().item(), window.scored, bool(greedy.all()), window.cut)
