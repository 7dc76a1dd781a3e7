"""Crashes: kill -9, Ctrl-C, full disks, damaged files. Nothing that was built is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from groundup.errors import GroundupError
from groundup.files import atomic_directory, atomic_file
from groundup.recipe.run import run_recipe
from groundup.recipe.schema import parse_recipe
from groundup.recipe.watch import Watcher
from groundup.train import session
from groundup.train.metrics import MetricsFile, read_metrics
from tests.conftest import groundup, groundup_anew
from tests.processes import MAIN, Process

SETTINGS = [
    "--vocab-size", 320, "--preset", "nano", "--model.d_model", 32, "--model.n_layers", 2,
    "--model.context_length", 32, "--model.dropout", 0.1, "--train.steps", 300,
    "--train.micro_batch", 4, "--train.checkpoint_every", 20, "--train.eval_every", 40,
]  # fmt: skip


def command(story: Path, out: Path, *more: object) -> list[object]:
    return ["pretrain", "--data", story, "--out", out, *SETTINGS, *more]


def begin(story: Path, out: Path, *more: object) -> Process:
    return Process(*command(story, out, *more))


def wait_for_checkpoint(out: Path, number: int) -> None:
    deadline = time.monotonic() + 120
    while len(list((out / "pretrain/checkpoints").glob("step-*"))) < number:
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)


def test_after_kill_9_a_resumed_run_ends_with_the_same_bits(story: Path, tmp_path: Path):
    undisturbed = groundup(*command(story, tmp_path / "a"))
    assert undisturbed.returncode == 0, undisturbed.stderr
    for moment in (0.0, 0.13, 0.31):
        process = begin(story, tmp_path / "b", *(["--resume"] if moment else []))
        wait_for_checkpoint(tmp_path / "b", 1)
        time.sleep(moment)
        process.kill()
        process.communicate()
    resumed = groundup_anew(*command(story, tmp_path / "b", "--resume", "--json"))
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == 300
    one, other = (load_file(tmp_path / x / "pretrain/model/model.safetensors") for x in "ab")
    assert all((one[name] == other[name]).all() for name in one)
    steps = [
        [row["step"] for row in read_metrics(tmp_path / x / "pretrain/metrics.jsonl")] for x in "ab"
    ]
    assert steps[0] == steps[1]


def test_where_steps_are_long_a_checkpoint_is_written_all_the_same(
    story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Every step is a long one then, and writing never takes too much of the time.
    monkeypatch.setattr(session, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr(session, "WRITING_SHARE", 0)
    values = {
        "data": {"paths": [str(story)]},
        "tokenizer": {"vocab_size": 300},
        "pretrain": {
            "preset": "nano",
            "model": {"d_model": 32, "n_layers": 2, "context_length": 32},
            "train": {"steps": 4, "checkpoint_every": 10**6, "keep_checkpoints": 100},
        },
    }  # fmt: skip
    run_recipe(parse_recipe(values), tmp_path, Watcher())
    assert len(list((tmp_path / "pretrain/checkpoints").glob("step-*"))) == 4


@pytest.mark.skipif(os.name != "posix", reason="signals are sent differently on Windows")
def test_ctrl_c_saves_the_state_and_exits_130(story: Path, tmp_path: Path):
    process = begin(story, tmp_path, "--train.steps", 100_000)
    wait_for_checkpoint(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the state is saved" in said and "--resume" in said and "Traceback" not in said


def test_a_folder_that_holds_a_run_is_not_overwritten(story: Path, tmp_path: Path):
    process = begin(story, tmp_path)
    wait_for_checkpoint(tmp_path, 1)
    process.kill()
    process.communicate()
    again = groundup(*command(story, tmp_path))
    assert again.returncode == 2 and "--resume" in again.stderr
    other = groundup(*command(story, tmp_path, "--resume", "--train.learning_rate", 1e-4))
    assert other.returncode == 2 and "other settings" in other.stderr
    newest = sorted((tmp_path / "pretrain/checkpoints").glob("step-*"))[-1]
    assert "Traceback" not in again.stderr + other.stderr
    index = next((tmp_path / "data/tokens").glob("*/shards.json"))
    whole = index.read_bytes()
    for file, content in ((next(newest.glob("*.safetensors")), b"cut"), (newest / "state.json", b"{}"),
                          (newest / "state.json", b"[1]"), (index, b"{}")):  # fmt: skip
        file.write_bytes(content)
        damaged = groundup(*command(story, tmp_path, "--resume"))
        index.write_bytes(whole)
        assert damaged.returncode == 1 and file.name in damaged.stderr
        assert "Traceback" not in damaged.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals are sent differently on Windows")
@pytest.mark.parametrize("after", [0.3, 0.6, 1.0, 1.6])
def test_ctrl_c_ends_in_one_line_even_while_modules_are_loaded(after: float, tmp_path: Path):
    text = tmp_path / "long.txt"
    text.write_text("".join(f"word{i} 字{i}\n" for i in range(300_000)), encoding="utf-8")
    parts = ["tokenizer", "train", str(text), "--vocab-size", "30000", "--out", str(tmp_path / "t")]
    process = subprocess.Popen(
        [sys.executable, "-m", "groundup.cli.main", *parts], stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while psutil.Process(process.pid).cpu_times().user < after:  # the machine may be busy
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.endswith("error: interrupted\n")
    assert "Traceback" not in said and "Error" not in said


def test_a_refused_command_touches_nothing(story: Path, tmp_path: Path):
    """Other text, without or with --resume: the run stays as it was, and goes on."""
    process = begin(story, tmp_path / "run")
    wait_for_checkpoint(tmp_path / "run", 1)
    process.kill()
    process.communicate()
    other = tmp_path / "other.txt"
    other.write_text("Something else. " * 500)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    for more in ([], ["--resume"]):
        refused = groundup(*command(other, tmp_path / "run", *more))
        assert refused.returncode == 2, refused.stderr
    after = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert before == after
    resumed = groundup(*command(story, tmp_path / "run", "--resume"))
    assert resumed.returncode == 0, resumed.stderr


def test_a_prompt_that_is_too_long_is_refused_before_the_training(story: Path, tmp_path: Path):
    result = groundup(*command(story, tmp_path, "--prompt", "word " * 100))
    assert result.returncode == 2 and "looks at no more than 32" in result.stderr
    assert not list(tmp_path.glob("pretrain/checkpoints/step-*"))


def test_an_exception_while_writing_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_exception_while_writing_leaves_the_old_directory(tmp_path: Path):
    folder = tmp_path / "d"
    with atomic_directory(folder) as new:
        (new / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(folder) as new:
        (new / "b").write_text("half")
        raise RuntimeError
    assert [p.name for p in folder.iterdir()] == ["a"] and list(tmp_path.iterdir()) == [folder]
    with atomic_directory(folder) as new:
        (new / "c").write_text("new")
    assert [p.name for p in folder.iterdir()] == ["c"] and list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(os.name != "posix", reason="the size of files cannot be limited on Windows")
@pytest.mark.parametrize("limit", [1000, 20_000])
def test_a_full_disk_loses_nothing_that_was_saved(limit: int, story: Path, tmp_path: Path):
    """The system refuses to write past `limit` bytes, as a full disk does: during the tokenizer or the
    training's state."""
    process = begin(story, tmp_path)
    wait_for_checkpoint(tmp_path, 1)
    process.kill()
    process.communicate()
    before = sorted((tmp_path / "pretrain/checkpoints").iterdir())
    again = subprocess.run(
        ["bash", "-c", f"ulimit -f {limit // 1000}; exec \"$@\"", "bash",
         sys.executable, "-m", MAIN, *map(str, command(story, tmp_path, "--resume"))],
        capture_output=True, text=True,
    )  # fmt: skip
    assert again.returncode == 1, again.stderr
    assert "cannot write: File too large" in again.stderr and "Traceback" not in again.stderr
    left = sorted(p for p in (tmp_path / "pretrain/checkpoints").iterdir() if p.name[0] != ".")
    assert [p for p in before if p.name[0] != "."] == left
    resumed = groundup(*command(story, tmp_path, "--resume", "--json"))
    assert resumed.returncode == 0 and json.loads(resumed.stdout)["steps"] == 300


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(story: Path, tmp_path: Path):
    wild = ["--train.learning_rate", 1e25, "--train.matrix_learning_rate", 1e25]
    result = groundup(*command(story, tmp_path, "--train.checkpoint_every", 1, *wild))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    newest = sorted((tmp_path / "pretrain/checkpoints").glob("step-*"))[-1]
    assert f"the last good checkpoint: {newest}" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_said_in_words(tmp_path: Path):
    with (
        pytest.raises(GroundupError, match="No space left") as error,
        atomic_file(tmp_path / "a.txt"),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x" * 10_000)
    assert "free some space" in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_is_full_during_training_is_said_in_words(tmp_path: Path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", 0)
    metrics.path.unlink()
    metrics.path.symlink_to("/dev/full")
    with pytest.raises(GroundupError, match="No space left"):
        metrics.write(step=1)
