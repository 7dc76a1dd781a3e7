"""Of healthy runs of every kind the doctor says nothing."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groundup.doctor.run import ExaminedRun
from tests.doctor.conftest import build, findings, on, training
from tests.faults.test_crashes import wait_for_checkpoint
from tests.processes import Process

CHARACTERS = {"tokenizer": {"kind": "character", "vocab_size": 120}}
CLASSIC = {"pretrain": {"preset": "gpt-2-small", "windows": {"order": "random"}}}
COSINE = {"optimizer": "adamw", "schedule": "cosine", "final_rate": 0.1, "warmup": 0.05}
ORIGINAL = {"pretrain": {"preset": "transformer-2017"}}
WORLD: dict[str, Any] = {
    "data": {"world_documents": 120},
    "tokenizer": {
        "vocab_size": 600,
        "special_tokens": ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"],
    },
    "pretrain": {
        "model": {"short_conv": 4, "context_length": 64},
        "windows": {"order": "sequential", "align_documents": True},
        "train": {"answer_weight": 30.0, "steps": 40},
    },
}


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        pytest.param("english.txt", [CHARACTERS], id="characters"),
        pytest.param("chinese.txt", [], id="Chinese, byte-pair encoding"),
        pytest.param("english.txt", [CLASSIC, training(**COSINE)], id="GPT-2, AdamW, cosine"),
        pytest.param("english.txt", [ORIGINAL, training(optimizer="adamw", warmup=0.2)], id="2017"),
        pytest.param("english.txt", [training(steps=15)], id="a few steps"),
        pytest.param("english.txt", [training(micro_batch=20, schedule="cosine")], id="one epoch"),
        pytest.param("", [WORLD], id="sample world"),
    ],
)
def test_a_healthy_run_gives_no_finding(
    file: str, changes: list[dict[str, Any]], texts: Path, tmp_path: Path
):
    run = build(tmp_path / "run", *([on(texts / file)] if file else []), *changes)
    assert findings(run) == []


def test_a_healthy_run_on_real_chinese_poems_gives_no_finding(real_data: Path, tmp_path: Path):
    with (real_data / "zh/song-ci.jsonl").open(encoding="utf-8") as file:
        poems = [next(file) for _ in range(600)]
    (tmp_path / "poems.jsonl").write_text("".join(poems), encoding="utf-8")
    vocabulary = {"tokenizer": {"vocab_size": 1200}}
    assert findings(build(tmp_path / "run", on(tmp_path / "poems.jsonl"), vocabulary)) == []


@pytest.fixture(scope="module")
def under_way(
    texts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Process]]:
    """A run that a process of its own is working at."""
    out = tmp_path_factory.mktemp("under_way") / "run"
    settings = [
        "--vocab-size", 300, "--preset", "nano", "--model.d_model", 32, "--model.n_layers", 2,
        "--model.context_length", 32, "--train.steps", 2000, "--train.micro_batch", 1,
        "--train.checkpoint_every", 20, "--train.eval_every", 100_000,
    ]  # fmt: skip
    command = ["pretrain", "--data", texts / "english.txt", "--out", out, *settings]
    process = Process(*command)
    wait_for_checkpoint(out, 2)
    yield out, process
    process.kill()
    process.wait()


def test_a_run_under_way_gives_no_finding(under_way: tuple[Path, Process]):
    out, process = under_way
    process.send_signal(signal.SIGSTOP)  # it would be through before the examination is
    assert not ExaminedRun(out).finished
    assert findings(out) == []


def test_a_killed_run_is_broken_off_when_its_silence_lasts(
    under_way: tuple[Path, Process],
):
    out, process = under_way
    process.kill()
    process.wait()
    hour_ago = time.time() - 3600
    os.utime(out / "pretrain/metrics.jsonl", (hour_ago, hour_ago))
    (finding,) = findings(out)
    assert finding.kind == "broken-off"
    assert "of 2000" in finding.evidence and "step-0" in finding.evidence
