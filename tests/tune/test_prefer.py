"""Learning preferences: the objective, the reference, and what is said of the result."""

import math

import pytest
import torch
import torch.nn.functional as F

from groundup.data.pairs import EncodedPairs, Pair, encode_pairs
from groundup.model.gpt import GPT
from groundup.sources.rows import BadRows
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.config import TrainConfig
from groundup.train.loop import on_device, start_run, train
from groundup.tune.prefer import (
    PreferConfig,
    answer_log_probs,
    nothing_learned,
    pair_batches,
    preference,
    score_pairs,
)

LOSSES = ["dpo", "ipo", "kto", "orpo", "simpo"]


def polite(numbers: range, tokenizer: Tokenizer) -> EncodedPairs:
    """Pairs in which the longer, rude answer is rejected."""
    places = ["garden", "kitchen", "red ball", "厨房"]
    pairs = [
        Pair(
            [{"role": "user", "content": f"Where is Tom {n}?"}],
            f"Tom is in the {places[n % 4]}.",
            f"Where is Tom? Tom is in the {places[n % 4]}, Mia.",
            f"row {n}",
        )
        for n in numbers
    ]
    return encode_pairs(pairs, tokenizer, 63, BadRows())


@pytest.fixture
def pairs(tokenizer: Tokenizer) -> EncodedPairs:
    return polite(range(12), tokenizer)


def tensors(pairs: EncodedPairs, numbers: list[int]):
    return on_device(pairs.batch(numbers), torch.device("cpu"))


def test_loss_and_gradients_of_dpo_are_those_of_a_softmax_over_everything(model: GPT, pairs):
    model, beta = model.double(), 0.5
    pairs = pairs.with_reference(answer_log_probs(model, pairs, 4))
    with torch.no_grad():  # away from the reference
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = tensors(pairs, [3, 1, 7])

    logits = model(batch.ids[:, :-1])
    each = logits.log_softmax(-1).gather(2, batch.ids[:, 1:, None])[..., 0]
    ratios = (each * batch.weights).sum(1) - batch.reference
    wanted = -F.logsigmoid(beta * (ratios[0::2] - ratios[1::2])).mean()
    gradients = torch.autograd.grad(wanted, list(model.parameters()))

    loss, figures = preference(PreferConfig(beta=beta))(model, batch)
    torch.testing.assert_close(loss, wanted)
    for own, theirs in zip(
        torch.autograd.grad(loss, list(model.parameters())), gradients, strict=True
    ):
        torch.testing.assert_close(own, theirs, atol=1e-10, rtol=1e-8)
    margin = (beta * (ratios[0::2] - ratios[1::2])).mean()
    torch.testing.assert_close(figures["reward_margin"], margin.detach())


def test_the_reference_is_the_same_however_the_pairs_are_grouped(model: GPT, pairs):
    together = torch.from_numpy(answer_log_probs(model, pairs, 12))
    torch.testing.assert_close(together, torch.from_numpy(answer_log_probs(model, pairs, 1)))
    batch = tensors(pairs, [5])
    each = model(batch.ids[:, :-1]).log_softmax(-1).gather(2, batch.ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(together[10:12], (each * batch.weights).sum(1).detach())


def test_the_reference_leaves_the_model_as_it_was(model: GPT, pairs):
    model.train()
    answer_log_probs(model, pairs, 4)
    assert model.training


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_teaches_a_preference_that_holds_for_other_prompts(
    loss, model, pairs, tokenizer
):
    config = PreferConfig(loss=loss)
    others = polite(range(20, 28), tokenizer)
    pairs, others = (p.with_reference(answer_log_probs(model, p, 4)) for p in (pairs, others))
    before = score_pairs(model, others, config)
    run = start_run(model, TrainConfig(steps=25, optimizer="adamw", learning_rate=2e-3))
    train(run, pair_batches(pairs, 4, seed=0), preference(config))
    after = score_pairs(model, others, config)
    assert after.accuracy == 1 and after.right == after.pairs == 8
    assert after.margin > before.margin and after.loss < before.loss
    assert run.figures["reward_accuracy"] == 1 and run.figures["reward_margin"] > 0


def test_before_the_training_nothing_is_preferred(model: GPT, pairs):
    pairs = pairs.with_reference(answer_log_probs(model, pairs, 4))
    score = score_pairs(model, pairs, PreferConfig(), micro_batch=4)
    assert score.loss == pytest.approx(math.log(2)) and (score.right, score.margin) == (0, 0)


@pytest.mark.parametrize(("loss", "said"), [("dpo", "= ln 2"), ("ipo", "25.0"), ("simpo", "simpo")])
def test_a_training_that_learns_nothing_says_so_and_one_that_learns_does_not(
    loss: str, said: str, model: GPT, pairs
):
    config = PreferConfig(loss=loss)
    pairs = pairs.with_reference(answer_log_probs(model, pairs, 4))
    messages = []
    for rate in (1e-9, 3e-3):
        losses: list[float] = []
        run = start_run(model, TrainConfig(steps=45, optimizer="adamw", learning_rate=rate))
        train(run, pair_batches(pairs, 12, 0), preference(config),
              [lambda run, losses=losses: losses.append(run.loss)])  # fmt: skip
        assert nothing_learned(losses[:30], config) is None  # too early to tell
        messages.append(nothing_learned(losses, config))
    assert messages[1] is None
    assert messages[0] is not None and said in messages[0] and "learning rate" in messages[0]


def test_a_loss_with_a_reference_refuses_pairs_without_one(model: GPT, pairs):
    with pytest.raises(ValueError, match="dpo compares with a reference"):
        preference(PreferConfig())(model, tensors(pairs, [0]))
