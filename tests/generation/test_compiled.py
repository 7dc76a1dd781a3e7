"""The compiled steps: they give what the modules give, and a text among others exactly what it gives alone."""

from typing import Any

import pytest
import torch

from groundup.generation.compiled import Compiled, compiled
from groundup.generation.engine import Engine
from groundup.generation.fast_form import NOTICE, fast_form
from groundup.generation.paged import PagedCache, PagedPast
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.generation.speculative import DraftModel, PromptLookup
from groundup.model.config import LoraConfig
from groundup.model.gpt import GPT, halve
from groundup.model.lora import add_lora
from groundup.model.quantized import quantize, quantize_tables
from groundup.weights.directory import load_model
from tests.conftest import groundup_anew
from tests.generation.naive import alone, in_8_bits
from tests.generation.test_engine import (
    LONGROPE,
    MODELS,
    coming_at_random,
    random_requests,
    together,
)
from tests.model.test_parts import small

BUILT = MODELS | {
    "gpt-2": {"position": "learned", "norm": "layernorm", "feed_forward": "gelu", "bias": True,
              "n_kv_heads": 4},
    "relu": {"feed_forward": "relu"},
    "relu²": {"feed_forward": "relu2", "qkv_bias": True},
    "norms of queries and keys": {"qk_norm": True, "head_dim": 24},
    "narrow heads": {"head_dim": 10},
    "a norm around one": {"norm": "zero-centered-rmsnorm", "feed_forward": "geglu"},
    "half a turn": {"rope_share": 0.5, "head_dim": 8},
    "capped logits": {"logit_softcap": 3.0},
    "longrope": {"rope_scaling": LONGROPE | {"short_factors": [1.0, 1.2, 1.5, 2.0],
                                             "long_factors": [2.0, 3.0, 4.0, 8.0]}},
}  # fmt: skip
UNKNOWN = {
    "memory", "latent", "experts", "shared experts", "grouped experts", "sandwich", "output norm", "soft caps",
    "gate and half a turn", "neighbours", "narrow heads",
}  # fmt: skip
KNOWN = sorted(BUILT.keys() - UNKNOWN)


def model_of(**parts: Any) -> GPT:
    """A small model with these parts. (The loops want heads as wide as a number of eights.)"""
    return small(**{"head_dim": 8} | parts)


@pytest.fixture
def always(monkeypatch):
    """Small models are compiled as well."""
    monkeypatch.setattr("groundup.generation.fast_form.WORTH_COMPILING", 0)


def whole(model: GPT) -> GPT:
    return model


def with_8_bits(model: GPT) -> GPT:
    quantize_tables(quantize(model, 8))
    return model


def with_4_bits(model: GPT) -> GPT:
    quantize_tables(quantize(model, 4))
    return model


@pytest.mark.parametrize("parts", sorted(UNKNOWN))
def test_a_model_with_a_part_that_the_loops_do_not_know_stays_as_it_is(parts: str, always):
    model = model_of(**BUILT[parts])
    assert compiled(model) is None and fast_form(model) is model


def test_so_does_a_model_with_adapters(always):
    model = model_of()
    add_lora(model, LoraConfig(rank=2), "one")
    assert fast_form(model) is model


def test_a_small_model_is_not_worth_the_compiler():
    model = model_of()
    assert fast_form(model) is model


def states(network: GPT | Compiled, texts: list[list[int]], steps: list[list[int]], model: GPT):
    """The logits at the last of each text's tokens, which come in these steps: how many of each text."""
    cache, made = PagedCache(40, 4), []
    tables = [list(range(10 * row, 10 * row + 10)) for row in range(len(texts))]
    known = [0] * len(texts)
    for new in steps:
        past = PagedPast(cache, tables, known, new, [len(text) for text in texts], model.device)
        rows = [text[at : at + more] for text, at, more in zip(texts, known, new, strict=True)]
        longest = max(new)
        ids = torch.tensor([[*[0] * (longest - len(row)), *row] for row in rows])
        hidden = network.hidden(ids, past, past.padding)
        made.append(network.head(hidden[:, -1]))
        known = [at + more for at, more in zip(known, new, strict=True)]
    return torch.cat(made)


