"""Where a part goes into the running model in another form, the reference in that form changes nothing."""

import pytest
import torch

from groundup.compress.config import DistillConfig
from groundup.compress.distill import Asked, Kept, distillation_loss
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.generation.speculative import PromptLookup
from groundup.lab.cut import reference
from groundup.lab.exercises import find
from groundup.lab.plug import plugged
from groundup.model.config import ModelConfig
from groundup.model.gpt import Head
from groundup.tokenizer.chat import DEFAULT_TEMPLATE, render_chat
from groundup.tokenizer.templates import TEMPLATES
from tests.model.test_parts import small


def reference_at_work(name: str):
    exercise = find(name)
    return plugged({name: (exercise, reference(exercise.target))})


def test_our_chat_template_is_written_by_the_part_and_others_by_jinja():
    talk = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    templates = DEFAULT_TEMPLATE, TEMPLATES["chatml"]
    before = [render_chat(template, talk, True) for template in templates]
    with reference_at_work("chat_template"):
        assert [render_chat(template, talk, True) for template in templates] == before


def loss_and_slope(hidden, head, teacher, targets, config):
    loss, figures = distillation_loss(hidden, head, teacher, targets, config)
    return [loss, *torch.autograd.grad(loss, [hidden, head.weight]), *figures.values()]


@pytest.mark.parametrize("divergence", ["forward", "reverse"])
def test_a_student_learns_the_same_by_the_part(divergence):
    torch.manual_seed(0)
    head, other = (
        Head(ModelConfig(d_model=width, vocab_size=vocab, n_heads=1))
        for width, vocab in ((6, 11), (8, 13))
    )
    hidden, known = torch.randn(5, 6, requires_grad=True), torch.randn(5, 8)
    config = DistillConfig(divergence=divergence, temperature=2.0, teacher_share=0.7)
    kept = Kept(torch.rand(5, 11).topk(3).indices, torch.randn(5, 4).log_softmax(-1), 11)
    for teacher in (Asked(known, other), kept):
        given = hidden, head, teacher, torch.randint(11, (5,)), config
        before = loss_and_slope(*given)
        with reference_at_work("distill"):
            after = loss_and_slope(*given)
        torch.testing.assert_close(after, before)


def test_the_engine_goes_on_after_the_same_guesses_by_the_part():
    model, sampling = small(), SamplingConfig(temperature=0.1, max_new_tokens=40, seed=1)

    def answer() -> tuple[list[int], int, int]:
        engine = Engine(model, drafter=PromptLookup())
        said = [step.token for step in engine.answer(Request([1, 2, 1, 2], sampling))]
        return said, engine.guessed_tokens, engine.right_guesses

    before = answer()
    with reference_at_work("accept") as calls:
        assert answer() == before
    assert before[2] > 0 and calls["accept"] > before[2]
