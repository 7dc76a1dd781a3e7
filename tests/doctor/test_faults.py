"""Faults, each built into a real small run: the doctor names every one by its kind."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import groundup.model.attention
import groundup.recipe.pretrain
import groundup.train.session
from groundup.data.windows import WindowStream
from groundup.doctor.finding import Finding
from groundup.errors import TrainingError
from groundup.model.gpt import GPT
from groundup.model.loss import cross_entropy
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import Run
from groundup.train.objectives import next_token
from tests.doctor.conftest import build, findings, on, training

Patch = pytest.MonkeyPatch


@pytest.fixture
def english(texts: Path) -> dict[str, Any]:
    return on(texts / "english.txt")


@pytest.fixture
def patch() -> Patch:
    """Broken while the run is made and while it is examined: the reader's own part is wrong."""
    with pytest.MonkeyPatch.context() as broken:
        yield broken


def only(run: Path, kind: str, *consequences: str) -> Finding:
    """The finding of this kind, which must be there, with none but its true consequences."""
    found = {finding.kind: finding for finding in findings(run)}
    assert kind in found, found
    assert set(found) <= {kind, *consequences}, found
    assert any(character.isdigit() for character in found[kind].evidence)
    return found[kind]


# Broken parts


def blind_attention(q: Tensor, k: Tensor, v: Tensor, *others: Any, **more: Any) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1])


def objective(patch: Patch, broken: Callable[[GPT, Tensor], Tensor]) -> None:
    patch.setattr(groundup.recipe.pretrain, "next_token", broken)


def begin(patch: Patch, change: Callable[[GPT], None]) -> None:
    """Train a model that was changed before its first step."""
    start = groundup.train.session.start_run

    def broken(model: GPT, *settings: Any) -> Run:
        change(model)
        return start(model, *settings)

    patch.setattr(groundup.train.session, "start_run", broken)


def test_a_missing_causal_mask_is_proved_on_the_model(english: dict, tmp_path: Path, patch: Patch):
    patch.setattr(groundup.model.attention, "attend", blind_attention)
    run = build(tmp_path / "run", english)
    assert "position 16" in only(run, "no-causal-mask").evidence


