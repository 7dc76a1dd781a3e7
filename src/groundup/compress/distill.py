"""Distillation: a small model learns from what a large one finds likely (Hinton et al. 2015).

A text says of each place which token came; a teacher says how likely every token was. That is an
objective like any other: the divergence between two distributions, mixed with the ordinary loss. As in
`model/loss.py` both heads are taken a few hundred positions at a time with the gradients computed on the
way, so that neither model's logits are ever held whole.

What a teacher says of a text is the same in every epoch, so its likeliest tokens at each position may be
kept (`teacher_cache.py`) instead of asking it again. The rest of its probability is then one outcome more,
"any other token", for the student too. So nothing is made up about tokens that were not kept, and the
divergence is never above the true one (the log-sum inequality). To leave the rest out, as if only the kept
tokens existed, would teach the student too much of what is likely (Anshumann et al. 2025, "Sparse Logit
Sampling", who draw tokens at random instead of keeping the likeliest).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from groundup.compress.config import DistillConfig
from groundup.errors import InputError
from groundup.model.gpt import GPT, Head
from groundup.model.linear import Linear, linear
from groundup.model.loss import CHUNK_LOGITS, LEAST_CHUNK, softcap
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.objectives import Objective

PROJECTION = "to_teacher"
Divergence = tuple[Float[Tensor, ""], Float[Tensor, "_ _"]]
"""A sum over positions, and its gradient in the logits: positions × tokens."""


def distillation(teacher: GPT, config: DistillConfig) -> Objective:
    """The objective of a student of `teacher`: next-token loss and divergence in their shares, and what
    the model itself asks for. With a `hidden_weight`, the student must have been given
    `add_projection`."""
    teacher.requires_grad_(False).eval()

    def objective(
        model: GPT, ids: Int[Tensor, "batch window"]
    ) -> tuple[Float[Tensor, ""], Mapping[str, Float[Tensor, ""]]]:
        teacher.to(ids.device)
        with torch.no_grad():
            known = teacher.hidden(ids[:, :-1]).flatten(0, 1)
        hidden = model.hidden(ids[:, :-1]).flatten(0, 1)
        asked = Asked(known, teacher.head)
        loss, figures = distillation_loss(hidden, model.head, asked, ids[:, 1:].flatten(), config)
        if config.hidden_weight:
            distance = hidden_distance(model.get_submodule(PROJECTION)(hidden), known)
            loss = loss + config.hidden_weight * distance
            figures |= {"hidden_distance": distance.detach()}
        return loss + model.auxiliary_loss(), figures

    return objective


class TaughtBatch(NamedTuple):
    """Windows, and what a teacher said of each of their positions before."""

    ids: Any
    """batch × window."""
    likeliest: Any
    """batch × time × kept: its likeliest tokens."""
    log_probs: Any
    """batch × time × outcomes: theirs, and last that of any other token, if not all were kept."""

    @property
    def tokens(self) -> int:
        """How many tokens it teaches."""
        return self.ids[:, 1:].size


def cached_distillation(vocab_size: int, config: DistillConfig) -> Objective:
    """`distillation` from a `TaughtBatch`, where the teacher need not be there. `vocab_size` is how many
    tokens were thought possible when it was asked."""

    def objective(
        model: GPT, batch: TaughtBatch
    ) -> tuple[Float[Tensor, ""], Mapping[str, Float[Tensor, ""]]]:
        hidden = model.hidden(batch.ids[:, :-1]).flatten(0, 1)
        kept = Kept(batch.likeliest.flatten(0, 1), batch.log_probs.flatten(0, 1), vocab_size)
        loss, figures = distillation_loss(
            hidden, model.head, kept, batch.ids[:, 1:].flatten(), config
        )
        return loss + model.auxiliary_loss(), figures

    return objective


# What a teacher says of some positions


class Asked(NamedTuple):
    """A teacher that is asked now: its last hidden states and its head."""

    hidden: Float[Tensor, "positions d_teacher"]
    head: Head

    @property
    def width(self) -> int:
        """How many numbers a position takes while it is looked at."""
        return len(self.head.weight)

    def divergence(
        self, part: slice, logits: Float[Tensor, "chunk vocab"], config: DistillConfig
    ) -> Divergence:
        """The sum over the positions of `part`, the student's logits being these, and its gradient in the
        logits over the temperature. Ids that only one model has are padding of its table, which no text
        has: they are left out, of the gradient too."""
        theirs = softcap(linear(self.hidden[part], self.head.weight), self.head.softcap)
        both = min(logits.shape[1], theirs.shape[1])
        log_q, log_p = (
            (of_one[:, :both] / config.temperature).log_softmax(-1) for of_one in (logits, theirs)
        )
        return DIVERGENCES[config.divergence](log_q, log_p)


class Kept(NamedTuple):
    """What a teacher said before: its likeliest tokens at each position, their log-probabilities at the
    temperature of the training, and, if not all of `vocab_size` were kept, that of any other."""

    likeliest: Int[Tensor, "positions kept"]
    log_probs: Float[Tensor, "positions outcomes"]
    vocab_size: int

    @property
    def width(self) -> int:
        """As of `Asked`."""
        return self.vocab_size

    def divergence(
        self, part: slice, logits: Float[Tensor, "chunk vocab"], config: DistillConfig
    ) -> Divergence:
        """As of `Asked`."""
        log_q = (logits[:, : self.vocab_size] / config.temperature).log_softmax(-1)
        likeliest, log_p = self.likeliest[part], self.log_probs[part]
        outcomes = log_q.gather(1, likeliest)
        if log_p.shape[1] == likeliest.shape[1]:
            loss, slope = DIVERGENCES[config.divergence](outcomes, log_p)
            return loss, torch.zeros_like(log_q).scatter_(1, likeliest, slope)
        others = log_q.scatter(1, likeliest, -torch.inf)
        any_other = others.logsumexp(-1, keepdim=True)
        loss, slope = DIVERGENCES[config.divergence](torch.cat([outcomes, any_other], -1), log_p)
        # What is asked of "any other" is shared out by how likely each of them is.
        gradient = slope[:, -1:] * (others - any_other).exp()
        return loss, gradient.scatter_(1, likeliest, slope[:, :-1])


Teaching = Asked | Kept


def distillation_loss(
    hidden: Float[Tensor, "positions d_student"],
    head: Head,
    teacher: Teaching,
    targets: Int[Tensor, " positions"],
    config: DistillConfig,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """(1 − share) · cross-entropy + share · temperature² · divergence, in mean nats per position, and the
    two by themselves. The temperature's square makes the gradient as large at any temperature (Hinton et
    al. 2015, section 2)."""
    loss, label, divergence = _LinearDistillation.apply(
        hidden, head.weight, head.softcap, teacher, targets, config
    )
    return loss, {"label_loss": label, "teacher_divergence": divergence}


# lab: distill
def distillation_step_by_step(
    student: Float[Tensor, "positions vocab"],
    teacher: Float[Tensor, "positions vocab"],
    targets: Int[Tensor, " positions"],
    temperature: float,
    teacher_share: float,
) -> Float[Tensor, ""]:
    """`distillation_loss` with the forward divergence, from all logits at once: the reading version.

    (1 − share) · cross-entropy + share · T² · Σ p (log p − log q), in mean nats per position: p is the
    softmax of the teacher's logits over the temperature T, q that of the student's, Σ goes over the
    vocabulary. The cross-entropy is at temperature 1.
    """
    log_q = (student / temperature).log_softmax(-1)
    log_p = (teacher / temperature).log_softmax(-1)
    divergence = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    label = F.cross_entropy(student, targets)
    return (1 - teacher_share) * label + teacher_share * temperature**2 * divergence


def forward_kl(
    log_q: Float[Tensor, "positions vocab"], log_p: Float[Tensor, "positions vocab"]
) -> Divergence:
    """Σ p (log p − log q), p the teacher's, and its gradient in the logits of q: q − p."""
    p = log_p.exp()
    return (p * (log_p - log_q)).sum(), log_q.exp() - p


