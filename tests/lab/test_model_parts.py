"""Right parts of the model, written in other styles, do in the real model what ours do: its logits and
its gradients stay the same, and each part is called."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from groundup.lab.cut import mistaken, part_of
from groundup.lab.examine import run_file
from groundup.lab.exercises import CHAPTERS, find
from groundup.lab.exercises.pieces import shaken
from groundup.lab.plug import plugged
from groundup.model.config import ModelConfig
from groundup.model.cost import parameter_count
from groundup.model.gpt import GPT

SOLUTIONS = Path(__file__).parent / "solutions"
GPT_2 = {
    "vocab_size": 30, "context_length": 8, "d_model": 12, "n_layers": 2, "n_heads": 3, "d_ff": 16,
    "feed_forward": "gelu", "position": "learned", "norm": "layernorm", "bias": True,
    "tie_embeddings": True,
}  # fmt: skip
LLAMA = GPT_2 | {
    "n_heads": 6, "n_kv_heads": 2, "feed_forward": "swiglu", "position": "rotary", "norm": "rmsnorm",
    "bias": False, "tie_embeddings": False,
}  # fmt: skip
IN_LLAMA = ("share_heads", "attend", "rms_norm", "swiglu", "parameter_count")
"""Parts that GPT-2 does not have, or has in a form in which they have nothing to do."""
CHAPTER_NAMES = [name for chapter in ("attention", "block", "gpt") for name in CHAPTERS[chapter]]
PATHS = sorted(path for name in CHAPTER_NAMES for path in (SOLUTIONS / name).glob("*.py"))


def config_with(name: str) -> ModelConfig:
    return ModelConfig.parse(LLAMA if name in IN_LLAMA else GPT_2)


def outcome(config: ModelConfig) -> tuple[int, list[Tensor]]:
    """What a model counts, and gives, and how it learns."""
    torch.manual_seed(1)
    model, ids = shaken(GPT(config)), torch.randint(0, config.vocab_size, (2, 7))
    logits = model(ids)
    logits.logsumexp(-1).mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return parameter_count(config), [logits.detach(), *gradients]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_right_part_in_the_model_gives_the_same_logits_and_gradients(path: Path):
    exercise = find(path.parent.name)
    config = config_with(exercise.name)
    count, ours = outcome(config)
    part = part_of(exercise.target, run_file(path))
    with plugged({exercise.name: (exercise, part)}) as calls:
        again, theirs = outcome(config)
    assert calls[exercise.name] > 0 and again == count
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CHAPTER_NAMES)
def test_a_mistaken_part_in_the_model_shows(name: str):
    """So it is the part that ran, and not only its place that was passed."""
    exercise, config = find(name), config_with(name)
    count, ours = outcome(config)
    part = mistaken(exercise, exercise.mistakes[0])
    with plugged({name: (exercise, part)}):
        try:
            again, theirs = outcome(config)
        except (RuntimeError, TypeError):  # shapes that do not go together
            return
    assert again != count or not torch.allclose(theirs[0], ours[0], atol=1e-5)


def test_all_parts_of_a_model_work_together():
    config = ModelConfig.parse(LLAMA)
    names = ["attention_weights", "causal_mask", "split_heads", "share_heads", "attention",
             "rms_norm", "swiglu", "block", "gpt", "parameter_count"]  # fmt: skip
    last = {path.parent.name: path for path in PATHS}
    parts = {name: (find(name), part_of(find(name).target, run_file(last[name]))) for name in names}
    count, ours = outcome(config)
    with plugged(parts) as calls:
        again, theirs = outcome(config)
    assert again == count and set(names) - calls.keys() == set()
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)
