"""A learner's part does the work of ours wherever ours was used, and no longer than it is to."""

from pathlib import Path

import torch
from torch import nn

import groundup.model.attention
from groundup.lab.cut import part_of
from groundup.lab.examine import run_file
from groundup.lab.exercise import Draw, Exercise
from groundup.lab.plug import plugged
from groundup.model import layers
from groundup.model.attention import causal_mask
from groundup.model.gpt import GPT
from groundup.model.layers import ACTIVATIONS
from groundup.model.presets import preset


def exercise(target: str) -> Exercise:
    return Exercise("part", target, "", "", ("", "", ""), lambda draw: (), ())


def test_a_function_is_replaced_under_every_name_that_holds_it():
    def blind(time: int, total: int, device: torch.device) -> torch.Tensor:
        return torch.zeros(time, total, dtype=torch.bool)

    before = causal_mask(2, 2, torch.device("cpu"))
    with plugged({"part": (exercise("groundup.model.attention:causal_mask"), blind)}) as calls:
        assert not causal_mask(2, 2, torch.device("cpu")).any()
        assert not groundup.model.attention.causal_mask(
            2, total=2, device=torch.device("cpu")
        ).any()
    assert calls["part"] == 2
    assert torch.equal(causal_mask(2, 2, torch.device("cpu")), before)


def test_a_function_in_a_table_is_replaced_as_well():
    bend = ACTIVATIONS["gelu"]
    with plugged({"part": (exercise("groundup.model.layers:gelu"), lambda x: x * 0 + 7)}):
        assert bend(torch.ones(2)).tolist() == [7.0, 7.0]
    assert bend(torch.ones(2)).tolist() != [7.0, 7.0]


def test_a_method_is_replaced_in_models_that_are_there_already():
    model = GPT(preset("nano", vocab_size=50)).eval()
    ids = Draw(0).integers(50, 1, 5)
    with torch.no_grad():
        before = model(ids)

        class RMSNorm:
            def forward(self, x):
                mean = x.pow(2).mean(-1, keepdim=True)
                return x * (mean + self.epsilon).rsqrt() * self.weight

        part = type("RMSNorm", (layers.RMSNorm,), {"forward": RMSNorm.forward})
        with plugged({"part": (exercise("groundup.model.layers:RMSNorm.forward"), part)}) as calls:
            torch.testing.assert_close(model(ids), before)
    assert calls["part"] > 2 * model.config.n_layers


def test_of_a_class_all_methods_are_replaced_and_super_reaches_the_base():
    class RMSNorm(nn.Module):
        def __init__(self, width: int, epsilon: float):
            super().__init__()
            self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

        def forward(self, x):
            return x * 0 + 3

    with plugged({"part": (exercise("groundup.model.layers:RMSNorm"), RMSNorm)}) as calls:
        norm = layers.RMSNorm(4, 1e-6)
        assert norm(torch.ones(4)).tolist() == [3.0] * 4
        assert calls["part"] == 2
    assert layers.RMSNorm(4, 1e-6)(torch.ones(4)).tolist() != [3.0] * 4


def test_a_part_that_calls_what_it_replaces_gets_ours():
    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * layers.gelu(x)

    wanted = 2 * layers.gelu(torch.ones(2))
    with plugged({"part": (exercise("groundup.model.layers:gelu"), twice)}) as calls:
        assert torch.equal(layers.gelu(torch.ones(2)), wanted)
        assert torch.equal(layers.gelu(torch.ones(2)), wanted)
    assert calls["part"] == 2


def test_what_a_learner_wrote_to_help_a_method_comes_with_it(tmp_path: Path):
    target = "groundup.model.layers:LayerNorm.forward"
    path = tmp_path / "part.py"
    path.write_text(
        "class LayerNorm:\n"
        "    def seven(self, x):\n        return 0 * x + 7\n\n"
        "    def forward(self, x):\n        return self.seven(x)\n",
        encoding="utf-8",
    )
    norm = layers.LayerNorm(4, 1e-6, bias=False)
    part = part_of(target, run_file(path))
    assert part(4, 1e-6, bias=False)(torch.ones(4)).tolist() == [7.0] * 4
    with plugged({"part": (exercise(target), part)}):
        assert norm(torch.ones(4)).tolist() == [7.0] * 4
    assert not hasattr(norm, "seven")