@pytest.fixture(scope="module")
def blind_then(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained without a causal mask, which has been put in since."""
    with pytest.MonkeyPatch.context() as then:
        then.setattr(groundup.model.attention, "attend", blind_attention)
        return build(
            tmp_path_factory.mktemp("blind") / "run", on(texts / "english.txt"),
            training(steps=400, eval_every=0, micro_batch=4, checkpoint_every=400),
        )  # fmt: skip


def test_a_mask_that_was_missing_then_shows_in_the_loss(blind_then: Path):
    assert "metrics.jsonl" in only(blind_then, "loss-not-reproduced").evidence


def test_a_loss_that_is_too_good_is_told_before_the_run_is_finished(
    blind_then: Path, tmp_path: Path
):
    run = Path(shutil.copytree(blind_then, tmp_path / "run"))
    shutil.rmtree(run / "pretrain/model")
    assert "xz" in only(run, "loss-too-low").evidence


def test_targets_that_are_not_shifted(english: dict, tmp_path: Path, patch: Patch):
    def repeats(model: GPT, ids: Tensor) -> Tensor:
        hidden = model.hidden(ids[:, :-1])
        return cross_entropy(hidden.flatten(0, 1), model.head.weight, ids[:, :-1].flatten())

    objective(patch, repeats)
    only(build(tmp_path / "run", english), "targets-not-shifted")


def test_a_learning_rate_that_moves_nothing(english: dict, tmp_path: Path):
    rates = training(learning_rate=1e-9, matrix_learning_rate=1e-9)
    assert (
        "1e-09" in only(build(tmp_path / "run", english, rates), "learning-rate-too-low").evidence
    )


def test_a_learning_rate_at_which_the_loss_climbs(english: dict, tmp_path: Path):
    rates = training(learning_rate=10.0, optimizer="adamw")
    only(build(tmp_path / "run", english, rates), "learning-rate-too-high")


def test_gradients_that_are_zero(english: dict, tmp_path: Path, patch: Patch):
    objective(
        patch, lambda model, ids: next_token(model, ids) * 0 + next_token(model, ids).detach()
    )
    only(build(tmp_path / "run", english), "no-gradient")


def test_gradients_that_explode(english: dict, tmp_path: Path, patch: Patch):
    def explode(model: GPT) -> None:
        for parameter in model.parameters():
            parameter.register_hook(lambda gradient: gradient * 1e4)

    begin(patch, explode)
    only(build(tmp_path / "run", english), "exploding-gradient")


def test_starting_weights_that_are_too_large(english: dict, tmp_path: Path, patch: Patch):
    begin(patch, lambda model: model.head.weight.data.mul_(100))
    assert "at step 1" in only(build(tmp_path / "run", english), "first-loss").evidence


def test_a_part_that_is_not_trained(english: dict, tmp_path: Path, patch: Patch):
    begin(patch, lambda model: model.blocks[1].requires_grad_(False))
    assert "blocks.1" in only(build(tmp_path / "run", english), "frozen-weights").evidence


def test_targets_that_are_noise(english: dict, tmp_path: Path, patch: Patch):
    def noise(model: GPT, ids: Tensor) -> Tensor:
        hidden = model.hidden(ids[:, :-1]).flatten(0, 1)
        targets = torch.randint(model.config.vocab_size, (len(hidden),))
        return cross_entropy(hidden, model.head.weight, targets)

    objective(patch, noise)
    only(build(tmp_path / "run", english), "nothing-learned")


def test_inputs_that_do_not_belong_to_their_targets(english: dict, tmp_path: Path, patch: Patch):
    def mixed(model: GPT, ids: Tensor) -> Tensor:
        inputs = ids[torch.randperm(len(ids)), :-1]
        hidden = model.hidden(inputs[:, torch.randperm(inputs.shape[1])]).flatten(0, 1)
        return cross_entropy(hidden, model.head.weight, ids[:, 1:].flatten())

    objective(patch, mixed)
    only(
        build(tmp_path / "run", english, training(steps=300, eval_every=0)),
        "only-frequencies",
    )


def test_a_loss_that_became_nan(english: dict, tmp_path: Path, patch: Patch):
    steps = iter(range(10**6))

    def planted(model: GPT, ids: Tensor) -> Tensor:
        return next_token(model, ids) * (float("nan") if next(steps) == 52 else 1.0)

    objective(patch, planted)
    with pytest.raises(TrainingError):
        build(tmp_path / "run", english)
    assert "step 53" in only(tmp_path / "run", "not-a-number").evidence


def test_a_batch_of_rubbish(english: dict, tmp_path: Path, patch: Patch):
    batch = WindowStream.batch

    def with_rubbish(windows: WindowStream, n: int, size: int):
        ids = batch(windows, n, size)
        return (ids * 7919 + 13) % 400 if n == 89 else ids

    patch.setattr(WindowStream, "batch", with_rubbish)
    run = build(tmp_path / "run", english, training(steps=120, eval_every=0))
    assert "step 90" in only(run, "loss-spike").evidence


def test_a_rate_that_never_falls(english: dict, tmp_path: Path):
    run = build(tmp_path / "run", english, training(steps=20, decay=0.0))
    only(run, "no-decay")


def test_a_warm_up_that_does_not_end(english: dict, tmp_path: Path):
    run = build(tmp_path / "run", english, training(steps=20, warmup=0.9))
    only(run, "long-warm-up")


# Broken text


def test_validation_text_that_is_training_text(texts: Path, tmp_path: Path):
    english = texts / "english.txt"
    (tmp_path / "part.txt").write_text(english.read_text("utf-8")[3000:40_000], encoding="utf-8")
    run = build(tmp_path / "run", on(english, validation=[str(tmp_path / "part.txt")]))
    assert "%" in only(run, "validation-in-training").evidence


def test_a_tokenizer_of_another_language(english: dict, texts: Path, tmp_path: Path):
    run = build(tmp_path / "en", english, training(steps=2))
    path = {"tokenizer": {"path": str(run / "tokenizer")}}
    other = build(tmp_path / "zh", on(texts / "chinese.txt"), path, training(steps=20))
    assert "1.0" in only(other, "tokenizer-misfit").evidence


def test_a_vocabulary_that_never_occurs(texts: Path, tmp_path: Path):
    both = [str(texts / "english.txt"), str(texts / "chinese.txt")]
    learned = build(
        tmp_path / "both", {"data": {"paths": both}, "tokenizer": {"vocab_size": 1500}},
        training(steps=1),
    )  # fmt: skip
    few = texts / "chinese.txt"
    path = {"tokenizer": {"path": str(learned / "tokenizer")}}
    only(build(tmp_path / "run", on(few), path, training(steps=20)), "unused-vocabulary")


def test_characters_that_the_vocabulary_has_not(texts: Path, tmp_path: Path):
    few = {"tokenizer": {"kind": "character", "vocab_size": 60}}
    run = build(tmp_path / "run", on(texts / "chinese.txt"), few, training(steps=20))
    only(run, "unknown-characters")


def test_a_tiny_text_read_a_hundred_times(texts: Path, tmp_path: Path):
    english = (texts / "english.txt").read_text("utf-8")
    (tmp_path / "tiny.txt").write_text(english[3000:10_000], encoding="utf-8")
    (tmp_path / "other.txt").write_text(english[50_000:56_000], encoding="utf-8")
    data = on(tmp_path / "tiny.txt", validation=[str(tmp_path / "other.txt")])
    large = {"pretrain": {"model": {"d_model": 64}}}
    run = build(tmp_path / "run", data, large, training(steps=160, eval_every=40))
    only(run, "memorising", "repeated-data", "model-too-large")
    found = {finding.kind: finding for finding in findings(run)}
    assert "epochs" in found["repeated-data"].evidence
    assert "parameters for" in found["model-too-large"].evidence


def test_too_little_validation_text(texts: Path, tmp_path: Path):
    run = build(
        tmp_path / "run", on(texts / "english.txt", validation_fraction=0.005), training(steps=20)
    )
    only(run, "little-validation")


def test_sorted_text_that_is_not_shuffled(texts: Path, tmp_path: Path):
    both = "\n".join((texts / f"{name}.txt").read_text("utf-8") for name in ("english", "chinese"))
    (tmp_path / "sorted.txt").write_text(both, encoding="utf-8")
    order = {"pretrain": {"windows": {"order": "sequential"}}}
    only(build(tmp_path / "run", on(tmp_path / "sorted.txt"), order), "sorted-data")


def test_a_model_that_only_repeats(texts: Path, tmp_path: Path):
    notice = "All rights reserved. " * 4000
    (tmp_path / "notice.txt").write_text(notice, encoding="utf-8")
    run = build(tmp_path / "run", on(tmp_path / "notice.txt"), {"tokenizer": {"vocab_size": 270}})
    only(run, "sample-repeats", "repeated-data")


# Broken files


@pytest.fixture(scope="module")
def good(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(
        tmp_path_factory.mktemp("good") / "run", on(texts / "english.txt"),
        training(steps=20, checkpoint_every=10),
    )  # fmt: skip


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    assert findings(good) == []
    return Path(shutil.copytree(good, tmp_path / "run"))


def flip(path: Path, place: int) -> None:
    """Turn one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


def test_a_bit_that_fell_over_in_a_checkpoint(copy: Path):
    flip(next(copy.glob("pretrain/checkpoints/step-00000020/*.safetensors")), -100)
    assert "step-00000020" in only(copy, "damaged-file").evidence


def test_a_bit_that_fell_over_in_the_tokens(copy: Path):
    (shard,) = copy.rglob("train-00000.bin")
    flip(shard, 5000)
    assert "train-00000.bin" in only(copy, "damaged-file").evidence


def test_a_model_file_that_was_cut(copy: Path):
    weights = copy / "pretrain/model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "model.safetensors" in only(copy, "damaged-file").evidence


def test_the_tokenizer_of_another_run(copy: Path, texts: Path):
    chinese = texts / "chinese.txt"
    Tokenizer.train([chinese], 400).save(copy / "tokenizer")
    only(copy, "vocabulary-mismatch")


def test_weights_that_are_no_numbers(copy: Path):
    from safetensors.torch import load_file, save_file

    path = copy / "pretrain/model/model.safetensors"
    weights = load_file(path)
    weights["blocks.0.attention.key.weight"][3, 5] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    assert "key.weight" in only(copy, "bad-weights").evidence
