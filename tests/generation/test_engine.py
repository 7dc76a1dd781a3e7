"""Continuous batching: whatever happens around it, a request is answered as it is alone."""

import random

import pytest
import torch

from groundup.errors import InputError
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.model.config import LoraConfig
from groundup.model.lora import adapter_parameters, add_lora, use_adapter
from tests.generation.naive import alone
from tests.model.test_parts import PARTS, small

LONGROPE = {
    "kind": "longrope", "factor": 2.0, "original_context_length": 12,
    "short_factors": [1.0, 1.5, 2.0], "long_factors": [2.0, 4.0, 8.0],
}  # fmt: skip
MODELS = PARTS | {
    "learned": {"position": "learned"},
    "sinusoidal": {"position": "sinusoidal"},
    "no positions": {"position": "none"},
    "many heads": {"n_kv_heads": 4},
    "one key head": {"n_kv_heads": 1},
    "longrope": {"rope_scaling": LONGROPE},
}
FAR_SIGHT = {"window": 30}  # what is behind a window is not kept for others
WITH_STATES = ["memory", "neighbours"]


def random_requests(count: int, seed: int, context: int = 32) -> list[Request]:
    """Requests of all lengths and settings, many of which begin alike."""
    rng = random.Random(seed)
    beginnings = [[rng.randrange(50) for _ in range(20)] for _ in range(2)]
    requests = []
    for number in range(count):
        beginning = rng.choice(beginnings)[: rng.choice([0, 5, 12, 20])]
        prompt = beginning + [rng.randrange(50) for _ in range(rng.randint(1, 8))]
        sampling = SamplingConfig(
            max_new_tokens=rng.randint(1, context - len(prompt) + 1),
            temperature=rng.choice([0.0, 0.7, 1.5]),
            top_k=rng.choice([None, 5, 20]),
            top_p=rng.choice([None, 0.8]),
            min_p=rng.choice([None, 0.05]),
            repetition_penalty=rng.choice([1.0, 1.0, 2.0]),
            seed=number,
        )
        stop_ids = frozenset(rng.sample(range(50), rng.choice([0, 0, 3])))
        requests.append(Request(prompt, sampling, stop_ids))
    return requests


def run(engine: Engine, said: dict[int, list[int]] | None = None) -> dict[int, list[int]]:
    """What each request says until there is nothing left to do."""
    said = {} if said is None else said
    while engine.has_work:
        for step in engine.step():
            said.setdefault(step.request, []).append(step.token)
    assert engine.free_blocks == engine.pool.n_blocks and engine.shared_blocks == 0
    return said


def together(engine: Engine, requests: list[Request]) -> list[list[int]]:
    ids = [engine.submit(request) for request in requests]
    said = run(engine)
    return [said[id] for id in ids]


def coming_at_random(engine: Engine, requests: list[Request]) -> list[list[int]]:
    """What each says, where between two that come there are up to three steps."""
    rng, said = random.Random(4), dict[int, list[int]]()
    for request in requests:
        said[engine.submit(request)] = []
        for _ in range(rng.randrange(4)):
            for step in engine.step():
                said[step.request].append(step.token)
    return list(run(engine, said).values())


@pytest.mark.parametrize("parts", MODELS)
def test_requests_that_come_at_random_are_answered_as_alone(parts: str):
    model, requests = small(**MODELS[parts]), random_requests(9, seed=3)
    engine = Engine(model, max_batch=5, block_size=4, chunk_tokens=24, cache_tokens=100)
    assert coming_at_random(engine, requests) == [alone(model, request) for request in requests]


@pytest.mark.parametrize("parts", ["windows", "memory", "neighbours", "longrope", "latent"])
def test_requests_sent_away_for_lack_of_blocks_are_answered_as_alone(parts: str):
    model = small(**MODELS[parts])
    requests = [
        Request([1, 2, 3, 4 + seed], SamplingConfig(temperature=1.2, max_new_tokens=25, seed=seed))
        for seed in range(5)
    ]
    engine = Engine(model, block_size=2, cache_tokens=36, chunk_tokens=16)
    assert together(engine, requests) == [alone(model, request) for request in requests]
    assert engine.preemptions > 3