def reverse_kl(
    log_q: Float[Tensor, "positions vocab"], log_p: Float[Tensor, "positions vocab"]
) -> Divergence:
    """Σ q (log q − log p), and its gradient: q (log q − log p − its mean under q)."""
    q, ratio = log_q.exp(), log_q - log_p
    means = (q * ratio).sum(-1, keepdim=True)
    return means.sum(), q * (ratio - means)


DIVERGENCES = {"forward": forward_kl, "reverse": reverse_kl}


class _LinearDistillation(torch.autograd.Function):
    """The loss of `distillation_loss`, chunk by chunk, with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, cap: float | None, teacher: Teaching,
        targets: Tensor, config: DistillConfig,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        label, divergence = hidden.new_zeros(()), hidden.new_zeros(())
        hidden_gradient = torch.empty_like(hidden)
        head_gradient = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        chunk = max(LEAST_CHUNK, CHUNK_LOGITS // max(len(head), teacher.width))
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = softcap(linear(hidden[part], head), cap)
            taught = teacher.divergence(part, logits, config)
            losses, gradient = _chunk_loss(logits, taught, targets[part, None], config)
            label += losses[0] / len(hidden)
            divergence += losses[1] / len(hidden)
            gradient /= len(hidden)
            if cap is not None:  # the slope of the bend
                gradient *= 1 - (logits / cap).square()
            torch.mm(gradient, head, out=hidden_gradient[part])
            if head_gradient is not None:
                head_gradient.addmm_(gradient.T, hidden[part])
        ctx.save_for_backward(hidden_gradient, head_gradient)
        ctx.mark_non_differentiable(label, divergence)
        share = config.teacher_share
        return (1 - share) * label + share * divergence, label, divergence

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden_gradient, head_gradient = ctx.saved_tensors
        head_gradient = None if head_gradient is None else head_gradient * gradients[0]
        return hidden_gradient * gradients[0], head_gradient, *[None] * 4


def _chunk_loss(
    logits: Float[Tensor, "chunk vocab"],
    taught: tuple[Tensor, Tensor],
    targets: Int[Tensor, "chunk 1"],
    config: DistillConfig,
) -> tuple[tuple[Tensor, Tensor], Float[Tensor, "chunk vocab"]]:
    """The sums of both losses, and the gradient of their mixture in the student's logits."""
    share, temperature = config.teacher_share, config.temperature
    log_p = logits.log_softmax(-1)
    label = -log_p.gather(1, targets).sum()
    gradient = log_p.exp_()
    gradient.scatter_add_(1, targets, gradient.new_full(targets.shape, -1.0))
    gradient *= 1 - share
    divergence, slope = taught
    gradient[:, : slope.shape[1]] += share * temperature * slope
    return (label, temperature**2 * divergence), gradient


