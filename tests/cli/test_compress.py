"""`groundup compress prune` and `distill`, as they are called: a real text, a process of its own."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from groundup.cli.main import run
from groundup.compress.masks import prunable
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import load, save

from ..conftest import groundup
from ..processes import Process

KEYS = {
    "model", "bytes_before", "bytes_after", "bits_per_byte_before", "bits_per_byte_after", "sparsity",
}  # fmt: skip
SIZES = [
    "--model.d_model", "64", "--model.n_layers", "4", "--model.n_kv_heads", "2",
    "--model.context_length", "64", "--model.initialization", "gpt-2",
]  # fmt: skip


@pytest.fixture(scope="module")
def verdict(real_data: Path) -> Path:
    return real_data / "en" / "the-verdict.txt"


@pytest.fixture(scope="module")
def base(verdict: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of a real text."""
    out = tmp_path_factory.mktemp("base")
    made = groundup(
        "pretrain", "--data", verdict, "--vocab-size", 400, "--preset", "nano", *SIZES,
        "--train.steps", 60, "--train.micro_batch", 8, "--out", out / "run", "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return Path(json.loads(made.stdout)["model"])


def prune(base: Path, out: Path, *more: object) -> dict:
    made = groundup("compress", "prune", base, "--out", out, "--json", *more)
    assert made.returncode == 0, made.stderr
    figures = json.loads(made.stdout)
    assert figures.keys() >= KEYS
    return figures


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command line says to wrong input: one error, no traceback, status 2."""

    def refused(*arguments: object) -> str:
        try:
            status = run(["compress", *map(str, arguments)])
        except SystemExit as left:
            status = left.code
        said = capsys.readouterr().err
        assert status == 2, said
        assert said.count("error:") == 1
        return said

    return refused


@pytest.mark.parametrize("pattern", ["heads", "layers"])
def test_a_smaller_model_recovers_and_is_one_like_any_other(
    pattern: str, base: Path, verdict: Path, tmp_path: Path
):
    figures = prune(
        base, tmp_path / "small", "--pattern", pattern, "--sparsity", 0.5, "--recover", verdict,
        "--train.steps", 30, "--train.micro_batch", 8,
    )  # fmt: skip
    assert figures["sparsity"] == 0.5
    assert figures["bytes_after"] < figures["bytes_before"]
    assert figures["bits_per_byte_after"] < figures["bits_per_byte_pruned"]
    model, _ = load(figures["model"])
    config = model.config
    assert (config.n_heads, config.n_layers) == ((2, 4) if pattern == "heads" else (4, 2))
    assert figures["parameters_after"] == sum(p.numel() for p in model.parameters())
    said = groundup("generate", figures["model"], "--prompt", "I", "--max-new-tokens", 5, "--json")
    assert said.returncode == 0, said.stderr
    assert len(json.loads(said.stdout)["token_ids"]) == 5


def test_single_weights_stay_zero_through_recovery(base: Path, verdict: Path, tmp_path: Path):
    figures = prune(
        base, tmp_path / "sparse", "--pattern", "2:4", "--recover", verdict, "--train.steps", 30,
        "--train.micro_batch", 8,
    )  # fmt: skip
    assert figures["sparsity"] == 0.5
    assert figures["bytes_after"] == figures["bytes_before"]
    assert figures["bits_per_byte_after"] < figures["bits_per_byte_pruned"]
    for layer in prunable(load(figures["model"])[0]).values():
        assert ((layer.weight.view(-1, 4) == 0).sum(1) == 2).all()


def test_a_model_of_ours_is_chosen_by_and_measured_on_the_text_that_it_was_made_from(
    base: Path, tmp_path: Path
):
    figures = prune(base, tmp_path / "wanda", "--pattern", "wanda", "--sparsity", 0.75)
    assert figures["sparsity"] == 0.75
    summary = json.loads((base.parent / "summary.json").read_text(encoding="utf-8"))
    assert figures["bits_per_byte_before"] == pytest.approx(summary["val_bits_per_byte"], rel=1e-6)
    assert figures["bits_per_byte_after"] > figures["bits_per_byte_before"]
    assert "steps" not in figures


@pytest.mark.parametrize("pattern", ["wanda", "heads"])
def test_no_window_is_longer_than_learned_positions(
    pattern: str, tokenizer: Tokenizer, story: Path, tmp_path: Path
):
    config = preset(
        "gpt-2-small", vocab_size=tokenizer.vocab_size, d_model=32, n_layers=2, n_heads=4,
        context_length=64,
    )  # fmt: skip
    save(GPT(config), tokenizer, tmp_path / "given")
    out = tmp_path / "pruned"
    figures = prune(tmp_path / "given", out, "--pattern", pattern, "--calibration", story)
    assert figures["sparsity"] == 0.5


def test_without_any_text_there_is_nothing_to_measure_but_weights_can_go(
    model: GPT, tokenizer: Tokenizer, tmp_path: Path
):
    save(model.half(), tokenizer, tmp_path / "given")
    figures = prune(tmp_path / "given", tmp_path / "pruned", "--sparsity", 0.75)
    assert (figures["sparsity"], figures["bits_per_byte_after"]) == (0.75, None)
    assert figures["bytes_after"] == figures["bytes_before"]  # in 16 bits, as it was
    shown = groundup(
        "compress", "prune", tmp_path / "given", "--sparsity", 0.5, "--out", tmp_path / "shown"
    )
    assert "50.0% pruned" in shown.stdout


def test_what_does_not_fit_is_one_sentence(
    model: GPT, tokenizer: Tokenizer, story: Path, tmp_path: Path, refused: Callable[..., str]
):
    given, out = tmp_path / "given", ("--out", tmp_path / "out")
    save(model, tokenizer, given)
    assert "--sparsity must be" in refused("prune", given, "--sparsity", "1", *out)
    assert "--sparsity must be" in refused("prune", given, "--sparsity", "half", *out)
    assert "did you mean 'heads'" in refused("prune", given, "--pattern", "head", *out)
    assert "there is none" in refused("prune", given, "--pattern", "wanda", *out)
    heads = ("--pattern", "heads", "--recover", story)
    assert "takes 0 of 4" in refused("prune", given, *heads, "--sparsity", "0.1", *out)
    assert "no such" in refused("prune", tmp_path / "givn", *out)
    assert "holds a model already" in refused("prune", given, "--out", given)
    assert "unknown kind of compression" in refused("prunes", given)
    answers = ("--recover", story, "--train.answer_weight", "2")
    assert "count alike" in refused("prune", given, *answers, *out)
    assert "cannot be read twice" in refused("prune", given, "--recover", "-", *out)
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_student_learns_from_its_teacher(base: Path, verdict: Path, tmp_path: Path):
    made = groundup(
        "compress", "distill", "--teacher", base, "--student", "nano", "--data", verdict,
        "--model.d_model", 32, "--model.n_layers", 2, "--model.n_heads", 2, "--train.steps", 60,
        "--distill.hidden_weight", 0.1, "--train.micro_batch", 8, "--train.eval_every", 20,
        "--out", tmp_path / "student", "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    figures = json.loads(made.stdout)
    keys = {"model", "steps", "tokens", "seconds", "tokens_per_second", "val_loss"}
    assert figures.keys() >= keys | {"val_bits_per_byte"}
    assert (figures["steps"], figures["tokens"]) == (60, 60 * 8 * 64)
    metrics = (tmp_path / "student" / "training" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in metrics]
    measured = [row["val_bits_per_byte"] for row in rows if "val_bits_per_byte" in row]
    assert measured == sorted(measured, reverse=True)
    assert all(
        {"label_loss", "teacher_divergence", "hidden_distance"} <= rows[n].keys() for n in (0, 1)
    )
    student, tokenizer = load(figures["model"])
    assert student.config.context_length == 64  # no more than the teacher's
    assert tokenizer.fingerprint == load(base)[1].fingerprint
    assert figures["parameters"] == sum(p.numel() for p in student.parameters())


def test_a_teacher_is_asked_once_for_all_epochs_and_runs_and_a_killed_one_goes_on(
    base: Path, verdict: Path, tmp_path: Path, refused: Callable[..., str]
):
    cache = tmp_path / "cache"

    def command(name: str, teacher: Path = base) -> list[object]:
        return [
            "compress", "distill", "--teacher", teacher, "--student", "nano", "--data", verdict,
            "--model.d_model", 32, "--model.n_layers", 1, "--model.n_heads", 2, "--cache", cache,
            "--distill.cache_top_k", 16, "--train.steps", 120, "--train.micro_batch", 4,
            "--train.checkpoint_every", 10, "--out", tmp_path / name,
        ]  # fmt: skip

    whole = groundup(*command("whole"), "--json")
    assert whole.returncode == 0, whole.stderr
    assert "Asking the teacher once" in whole.stderr
    parts = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert (cache / "cache.json") in parts and len(parts) > 1
    process = Process(*command("killed"))
    saved, deadline = tmp_path / "killed/training/checkpoints", time.monotonic() + 120
    while not [*saved.glob("step-*")] and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed/config.json").exists()
    again = groundup(*command("killed"), "--resume", "--json")
    assert again.returncode == 0, again.stderr
    assert "Asking the teacher once" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == parts
    first, second = (json.loads(made.stdout)["model_checksum"] for made in (whole, again))
    assert first == second
    other = prune(base, tmp_path / "other", "--sparsity", 0.5)["model"]
    said = refused(*command("third", Path(other))[1:])
    assert "this cache was made with another teacher" in said and "--cache" in said
    hidden = refused(*command("third")[1:], "--distill.hidden_weight", "1")
    assert "hidden states of a teacher are not kept" in hidden


def test_a_pruned_student_keeps_its_zeros(base: Path, verdict: Path, tmp_path: Path):
    sparse = prune(base, tmp_path / "sparse", "--sparsity", 0.7)["model"]
    made = groundup(
        "compress", "distill", "--teacher", base, "--student", sparse, "--data", verdict,
        "--train.steps", 5, "--train.micro_batch", 2, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    before, after = (prunable(load(path)[0]) for path in (sparse, tmp_path / "out"))
    for name, layer in before.items():
        gone = layer.weight == 0
        assert torch.equal(after[name].weight == 0, gone)
        assert not torch.equal(after[name].weight, layer.weight)


def test_who_cannot_be_a_student_is_told_why(
    base: Path, model: GPT, tokenizer: Tokenizer, story: Path, tmp_path: Path,
    refused: Callable[..., str],
):  # fmt: skip
    save(model, tokenizer, tmp_path / "other")
    to = ("--data", story, "--out", tmp_path / "out")
    teacher = ("distill", "--teacher", base, "--student")
    assert "different tokenizers" in refused(*teacher, tmp_path / "other", *to)
    assert "did you mean nano?" in refused(*teacher, "nanno", *to)
    assert "use it with a preset" in refused(*teacher, base, "--model.d_model", "8", *to)
    assert "--distill.teacher_share must be" in refused(
        *teacher, "nano", "--distill.teacher_share", "2", *to
    )


def test_a_stopped_recovery_goes_on_to_the_same_bits(
    base: Path, verdict: Path, tmp_path: Path, refused: Callable[..., str]
):
    flags = [
        "--pattern", "wanda", "--recover", verdict, "--train.steps", 40, "--train.micro_batch", 4,
        "--train.checkpoint_every", 10,
    ]  # fmt: skip
    whole = Path(prune(base, tmp_path / "whole", *flags)["model"])
    out = tmp_path / "stopped"
    command = ["compress", "prune", base, "--out", out, *flags]
    process = Process(*command)
    deadline = time.monotonic() + 120
    while not [*out.glob("training/checkpoints/step-*")] and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert not (out / "config.json").exists()
    assert "add --resume" in refused("prune", base, "--out", out, *flags)
    other = refused("prune", base, "--out", out, "--resume", *flags[:-1], 7, "--train.seed", 3)
    assert "other settings" in other
    prune(base, out, "--resume", *flags)
    mine, theirs = (load(path)[0].state_dict() for path in (out, whole))
    assert all(torch.equal(mine[name], tensor) for name, tensor in theirs.items())
