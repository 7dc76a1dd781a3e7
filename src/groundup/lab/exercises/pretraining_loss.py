"""Exercises on the loss, and on the figures that are made of it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.language import N_
from groundup.model.linear import linear
from groundup.model.loss import softcap


def logits_and_targets(draw: Draw) -> tuple:
    positions, vocab = draw.integer(2, 5), draw.integer(6, 9)
    large = draw.in_turn([1.0, 1.0, 400.0])
    return large * draw.normal(positions, vocab), draw.integers(vocab, positions)


def loss_and_gradient(part: Callable, logits: Tensor, targets: Tensor) -> dict[str, Any]:
    """A loss that nothing can be learned from is no loss."""
    logits = logits.clone().requires_grad_()
    loss = part(logits, targets)
    if not (torch.is_tensor(loss) and loss.requires_grad and loss.ndim == 0):
        return {"loss": loss, "gradient of the logits": None}
    (gradient,) = torch.autograd.grad(loss, logits)
    return {"loss": loss.detach(), "gradient of the logits": gradient}


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


def nats_tokens_and_bytes(draw: Draw) -> tuple:
    tokens = draw.integer(5, 40)
    return tokens * draw.integer(50, 400) / 100, tokens, float(tokens * draw.integer(2, 5) + 1)


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
        use=loss_and_gradient,
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
    Exercise(
        name="perplexity",
        target="groundup.evaluate.language:LanguageScore.perplexity",
        title=N_("Perplexity"),
        text=N_("""\
A loss of 2.3 nats says little to anybody. Perplexity says the same as a number of choices: a model that
hesitates between ten equally likely tokens at each position has the perplexity 10. It is e to the power of
the mean loss of a token, as the loss is measured with the natural logarithm.

    perplexity = e^(nats / tokens)

`self` has `nats`, the sum of −log p over all tokens, `tokens`, their number, and `loss`, the mean. With
23.03 nats for 10 tokens the loss is 2.303 and the perplexity 10. The number depends on the tokenizer: the
longer its tokens, the harder each is to guess.
"""),
        hints=(
            N_("A model gives each of ten tokens the probability 1/10. What is its loss, and what undoes "
               "that?"),
            N_("The loss is a natural logarithm, so the power of e undoes it: of the mean, not of the sum."),
            N_("math.exp, of self.loss."),
        ),
        inputs=nats_tokens_and_bytes,
        use=lambda part, nats, tokens, text_bytes: part(nats, tokens, text_bytes).perplexity,
        mistakes=(
            Mistake("math.exp(self.loss)", "2**self.loss",
                    N_("The loss is in nats, not in bits: its power is that of e, not of 2.")),
            Mistake("math.exp(self.loss)", "math.exp(self.nats)",
                    N_("This is e to the power of the sum over all tokens; perplexity takes the mean of a "
                       "token.")),
            Mistake("math.exp(self.loss)", "math.exp(-self.loss)",
                    N_("This is the mean probability of a token; perplexity is one over it.")),
            Mistake("math.exp(self.loss)", "math.exp(self.nats / self.text_bytes)",
                    N_("The nats are divided by the bytes; perplexity is that of a token.")),
        ),
    ),
    Exercise(
        name="bits_per_byte",
        target="groundup.evaluate.language:LanguageScore.bits_per_byte",
        title=N_("Bits per byte: comparing models with different tokenizers"),
        text=N_("""\
The loss of a token depends on how long tokens are: a model of characters has a small loss because a
character is easy to guess, not because it knows more. So what the whole text costs is divided by what does
not depend on the tokenizer: the bytes of the text in UTF-8 (a Chinese character has three).

−log₂ p is the number of bits by which a perfect coder writes a token of probability p. The sum over the
tokens is the size to which the model compresses the text. A bit is ln 2 = 0.693 nats.

    bits per byte = nats / ln 2 / bytes

`self` has `nats`, the sum of −ln p over all tokens of the text, `tokens`, their number, and `text_bytes`.
With 69.3 nats for a text of 100 bytes it is 1.0, whether the text was cut into 20 tokens or into 50.
Without any knowledge it is 8.
"""),
        hints=(
            N_("How many bits does the whole text take? And how long was it before, in a unit that no "
               "tokenizer changes?"),
            N_("Turn the sum of nats into bits (a token of probability 1/2 costs ln 2 nats, and one bit), "
               "and divide by the bytes. The number of tokens is not needed."),
            N_("Divide self.nats by math.log(2), then by self.text_bytes."),
        ),
        inputs=nats_tokens_and_bytes,
        use=lambda part, nats, tokens, text_bytes: part(nats, tokens, text_bytes).bits_per_byte,
        mistakes=(
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.nats / self.text_bytes",
                    N_("These are nats per byte: a bit is ln 2 nats, so divide by ln 2.")),
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.nats * math.log(2) / self.text_bytes",
                    N_("Nats become bits when they are divided by ln 2, not multiplied.")),
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.loss / math.log(2) / self.text_bytes",
                    N_("The mean of one token is divided by the bytes of all: take the sum over the tokens.")),
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.nats / math.log(2) / self.tokens",
                    N_("These are bits per token, which change with the tokenizer: divide by the bytes.")),
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.text_bytes / (self.nats / math.log(2))",
                    N_("Upside down: this is bytes per bit.")),
        ),
    ),
)  # fmt: skip
