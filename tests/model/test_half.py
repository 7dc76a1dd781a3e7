"""Matrices in half precision: the same products up to rounding, in half the memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import InputError
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.model.config import LoraConfig
from groundup.model.gpt import halve
from groundup.model.linear import half_product
from groundup.model.lora import add_lora
from groundup.model.quantized import quantize, quantize_tables
from tests.model.test_parts import PARTS, small


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 9),
    width=st.integers(1, 80),
    out=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_a_product_is_that_of_the_rounded_numbers(rows: int, width: int, out: int, seed: int):
    draws = torch.Generator().manual_seed(seed)
    x, weight = torch.randn(rows, width, generator=draws), torch.randn(out, width, generator=draws)
    bias = torch.randn(out, generator=draws)
    exact = x.half().double() @ weight.half().double().T
    made = half_product(x, weight.half(), bias).double() - bias
    assert made.sub(exact).abs().max() <= 2**-10 * exact.abs().max() + 1e-6


def test_numbers_beyond_half_precision_are_the_largest_in_it():
    made = half_product(torch.tensor([[1e6, -1e6]]), torch.tensor([[1.0, 0.0]]).half(), None)
    assert made.item() == torch.finfo(torch.float16).max


@torch.no_grad()
@pytest.mark.parametrize("parts", PARTS)
def test_the_logits_of_any_model_are_much_the_same(parts: str):
    model, ids = small(**PARTS[parts]), torch.randint(0, 50, (2, 20))
    whole = model(ids)
    torch.testing.assert_close(halve(model)(ids), whole, atol=0.03, rtol=0.02)


def test_half_the_memory_and_a_shared_table_stays_one():
    model = small(tie_embeddings=True)
    before = sum(p.nbytes for p in model.parameters())
    halve(model)
    assert model.head.weight is model.embedding.weight
    assert sum(p.nbytes for p in model.parameters()) < 0.52 * before


def test_many_texts_go_on_as_each_alone():
    engine = Engine(halve(small()))
    greedy = SamplingConfig(temperature=0, max_new_tokens=12)
    prompts = [[3, 1, 4], [1, 5, 9, 2, 6], [5], [3, 5, 8, 9]]
    assert engine.batch(prompts, greedy) == [list(engine.stream(p, greedy)) for p in prompts]


@torch.no_grad()
def test_adapters_work_on_such_a_model():
    model, ids = small(), torch.randint(0, 50, (1, 9))
    add_lora(model, LoraConfig(rank=2, targets=["*"]), "law")
    whole = model(ids)
    torch.testing.assert_close(halve(model)(ids), whole, atol=0.03, rtol=0.02)


def test_a_model_in_few_bits_is_refused():
    model = small()
    quantize(model, 8)
    quantize_tables(model)
    with pytest.raises(InputError, match="few bits already"):
        halve(model)
