"""A training in a directory: what it writes, how it ends early, what objectives tell beside the loss."""

import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from groundup.errors import StoppedError
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.train.config import TrainConfig
from groundup.train.loop import Run, start_run, train
from groundup.train.metrics import read_metrics
from groundup.train.objectives import next_token
from groundup.train.session import Session, run_session

SHAPE = ModelConfig(vocab_size=20, d_model=16, n_layers=1, n_heads=2, context_length=8)


def batch(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(20, size=(2, 9))


def new_model() -> GPT:
    torch.manual_seed(0)
    return GPT(SHAPE)


def session(out: Path, values: list[float], **train_settings: float) -> Session:
    """A session whose evaluations give `values`, one after another."""
    config = TrainConfig.parse({"eval_every": 2, "checkpoint_every": 3, **train_settings})

    def evaluate(run: Run, whole: bool) -> dict[str, float]:
        return {"whole": 1.0} if whole else {"val_loss": values[run.state.step // 2 - 1]}

    return Session(out, "x", config, batch, next_token, evaluate, improves="val_loss")


def weights_after(steps: int, of: int = 10) -> dict[str, Tensor]:
    model = new_model()
    run = start_run(model, TrainConfig(steps=of, eval_every=2))
    train(run, batch, next_token, [lambda run: setattr(run, "stopped", run.state.step == steps)])
    return model.state_dict()


def test_training_ends_when_it_no_longer_improves_and_keeps_its_best_weights(tmp_path: Path):
    model = new_model()
    run, _ = run_session(model, session(tmp_path, [3, 1, 2, 2, 0], steps=10, patience=2))
    assert run.state.step == 8
    for name, tensor in weights_after(4).items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_the_last_weights_may_be_the_best(tmp_path: Path):
    model = new_model()
    run_session(model, session(tmp_path, [3, 2, 1], steps=6, patience=2))
    for name, tensor in weights_after(6, of=6).items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_an_evaluation_that_a_stop_prevented_is_made_up_for(tmp_path: Path):
    of = session(tmp_path, [3, 2, 1, 0], steps=8, checkpoint_every=4)

    class StopError(Exception):
        pass

    def stops(run: Run, whole: bool) -> dict[str, float]:
        if run.state.step == 4:
            raise StopError
        return of.evaluate(run, whole)

    with pytest.raises(StopError):
        run_session(new_model(), Session(**{**of.__dict__, "evaluate": stops}))
    run_session(new_model(), of)
    evaluated = [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl") if "val_loss" in r]
    assert evaluated == [2, 4, 6]


def test_without_patience_it_trains_to_the_end(tmp_path: Path):
    run, figures = run_session(new_model(), session(tmp_path, [3, 1, 2, 2], steps=10))
    assert run.state.step == 10 and figures["whole"] == 1.0


def test_a_broken_off_training_ends_early_at_the_same_place(tmp_path: Path):
    class BrokenError(Exception):
        pass

    def breaks(run: Run) -> None:
        if run.state.step == 7:
            raise BrokenError

    of = session(tmp_path, [3, 1, 2, 2, 0], steps=10, patience=2)
    with pytest.raises(BrokenError):
        run_session(new_model(), Session(**{**of.__dict__, "hooks": (breaks,)}))
    model = new_model()
    run, _ = run_session(model, of)
    assert run.state.step == 8
    for name, tensor in weights_after(4).items():
        assert torch.equal(model.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("signals", "ends"),
    [
        # Slurm sends it to every process, and torchrun passes its own on.
        ((signal.SIGTERM, signal.SIGTERM), StoppedError),
        ((signal.SIGINT, signal.SIGINT), KeyboardInterrupt),
    ],
)
def test_only_a_second_ctrl_c_interrupts_before_the_state_is_saved(
    signals: tuple[int, int], ends: type[BaseException], tmp_path: Path
):
    def sends(run: Run) -> None:
        for number in signals:
            signal.raise_signal(number)

    of = session(tmp_path, [], steps=10)
    with pytest.raises(ends):
        run_session(new_model(), Session(**{**of.__dict__, "hooks": (sends,)}))
    saved = [path.name for path in (tmp_path / "checkpoints").glob("step-*")]
    assert saved == (["step-00000001"] if ends is StoppedError else [])


class Rows(NamedTuple):
    ids: np.ndarray
    weights: np.ndarray | None

    @property
    def tokens(self) -> int:
        return 5


def test_an_objective_takes_named_tuples_and_tells_figures(tmp_path: Path):
    def objective(model: GPT, rows: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(rows, Rows) and rows.weights is None
        loss = next_token(model, rows.ids)  # type: ignore[arg-type]
        return loss, {"twice": 2 * loss.detach()}

    of = session(tmp_path, [], steps=3, grad_accumulation=2)
    changed = {
        "batches": lambda n: Rows(batch(n), None),
        "objective": objective,
        "evaluate": lambda run, whole: {},
    }
    run, _ = run_session(new_model(), Session(**{**of.__dict__, **changed}))
    assert run.state.tokens == 3 * 2 * 5
    first = next(row for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row)
    assert first["twice"] == pytest.approx(2 * first["loss"])
