"""Keys and values in 8 bits: a quarter of the memory, and answers that depend on no neighbour.

Models compute in double precision here: in single a key that lies between two codes may be rounded up
in a batch and down alone, as sums come out differently in their last digits.
"""

from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.generation.beams import beam_search
from groundup.generation.config import KvCacheDtype
from groundup.generation.engine import Engine
from groundup.generation.paged import PagedCache, PagedPast, from_8_bits, in_8_bits
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.generation.speculative import DraftModel, PromptLookup
from groundup.model.config import LoraConfig
from groundup.model.gpt import GPT
from groundup.model.lora import adapter_parameters, add_lora, use_adapter
from groundup.weights.directory import load
from tests.generation import naive
from tests.generation.test_engine import (
    FAR_SIGHT,
    MODELS,
    coming_at_random,
    random_requests,
    together,
)
from tests.generation.test_speculative import WITHOUT_STATES, like
from tests.model.pieces import in_pieces
from tests.model.test_parts import small


def engine(model: GPT, **settings) -> Engine:
    return Engine(model, kv_cache_dtype="int8", **settings)


def alone(model: GPT, request: Request) -> list[int]:
    """The answer without a cache, by a model whose keys and values are rounded at once."""
    return naive.alone(model, request, naive.in_8_bits)


@pytest.mark.parametrize("parts", MODELS)
def test_requests_that_come_at_random_are_answered_as_alone(parts: str):
    model, requests = small(**MODELS[parts]).double(), random_requests(9, seed=3)
    many = engine(model, max_batch=5, block_size=4, chunk_tokens=24, cache_tokens=100)
    said = coming_at_random(many, requests)
    assert said == together(engine(model, max_batch=1), requests)
    assert said == [alone(model, request) for request in requests]


@pytest.mark.parametrize("parts", ["windows", "neighbours", "longrope", "latent"])
def test_requests_sent_away_for_lack_of_blocks_are_answered_as_alone(parts: str):
    model = small(**MODELS[parts]).double()
    requests = [
        Request([1, 2, 3, 4 + seed], SamplingConfig(temperature=1.2, max_new_tokens=25, seed=seed))
        for seed in range(5)
    ]
    few = engine(model, block_size=2, cache_tokens=36, chunk_tokens=16)
    assert together(few, requests) == [alone(model, request) for request in requests]
    assert few.preemptions > 3


@pytest.mark.parametrize("parts", WITHOUT_STATES)
def test_whoever_guesses_and_whoever_began_alike_changes_no_token(parts: str):
    model = small(**MODELS[parts] | FAR_SIGHT).double()
    cold = SamplingConfig(temperature=0.2, max_new_tokens=10, seed=1)
    requests = [Request([1, 2, 3, 1, 2, 3, 1, 2, last], cold) for last in range(4)]
    expected = [alone(model, request) for request in requests]
    for drafter in (PromptLookup(), DraftModel(like(model, 0.02).double())):
        guessing = engine(model, block_size=4, drafter=drafter)
        assert together(guessing, requests) == expected
        assert guessing.reused_tokens > 0 and guessing.guessed_tokens > 0
        if isinstance(drafter, DraftModel):
            assert drafter.cache.dtype == "int8" and guessing.right_guesses > 0


@pytest.mark.parametrize("parts", ["windows", "latent", "memory"])
def test_requests_with_different_adapters_run_together_as_alone(parts: str):
    model = small(**MODELS[parts])
    add_lora(model, LoraConfig(rank=2, targets=["*"]), "law")
    add_lora(model, LoraConfig(rank=3, targets=["feed_forward.*"]), "medicine")
    with torch.no_grad():
        for parameter in adapter_parameters(model).values():
            parameter.add_(0.2 * torch.randn_like(parameter))
    use_adapter(model.double(), None)
    greedy = SamplingConfig(temperature=0, max_new_tokens=8)
    requests = [Request(list(range(9)), greedy, adapter=a) for a in (None, "law", "medicine")]
    answers = []
    for request in requests:
        with use_adapter(model, request.adapter):
            answers.append(alone(model, request))
    assert together(engine(model, block_size=4), requests) == answers
    assert len({tuple(answer) for answer in answers}) == 3


