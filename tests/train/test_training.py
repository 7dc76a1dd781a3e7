"""Optimisers, schedules, the loop and its guards."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from groundup.errors import InputError, TrainingError
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.train.config import TrainConfig
from groundup.train.loop import start_run, train
from groundup.train.memory import training_bytes
from groundup.train.objectives import in_answer, next_token, weighted_answers
from groundup.train.optimizers import (
    Muon,
    adamw_step_by_step,
    clip_gradients,
    clip_gradients_step_by_step,
    orthogonalize,
)
from groundup.train.schedules import rate


def test_orthogonalised_matrices_have_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((3, 20, 60), (3, 60, 20)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
        assert values.min() > 0.6 and values.max() < 1.3


def test_muon_moves_as_torchs_muon_does():
    torch.manual_seed(0)
    start = torch.randn(40, 20)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = Muon([ours], lr=0.02, momentum=0.95, weight_decay=0.1)
    # torch's iterates in bfloat16, so it can agree only roughly.
    other = torch.optim.Muon([theirs], lr=0.02, momentum=0.95, weight_decay=0.1, nesterov=True)
    for _ in range(4):
        gradient = torch.randn(40, 20)
        for parameter, optimizer in ((ours, mine), (theirs, other)):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved, expected = ours.detach() - start, theirs.detach() - start
    assert torch.cosine_similarity(moved.flatten(), expected.flatten(), dim=0) > 0.995
    assert moved.norm() == pytest.approx(expected.norm().item(), rel=0.05)


def test_written_out_adamw_moves_as_torchs_does():
    torch.manual_seed(0)
    ours = torch.randn(5, 3)
    theirs, mean, square = nn.Parameter(ours.clone()), torch.zeros(5, 3), torch.zeros(5, 3)
    other = torch.optim.AdamW([theirs], lr=0.1, betas=(0.8, 0.9), weight_decay=0.3, eps=1e-3)
    for step in range(1, 6):
        gradient = torch.randn(5, 3)
        theirs.grad = gradient.clone()
        other.step()
        adamw_step_by_step(ours, gradient, mean, square, step, 0.1, (0.8, 0.9), 0.3, 1e-3)
        torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize("size", [0.0, 0.01, 10.0])
def test_written_out_gradients_are_clipped_as_by_torch(size: float):
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((4,), (3, 5))]
    for parameter in parameters:
        parameter.grad = size * torch.randn(parameter.shape)
    gradients = [p.grad.clone() for p in parameters if p.grad is not None]
    norm = clip_gradients_step_by_step(gradients, longest=2.0)
    assert clip_gradients(parameters, longest=2.0) == pytest.approx(norm)
    torch.testing.assert_close(gradients, [p.grad for p in parameters])


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_a_rate_rises_stays_within_its_peak_and_ends_low(schedule: str):
    config = TrainConfig(schedule=schedule, warmup=0.1, decay=0.4, final_rate=0.1)
    rates = [rate(i / 100, config) for i in range(101)]
    assert rates[0] == 0 and max(rates) == pytest.approx(1.0) and rates[-1] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_an_inverse_sqrt_rate_is_that_of_the_transformers_paper():
    steps, warmup = 1000, 100
    config = TrainConfig(schedule="inverse-sqrt", warmup=warmup / steps)
    formula = [min(n**-0.5, n * warmup**-1.5) / warmup**-0.5 for n in range(1, steps + 1)]
    assert [rate(n / steps, config) for n in range(1, steps + 1)] == pytest.approx(formula)
    with pytest.raises(InputError, match="set warmup"):
        TrainConfig.parse({"schedule": "inverse-sqrt", "warmup": 0.0})


def test_what_an_assistant_says_is_found_even_where_a_window_begins_inside_it():
    assistant, end, ids = 1, 2, [7, 7, 2, 7, 1, 7, 7, 2, 7, 1, 7]
    marked = in_answer(torch.tensor([ids]), assistant, end)[0].tolist()
    # True at a position whose next token is the assistant's, the end mark included.
    assert marked == [False] * 4 + [True, True, True, False, False, True, True]


def _run(**settings: object):
    torch.manual_seed(0)
    model = GPT(preset("nano", vocab_size=30, d_model=32, n_layers=2, n_heads=2, context_length=16))
    return start_run(model, TrainConfig.parse({"steps": 30, "micro_batch": 4, **settings}))


def _batch(n: int) -> np.ndarray:
    """Counting: the next token is always the token plus one."""
    starts = np.random.default_rng(n).integers(0, 30, 4)
    return (starts[:, None] + np.arange(17)) % 30


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_simple_rule_is_learned(optimizer: str):
    run = _run(optimizer=optimizer, steps=120)
    losses: list[float] = []
    train(run, _batch, next_token, [lambda run: losses.append(run.loss)])
    assert losses[0] == pytest.approx(math.log(30), rel=0.1)
    assert losses[-1] < 0.3


def test_accumulated_gradients_are_those_of_the_large_batch():
    whole, parts = _run(steps=1, micro_batch=8), _run(steps=1, grad_accumulation=2)
    train(whole, lambda n: np.concatenate([_batch(0), _batch(1)]), next_token)
    train(parts, _batch, next_token)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_answer_weights_count_what_the_assistant_says_with_its_end():
    run, assistant, end = _run(), 28, 29
    ids = torch.tensor([[1, 2, assistant, 3, 4, end, 5, assistant, 6, 7, 8, 9]])
    # As targets, from the second on:  2 28 [3 4 29] 5 28 [6 7 8 9]
    weights = torch.tensor([1.0, 1, 5, 5, 5, 1, 1, 5, 5, 5, 5])
    logits = run.model(ids[:, :-1])[0]
    losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    weighted = weighted_answers(assistant, end, 5.0)(run.model, ids)
    torch.testing.assert_close(weighted, (losses * weights).sum() / weights.sum())


def test_a_loss_that_is_no_number_stops_before_the_weights_are_touched():
    run = _run()
    before = [p.detach().clone() for p in run.model.parameters()]
    with pytest.raises(TrainingError, match="loss became nan") as error:
        train(run, _batch, lambda model, ids: next_token(model, ids) * float("nan"))
    assert "step 1" in str(error.value)
    for old, new in zip(before, run.model.parameters(), strict=True):
        assert torch.equal(old, new)


def test_a_budget_of_time_ends_the_training_in_time():
    run = _run(minutes=1 / 60, steps=10**9)
    train(run, _batch, next_token)
    assert run.state.seconds == pytest.approx(1.0, abs=0.3)
    assert run.rate < 0.2


def test_training_leaves_the_callers_smallest_numbers_alone():
    """Flushing denormals is a switch of the processor, not of the training."""
    smallest = np.nextafter(np.float32(0), np.float32(1))
    seen: list[float] = []
    run = _run(steps=1)
    train(run, _batch, next_token, [lambda run: seen.append((torch.tensor(2e-40) / 2).item())])
    assert seen == [0.0]
    assert np.float32(smallest) * np.float32(1) > 0
    assert (torch.tensor(2e-40) / 2).item() > 0


@pytest.mark.parametrize(
    "parts",
    [
        {"experts": {"count": 4, "active": 2, "d_ff": 64, "shared_d_ff": 32}},
        {"layer_pattern": ["linear", "window"], "window": 8},
        {"latent": {"kv_rank": 16, "rope_dim": 8, "value_dim": 16}, "head_dim": 24},
        {"attention_softcap": 5.0, "logit_softcap": 5.0, "norm_place": "sandwich"},
    ],
)
def test_every_kind_of_model_can_be_reckoned_and_trained(parts: dict):
    config = preset(
        "nano", vocab_size=300, d_model=32, n_heads=2, n_layers=2, context_length=32, **parts
    )
    assert training_bytes(config, TrainConfig(micro_batch=2))["activations"] > 0
    model = GPT(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.randint(0, 300, (2, 33))
    losses = []
    for _ in range(20):
        loss = next_token(model.train(), ids)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.7 * losses[0]