@pytest.mark.parametrize("chunk_tokens", [1, 2, 5, 13])
@pytest.mark.parametrize("parts", ["windows", "memory", "neighbours", "longrope"])
def test_prompts_read_in_chunks_are_answered_as_alone(parts: str, chunk_tokens: int):
    model, requests = small(**MODELS[parts]), random_requests(5, seed=7)
    engine = Engine(model, block_size=3, chunk_tokens=chunk_tokens)
    assert together(engine, requests) == [alone(model, request) for request in requests]


@pytest.mark.parametrize("parts", ["windows", "latent", "experts", "longrope", "sandwich"])
def test_blocks_of_a_common_beginning_are_shared_and_change_no_logit(parts: str):
    model, beginning = small(**MODELS[parts] | FAR_SIGHT), list(range(3, 20))
    greedy = SamplingConfig(temperature=0, max_new_tokens=8)
    requests = [Request([*beginning, last], greedy, top_log_probs=50) for last in range(5)]
    engine = Engine(model, block_size=4)
    for request in requests:
        engine.submit(request)
    firsts = engine.step()
    assert len(firsts) == 1  # the first is read, the others wait for its blocks
    firsts += [step for step in engine.step() if step.request]
    assert engine.shared_blocks == 4 and engine.reused_tokens == 4 * 16
    assert engine.pool.n_blocks - engine.free_blocks == 4 + 5
    with torch.no_grad():
        logits = model(torch.tensor([request.prompt for request in requests]))[:, -1]
    for step, expected in zip(firsts, logits.log_softmax(-1), strict=True):
        tokens, log_probs = zip(*step.top, strict=True)
        assert list(tokens) == expected.argsort(descending=True).tolist()
        torch.testing.assert_close(
            torch.tensor(log_probs), expected[list(tokens)], atol=1e-5, rtol=0
        )


def test_a_beginning_is_remembered_after_its_request_until_the_blocks_are_needed():
    model, engine = small(), Engine(small(), block_size=4, cache_tokens=32)
    first = Request(list(range(12)), SamplingConfig(temperature=0, max_new_tokens=4))
    answer = [alone(model, first)]
    assert together(engine, [first]) == answer and engine.reused_tokens == 0
    assert together(engine, [first]) == answer and engine.reused_tokens == 8
    others = Request(list(range(20, 45)), SamplingConfig(temperature=0, max_new_tokens=8))
    assert together(engine, [others]) == [alone(model, others)]  # takes all eight blocks
    assert together(engine, [first]) == answer and engine.reused_tokens == 8


def test_what_waits_for_blocks_reuses_none():
    engine = Engine(small(), block_size=4, cache_tokens=20)
    for new in (8, 5):
        engine.submit(Request(list(range(12)), SamplingConfig(max_new_tokens=new, seed=new)))
    for _ in range(7):  # the first needs all but one of the five blocks, and may grow
        engine.step()
        assert (engine.running, engine.waiting, engine.reused_tokens) == (1, 1, 0)
    run(engine)
    assert engine.reused_tokens == 8


@pytest.mark.parametrize("parts", WITH_STATES)
def test_layers_with_states_share_nothing(parts: str):
    engine = Engine(small(**MODELS[parts]), block_size=2)
    requests = [
        Request(list(range(12)), SamplingConfig(max_new_tokens=3, seed=seed)) for seed in (1, 2)
    ]
    together(engine, requests)
    assert engine.reused_tokens == 0


