"""What a run will take is said before, and what cannot fit is refused."""

import json
import time
from pathlib import Path

import torch

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.recipe.stages import PeakMemory
from groundup.train.config import TrainConfig
from groundup.train.memory import memory_problem, training_bytes
from groundup.train.objectives import next_token
from tests.conftest import groundup

SMALL = [
    "--tokenizer.vocab_size", 300, "--pretrain.train.steps", 40, "--pretrain.model.context_length", 16,
]  # fmt: skip


def test_a_plan_names_all_stages_and_after_the_run_all_are_done(story: Path, tmp_path: Path):
    command = ["shakespeare-modern", "--data", story, "--out", tmp_path / "run", *SMALL, "--json"]
    plan = json.loads(groundup("plan", *command).stdout)
    assert plan["fits"] and not (tmp_path / "run").exists(), "planning writes nothing"
    assert [stage["state"] for stage in plan["stages"]] == ["todo"] * 5
    pretrain = next(stage for stage in plan["stages"] if stage["name"] == "pretrain")
    assert (
        pretrain["seconds"] > 0 and pretrain["memory_bytes"] > 1e8 and pretrain["disk_bytes"] > 1e6
    )
    assert any("parameters" in note for note in plan["notes"]), "a tiny text for this model"
    assert groundup("run", *command).returncode == 0
    plan = json.loads(groundup("plan", *command).stdout)
    assert [stage["state"] for stage in plan["stages"]] == ["done"] * 5


def test_what_cannot_fit_is_refused_with_the_largest_that_would(story: Path, tmp_path: Path):
    command = [
        "shakespeare-modern",
        "--data",
        story,
        "--out",
        tmp_path,
        "--pretrain.preset",
        "gpt-3-175b",
    ]
    result = groundup("plan", *command, "--json")
    assert result.returncode == 0
    plan = json.loads(result.stdout)
    assert plan["fits"] is False and "the largest preset that fits is " in plan["problems"][0]
    refused = groundup("run", *command)
    assert refused.returncode == 2 and "largest preset" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_vocabulary_of_characters_is_as_large_as_it_turns_out(story: Path, tmp_path: Path):
    command = ["shakespeare-classic", "--data", story, "--pretrain.train.steps", 20, "--json"]
    result = groundup("plan", *command, "--out", tmp_path)
    assert result.returncode == 0 and json.loads(result.stdout)["fits"], result.stderr


def test_what_takes_too_long_to_try_is_reckoned(story: Path, tmp_path: Path):
    sizes = ["--pretrain.preset", "gpt-2-medium", "--pretrain.model.n_layers", 24]
    command = ["shakespeare-modern", "--data", story, *sizes]
    plan = json.loads(groundup("plan", *command, "--out", tmp_path, "--json").stdout)
    pretrain = next(stage for stage in plan["stages"] if stage["name"] == "pretrain")
    assert pretrain["seconds"] > 150 * 5, "150 steps of more than five seconds"
    assert pretrain["memory_bytes"] > 3 * 4 * 300e6, "weights, gradients and averages"


def test_a_smaller_micro_batch_is_proposed_where_one_fits():
    config, huge = preset("micro"), TrainConfig(micro_batch=1 << 16)
    problem = memory_problem(config, huge)
    assert problem and "a train.micro_batch of" in problem and "grad_accumulation" in problem


def test_the_memory_of_training_is_foretold():
    """What autograd really keeps for the backward pass, weights left out, equals the forecast."""
    for name in ("nano", "llama-like", "gpt-2-small"):
        config = preset(name, n_layers=2, vocab_size=500, context_length=64)
        train = TrainConfig(micro_batch=3)
        foretold = training_bytes(config, train)
        model = GPT(config)
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = next_token(model, torch.zeros(3, 65, dtype=torch.long))
        for parameter in model.parameters():
            kept.pop(parameter.data_ptr(), None)
        assert abs(sum(kept.values()) / foretold["activations"] - 1) < 0.02
        assert foretold["weights"] == 4 * sum(p.numel() for p in model.parameters())
        del loss


def test_the_peak_of_memory_is_seen():
    with PeakMemory() as memory:
        block = torch.ones(1 << 26)  # 256 MB
        time.sleep(0.3)
    assert memory.peak > block.numel() * 4
