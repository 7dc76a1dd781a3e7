"""Where the time of a training goes, which process the others wait for, and how a hang ends."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.doctor.curves import slow_process
from groundup.doctor.run import ExaminedRun
from groundup.language import in_language
from groundup.recipe.schema import Recipe, write_recipe
from groundup.train.clock import Clock
from groundup.train.health import WINDOW, straggler
from groundup.train.lookout import Word, hang
from groundup.train.metrics import read_metrics
from groundup.train.session import Session, run_session
from tests.train.test_session import batch, new_model, session
from tests.train.unhealthy import HANGS_AT, SLOW


def test_what_is_begun_within_another_takes_its_time_from_it():
    began, clock = time.perf_counter(), Clock()
    read = clock.timed("data", time.sleep)
    with clock.on("compute"):
        read(0.02)
        clock.turn("communication")  # of one process it is no kind of its own
        time.sleep(0.01)
    lap = clock.lap()
    assert lap["data"] >= 0.02 and lap["compute"] >= 0.01
    assert 0.03 <= sum(lap.values()) <= time.perf_counter() - began
    assert clock.lap()["data"] == clock.lap()["compute"] == 0


def test_it_is_logged_where_the_time_of_one_process_goes(tmp_path: Path):
    def slow(seconds: float, result: Any) -> Any:
        time.sleep(seconds)
        return result

    of = session(tmp_path, [], steps=20, eval_every=5)
    changed = {
        "batches": lambda n: slow(0.004, batch(n)),
        "evaluate": lambda run, whole: slow(0.02, {}),
    }
    run, _ = run_session(new_model(), Session(**{**of.__dict__, **changed}))
    assert run.clock.seconds["data"] >= 20 * 0.004 and run.clock.seconds["evaluation"] >= 4 * 0.02
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in rows] == [1, 10, 20]
    for row in rows:
        kinds = {name: value for name, value in row.items() if name.endswith("_share")}
        assert sum(kinds.values()) == pytest.approx(1) and "communication_share" not in kinds
    assert rows[2]["data_share"] > 0 and rows[2]["evaluation_share"] > 0
    assert not (tmp_path / "processes.jsonl").exists()


@pytest.fixture(scope="module")
def unhealthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What two processes have left, of which the second is slow and then hangs, and what they said."""
    folder = tmp_path_factory.mktemp("unhealthy")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m",
        "tests.train.unhealthy", str(folder / "pretrain"),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    return folder, ended.stderr


def test_a_hang_ends_with_the_process_and_the_collective_named(unhealthy: tuple[Path, str]):
    folder, said = unhealthy
    assert said.count("error: ") == 1, said
    assert "the training hangs: all wait for process 1" in said
    assert f"step {HANGS_AT + 1}, getting a batch for" in said and "unhealthy.py:" in said
    assert f"process 0: step {HANGS_AT + 1}, averaging with the others: waits in all_reduce" in said
    command = [sys.executable, "-m", "torch.distributed.flight_recorder.fr_trace"]
    (traces,) = (folder / "pretrain/hang").iterdir()
    analysed = subprocess.run([*command, str(traces)], capture_output=True, text=True)
    assert "missing ranks: {1}" in analysed.stdout + analysed.stderr


def test_a_slow_process_is_named(unhealthy: tuple[Path, str]):
    folder, _ = unhealthy
    rows = read_metrics(folder / "pretrain/processes.jsonl")
    assert [row["step"] for row in rows] == [1, *range(10, HANGS_AT + 1, 10)]
    first, second = rows[-1]["processes"]
    assert second["data"] > SLOW and second["data"] > first["data"]
    assert first["communication"] > second["communication"]  # as it waits
    assert min(first["memory_bytes"], second["memory_bytes"]) > 1e8
    (warned,) = (folder / "pretrain/warned.txt").read_text().splitlines()
    assert "process 1 on " in warned and "for getting its batches" in warned
    write_recipe(Recipe(), folder / "recipe.toml")
    (finding,) = slow_process(ExaminedRun(folder))
    assert finding.kind == "straggler" and "(local rank 1)" in finding.evidence
    assert "disk" in finding.fix


def rows_of(compute: np.ndarray) -> list[dict[str, Any]]:
    """What processes have logged that took `compute[row, process]` seconds a step."""
    place = {"host": "a", "local_rank": 0, "data": 0.0}
    return [
        {"step": 10 * n + 10, "steps": 10, "processes": [{**place, "compute": s} for s in row]}
        for n, row in enumerate(compute.tolist())
    ]


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_only_what_is_slow_again_and_again_is_a_straggler(processes: int):
    steady = np.full((WINDOW, processes), 0.1)
    assert straggler(rows_of(steady)) is None
    once = steady.copy()
    once[2, 1] = 5
    assert straggler(rows_of(once)) is None
    slow = steady.copy()
    slow[:, 1] = 0.15
    found = straggler(rows_of(slow))
    assert found and (found.process, found.kind, found.first) == (1, "compute", 1)
    assert straggler(rows_of(slow[1:])) is None and straggler(rows_of(slow / 100)) is None


def test_a_hang_tells_who_does_not_answer_and_who_waits_in_what():
    def word(collective: str, place: str = "") -> Word:
        return Word(0, 7, "a", 12, "compute", 61.4, collective, place)

    waits = word("all_reduce (default_pg)")
    told = hang({0: waits, 1: waits, 2: word("", "x.py:3 (f)")}, {1, 3}, 4, Path("t"))
    assert told.what == "the training hangs: all wait for process 1, 2, 3"
    assert (told.where or "").split("; ") == [
        "process 1 on a: does not answer any more, last seen at step 12, computing",
        "process 2 on a: step 12, computing for 61 s, at x.py:3 (f)",
        "process 3: was never heard of",
        "process 0: step 12, computing: waits in all_reduce (default_pg)",
    ]
    assert in_language((told.where or "").split("; ")[0], "zh").startswith(
        "a 上的进程 1：不再回应，"
    )
    other = hang({0: waits, 1: word("broadcast (mesh_data)")}, set(), 2, Path("t"))
    assert "wait for one another" in other.what and "waits in broadcast (mesh_data)" in str(other)
