"""Whoever guesses, and however badly: what is said stays the same, token for token."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import InputError
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.generation.speculative import (
    Drafter,
    DraftModel,
    PromptLookup,
    _followers,
    accept_step_by_step,
)
from groundup.model.gpt import GPT
from tests.generation.naive import alone
from tests.generation.test_engine import (
    MODELS,
    WITH_STATES,
    coming_at_random,
    random_requests,
    together,
)
from tests.model.test_parts import small

WITHOUT_STATES = [parts for parts in MODELS if parts not in WITH_STATES]


def like(model: GPT, noise: float) -> GPT:
    """A model that says much the same: its weights, and some noise."""
    draft = GPT(model.config)
    draft.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in draft.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return draft


def drafter(kind: str, model: GPT) -> Drafter:
    return PromptLookup() if kind == "lookup" else DraftModel(like(model, 0.02))


@pytest.mark.parametrize("kind", ["lookup", "draft"])
@pytest.mark.parametrize("parts", WITHOUT_STATES)
def test_requests_that_come_at_random_are_answered_as_without_guesses(parts: str, kind: str):
    model, requests = small(**MODELS[parts]), random_requests(9, seed=3)
    engine = Engine(
        model, max_batch=5, block_size=4, chunk_tokens=24, cache_tokens=100,
        drafter=drafter(kind, model), draft_tokens=3,
    )  # fmt: skip
    assert coming_at_random(engine, requests) == [alone(model, request) for request in requests]
    if kind == "draft":
        assert engine.guessed_tokens > engine.right_guesses > 0


@pytest.mark.parametrize("kind", ["lookup", "draft"])
def test_texts_that_are_sent_away_or_outgrow_the_context_too(kind: str):
    model = small(layer_pattern=["window", "full"], window=5)
    sampling = SamplingConfig(temperature=0.1, max_new_tokens=60)
    requests = [
        Request([1, 2, 1, 2, seed], sampling.model_copy(update={"seed": seed}), when_full="forget")
        for seed in range(5)
    ]
    engine = Engine(model, block_size=2, cache_tokens=64, drafter=drafter(kind, model))
    assert together(engine, requests) == [alone(model, request) for request in requests]
    assert engine.preemptions > 0 and engine.right_guesses > 0


class Guesses:
    """Always the same ones."""

    def __init__(self, guesses: list[int]):
        self.guesses = guesses

    def attach(self, config: object, cache: object) -> None:
        pass

    def propose(self, texts: list[object], most: list[int]) -> list[list[int]]:
        return [self.guesses[:n] for n in most]


@pytest.mark.parametrize("right", range(5))
def test_the_engine_keeps_the_guesses_that_the_reading_version_keeps(right: int):
    model, sampling = small(), SamplingConfig(temperature=0.0, max_new_tokens=9)
    request = Request([1, 2, 3], sampling)
    first, *truth = alone(model, request)
    guesses = [token if i != right else (token + 1) % 50 for i, token in enumerate(truth[:4])]
    engine = Engine(model, drafter=Guesses(guesses), draft_tokens=4)
    engine.submit(request)
    assert [step.token for step in engine.step()] == [first]
    texts = [torch.tensor([[1, 2, 3, first, *guesses[:i]]]) for i in range(5)]
    with torch.no_grad():
        said = [int(model(ids)[0, -1].argmax()) for ids in texts]
    kept = accept_step_by_step(guesses, said)
    assert [step.token for step in engine.step()] == kept == truth[: right + 1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_that_thinks_as_the_model_is_always_right(temperature: float):
    model = small()
    sampling = SamplingConfig(temperature=temperature, max_new_tokens=25, seed=5)
    engine = Engine(model, drafter=DraftModel(like(model, 0.0)), draft_tokens=4)
    id, passes = engine.submit(Request([1, 2, 3], sampling)), 0
    while engine.has_work:
        assert all(step.request == id for step in engine.step())
        passes += 1
    assert engine.right_guesses == engine.guessed_tokens == 19
    assert passes == 1 + 5  # the prompt and its token, then five at a time, the last time four


def test_log_probabilities_are_those_of_the_model():
    model = small()
    request = Request(
        [1, 2, 1, 2], SamplingConfig(temperature=1.0, max_new_tokens=20, seed=1), top_log_probs=3
    )
    plain, guessing = (
        list(engine.answer(request))
        for engine in (Engine(model), Engine(model, drafter=DraftModel(like(model, 0.05))))
    )
    assert [step.token for step in plain] == [step.token for step in guessing]
    for one, other in zip(plain, guessing, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-5)
        assert [token for token, _ in one.top] == [token for token, _ in other.top]


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 3), min_size=1, max_size=30), most=st.integers(0, 5))
def test_prompt_lookup_finds_what_followed_before(ids: list[int], most: int):
    found = _followers(ids, most)
    assert len(found) <= most
    places = [at for at in range(2, len(ids)) if ids[at - 2 : at] == ids[-2:]]
    if not places:
        assert found == []
    elif most:
        assert any(ids[at : at + most] == found for at in places)


def test_the_newest_place_with_the_longest_match_counts():
    assert _followers([5, 1, 2, 3, 7, 1, 2, 3, 8, 2, 3, 9, 1, 2, 3], 2) == [8, 2]
    assert _followers([1, 1], 3) == []


def test_drafts_that_do_not_go_with_the_model_are_refused():
    model = small()
    with pytest.raises(InputError, match="vocabulary of 40, the model one of 50"):
        Engine(model, drafter=DraftModel(small(vocab_size=40)))
    with pytest.raises(InputError, match="cannot take back a guess"):
        Engine(model, drafter=DraftModel(small(**MODELS["memory"])))
    with pytest.raises(InputError, match="cannot take back a guess"):
        Engine(small(**MODELS["memory"]), drafter=PromptLookup())
