"""The engine and its sampling, against transformers and against themselves."""

import math
from collections import Counter

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

import groundup
from groundup.errors import InputError
from groundup.generation.engine import Engine
from groundup.generation.sampling import (
    SamplingConfig,
    choose,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
)
from groundup.generation.text import Completion, complete, complete_all

GREEDY = SamplingConfig(temperature=0, max_new_tokens=20)


def test_the_cache_changes_no_token(model):
    ids = [5, 6, 7]
    for _ in range(20):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert list(Engine(model).stream([5, 6, 7], GREEDY)) == ids[3:]


def test_generation_goes_on_beyond_the_context(model):
    sampling = SamplingConfig(temperature=0, max_new_tokens=150)
    assert len(list(Engine(model).stream([5], sampling))) == 150


def test_the_same_seed_gives_the_same_text_and_another_seed_another(model, tokenizer):
    texts = [
        groundup.generate(model, tokenizer, "Mia", temperature=1.5, seed=seed) for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_streamed_pieces_are_the_text(model, tokenizer):
    kept = {"temperature": 1.0, "seed": 3, "max_new_tokens": 40}
    pieces = list(groundup.stream(model, tokenizer, "Mia", **kept))
    assert "".join(pieces) == groundup.generate(model, tokenizer, "Mia", **kept)


def test_text_ends_before_a_stop_string(model, tokenizer):
    whole = groundup.generate(model, tokenizer, "Mia", temperature=1.0, seed=3, max_new_tokens=60)
    stop = whole[10:13]
    completion = Completion(tokenizer.encode("Mia"))
    sampling = SamplingConfig(temperature=1.0, seed=3, max_new_tokens=60)
    text = "".join(complete(Engine(model), tokenizer, completion, sampling, [stop]))
    assert text == whole[: whole.index(stop)] == completion.text
    assert completion.finish_reason == "stop"


LOGITS = torch.randn(3, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: keep_top_k(x, 5), transformers.TopKLogitsWarper(5)),
        (lambda x: keep_top_p(x, 0.7), transformers.TopPLogitsWarper(0.7)),
        (lambda x: keep_min_p(x, 0.2), transformers.MinPLogitsWarper(0.2)),
    ],
)
def test_what_may_be_chosen_is_what_transformers_lets_be_chosen(ours, theirs):
    assert torch.equal(ours(LOGITS), theirs(torch.zeros(3, 1, dtype=torch.long), LOGITS.clone()))


@pytest.mark.parametrize("spread", [0.1, 3.0])
@pytest.mark.parametrize("p", [0.3, 0.9, 0.99])
def test_a_share_of_a_large_vocabulary_is_that_of_transformers(spread: float, p: float):
    """Whether the likeliest few tokens reach the share (spread 3) or not."""
    logits = spread * torch.randn(2, 5000, generator=torch.Generator().manual_seed(1))
    theirs = transformers.TopPLogitsWarper(p)(torch.zeros(2, 1, dtype=torch.long), logits.clone())
    assert torch.equal(keep_top_p(logits, p), theirs)


def test_the_repetition_penalty_is_that_of_transformers():
    past = torch.tensor([[1, 2, 2], [3, 4, 5], [6, 6, 6]])
    theirs = transformers.RepetitionPenaltyLogitsProcessor(1.3)(past, LOGITS.clone())
    torch.testing.assert_close(penalize_repetition(LOGITS, past, 1.3), theirs)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_the_likeliest_token_can_always_be_chosen(k: int, top_p: float, min_p: float):
    for narrowed in (keep_top_k(LOGITS, k), keep_top_p(LOGITS, top_p), keep_min_p(LOGITS, min_p)):
        best = LOGITS.argmax(-1, keepdim=True)
        assert torch.equal(narrowed.gather(1, best), LOGITS.gather(1, best))


def test_tokens_are_drawn_as_often_as_their_probabilities_say():
    logits = torch.tensor([[2.0, 1.0, 0.0]]).repeat(20_000, 1)
    past = torch.zeros(20_000, 1, dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    drawn = Counter(
        choose(logits, past, SamplingConfig(temperature=0.5), [generator] * 20_000).tolist()
    )
    weights = [math.exp(logit / 0.5) for logit in (2.0, 1.0, 0.0)]
    for token, weight in enumerate(weights):
        assert drawn[token] / 20_000 == pytest.approx(weight / sum(weights), abs=0.015)


@pytest.mark.parametrize("temperature", [1e-320, 1e-9])
def test_the_coldest_temperatures_take_the_likeliest(model, temperature: float):
    cold = SamplingConfig(temperature=temperature, max_new_tokens=20)
    assert list(Engine(model).stream([5], cold)) == list(Engine(model).stream([5], GREEDY))


@pytest.mark.parametrize(
    ("prompt", "said"), [([], "empty"), ([1] * 65, "65 tokens"), ([10_000], "10000")]
)
def test_a_bad_prompt_is_refused_in_words(model, prompt: list[int], said: str):
    with pytest.raises(InputError, match=said):
        list(Engine(model).stream(prompt, GREEDY))


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 2}, {"top_k": 0}, {"tmp": 1}])
def test_impossible_settings_are_refused(model, tokenizer, wrong: dict):
    with pytest.raises(InputError):
        groundup.generate(model, tokenizer, "Mia", **wrong)


def test_many_completions_are_those_of_one_after_another(model, tokenizer):
    prompts = [tokenizer.encode_prompt(text) for text in ("Mia", "Tom is", "Mia is in the")]
    sampling = SamplingConfig(temperature=0, max_new_tokens=30)
    alone = [Completion(list(prompt)) for prompt in prompts]
    for completion in alone:
        "".join(complete(Engine(model), tokenizer, completion, sampling, ["e"]))
    together = [Completion(list(prompt)) for prompt in prompts]
    engine = Engine(model, max_batch=2)
    complete_all(engine, tokenizer, together, sampling, ["e"])
    assert together == alone and not engine.has_work
    assert {completion.finish_reason for completion in alone} >= {"stop"}
