"""The plain loop says what the engine says, and the plain cache changes no logit."""

import pytest
import torch

from groundup.generation.engine import Engine
from groundup.generation.plain import PlainCache, generate_step_by_step
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.model.places import Past
from tests.model.test_parts import PARTS, small


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("new", [6, 100])
def test_the_plain_loop_says_what_the_engine_says(temperature: float, new: int):
    model = small(context_length=24)
    sampling = SamplingConfig(max_new_tokens=new, temperature=temperature, seed=5)
    engine = Engine(model)
    for prompt in ([3], [7, 1, 30, 2]):
        said = [step.token for step in engine.answer(Request(prompt, sampling))]
        assert list(generate_step_by_step(model, prompt, sampling)) == said
        assert len(said) == min(new, 25 - len(prompt))
        stop = frozenset(said[3:4])
        said = [step.token for step in engine.answer(Request(prompt, sampling, stop))]
        assert list(generate_step_by_step(model, prompt, sampling, stop)) == said
        assert said[-1] in stop and len(said) <= 4


@pytest.mark.parametrize("name", PARTS)
def test_a_text_read_in_pieces_with_the_plain_cache_has_the_logits_of_the_whole(name: str):
    model = small(**PARTS[name])
    ids = torch.randint(0, model.config.vocab_size, (2, 12))
    cache = PlainCache()
    assert isinstance(cache, Past)
    with torch.inference_mode():
        pieces = [model(piece, cache) for piece in ids.split([5, 1, 4, 2], dim=1)]
        torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids), atol=1e-5, rtol=1e-4)