def test_a_single_beam_is_the_greedy_answer():
    model = small().double()
    greedy = Request([3, 1, 4, 1, 5], SamplingConfig(temperature=0, max_new_tokens=20))
    (found,) = beam_search(model, greedy.prompt, 1, 20, kv_cache_dtype="int8")
    assert found.ids == alone(model, greedy)


NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32)


@settings(deadline=None)
@given(x=st.lists(st.lists(NUMBERS, min_size=5, max_size=5), min_size=1, max_size=4))
@example(x=[[0.0] * 5])
@example(x=[[1e-45, 0.0, 0.0, -1e-45, 1e-40]])
@example(x=[[1e30, 1.0, -1e30, 0.0, 5e29]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_stored_is_at_most_half_a_scale_away(x: list[list[float]], dtype: torch.dtype):
    whole = torch.tensor(x, dtype=dtype)
    codes, scale = in_8_bits(whole)
    assert codes.dtype == torch.int8 and scale.dtype == dtype and scale.shape == (len(x), 1)
    # In exact arithmetic; the product in the model's own precision rounds once more.
    error = (codes.double() * scale.double() - whole.double()).abs()
    assert (error <= scale.double() * (0.5 + 1e-5)).all()
    restored = from_8_bits(codes, scale)
    assert restored.dtype == dtype
    torch.testing.assert_close(
        restored.double(), codes.double() * scale.double(), rtol=2**-8, atol=0
    )
    torch.testing.assert_close(
        restored.abs().amax(-1), whole.abs().amax(-1), rtol=2**-7, atol=torch.finfo(dtype).tiny
    )


def test_nothing_but_its_scale_is_kept_of_a_token_beside_others():
    x = torch.randn(6, 2, 8, generator=torch.Generator().manual_seed(0))
    codes, scale = in_8_bits(x)
    for token in range(6):
        for head in range(2):
            alone_codes, alone_scale = in_8_bits(x[token, head])
            assert torch.equal(codes[token, head], alone_codes)
            assert torch.equal(scale[token, head], alone_scale)


@pytest.mark.parametrize("latent", [False, True])
def test_the_cache_takes_less_than_a_third_of_single_precision(latent: bool):
    parts = {"latent": {"kv_rank": 64, "rope_dim": 32, "value_dim": 32}} if latent else {}
    model = small(d_model=128, n_heads=2, n_kv_heads=2, head_dim=64, **parts)
    request = Request(list(range(20)), SamplingConfig(temperature=0, max_new_tokens=10))
    held = []
    for dtype in get_args(KvCacheDtype):
        it = Engine(model, kv_cache_dtype=dtype)
        together(it, [request])
        held.append(
            sum(
                part.nbytes for both in it.cache.layers.values() for parts in both for part in parts
            )
        )
    assert 0.25 < held[1] / held[0] <= 0.3


@pytest.mark.parametrize("dtype", get_args(KvCacheDtype))
def test_what_is_stored_whole_and_in_one_piece_is_looked_at_where_it_lies(dtype: KvCacheDtype):
    cache, k = PagedCache(4, 4, dtype), torch.randn(1, 2, 5, 8)
    past = PagedPast(cache, [[0, 1]], [0], [5], [5], torch.device("cpu"))
    for seen, parts in zip(past.update(0, k, -k), cache.layers[0], strict=True):
        places = {part.untyped_storage().data_ptr() for part in parts}
        assert (seen.untyped_storage().data_ptr() in places) == (dtype == "auto")


@torch.no_grad()
def test_smollm2_reads_in_pieces_nearly_as_well_as_whole(smollm2: Path, real_data: Path):
    model, tokenizer = load(smollm2)
    story = (real_data / "en" / "the-verdict.txt").read_text(encoding="utf-8")
    ids = torch.tensor([tokenizer.encode(story)[:513]])
    whole, rounded = (
        F.cross_entropy(logits[0], ids[0, 1:]).item()
        for logits in (
            model(ids[:, :-1]),
            in_pieces(
                model, ids[:, :-1], [100, 1, 1, 200, 60], kv_cache_dtype="int8", block_size=16
            ),
        )
    )
    assert whole != rounded and rounded == pytest.approx(whole, rel=0.01)
