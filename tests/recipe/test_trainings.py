"""What can be seen of a run: curves from rows, thinner ones from long ones, the run of a model."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import InputError
from groundup.recipe.directory import RunDirectory, run_of
from groundup.recipe.trainings import newest_checkpoint, thinned, trainings_of
from groundup.train.metrics import curves
from groundup.weights.directory import load, newest_model, weights_checksum
from tests.serve.runs import build

curve = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300).map(
    lambda values: list(enumerate(values))
)


@given(curve, st.integers(1, 40).map(lambda half: 2 * half))
def test_a_thinned_curve_is_a_part_of_it_with_its_peaks(points, most: int):
    kept = thinned(points, most)
    assert len(kept) <= most or kept == points
    assert list(kept) == [point for point in points if point in set(kept)]
    values = [value for _, value in points]
    assert {min(values), max(values)} <= {value for _, value in kept}
    if len(points) <= most:
        assert kept == points


def test_curves_are_the_figures_of_the_rows_and_the_speed_between_them():
    rows = [
        {"step": 1, "loss": 5.0, "tokens": 100, "seconds": 2.0, "time": 1e9},
        {"step": 10, "loss": math.nan, "tokens": 400, "seconds": 3.0, "time": 1e9},
        {"step": 10, "seconds": 3.0, "val_loss": 4.5, "sample": "Mia"},
        {"step": 10, "seconds": 3.0, "val_loss": 4.25, "sample": "Tom"},
        {"step": 11, "stopped": "the loss became nan"},
    ]
    assert curves(rows) == {
        "loss": [(1, 5.0)], "val_loss": [(10, 4.25)], "tokens_per_second": [(1, 50.0), (10, 300.0)],
    }  # fmt: skip
    assert curves([]) == {}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return RunDirectory(build(tmp_path_factory.mktemp("runs") / "stories").resolve())


def test_a_run_is_found_from_itself_and_its_models_and_from_nothing_else(
    run: RunDirectory, monkeypatch
):
    for path in (run.path, run.pretrained, run.tuned, run.finetune / "adapter"):
        assert run_of(path) == run_of(str(path)) == run
    for path in (run.pretrain, run.tokenizer, run.pretrain / "checkpoints", run.path / "a/b"):
        assert run_of(path) is None
    monkeypatch.chdir(run.path)
    assert run_of(".") == run_of("finetune/model") == run
    assert run_of("owner/name") is None  # a hub id, not a folder of this run


def test_the_last_checkpoint_is_the_finished_model(run: RunDirectory):
    pretrain, finetune = trainings_of(run)
    assert newest_model(run.path) == run.tuned
    assert newest_checkpoint([pretrain, finetune]) == (finetune, 8)
    model, tokenizer = pretrain.load(40)
    finished, its_own = load(run.pretrained)
    assert tokenizer.fingerprint == its_own.fingerprint
    weights = dict(finished.named_parameters())
    for name, parameter in model.named_parameters():
        assert parameter.equal(weights[name])


def test_looking_changes_nothing(run: RunDirectory):
    from groundup.generation.sampling import SamplingConfig

    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    checksum = weights_checksum(run.tuned)
    for training in trainings_of(run):
        training.description(), training.told()
        assert list(training.retell("Mia", SamplingConfig(max_new_tokens=2, seed=0)))
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert checksum == weights_checksum(run.tuned)


def test_what_was_not_kept_is_refused(run: RunDirectory):
    with pytest.raises(InputError, match="no checkpoint of step 11 is kept"):
        trainings_of(run)[0].load(11)
    with pytest.raises(InputError, match="no model yet"):
        newest_checkpoint([])
