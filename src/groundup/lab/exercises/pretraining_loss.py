"""The exercise on the loss."""

from collections.abc import Callable

import torch
from torch import Tensor

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug, with_gradient
from groundup.language import N_
from groundup.model.linear import linear
from groundup.model.loss import softcap


def logits_and_targets(draw: Draw) -> tuple:
    positions, vocab = draw.integer(2, 5), draw.integer(6, 9)
    large = draw.in_turn([1.0, 1.0, 400.0])
    return large * draw.normal(positions, vocab), draw.integers(vocab, positions)


def instead_of_the_fused(part: Callable) -> Callable:
    """Of all the logits at once; positions that have the same weight go together."""

    def cross_entropy(
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        weights: Tensor | None = None,
        cap: float | None = None,
    ) -> Tensor:
        logits = softcap(linear(hidden, head), cap)
        if weights is None:
            return part(logits, targets)
        alike = [(weight, weights == weight) for weight in weights.unique() if weight > 0]
        losses = [w * here.sum() * part(logits[here], targets[here]) for w, here in alike]
        return torch.stack(losses).sum() / weights.sum()

    return cross_entropy


EXERCISES = (
    Exercise(
        name="cross_entropy",
        target="groundup.model.loss:cross_entropy_step_by_step",
        title=N_("Cross-entropy: how wrong the model is"),
        text=N_("""\
At each position the model gives a logit to every token of the vocabulary. The softmax makes probabilities
of them, and the loss is −log of the one that the token has which really came: 0 if the model was certain of
it, and without end if it had ruled it out. The mean over all positions is the one number that training
lowers.

    p = exp(logits) / Σ exp(logits)          the sum goes over the vocabulary
    loss = mean of −log p[target] = mean of (log Σ exp(logits) − logits[target])

Written in this way it needs no division. But exp(100) does not fit into a 32-bit float: it is inf, and the
loss is no number any more. As log Σ exp(x) = m + log Σ exp(x − m) for any m, take the largest logit for m:
then no exponent is above 0.

logits: (positions, vocab), float; targets: (positions), the token ids that came; the result: one number, as
a tensor that gradients go back through. With two tokens, logits 2 and 2, the loss is log 2 = 0.6931.
"""),
        hints=(
            N_("Which two numbers does one position need: one that all its logits take part in, and one "
               "that the target picks out?"),
            N_("Subtract the largest logit of each position, take exp, add up over the vocabulary, take "
               "log, and add the largest again. From that subtract the logit of the target; then take the "
               "mean."),
            N_("largest = logits.max(dim=-1).values; (logits - largest[:, None]).exp().sum(dim=-1).log(); "
               "and the targets' logits: logits.gather(1, targets[:, None])[:, 0]."),
        ),
        inputs=logits_and_targets,
        use=with_gradient,
        mistakes=(
            Mistake("log_sum = largest + (logits - largest[:, None]).exp().sum(dim=-1).log()",
                    "log_sum = logits.logsumexp(dim=0)[targets]",
                    N_("The softmax goes over the positions: it must go over the vocabulary, the last axis.")),
            Mistake("largest + (logits - largest[:, None]).exp()", "logits.exp()",
                    N_("Large logits become inf under exp: subtract the largest of each position first.")),
            Mistake("-log_p.mean()", "-log_p.sum()",
                    N_("This is the sum over the positions; the loss is their mean, whatever the batch "
                       "size.")),
            Mistake("-log_p.mean()", "log_p.mean()",
                    N_("The sign is wrong: training lowers the loss, so it must be −log p, not log p.")),
            Mistake("-log_p.mean()", "-log_p.exp().mean()",
                    N_("The logarithm is missing: this is the mean probability, negative.")),
            Mistake("-log_p.mean()", "-log_p.exp().mean().log()",
                    N_("This is the logarithm of the mean; take the logarithm of each position, then the "
                       "mean.")),
        ),
        plugs=(Plug("groundup.model.loss:cross_entropy", instead_of_the_fused),),
    ),
)  # fmt: skip
