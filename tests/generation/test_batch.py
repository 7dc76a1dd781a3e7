"""Many texts at once: each goes on as it does alone."""

import pytest
import torch

from groundup.errors import InputError
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig, draw
from groundup.generation.scheduler import Request
from tests.generation import naive
from tests.model.test_parts import PARTS, small

PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6], [5], [8, 9, 7], [2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9]]
GREEDY = SamplingConfig(temperature=0, max_new_tokens=15)
WARM = SamplingConfig(temperature=1.5, max_new_tokens=15, top_k=20)


def alone(engine: Engine, sampling: SamplingConfig, stop_ids: frozenset[int] = frozenset()):
    requests = (Request(p, sampling, stop_ids, when_full="forget") for p in PROMPTS)
    return [naive.alone(engine.model, request) for request in requests]


@pytest.mark.parametrize("parts", PARTS)
def test_a_text_goes_on_among_others_as_alone(parts: str):
    engine = Engine(small(**PARTS[parts]))
    assert engine.batch(PROMPTS, GREEDY) == alone(engine, GREEDY)


@pytest.mark.parametrize("parts", ["windows", "memory", "neighbours"])
def test_so_does_a_text_that_outgrows_the_context(parts: str):
    engine = Engine(small(**PARTS[parts]))
    long = SamplingConfig(temperature=0, max_new_tokens=40)
    assert engine.batch(PROMPTS, long) == alone(engine, long)


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "none"])
def test_so_it_does_with_every_position_scheme(position: str):
    engine = Engine(small(position=position))
    assert engine.batch(PROMPTS, GREEDY) == alone(engine, GREEDY)


def test_so_it_does_where_positions_are_stretched_only_for_long_texts():
    factors = {"short_factors": [1.0, 1.5, 2.0], "long_factors": [2.0, 4.0, 8.0]}
    scaling = {"kind": "longrope", "factor": 2.0, "original_context_length": 20, **factors}
    engine = Engine(small(rope_scaling=scaling))
    assert engine.batch(PROMPTS, GREEDY) == alone(engine, GREEDY)


def test_texts_that_end_leave_the_others_as_they_are():
    engine = Engine(small(**PARTS["neighbours"]))
    free = alone(engine, GREEDY)
    stops = frozenset({free[0][2], free[3][0]})
    ended = engine.batch(PROMPTS, GREEDY, stops)
    assert ended == alone(engine, GREEDY, stops)
    assert len(ended[3]) == 1 and ended[3][0] in stops
    assert len({len(said) for said in ended}) > 1


def test_a_row_draws_by_its_own_seed_whatever_its_neighbours_are():
    engine = Engine(small())
    seeds = [11, 12, 13, 14]
    together = engine.batch(PROMPTS, WARM, seeds=seeds)
    for prompt, seed, said in zip(PROMPTS, seeds, together, strict=True):
        seeded = WARM.model_copy(update={"seed": seed})
        assert list(engine.stream(prompt, seeded)) == said
    assert engine.batch(PROMPTS[::-1], WARM, seeds=seeds[::-1]) == together[::-1]


def test_the_same_prompt_with_other_seeds_is_another_sample():
    engine = Engine(small())
    said = engine.batch([[1, 2, 3]] * 4, WARM, seeds=[1, 2, 1, 3])
    assert said[0] == said[2] and len({tuple(row) for row in said}) == 3


def test_rows_with_the_same_prompt_are_read_once_and_go_on_apart():
    engine = Engine(small(**PARTS["neighbours"]))
    prompts = [PROMPTS[0], PROMPTS[1], PROMPTS[0], [5, 5], PROMPTS[0]]
    said = engine.batch(prompts, WARM, seeds=[1, 2, 3, 4, 5])
    for row, prompt in enumerate(prompts):
        assert engine.batch([prompt], WARM, seeds=[row + 1]) == [said[row]]


def test_a_penalty_for_repetition_counts_no_padding():
    engine = Engine(small())
    penalized = SamplingConfig(temperature=0, max_new_tokens=15, repetition_penalty=3.0)
    assert engine.batch(PROMPTS, penalized) == alone(engine, penalized)


def test_tokens_are_drawn_as_torch_draws_them():
    probabilities = torch.rand(5, 1000, generator=torch.Generator().manual_seed(0)).softmax(-1)
    ours = draw(probabilities, [torch.Generator().manual_seed(seed) for seed in range(5)])
    theirs = [
        torch.multinomial(row, 1, generator=torch.Generator().manual_seed(seed)).item()
        for seed, row in enumerate(probabilities)
    ]
    assert ours.tolist() == theirs


def test_no_prompts_give_no_texts_and_a_bad_one_is_refused():
    engine = Engine(small())
    assert engine.batch([], GREEDY) == []
    with pytest.raises(InputError, match="the prompt is empty"):
        engine.batch([[1], []], GREEDY)
