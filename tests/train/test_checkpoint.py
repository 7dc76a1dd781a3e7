"""Checkpoints are written beside the training, and are there whole or not at all."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from groundup.errors import CorruptFileError, GroundupError, InputError
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.train import checkpoint_files
from groundup.train.checkpoint import (
    Writing,
    begin_checkpoint,
    checkpoints,
    load_checkpoint,
    load_weights,
    verify_checkpoint,
)
from groundup.train.config import TrainConfig
from groundup.train.loop import Run, start_run, train
from groundup.train.objectives import next_token
from tests.train.spread import ROWS

SETTINGS = TrainConfig(steps=8, micro_batch=4, device="cpu", seed=5)


def begun() -> Run:
    torch.manual_seed(0)
    model = GPT(
        preset("nano", vocab_size=100, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1,
               context_length=32, dropout=0.1)
    )  # fmt: skip
    return start_run(model, SETTINGS)


def go_on(run: Run, writings: dict[int, Path] | None = None) -> list[float]:
    """Train to the end, and have checkpoints written at some steps, for which nothing waits."""
    losses, under_way = [], list[Writing]()

    def look(run: Run) -> None:
        losses.append(run.loss)
        if folder := (writings or {}).get(run.state.step):
            under_way.append(
                begin_checkpoint(folder, run.model, run.optimizers, run.state, "id", 1)
            )

    train(run, lambda n: ROWS[4 * n : 4 * n + 4], next_token, [look])
    for writing in under_way:
        writing.wait()
    return losses


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of the fourth step."""
    go_on(begun(), {4: tmp_path})
    return tmp_path / "step-00000004"


def test_a_run_goes_on_to_the_same_bits_from_what_was_written_beside_it(tmp_path: Path):
    undisturbed = begun()
    losses = go_on(undisturbed, {step: tmp_path / str(step) for step in (1, 4, 7)})
    for step in (1, 4, 7):
        resumed = begun()
        path = tmp_path / str(step) / f"step-{step:08d}"
        resumed.state = load_checkpoint(path, resumed.model, resumed.optimizers, "id")
        assert go_on(resumed) == losses[step:]
        for own, expected in zip(resumed.trained, undisturbed.trained, strict=True):
            assert torch.equal(own, expected)


def test_its_files_are_safetensors_with_the_names_of_weights(saved: Path):
    names = {file.name for file in saved.iterdir()}
    assert names == {"state.json", "shard-00001-model-00001-of-00001.safetensors"}
    with safe_open(saved / "shard-00001-model-00001-of-00001.safetensors", "pt") as file:
        assert {
            "model.embedding.weight", "optimizer.embedding.weight.exp_avg",
            "optimizer.blocks.0.attention.query.weight.momentum", "random.0.cpu",
        } <= set(file.keys())  # fmt: skip


def test_large_states_are_written_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint_files, "FILE_BYTES", 10_000)
    run = begun()
    losses = go_on(run, {4: tmp_path})
    path = tmp_path / "step-00000004"
    assert len(list(path.glob("*.safetensors"))) > 3
    resumed = begun()
    resumed.state = load_checkpoint(path, resumed.model, resumed.optimizers, "id")
    assert go_on(resumed) == losses[4:]


def test_weights_alone_can_be_read(saved: Path):
    model, run = begun().model, begun()
    load_weights(saved, model)
    run.state = load_checkpoint(saved, run.model, run.optimizers, "id")
    assert all(
        torch.equal(own, expected)
        for own, expected in zip(model.parameters(), run.model.parameters(), strict=True)
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_cut_or_changed_file_is_noticed(saved: Path, data: st.DataObject):
    described = verify_checkpoint(saved)
    file = data.draw(st.sampled_from(sorted(saved.iterdir())))
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = data.draw(
        st.sampled_from(
            [whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]]
        )
    )
    file.write_bytes(changed)
    try:
        # A space less between two words of JSON is no change.
        assert verify_checkpoint(saved) == described and file.name == "state.json"
    except CorruptFileError as error:
        assert error.where and Path(error.where).parent == saved
    finally:
        file.write_bytes(whole)


def test_what_belongs_to_another_training_is_refused(saved: Path):
    run = begun()
    with pytest.raises(InputError, match="other settings or data"):
        load_checkpoint(saved, run.model, run.optimizers, "another")


def test_what_a_dead_job_left_half_written_is_none_and_goes(tmp_path: Path):
    left = tmp_path / ".step-00000002"
    left.mkdir()
    (left / "shard-00001-model-00001-of-00001.safetensors").write_bytes(b"half")
    assert checkpoints(tmp_path) == []
    go_on(begun(), {2: tmp_path})
    assert list(tmp_path.iterdir()) == [tmp_path / "step-00000002"]
    verify_checkpoint(tmp_path / "step-00000002")


def test_what_goes_wrong_in_the_thread_is_raised_where_it_is_waited_for(tmp_path: Path):
    (tmp_path / "file").write_text("")
    run = begun()
    writing = begin_checkpoint(
        tmp_path / "file/checkpoints", run.model, run.optimizers, run.state, "id", 1
    )
    with pytest.raises(GroundupError, match="cannot write") as told:
        writing.wait()
    assert told.value.fix and "--out" in told.value.fix and writing.has_failed
