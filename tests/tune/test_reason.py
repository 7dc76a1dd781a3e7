"""Learning from marks: what is sampled, how it is marked, and that it teaches."""

import copy

import numpy as np
import pytest
import torch

from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.tokenizer.chat import END
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.config import TrainConfig
from groundup.train.log_probs import token_log_probs
from groundup.train.loop import on_device, start_run, train
from groundup.tune.policy_loss import group_advantages
from groundup.tune.reason import (
    Exercise,
    ReasonConfig,
    Rollout,
    Rollouts,
    frozen,
    nothing_to_learn,
    policy,
    to_exercise,
    world_exercises,
)
from groundup.world.documents import held_out_questions

END_ID = 3
CONFIG = ReasonConfig(answers=4, max_new_tokens=6)


def exercises(n: int) -> list[Exercise]:
    """To begin with an id below 100 is right."""
    prompts = np.random.default_rng(n).integers(10, 300, (3, 5)).tolist()
    return [Exercise(prompt, lambda said: float(said[0] < 100)) for prompt in prompts]


def rollouts(model: GPT, config: ReasonConfig = CONFIG, **more: object) -> Rollouts:
    return Rollouts(model, exercises, config, frozenset({END_ID}), seed=1, **more)


def tensors(rollout: Rollout) -> Rollout:
    return on_device(rollout, torch.device("cpu"))


