"""The machine, the command line, and the parts of the doctor that can be checked by themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.data.shards import Tokens
from groundup.doctor.curves import slowing_down
from groundup.doctor.fit import COPIED_TOKENS, copied_share
from groundup.doctor.machine import best_dtype, machine_facts, machine_findings
from groundup.doctor.run import ExaminedRun
from groundup.doctor.text import distinct_share
from groundup.recipe.schema import Recipe, write_recipe
from tests.conftest import groundup
from tests.doctor.conftest import build, on, training


def test_the_machine_is_measured(tmp_path: Path):
    facts = machine_facts(tmp_path / "not" / "there" / "yet")
    assert facts["matrix_flops"]["float32"] > 1e8 and facts["matrix_flops"]["bfloat16"] > 1e6
    assert facts["best_dtype"] in facts["matrix_flops"]
    assert 0 < facts["memory_free_bytes"] <= facts["memory_bytes"]
    assert facts["disk"] == str(tmp_path) and facts["disk_free_bytes"] > 0


def test_half_as_many_digits_must_be_worth_it():
    assert best_dtype({"float32": 3e11, "bfloat16": 1.5e11}) == "float32"
    assert best_dtype({"float32": 3e11, "bfloat16": 3.1e11}) == "float32"
    assert best_dtype({"float32": 1e13, "bfloat16": 9e13}) == "bfloat16"


WELL: dict[str, Any] = {
    "cores": 8, "processors": 16, "threads": 8, "omp_num_threads": None, "memory_bytes": 32 << 30,
    "memory_free_bytes": 20 << 30, "disk_free_bytes": 100 << 30, "disk": "/",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        ({}, []),
        ({"threads": 4, "omp_num_threads": "4"}, ["few-threads"]),
        ({"threads": 64, "omp_num_threads": "64"}, ["too-many-threads"]),
        ({"memory_free_bytes": 1 << 30}, ["little-memory"]),
        ({"disk_free_bytes": 1 << 30}, ["little-disk"]),
    ],
)
def test_only_what_is_to_be_done_is_found(changed: dict[str, Any], kinds: list[str]):
    assert [finding.kind for finding in machine_findings(WELL | changed)] == kinds


@given(st.data())
@settings(max_examples=10, deadline=None)
def test_copied_text_is_found_wherever_it_stands(data: st.DataObject):
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    train, fresh = rng.integers(0, 300, 3000), rng.integers(0, 300, 900)
    start = data.draw(st.integers(0, 2000))
    length = data.draw(st.integers(COPIED_TOKENS, 900))
    copied = np.concatenate([train[start : start + length], fresh])
    chunk = data.draw(st.integers(COPIED_TOKENS, 4000))
    share = copied_share(_tokens(copied), _tokens(train), chunk)
    whole = (length - COPIED_TOKENS + 1) / (len(copied) - COPIED_TOKENS + 1)
    assert share == pytest.approx(whole, abs=0.01)
    assert copied_share(_tokens(fresh), _tokens(train), chunk) == 0


def _tokens(ids: np.ndarray) -> Tokens:
    return Tokens([ids.astype("<u2")], np.array([0]), 0)


def test_repetition_is_told_from_text_in_both_languages():
    for text in (
        "It was a dark and stormy night; the rain fell in torrents.",
        "明月几时有，把酒问青天。不知天上宫阙，今夕是何年。我欲乘风归去，又恐琼楼玉宇。",
    ):
        assert distinct_share(text) > 0.9
    assert distinct_share("the the the " * 20) < 0.1 and distinct_share("的了" * 40) < 0.1


def test_steps_that_become_slower_are_found(tmp_path: Path):
    write_recipe(Recipe(), tmp_path / "recipe.toml")
    steady = [0.1 * i for i in range(40)]
    slower = [*steady[:30], *(3.0 + 1.5 * i for i in range(10))]
    for seconds, kinds in ((steady, []), (slower, ["slowing-down"])):
        rows = [{"step": i, "loss": 1.0, "seconds": s} for i, s in enumerate(seconds)]
        (tmp_path / "pretrain").mkdir(exist_ok=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "pretrain/metrics.jsonl").write_text(lines, encoding="utf-8")
        assert [finding.kind for finding in slowing_down(ExaminedRun(tmp_path))] == kinds


def test_a_faulty_run_is_told_on_the_command_line(texts: Path, tmp_path: Path):
    run = build(tmp_path / "run", on(texts / "english.txt"), training(steps=12, decay=0.0))
    result = groundup("doctor", "--run", run, "--json")
    assert result.returncode == 0, result.stderr
    (finding,) = json.loads(result.stdout)["findings"]
    assert finding.keys() == {"kind", "what", "evidence", "fix"} and finding["kind"] == "no-decay"
    told = groundup("doctor", "--run", run)
    assert told.returncode == 0 and "no-decay" in told.stdout and "fix: " in told.stdout


def test_the_machine_is_told_on_the_command_line():
    result = groundup("doctor", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert isinstance(told["findings"], list)
    assert {"python", "torch", "threads", "best_dtype"} <= told["machine"].keys()


def test_a_folder_that_is_no_run_is_a_mistake(tmp_path: Path):
    result = groundup("doctor", "--run", tmp_path)
    assert result.returncode == 2 and "recipe.toml" in result.stderr
    assert "Traceback" not in result.stderr
    assert groundup("doctor", "--help").returncode == 0