@pytest.mark.parametrize(
    ("parts", "bits"),
    [(parts, whole) for parts in KNOWN]
    + [
        (parts, bits)
        for parts in ("windows", "gpt-2")
        for bits in (halve, with_8_bits, with_4_bits)
    ],
)
@torch.inference_mode()
def test_a_few_tokens_of_several_texts_give_the_states_of_the_modules(parts: str, bits, always):
    model = bits(model_of(**BUILT[parts]))
    texts = torch.randint(0, 50, (3, 21)).tolist()
    # As prompts, tokens and guesses come.
    steps = [[4, 9, 1], [1, 1, 1], [2, 1, 5], [1, 1, 1], [3, 3, 1]]
    network = compiled(model)
    assert network is not None
    made, expected = (states(each, texts, steps, model) for each in (network, model))
    # `halve` rounds what its modules multiply to half precision, which the loops need not do.
    near = 0.02 if bits is halve else 1e-4
    torch.testing.assert_close(made, expected, atol=near, rtol=near)


@pytest.mark.parametrize("parts", KNOWN)
def test_requests_that_come_at_random_are_answered_as_by_the_modules(parts: str, always):
    model, requests = model_of(**BUILT[parts]), random_requests(9, seed=3)
    engine = Engine(model, max_batch=5, block_size=4, chunk_tokens=24, cache_tokens=100)
    assert isinstance(engine.network, Compiled)
    assert coming_at_random(engine, requests) == [alone(model, request) for request in requests]


@pytest.mark.parametrize("bits", [whole, halve, with_8_bits, with_4_bits])
def test_a_text_among_others_is_answered_as_alone_bit_for_bit(bits, always):
    model, requests = bits(model_of()), random_requests(12, seed=5)
    for request in requests:
        request.top_log_probs = 1
    among = Engine(model, max_batch=5, block_size=4, cache_tokens=100, chunk_tokens=24)
    for request in requests:
        among.submit(request)
    steps = []
    while among.has_work:
        steps += among.step()
    for number, request in enumerate(requests):
        own = list(Engine(model, block_size=4, chunk_tokens=24).answer(request))
        told = [step for step in steps if step.request == number]
        assert [step.token for step in told] == [step.token for step in own]
        assert [step.log_prob for step in told] == [step.log_prob for step in own]


@pytest.mark.parametrize("drafter", [PromptLookup, lambda: DraftModel(model_of(n_layers=1))])
def test_guesses_change_no_token(drafter, always):
    model, requests = model_of(), random_requests(6, seed=11)
    engine = Engine(model, drafter=drafter(), block_size=4)
    assert together(engine, requests) == [alone(model, request) for request in requests]
    assert engine.guessed_tokens > 0


@pytest.mark.parametrize("parts", ["windows", "gpt-2", "norms of queries and keys"])
def test_a_cache_in_8_bits_holds_the_same_codes(parts: str, always):
    model, requests = model_of(**BUILT[parts]), random_requests(6, seed=2)
    engine = Engine(model, kv_cache_dtype="int8", block_size=4, chunk_tokens=24, cache_tokens=100)
    assert coming_at_random(engine, requests) == [
        alone(model, request, in_8_bits) for request in requests
    ]


def test_what_is_trained_in_place_holds_for_the_loops(always):
    model = model_of()
    request = Request([1, 2], SamplingConfig(temperature=0, max_new_tokens=9))
    engine = Engine(model)
    before = [step.token for step in engine.answer(request)]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    after = [step.token for step in engine.answer(request)]
    assert after == alone(model, request) != before


@torch.inference_mode()
def test_a_real_model_says_the_same(smollm2):
    model = load_model(smollm2)
    prompt = torch.randint(1000, 40000, (20,), generator=torch.Generator().manual_seed(1)).tolist()
    engine = Engine(model)
    assert isinstance(engine.network, Compiled)
    request = Request(prompt, SamplingConfig(temperature=0, max_new_tokens=24), top_log_probs=1)
    steps = list(engine.answer(request))
    expected = model(torch.tensor([prompt + [step.token for step in steps]]))[
        0, len(prompt) - 1 : -1
    ]
    assert [step.token for step in steps] == expected.argmax(-1).tolist()
    told = torch.tensor([step.log_prob for step in steps])
    torch.testing.assert_close(told, expected.log_softmax(-1).amax(-1), atol=1e-3, rtol=0)


def test_who_waits_for_the_compiler_is_told_and_does_so_once(smollm2, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    told, kept = [], []
    for _ in range(2):
        told.append(
            groundup_anew(  # numba looks where it keeps things when it is imported
                "generate", smollm2, "--prompt", "Hello", "--max-new-tokens", 3, "--temperature", 0
            )
        )
        assert told[-1].returncode == 0, told[-1].stderr
        kept.append({path: path.stat().st_mtime for path in tmp_path.rglob("*.nbc")})
    assert NOTICE in told[0].stderr
    assert told[0].stdout == told[1].stdout
    assert kept[0] == kept[1] != {}