def test_a_request_that_is_cancelled_changes_no_other_and_leaves_no_block():
    model, requests, rng = small(**PARTS["windows"]), random_requests(14, seed=8), random.Random(9)
    engine = Engine(model, max_batch=4, block_size=2, cache_tokens=50, chunk_tokens=12)
    ids = [engine.submit(request) for request in requests]
    said: dict[int, list[int]] = {id: [] for id in ids}
    cancelled = set(ids[::3])
    for id in sorted(cancelled, key=lambda _: rng.random()):  # some run, some wait, some are over
        for step in engine.step():
            said[step.request].append(step.token)
        engine.cancel(id)
        engine.cancel(id)
    engine.cancel(1000)
    run(engine, said)
    for id, request in zip(ids, requests, strict=True):
        expected = alone(model, request)
        assert said[id] == (expected[: len(said[id])] if id in cancelled else expected)
    assert any(len(said[id]) < len(alone(model, requests[id])) for id in cancelled)


def test_a_request_ends_at_a_stop_id_after_its_tokens_or_where_the_context_is_full():
    model = small()
    free = alone(model, Request([1, 2], SamplingConfig(temperature=0, max_new_tokens=6)))
    greedy = SamplingConfig(temperature=0, max_new_tokens=6)
    endless = SamplingConfig(temperature=0, max_new_tokens=1000)
    engine = Engine(model)
    stopped = list(engine.answer(Request([1, 2], greedy, frozenset({free[3]}))))
    assert [step.token for step in stopped] == free[: free.index(free[3]) + 1]
    assert [step.finished for step in stopped[:-1]] == [None] * (len(stopped) - 1)
    assert stopped[-1].finished == "stop"
    assert [step.finished for step in engine.answer(Request([1, 2], greedy))][-1] == "length"
    full = list(engine.answer(Request([1] * 30, endless)))
    three = SamplingConfig(temperature=0, max_new_tokens=3)
    assert [step.token for step in full] == alone(model, Request([1] * 30, three))
    assert full[-1].finished == "length" and engine.free_blocks == engine.pool.n_blocks


def test_log_probabilities_are_those_of_the_model_whatever_narrows_the_choice():
    model = small()
    narrow = SamplingConfig(temperature=0.3, top_k=3, max_new_tokens=5, seed=1)
    steps = list(Engine(model).answer(Request([7, 8, 9], narrow, top_log_probs=2)))
    ids = torch.tensor([[7, 8, 9, *(step.token for step in steps)]])
    with torch.no_grad():
        expected = model(ids)[0, 2:-1].log_softmax(-1)
    for step, log_probs in zip(steps, expected, strict=True):
        assert step.log_prob == pytest.approx(log_probs[step.token].item(), abs=1e-5)
        assert [token for token, _ in step.top] == log_probs.topk(2).indices.tolist()
    for step in Engine(model).answer(Request([7, 8, 9], narrow)):
        assert step.log_prob is None and step.top == []


def test_first_come_first_served():
    engine = Engine(small(), max_batch=1)
    for length in (5, 1, 3):
        engine.submit(Request([length], SamplingConfig(temperature=0, max_new_tokens=length)))
    order = []
    while engine.has_work:
        order += [step.request for step in engine.step()]
        assert engine.running <= 1
    assert order == [0] * 5 + [1] + [2] * 3


def test_those_who_talk_do_not_wait_for_a_long_prompt():
    engine = Engine(small(), chunk_tokens=4)
    talker = engine.submit(Request([1], SamplingConfig(temperature=0, max_new_tokens=20)))
    engine.step()
    reader = engine.submit(Request([2] * 20, SamplingConfig(temperature=0, max_new_tokens=1)))
    heard = [[step.request for step in engine.step()] for _ in range(5)]
    assert heard == [[talker]] * 4 + [[talker, reader]]


@pytest.mark.parametrize(
    ("prompt", "new", "said"),
    [
        ([], 5, "empty"),
        ([1] * 33, 5, "33 tokens"),
        ([50], 5, "outside the vocabulary"),
        ([1] * 10, 12, "may come to 21 tokens, but the cache has room for 20"),
    ],
)
def test_what_can_never_be_answered_is_refused(prompt: list[int], new: int, said: str):
    engine = Engine(small(), block_size=4, cache_tokens=20)
    with pytest.raises(InputError, match=said):
        engine.submit(Request(prompt, SamplingConfig(max_new_tokens=new)))
    assert not engine.has_work and engine.step() == []


