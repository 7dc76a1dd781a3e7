"""Training after pruning: the loss comes down, zeros stay zeros, and a broken-off training goes on to the
same bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.compress.config import PruneConfig
from groundup.compress.masks import masks_of, prunable
from groundup.compress.prune import Pruned, prune
from groundup.compress.recover import keep_zeros
from groundup.model.gpt import GPT
from groundup.train.config import TrainConfig
from groundup.train.loop import Run, start_run, train
from groundup.train.objectives import next_token
from groundup.train.session import Session, run_session

from .test_masks import small_model, windows


def batch(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(50, size=(2, 13))


def pruned(pattern: str = "magnitude") -> Pruned:
    return prune(small_model(), PruneConfig.parse({"pattern": pattern}), windows())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("pattern", ["magnitude", "wanda", "2:4"])
def test_pruned_weights_stay_exactly_zero_and_the_others_move(pattern: str, optimizer: str):
    of, before = pruned(pattern), pruned(pattern).model
    config = TrainConfig.parse({"steps": 5, "optimizer": optimizer, "device": "cpu"})
    seen, masks = [], of.masks
    moved = {name: torch.zeros_like(mask) for name, mask in masks.items()}

    def look(run: Run) -> None:
        weights = {name: prunable(run.model)[name].weight.detach() for name in masks}
        seen.append(all((weights[name][~mask] == 0).all() for name, mask in masks.items()))
        for name, weight in weights.items():  # at any step: one may come back to where it began
            moved[name] |= weight != prunable(before)[name].weight

    train(start_run(of.model, config), batch, next_token, [keep_zeros(masks), look])
    assert seen == [True] * 5
    for name, mask in masks.items():
        assert torch.equal(moved[name], mask)
    assert all(torch.equal(mask, masks[name]) for name, mask in masks_of(of.model).items())


def test_without_the_hook_they_would_not_stay():
    of = pruned()
    train(start_run(of.model, TrainConfig(steps=5, device="cpu")), batch, next_token)
    assert all(prunable(of.model)[n].weight[~m].any() for n, m in of.masks.items())


def test_a_training_that_is_broken_off_goes_on_to_the_same_bits(tmp_path: Path):
    config = TrainConfig(steps=8, checkpoint_every=3, eval_every=0, device="cpu")

    class BrokenError(Exception):
        pass

    def breaking(run: Run) -> None:
        if run.state.step == 5:
            raise BrokenError

    def trained(out: Path, *more) -> GPT:
        of = pruned()
        hooks = (keep_zeros(of.masks), *more)
        session = Session(out, "x", config, batch, next_token, lambda run, whole: {}, hooks)
        return run_session(of.model, session)[0].model

    whole = trained(tmp_path / "whole")
    with pytest.raises(BrokenError):
        trained(tmp_path / "broken", breaking)
    resumed = trained(tmp_path / "broken")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor)