def hidden_distance(
    projected: Float[Tensor, "positions d_teacher"], known: Float[Tensor, "positions d_teacher"]
) -> Float[Tensor, ""]:
    """‖projected − known‖² / ‖known‖²: 0 where they agree, 1 for a projection to nothing."""
    return (projected - known).square().sum() / known.square().sum()


def add_projection(student: GPT, teacher: GPT) -> None:
    """Give the student the matrix that takes its hidden states to the teacher's width. It is trained and
    checkpointed as a part of the student; `drop_projection` takes it away before the student is saved."""
    student.add_module(
        PROJECTION, Linear(student.config.d_model, teacher.config.d_model, bias=False)
    )


def drop_projection(student: GPT) -> None:
    """Take the matrix of `add_projection` away, if there is one."""
    if hasattr(student, PROJECTION):
        delattr(student, PROJECTION)


def check_same_tokenizer(teacher: Tokenizer, student: Tokenizer) -> None:
    """Raises `InputError` where the two read the same text as other ids: their probabilities would be of
    different things."""
    if teacher.fingerprint != student.fingerprint:
        raise InputError(
            f"teacher ({teacher.vocab_size} ids) and student ({student.vocab_size} ids) have different "
            "tokenizers, so their probabilities are of different tokens",
            "--student", "name a preset, or a model with the teacher's tokenizer",
        )  # fmt: skip
