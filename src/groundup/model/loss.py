"""From hidden states and targets to one number, without ever holding all the logits.

With 50,000 tokens of vocabulary the logits of one batch are larger than the model. So the head and
the cross-entropy are taken together, a few hundred positions at a time, and their gradients are
computed on the way (the idea of Liger Kernel's fused linear cross-entropy, Hsu et al. 2024): the
softmax of a chunk is thrown away as soon as its gradient is known. `cross_entropy` is what runs;
`cross_entropy_step_by_step` is the same loss written out, from all logits at once.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.model.linear import linear

# About 4 MB of logits at a time stay in the processor's cache between the passes; but below 256
# positions at a time, reading the head again for each chunk costs more than that saves.
CHUNK_LOGITS = 1 << 20
LEAST_CHUNK = 256


def cross_entropy(
    hidden: Float[Tensor, "positions d_model"],
    head: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, " positions"],
    weights: Float[Tensor, " positions"] | None = None,
    cap: float | None = None,
) -> Float[Tensor, ""]:
    """Mean −log p(target) in nats under softmax(hidden · headᵀ), weighted by `weights`.

    Equal to `torch.nn.functional.cross_entropy(hidden @ head.T, targets)` where all weights are 1;
    a weight of 0 leaves a position out, before anything is computed for it. `cap` bends the logits
    first, as `softcap` does.
    """
    if weights is None:
        weights = hidden.new_ones(len(targets))
    else:
        counted = weights.nonzero()[:, 0]
        hidden, targets, weights = hidden[counted], targets[counted], weights[counted]
    weights = weights / weights.sum()
    return _LinearCrossEntropy.apply(hidden, head, targets, weights, cap)


# lab: cross_entropy
def cross_entropy_step_by_step(
    logits: Float[Tensor, "positions vocab"], targets: Int[Tensor, " positions"]
) -> Float[Tensor, ""]:
    """Mean −log p(target) in nats, where p is the softmax of the logits of a position.

    −log p(target) = log Σ exp(logits) − logits[target]. Logits may be in the hundreds, whose exp is
    infinite, so the largest is taken out first: log Σ exp(x) = max(x) + log Σ exp(x − max(x)).

    >>> cross_entropy_step_by_step(torch.tensor([[2.0, 2.0], [500.0, 0.0]]), torch.tensor([1, 0]))
    tensor(0.3466)
    """
    largest = logits.max(dim=-1).values
    log_sum = largest + (logits - largest[:, None]).exp().sum(dim=-1).log()
    log_p = logits.gather(1, targets[:, None])[:, 0] - log_sum
    return -log_p.mean()


@torch.no_grad()
def token_scores(
    hidden: Float[Tensor, "positions d_model"],
    head: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, " positions"],
    cap: float | None = None,
) -> tuple[Float[Tensor, " positions"], Bool[Tensor, " positions"]]:
    """−log p(target) in nats of each position, and whether the target is the likeliest token there,
    for evaluation."""
    losses, likeliest = [], []
    for h, t in zip(*(x.split(_chunk(head)) for x in (hidden, targets)), strict=True):
        logits = softcap(linear(h, head), cap)
        losses.append(F.cross_entropy(logits, t, reduction="none"))
        likeliest.append(logits.argmax(-1) == t)
    return torch.cat(losses), torch.cat(likeliest)


def log_probs(
    hidden: Float[Tensor, "positions d_model"],
    head: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, " positions"],
    cap: float | None = None,
) -> Float[Tensor, " positions"]:
    """log p(target) in nats of each position, with gradients: for losses that weigh the probabilities
    of whole answers against each other.

    What a position counts for is known only when the loss is, so the chunks are computed once more on
    the way back.
    """
    return _LinearLogProbs.apply(hidden, head, targets, cap)


def softcap(logits: Float[Tensor, "*shape"], cap: float | None) -> Float[Tensor, "*shape"]:
    """cap · tanh(logits / cap): nearly the same for small logits, never beyond the cap (Gemma 2)."""
    return logits if cap is None else cap * torch.tanh(logits / cap)


def _chunk(head: Tensor) -> int:
    return max(LEAST_CHUNK, CHUNK_LOGITS // len(head))


def _wide(logits: Tensor) -> Tensor:
    """In single precision, where autocast has narrowed them: a sum over a vocabulary needs it."""
    return logits.float() if logits.dtype.itemsize < 4 else logits


class _LinearCrossEntropy(torch.autograd.Function):
    """loss = Σ weights · (logsumexp(logits) − logits[target]);  dlogits = weights · (softmax − 1ₜ)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, cap: float | None
    ) -> Tensor:
        loss = hidden.new_zeros(())
        hidden_gradient = torch.empty_like(hidden)
        head_gradient = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), _chunk(head)):
            part = slice(start, start + _chunk(head))
            target, weight = targets[part, None], weights[part, None]
            logits = softcap(_wide(linear(hidden[part], head)), cap)
            log_p = logits.log_softmax(dim=-1)
            loss -= (log_p.gather(1, target) * weight).sum()
            gradient = _logit_gradient(log_p, logits, target, weight, cap)
            if torch.is_autocast_enabled(hidden.device.type):  # which does not know `out`
                hidden_gradient[part] = gradient @ head
                if head_gradient is not None:
                    head_gradient += gradient.T @ hidden[part]
                continue
            torch.mm(gradient, head, out=hidden_gradient[part])
            if head_gradient is not None:  # a frozen head, as under adapters, needs none
                head_gradient.addmm_(gradient.T, hidden[part])
        ctx.save_for_backward(hidden_gradient, head_gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (upstream,) = gradients
        hidden_gradient, head_gradient = ctx.saved_tensors
        head_gradient = None if head_gradient is None else head_gradient * upstream
        return hidden_gradient * upstream, head_gradient, None, None, None


class _LinearLogProbs(torch.autograd.Function):
    """y = logits[target] − logsumexp(logits);  dlogits = −dy · (softmax − 1ₜ)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, cap: float | None
    ) -> Tensor:
        ctx.save_for_backward(hidden, head, targets)
        ctx.cap = cap
        found = hidden.new_empty(len(hidden))
        for start in range(0, len(hidden), _chunk(head)):
            part = slice(start, start + _chunk(head))
            log_p = softcap(_wide(linear(hidden[part], head)), cap).log_softmax(dim=-1)
            found[part] = log_p.gather(1, targets[part, None])[:, 0]
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head, targets = ctx.saved_tensors
        hidden_gradient = torch.empty_like(hidden)
        head_gradient = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), _chunk(head)):
            part = slice(start, start + _chunk(head))
            weight = -gradients[0][part, None]
            logits = softcap(linear(hidden[part], head), ctx.cap)
            log_p = logits.log_softmax(dim=-1)
            gradient = _logit_gradient(log_p, logits, targets[part, None], weight, ctx.cap)
            torch.mm(gradient, head, out=hidden_gradient[part])
            if head_gradient is not None:
                head_gradient.addmm_(gradient.T, hidden[part])
        return hidden_gradient, head_gradient, None, None


def _logit_gradient(
    log_p: Float[Tensor, "chunk vocab"],
    logits: Float[Tensor, "chunk vocab"],
    target: Int[Tensor, "chunk 1"],
    weight: Float[Tensor, "chunk 1"],
    cap: float | None,
) -> Float[Tensor, "chunk vocab"]:
    """What Σ weights · −log p(target) asks of the logits before their bend: weight · (softmax − 1ₜ).
    Written over `log_p`."""
    gradient = log_p.exp_()
    gradient.scatter_add_(1, target, -torch.ones_like(weight))
    gradient *= weight
    if cap is not None:  # the slope of the bend
        gradient *= 1 - (logits / cap).square()
    return gradient
