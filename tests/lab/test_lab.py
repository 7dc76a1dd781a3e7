"""The lab as a learner uses it: from an empty folder, in each language."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groundup.lab.exercises import NAMES
from groundup.lab.folder import Lab
from groundup.language import LANGUAGES
from tests.conftest import groundup

MASK = "return torch.ones(time, total, dtype=torch.bool, device=device).tril(total - time{})"
TINY = ["--pretrain.model.d_model", 32, "--pretrain.model.n_layers", 1, "--data.world_documents", 1000,
        "--pretrain.train.steps", 3, "--finetune.train.steps", 2, "--tokenizer.vocab_size", 300,
        "--finetune.train.micro_batch", 2, "--minutes", 1, "--questions", 2]  # fmt: skip


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab in which nothing is written yet."""
    folder = tmp_path_factory.mktemp("started") / "my-llm"
    result = groundup("lab", "start", folder, "--lang", "en")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def lab(started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(started, tmp_path / "my-llm")
    monkeypatch.chdir(tmp_path / "my-llm")
    return tmp_path / "my-llm"


def path_of(lab: Path, name: str) -> Path:
    (path,) = lab.glob(f"*/[0-9]*_{name}.py")
    return path


def write(lab: Path, name: str, body: str) -> None:
    path = path_of(lab, name)
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace("raise NotImplementedError", body), encoding="utf-8")


def test_a_learner_is_wrong_then_right_and_trains_a_model_on_their_part(lab: Path):
    assert len(list(lab.glob("*/*.py"))) == len(NAMES)
    blank = path_of(lab, "causal_mask").read_text(encoding="utf-8")
    unwritten = groundup("lab", "check", "causal_mask")
    assert unwritten.returncode == 1 and "not written yet" in unwritten.stdout

    write(lab, "causal_mask", MASK.format(" + 1"))
    wrong = groundup("lab", "check", "causal_mask", "--json")
    assert wrong.returncode == 1
    told = json.loads(wrong.stdout)["causal_mask"]
    assert not told["passed"] and told["hint"] and "off by one" in told["diagnosis"]

    path_of(lab, "causal_mask").write_text(blank, encoding="utf-8")
    write(lab, "causal_mask", MASK.format(""))
    right = groundup("lab", "check", "causal_mask", "--json")
    assert right.returncode == 0
    assert json.loads(right.stdout)["causal_mask"]["passed"]
    assert "✓ causal_mask" in groundup("lab", "list").stdout

    trained = groundup("lab", "train", *TINY, "--mistake", "rms_norm:2", "--json")
    assert trained.returncode == 0, trained.stderr
    figures = json.loads(trained.stdout)
    assert Path(figures["model"]).is_dir()
    others = {name: part for name, part in figures["parts"].items() if part["whose"] != "ours"}
    assert {name: part["whose"] for name, part in others.items()} == {
        "causal_mask": "yours",
        "rms_norm": "mistake",
    }
    assert all(part["calls"] > 0 for part in others.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_unwritten_parts_are_listed_and_none_is_wrong(language: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    assert groundup("lab", "start", tmp_path / "lab", "--lang", language).returncode == 0
    monkeypatch.chdir(tmp_path / "lab")
    checked = groundup("lab", "check", "--json")
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert tuple(found) == NAMES
    assert {finding["status"] for finding in found.values()} == {"blank"}


def test_hints_grow_stronger_and_end_in_the_reference(lab: Path):
    hints = [groundup("lab", "hint", "causal_mask").stdout for _ in range(4)]
    assert len(set(hints[:3])) == 3 and hints[3] == hints[2]
    assert "tril" in hints[2]
    solution = groundup("lab", "hint", "causal_mask", "--solution").stdout
    assert solution.startswith("def causal_mask(") and MASK.format("") in solution


def test_starting_again_writes_only_what_is_missing(lab: Path):
    write(lab, "causal_mask", MASK.format(""))
    kept = path_of(lab, "causal_mask").read_text(encoding="utf-8")
    (lab / "README.md").unlink()
    path_of(lab, NAMES[-1]).unlink()
    again = json.loads(groundup("lab", "start", lab, "--json").stdout)
    assert again["written"] == 1
    assert (lab / "README.md").is_file() and path_of(lab, NAMES[-1]).is_file()
    assert path_of(lab, "causal_mask").read_text(encoding="utf-8") == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "causl_mask"], "did you mean 'causal_mask'?"),
        (["hint", "nonsense"], "unknown exercise 'nonsense'"),
        (["train", "--mistake", "causal_mask:99"], "causal_mask has no mistake '99'"),
        (["train", "--also", "causl_mask"], "did you mean 'causal_mask'?"),
        (["chek"], "did you mean 'check'?"),
        (["check", "--lang", "fr"], "unknown language 'fr'"),
    ],
)
def test_a_slip_is_told_with_the_nearest_name(arguments: list[str], message: str, lab: Path):
    result = groundup("lab", *arguments)
    assert result.returncode == 2
    assert message in result.stderr and "Traceback" not in result.stderr


def test_outside_a_lab_the_way_to_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = groundup("lab", "list")
    assert result.returncode == 2 and "groundup lab start my-llm" in result.stderr
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    refused = groundup("lab", "start", tmp_path)
    assert refused.returncode == 2 and "holds other things" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_missing_file_stops_nothing_but_itself(lab: Path):
    path_of(lab, "merge").unlink()
    write(lab, "causal_mask", MASK.format(""))
    listed = groundup("lab", "list")
    assert listed.returncode == 0 and re.search(r"\? merge +\(no file", listed.stdout)
    named = groundup("lab", "check", "merge")
    assert named.returncode == 2 and "groundup lab start" in named.stderr
    assert groundup("lab", "check", path_of(lab, "causal_mask")).returncode == 0


def test_hints_are_counted_while_another_command_watches(lab: Path):
    watching = Lab(lab)
    assert [Lab(lab).next_hint("merge", 3) for _ in range(2)] == [1, 2]
    watching.record("causal_mask", "content", "wrong")
    assert Lab(lab).next_hint("merge", 3) == 3


@pytest.mark.parametrize("content", ["language = 3", 'language = "fr"', "language", "\x00"])
def test_damaged_settings_are_told_with_their_cure(content: str, lab: Path):
    (lab / "lab.toml").write_text(content, encoding="utf-8")
    result = groundup("lab", "list")
    assert (
        result.returncode == 2 and "lab.toml" in result.stderr and "it should say" in result.stderr
    )


def test_what_is_saved_while_watching_is_checked_at_once(lab: Path):
    command = [sys.executable, "-u", "-m", "groundup.cli.main", "lab", "check", "merge", "--watch"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        assert process.stderr is not None and process.stdout is not None
        assert "Watching" in process.stderr.readline()
        time.sleep(3)  # until the folder is looked at
        path_of(lab, "count_words").unlink()
        write(lab, "causal_mask", MASK.format(" + 1"))
        told = iter(process.stdout.readline, "")
        assert any(line.startswith("✗ causal_mask") for line in told)
        assert any("off by one" in line for line in told)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert "Traceback" not in said