def test_each_prompt_is_answered_as_often_as_asked_and_only_answers_are_weighted(model: GPT):
    config = CONFIG.model_copy(update={"updates": 2})
    rollout = rollouts(model, config)(0)
    assert rollout.ids.shape[0] == rollout.rewards.shape[0] == 12
    for row in range(12):
        own = np.flatnonzero(rollout.weights[row]) + 1
        said = rollout.ids[row, own].tolist()
        assert rollout.ids[row, :5].tolist() == exercises(0)[row // 4].prompt
        assert own.tolist() == list(range(5, 5 + len(said)))
        assert len(said) == 6 or said[-1] == END_ID
        assert rollout.rewards[row] == (said[0] < 100)
    assert len({tuple(row) for row in rollout.ids.tolist()}) > 9  # samples differ
    assert rollout.tokens == 12 * 4 + rollout.weights.sum()
    log_p = token_log_probs(model, *map(torch.from_numpy, (rollout.ids, rollout.weights)))
    torch.testing.assert_close(torch.from_numpy(rollout.old), log_p.detach())


def test_the_first_gradient_is_that_of_reinforce_with_the_groups_mean(model: GPT):
    # The second group is marked alike throughout: it teaches nothing.
    rewards = np.array([0, 0.5, 1, 0, 1, 1, 1, 1, 0, 0, 0, 1], np.float32)
    rollout = tensors(rollouts(model)(0)._replace(rewards=rewards))
    config = CONFIG.model_copy(update={"divide_by_spread": False, "mean_over_answer": False})
    loss, figures = policy(config)(model, rollout)
    ours = torch.autograd.grad(loss, list(model.parameters()))

    advantages = group_advantages(rollout.rewards.view(3, 4), False).flatten()
    logits = model(rollout.ids[:, :-1])
    log_p = logits.log_softmax(-1).gather(2, rollout.ids[:, 1:, None])[..., 0] * rollout.weights
    reinforce = -(advantages * log_p.sum(1)).sum() / (12 * config.max_new_tokens)
    wanted = torch.autograd.grad(reinforce, list(model.parameters()))
    for own, theirs in zip(ours, wanted, strict=True):
        torch.testing.assert_close(own, theirs, atol=1e-7, rtol=1e-4)
    assert figures["clipped"] == 0
    assert figures["mixed_groups"].item() == pytest.approx(2 / 3)
    assert figures["exact"].item() == pytest.approx(6 / 12)


def test_the_reference_is_the_model_as_it_was(model: GPT):
    config = CONFIG.model_copy(update={"kl": 0.1})
    sample = rollouts(model, config, reference=frozen(model))
    rollout = tensors(sample(0))
    assert policy(config)(model, rollout)[1]["kl"].item() == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    assert policy(config)(model, rollout)[1]["kl"] > 0
    again = tensors(sample(1))
    apart = again.reference - token_log_probs(model, again.ids, again.weights)
    assert apart.abs().max() > 0.01
    with pytest.raises(ValueError, match="kl compares with a reference"):
        rollouts(model, config)


def test_rewarded_answers_become_likelier(model: GPT):
    config = ReasonConfig(answers=8, max_new_tokens=2)
    run = start_run(model, TrainConfig(steps=30, optimizer="adamw", learning_rate=3e-2, warmup=0.0))
    shares: list[float] = []
    hooks = [lambda run: shares.append(run.figures["exact"])]
    train(run, rollouts(model, config), policy(config), hooks)
    assert np.mean(shares[:3]) < 0.5 and np.mean(shares[-3:]) > 0.9


def test_a_training_without_any_difference_of_marks_says_so(model: GPT):
    def mixed(mark) -> list[float]:
        prompts = [Exercise(exercise.prompt, mark) for exercise in exercises(0)]
        sample = Rollouts(model, lambda n: prompts, CONFIG, frozenset(), seed=0)
        run, shares = start_run(model, TrainConfig(steps=20, learning_rate=1e-6)), []
        train(run, sample, policy(CONFIG), [lambda run: shares.append(run.figures["mixed_groups"])])
        return shares

    hopeless = mixed(lambda said: 0.0)
    assert "ask easier questions" in str(nothing_to_learn(hopeless))
    assert nothing_to_learn(hopeless[:19]) is None
    assert nothing_to_learn(mixed(lambda said: float(said[0] < 100))) is None


def weights_after(model: GPT, config: TrainConfig, reason: ReasonConfig, broken_at: int | None):
    """The weights after the training; one that is broken goes on in new objects, as from a checkpoint."""
    run = start_run(model, config)
    sample = rollouts(model, reason, grad_accumulation=config.grad_accumulation)
    if broken_at is not None:
        run.config = config.model_copy(update={"steps": broken_at})
        train(run, sample, policy(reason))
        kept, states, held = copy.deepcopy(model), run.optimizers, sample.held
        state, run = run.state, start_run(kept, config)
        run.state = state
        for new, old in zip(run.optimizers, states, strict=True):
            new.load_state_dict(old.state_dict())
        sample = rollouts(kept, reason, grad_accumulation=config.grad_accumulation)
        if reason.updates > 1:
            sample.held = held
    train(run, sample, policy(reason))
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


@pytest.mark.parametrize("updates", [1, 2])
def test_a_training_that_is_broken_goes_on_to_the_same_bits(model: GPT, updates: int):
    # A constant rate, as what is broken has fewer steps in view.
    config = TrainConfig(steps=4, grad_accumulation=2, optimizer="adamw", warmup=0.0, decay=0.0)
    reason = CONFIG.model_copy(update={"updates": updates})
    whole, broken = (
        weights_after(copy.deepcopy(model), config, reason, broken_at)
        for broken_at in (None, 1 if updates > 1 else 2)
    )
    assert torch.equal(whole, broken)


def test_several_updates_use_the_same_answers_and_leave_the_sampling_model_behind(model: GPT):
    reason = CONFIG.model_copy(update={"updates": 2})
    sample = rollouts(model, reason, grad_accumulation=2)
    first = [sample(n) for n in range(8)]
    for n, same in ((0, 2), (1, 3), (4, 6), (5, 7)):
        assert first[n] is first[same]
    assert not np.array_equal(first[0].ids, first[1].ids)
    assert not np.array_equal(first[0].ids, first[4].ids)
    assert len(sample.held) == 2


def test_sampling_leaves_the_model_in_training(model: GPT):
    model.train()
    rollouts(model)(0)
    assert model.training


def test_a_question_that_does_not_fit_is_refused_in_words(model: GPT):
    long = [Exercise([5] * 60, lambda said: 0.0)]
    sample = Rollouts(model, lambda n: long, CONFIG, frozenset(), seed=0)
    with pytest.raises(InputError, match="60 tokens and an answer of up to 6 do not fit"):
        sample(0)


def test_an_answer_is_marked_by_what_it_says_and_that_it_ends(tokenizer: Tokenizer):
    question = held_out_questions("en", "find", 1)[0]
    wrong = next(answer for answer in question.candidates if answer != question.answer)
    exercise = to_exercise(question, tokenizer, format_reward=0.1)

    def mark(text: str) -> float:
        return exercise.mark(tokenizer.encode(text))

    assert tokenizer.decode(exercise.prompt).endswith("<|end|><|assistant|>")
    assert mark(f" {question.answer}{END}") == 1
    assert mark(f" {wrong}{END}") == 0.1
    assert mark(f" What?{END}") == mark(f" {question.answer}") == mark("") == 0


def test_exercises_are_new_questions_of_all_kinds_that_the_exam_does_not_ask(tokenizer: Tokenizer):
    config = ReasonConfig(tasks=("arithmetic", "last"), languages=("en", "zh"))
    asked = world_exercises(config, tokenizer, 8, seed=3)
    texts = [tokenizer.decode(e.prompt) for n in range(5) for e in asked(n)]
    assert len(set(texts)) == 40
    assert texts[:8] == [tokenizer.decode(e.prompt) for e in asked(0)]
    assert sum("谁" in text or "哪" in text or "什么" in text for text in texts) >= 5
    assert all("+" in text or "-" in text or "加" in text or "减" in text for text in texts[0::4])
