"""Right parts in other styles, put to work together in the place of ours: nothing comes out differently."""

from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.evaluate.language import LanguageScore
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.lab.cut import part_of
from groundup.lab.examine import run_file
from groundup.lab.exercises import find
from groundup.lab.plug import plugged
from groundup.model.loss import cross_entropy
from groundup.train.config import TrainConfig
from groundup.train.loop import start_run, train
from groundup.train.objectives import next_token
from tests.model.test_parts import small

SOLUTIONS = Path(__file__).parent / "solutions"


def parts(**styles: str):
    """Exercises with solutions to them, by name."""
    files = {name: SOLUTIONS / name / f"{style}.py" for name, style in styles.items()}
    exercises = {name: find(name) for name in styles}
    return {
        name: (exercise, part_of(exercise.target, run_file(files[name])))
        for name, exercise in exercises.items()
    }


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_model_trained_on_other_parts_has_the_same_weights(optimizer: str):
    written = parts(
        cross_entropy="one_hot", adamw="folded", learning_rate="table",
        clip_gradients="norm_of_norms", accumulate="scaled_at_the_end", train="zero_first",
    )  # fmt: skip

    def trained() -> list[torch.Tensor]:
        config = TrainConfig(
            steps=5, optimizer=optimizer, grad_accumulation=2, clip_norm=0.1, schedule="cosine"
        )
        run = start_run(small(), config)
        train(run, lambda n: np.random.default_rng(n).integers(0, 50, (2, 9)), next_token)
        return [parameter.detach() for parameter in run.model.parameters()]

    ours = trained()
    with plugged(written) as calls:
        theirs = trained()
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-3)
    assert all(calls[name] for name in written), calls


def test_the_loss_written_out_has_weights_and_a_cap_in_the_place_of_the_fused_one():
    hidden, head = (torch.randn(n, 6).requires_grad_() for n in (9, 5))
    targets, weights = torch.randint(0, 5, (9,)), torch.tensor([0.0, 1, 2] * 3)

    def losses() -> list[torch.Tensor]:
        loss = cross_entropy(hidden, head, targets, weights, cap=2.0)
        return [loss, *torch.autograd.grad(loss, (hidden, head))]

    ours = losses()
    with plugged(parts(cross_entropy="library")) as calls:
        torch.testing.assert_close(losses(), ours)
    assert calls["cross_entropy"] == 1


def test_figures_are_made_by_a_learners_properties():
    score = LanguageScore(nats=30.0, tokens=10, text_bytes=25.0)
    ours = score.perplexity, score.bits_per_byte
    with plugged(parts(perplexity="by_hand", bits_per_byte="log2")) as calls:
        assert (score.perplexity, score.bits_per_byte) == pytest.approx(ours)
    assert calls == {"perplexity": 1, "bits_per_byte": 1}


@pytest.mark.parametrize("name, style", [("generate", "growing_tensor"), ("kv_cache", "appended")])
def test_the_engine_says_the_same_with_other_parts(name: str, style: str):
    written = parts(choose="steps", top_k="ranks", top_p="pairs", draw="library") | parts(
        **{name: style}
    )
    sampling = SamplingConfig(max_new_tokens=8, temperature=1.5, top_k=20, top_p=0.9, seed=3)
    request = Request([1, 2, 3, 4, 5], sampling, frozenset([7]))

    def said() -> list:
        engine = Engine(small(), chunk_tokens=2)
        return [(step.token, step.finished) for step in engine.answer(request)]

    ours = said()
    with plugged(written) as calls:
        assert said() == ours
        assert all(calls[part] for part in written), calls


def test_texts_that_come_and_go_are_read_with_a_plain_cache_as_with_the_paged_one():
    prompts = [[1, 2, 3], [4], [1, 2, 3, 9, 9, 9, 8], [5, 6]]
    sampling = SamplingConfig(max_new_tokens=40, temperature=0.0)
    ours = Engine(small(context_length=32), max_batch=2).batch(prompts, sampling)
    with plugged(parts(kv_cache="room_to_write")) as calls:
        assert Engine(small(context_length=32), max_batch=2).batch(prompts, sampling) == ours
    assert calls["kv_cache"]
