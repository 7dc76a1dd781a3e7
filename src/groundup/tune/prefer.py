"""Preferences: of two answers to a prompt, the chosen one becomes likelier than the rejected one.

In: pairs (`data/pairs.py`). On the way: the log-probabilities of all answers under the model as it
is, once, before the training; batches; an objective of the one loop. Out: how often the model prefers
what was chosen in pairs it has not seen. The losses themselves are in `preference_losses.py`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundup.data.order import drawn
from groundup.data.pairs import EncodedPairs, Pairs
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.train.log_probs import row_log_probs
from groundup.train.loop import on_device
from groundup.train.objectives import Objective
from groundup.tune.config import PreferConfig
from groundup.tune.preference_losses import dpo, ipo, kto, orpo, simpo

# Losses over so many steps are compared, and a share below which they count as the same.
WATCHED, MOVED = 20, 0.01


def preference(config: PreferConfig) -> Objective:
    """The objective: the loss of `config`, and as figures the share of pairs with the higher reward for
    the chosen answer, and by how much it is higher."""
    loss_of = loss_function(config)

    def objective(model: GPT, pairs: Pairs) -> tuple[Tensor, Mapping[str, Tensor]]:
        sums = row_log_probs(model, pairs.ids, pairs.weights)
        chosen, rejected = _scores(sums, pairs, config)
        margins = config.strength * (chosen - rejected).detach()
        figures = {"reward_accuracy": (margins > 0).float().mean(), "reward_margin": margins.mean()}
        return loss_of(chosen, rejected) + model.auxiliary_loss(), figures

    return objective


def loss_function(config: PreferConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of `config` as a function of the scores of chosen and rejected answers."""
    beta = config.strength
    match config.loss:
        case "dpo":
            return partial(dpo, beta=beta, label_smoothing=config.label_smoothing)
        case "simpo":
            return partial(simpo, beta=beta, target_margin=config.target_margin)
    return partial({"ipo": ipo, "kto": kto, "orpo": orpo}[config.loss], beta=beta)


def _scores(
    sums: Float[Tensor, " rows"], pairs: Pairs, config: PreferConfig
) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """What the loss wants to know of the chosen and the rejected answers: log-ratios to the reference,
    or the mean log p of their tokens. β times it is the reward of an answer."""
    if not config.needs_reference:
        scores = sums / pairs.weights.sum(1)
    elif pairs.reference is None:
        raise ValueError(f"{config.loss} compares with a reference: `answer_log_probs`")
    else:
        scores = sums - pairs.reference
    return scores[0::2], scores[1::2]


def pair_batches(pairs: EncodedPairs, micro_batch: int, seed: int) -> Callable[[int], Pairs]:
    """batches(n) of the loop, `micro_batch` pairs each."""
    return lambda n: pairs.batch(drawn(n, micro_batch, len(pairs), seed).tolist())


@torch.inference_mode()
def answer_log_probs(
    model: GPT, pairs: EncodedPairs, micro_batch: int
) -> Float[np.ndarray, " answers"]:
    """log p of each answer, in nats. Taken once before the training, with adapters off, it is the
    reference: `pairs.with_reference(answer_log_probs(model, pairs, 8))`."""
    was_training = model.training
    model.eval()
    device = model.device
    found = np.zeros(len(pairs.answers), np.float32)
    for numbers in _by_length(pairs, micro_batch):
        batch = on_device(pairs.batch(numbers), device)
        sums = row_log_probs(model, batch.ids, batch.weights).float().cpu().numpy()
        found[[2 * number for number in numbers]] = sums[0::2]
        found[[2 * number + 1 for number in numbers]] = sums[1::2]
    model.train(was_training)
    return found


def _by_length(pairs: EncodedPairs, size: int) -> Iterator[list[int]]:
    """The numbers of the pairs, those of like length together, so that little is padding."""
    lengths = [len(answer.ids) for answer in pairs.answers]
    order = sorted(range(len(pairs)), key=lambda i: max(lengths[2 * i : 2 * i + 2]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@dataclass(frozen=True)
class PreferScore:
    """How a model judges pairs: counts, from which an interval can be made."""

    right: int
    """Pairs in which the chosen answer has the higher reward."""
    pairs: int
    margin: float
    """By how much the reward of the chosen answer is higher, on average."""
    loss: float

    @property
    def accuracy(self) -> float:
        return self.right / self.pairs


def score_pairs(
    model: GPT, pairs: EncodedPairs, config: PreferConfig, micro_batch: int = 8
) -> PreferScore:
    """The implicit rewards of `pairs`, which the training has not seen. Before the training, rewards
    that are measured from a reference are all 0, and none is right."""
    sums = torch.from_numpy(answer_log_probs(model, pairs, micro_batch))
    everything = on_device(pairs.batch(range(len(pairs))), torch.device("cpu"))
    chosen, rejected = _scores(sums, everything, config)
    margins = config.strength * (chosen - rejected)
    loss = loss_function(config)(chosen, rejected)
    return PreferScore(int((margins > 0).sum()), len(pairs), margins.mean().item(), loss.item())


def start_value(config: PreferConfig) -> float | None:
    """The loss of a model that does not differ from the reference; None without a reference."""
    starts = {"dpo": math.log(2), "ipo": 1 / (4 * config.strength**2), "kto": 0.5}
    return starts.get(config.loss)


def nothing_learned(losses: Sequence[float], config: PreferConfig) -> str | None:
    """What to say where the loss has not left the value that it began with; None where it has, or
    where it is too early to tell. `losses`: of each step since the warm-up."""
    if len(losses) < 2 * WATCHED:
        return None
    start, recent = start_value(config), fmean(losses[-WATCHED:])
    known = "" if config.loss != "dpo" else " = ln 2"
    if start is None:
        start = fmean(losses[:WATCHED])
    if recent < start * (1 - MOVED) or recent > start * (1 + MOVED):
        return None
    return N_(
        f"after {len(losses)} steps the {config.loss} loss sits at {recent:.4f}, where it began"
        f" ({start:.4f}{known}): nothing is learned. Raise the learning rate or train longer, check"
        " that chosen and rejected answers differ in something that can be told"
    )