@pytest.mark.parametrize("parts", ["windows", "latent", "memory", "soft caps"])
def test_requests_with_different_adapters_run_together_as_alone(parts: str):
    model = small(**MODELS[parts] | FAR_SIGHT)
    add_lora(model, LoraConfig(rank=2, targets=["*"]), "law")  # the head as well
    add_lora(model, LoraConfig(rank=3, dora=True, targets=["feed_forward.*"]), "medicine")
    with torch.no_grad():
        for parameter in adapter_parameters(model).values():
            parameter.add_(0.2 * torch.randn_like(parameter))
    use_adapter(model, None)
    requests = [
        Request(prompt, SamplingConfig(temperature=0, max_new_tokens=8), adapter=adapter)
        for prompt in (list(range(9)), [*range(8), 20, 21])
        for adapter in (None, "law", "medicine")
    ]
    engine = Engine(model, block_size=4, max_batch=4)
    answers = []
    for request in requests:
        with use_adapter(model, request.adapter):
            answers.append(alone(model, request))
    assert together(engine, requests) == answers
    assert len({tuple(answer) for answer in answers[:3]}) == 3
    if parts not in WITH_STATES:  # a beginning is shared with texts of the same adapter only
        assert engine.reused_tokens == 3 * 8
    use_adapter(model, "law")
    assert together(Engine(model), [requests[0], requests[2]]) == [answers[1], answers[2]]


def test_adapters_that_are_not_there_or_on_experts_are_refused():
    model = small(**PARTS["experts"])
    add_lora(model, LoraConfig(rank=2, targets=["query"]), "law")
    with pytest.raises(InputError, match="did you mean 'law'"):
        Engine(model).submit(Request([1], SamplingConfig(), adapter="lav"))
    add_lora(model, LoraConfig(rank=2), "everything")
    engine = Engine(model)
    engine.submit(Request([1], SamplingConfig(), adapter="everything"))
    with pytest.raises(InputError, match="one at a time"):
        engine.submit(Request([1], SamplingConfig(), adapter="law"))


def test_what_no_window_reaches_any_more_takes_no_room():
    model = small(layer_pattern=["window"], window=4, context_length=512)
    engine = Engine(model, block_size=2)
    greedy = SamplingConfig(temperature=0, max_new_tokens=300)
    engine.submit(Request([1, 2, 3], greedy))
    while engine.has_work:
        engine.step()
        assert len(engine.cache.pages) <= 3
    assert max(len(keys) for (keys,), _ in engine.cache.layers.values()) < 12


def test_a_text_that_goes_on_from_afar_finds_no_block_that_is_gone():
    model = small(layer_pattern=["window", "full"], window=5)
    engine = Engine(model, block_size=2)
    greedy = SamplingConfig(temperature=0, max_new_tokens=6)
    first = list(range(16))
    for prompt in (first, first[:9] + [40], [*first, 7, 8, 9]):
        request = Request(prompt, greedy, when_full="forget")
        assert engine.batch([prompt], greedy) == [alone(model, request)]


def test_a_stream_that_is_left_leaves_nothing_behind():
    engine = Engine(small())
    for _ in engine.stream([1, 2, 3], SamplingConfig(max_new_tokens=9)):
        break
    assert not engine.has_work and engine.free_blocks == engine.pool.n_blocks


def test_two_streams_of_one_engine_are_not_mixed():
    engine, greedy = Engine(small()), SamplingConfig(temperature=0, max_new_tokens=9)
    first = engine.stream([1, 2, 3], greedy)
    said = [next(first)]
    with pytest.raises(InputError, match="at work on 1 other requests"):
        next(engine.stream([4, 5], greedy))
    with pytest.raises(InputError, match="at work"):
        engine.batch([[4, 5]], greedy)
    assert said + list(first) == alone(engine.model, Request([1, 2, 3], greedy))
