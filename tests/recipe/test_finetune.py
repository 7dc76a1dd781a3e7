"""Tuning as a stage: every kind from rows to a model directory, broken off and gone on with, as a user
runs it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from groundup.cleaning.leaks import find_leaks
from groundup.errors import InputError
from groundup.evaluate.language import summarize
from groundup.recipe.documents import read_source
from groundup.recipe.finetune.general import general_panel, general_text
from groundup.recipe.finetune.held_out import held_out
from groundup.recipe.run import run_recipe
from groundup.recipe.schema import merge, parse_recipe
from groundup.recipe.watch import Watcher
from groundup.tokenizer.chat import DEFAULT_TEMPLATE
from groundup.weights.classifier import load_classifier
from groundup.weights.directory import load
from tests.conftest import groundup
from tests.processes import Process

COLOURS = ["red", "green", "blue", "white", "black", "grey", "pink", "brown"]
THINGS = ["ball", "hat", "book", "cup", "door", "car", "leaf", "shoe"]
PAIRS = [(colour, thing) for colour in COLOURS for thing in THINGS]
SMALL = {"train.steps": 12, "train.micro_batch": 4, "train.checkpoint_every": 3}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rows of each kind about coloured things."""
    folder = tmp_path_factory.mktemp("rows")
    instructions = [
        {"instruction": f"What colour is the {c} {t}?", "output": f"The {t} is {c}."}
        for c, t in PAIRS
    ]
    labelled = [{"label": t, "text": f"I see a {c} {t} here"} for c, t in PAIRS]
    preferences = [
        {"prompt": f"Say the colour of the {c} {t}.", "chosen": f"It is {c}, my friend.",
         "rejected": f"{c}! How stupid."} for c, t in PAIRS
    ]  # fmt: skip
    questions = [{"question": f"Which colour has the {c} {t}?", "answer": c} for c, t in PAIRS]
    kinds = {
        "instruct": instructions, "classify": labelled, "prefer": preferences, "reason": questions,
    }  # fmt: skip
    return {kind: write_rows(folder / f"{kind}.jsonl", of) for kind, of in kinds.items()}


@pytest.fixture(scope="module")
def base(rows: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that has read some of these rows, and its run directory round it."""
    out = tmp_path_factory.mktemp("base")
    run_recipe(parse_recipe(pretraining(rows["instruct"])), out, Watcher())
    return out / "pretrain/model"


def pretraining(text: Path) -> dict[str, Any]:
    return {
        "data": {"paths": [str(text)]},
        "tokenizer": {"vocab_size": 340, "special_tokens": [
            "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]},
        "pretrain": {
            "preset": "nano",
            "model": {"d_model": 32, "n_layers": 2, "context_length": 64, "dropout": 0.1},
            "train": {"steps": 6, "micro_batch": 4},
        },
    }  # fmt: skip


def flags(**settings: Any) -> Iterator[str]:
    for name, value in (SMALL | settings).items():
        yield from (f"--{name}", str(value))


def arguments(kind: str, base: Path, data: Path, out: Path, *more: object) -> list[str]:
    parts = [
        "finetune",
        kind,
        "--model",
        base,
        "--data",
        data,
        "--out",
        out,
        *flags(),
        *more,
        "--json",
    ]
    return list(map(str, parts))


def tune(kind: str, base: Path, data: Path, out: Path, *more: object) -> dict[str, Any]:
    result = groundup(*arguments(kind, base, data, out, *more))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


PROMISED = {
    "classify": {"model", "labels", "train_accuracy", "val_accuracy", "test_accuracy", "test_interval",
                 "trainable_parameters", "parameters", "seconds"},
    "instruct": {"model", "val_loss", "forgetting", "seconds"},
    "prefer": {"model", "reward_accuracy", "reward_margin", "seconds"},
    "reason": {"model", "exact_answers_before", "exact_answers", "seconds"},
}  # fmt: skip


@pytest.mark.parametrize("kind", PROMISED)
def test_a_broken_off_tuning_ends_with_the_same_bits(
    kind: str, rows: dict[str, Path], base: Path, tmp_path: Path
):
    more = ["--lora-rank", 2] if kind != "classify" else []
    whole = tune(kind, base, rows[kind], tmp_path / "whole", *more)
    assert whole.keys() >= PROMISED[kind]
    assert whole["steps"] == 12 and Path(whole["model"]).is_dir()
    process = Process(*arguments(kind, base, rows[kind], tmp_path / "killed", *more))
    while process.poll() is None and not list(
        (tmp_path / "killed").glob("finetune/checkpoints/step-*")
    ):
        time.sleep(0.01)
    process.kill()
    process.wait()
    resumed = tune(kind, base, rows[kind], tmp_path / "killed", *more, "--resume")
    assert resumed["model_checksum"] == whole["model_checksum"]


def test_the_adapter_on_its_base_is_the_tuned_model(
    rows: dict[str, Path], base: Path, tmp_path: Path
):
    tuned = tune("instruct", base, rows["instruct"], tmp_path, "--lora-rank", 4)
    assert tuned["trainable_parameters"] < 0.3 * tuned["parameters"]
    merged, tokenizer = load(tuned["model"])
    adapted, _ = load(tmp_path / "finetune/adapter")
    ids = torch.tensor([tokenizer.encode("What colour is the red ball?")])
    torch.testing.assert_close(merged(ids), adapted(ids), atol=1e-5, rtol=1e-5)
    before, _ = load(base)
    assert (merged(ids) - before(ids)).abs().max() > 1e-3
    again = load_file(Path(tuned["model"]) / "model.safetensors")
    assert again["embedding.weight"].equal(
        load_file(base / "model.safetensors")["embedding.weight"]
    )


def test_a_base_in_four_bits_trains_an_adapter(rows: dict[str, Path], base: Path, tmp_path: Path):
    more = ["--base-bits", 4]
    refused = groundup(*arguments("instruct", base, rows["instruct"], tmp_path / "a", *more))
    assert refused.returncode == 2 and "--lora-rank" in refused.stderr
    tuned = tune("instruct", base, rows["instruct"], tmp_path / "b", *more, "--lora-rank", 2)
    assert tuned["val_loss"] < tuned["val_loss_before"]


def test_labels_are_learned_and_the_model_says_them(
    rows: dict[str, Path], base: Path, tmp_path: Path
):
    tuned = tune("classify", base, rows["classify"], tmp_path, "--train.steps", 120,
                 "--train.learning_rate", 3e-3, "--classify.pooling", "mean")  # fmt: skip
    assert sorted(tuned["labels"]) == sorted(THINGS)
    assert tuned["train_accuracy"] > 0.9
    low, high = tuned["test_interval"]
    assert low <= tuned["test_accuracy"] <= high
    assert set(tuned["baselines"]) == {"majority", "TF-IDF + logistic regression"}
    said = json.loads(groundup("classify", tuned["model"], "I see a red hat here", "--json").stdout)
    assert set(said["labels"]) == set(THINGS) or said["labels"] == ["hat"]
    assert load_classifier(tuned["model"])[2] == tuned["labels"]


def test_general_text_is_mixed_in_and_measured(rows: dict[str, Path], base: Path, tmp_path: Path):
    """A model of ours brings its own text; for others it is named, or nothing is measured, which is said."""
    tuned = tune("instruct", base, rows["instruct"], tmp_path / "own")
    low, high = tuned["forgetting"]["relative_interval"]
    assert low <= tuned["forgetting"]["relative"] <= high and not tuned["notes"]
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    moved = base.rename(alone / "model")
    try:
        result = tune("instruct", moved, rows["instruct"], tmp_path / "none")
        assert result["forgetting"] is None and "--replay" in result["notes"][0]
        named = tune(
            "instruct", moved, rows["instruct"], tmp_path / "named", "--replay", rows["prefer"]
        )
        assert named["forgetting"]["before"] > 0
    finally:
        moved.rename(base)


def test_a_model_that_was_gone_on_from_brings_its_own_text(
    rows: dict[str, Path], base: Path, tmp_path: Path
):
    """Its general text, not that of the field, is what is mixed in and measured."""
    general = general_text([], base, load(base)[1], tmp_path)
    values = {
        "data": {"paths": [str(rows["prefer"])]},
        "pretrain": {"begin_from": str(base), "train": {"steps": 2, "micro_batch": 2}},
        "finetune": {"objective": "instruct", "data": [str(rows["instruct"])],
                     "train": {"steps": 1, "micro_batch": 2}},
    }  # fmt: skip
    finished = run_recipe(parse_recipe(values), tmp_path / "run", Watcher())
    assert finished.tuned and general
    pretrained = load(finished.run.pretrained)[0]
    before = summarize(general_panel(pretrained, general).texts["general text"]).bits_per_byte
    assert finished.tuned.figures["forgetting"]["before"] == pytest.approx(before, abs=1e-6)


def test_what_is_held_out_is_not_pretrained_on(rows: dict[str, Path], tmp_path: Path):
    values = merge(pretraining(rows["instruct"]), {
        "finetune": {"objective": "instruct", "instruct": {"held_out": 0.2},
                     "train": {"steps": 2, "micro_batch": 4}},
    })  # fmt: skip
    kept = held_out(parse_recipe(values))
    assert len(kept) == round(0.2 * len(PAIRS))
    values["pretrain"]["model"]["context_length"] = 32
    for hold_out, leaks in ((True, 0), (False, len(kept))):
        recipe = parse_recipe(merge(values, {"data": {"hold_out": hold_out}}))
        run = run_recipe(recipe, tmp_path / str(hold_out), Watcher())
        text = list(read_source(run.run.corpus, "text"))
        exact = [leak for leak in find_leaks(text, kept) if leak.kind == "exact"]
        assert len(exact) == leaks
        assert run.model == run.run.tuned and run.tuned is not None


def test_rows_of_no_use_are_counted_and_named(rows: dict[str, Path], base: Path, tmp_path: Path):
    good = rows["instruct"].read_text(encoding="utf-8")
    data = tmp_path / "rows.jsonl"
    bad = [{"instruction": "Say it.", "output": ""}, {"instructions": "Say it.", "output": "It."}]
    data.write_text("".join(json.dumps(row) + "\n" for row in bad) + good, encoding="utf-8")
    tuned = tune("instruct", base, data, tmp_path / "run")
    assert "2 of 66 rows left out" in tuned["notes"][0]
    assert "rows.jsonl:1" in tuned["notes"][0] and "rows.jsonl:2" in tuned["notes"][0]
    report = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "2 of 66 rows left out" in report


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [
        ("instruct", {"messages": [{"role": "assistant", "content": "Hi"}]}, "assistant"),
        ("classify", {"label": "spam", "text": "only one"}, "spam"),
        ("prefer", {"prompt": "a", "chosen": "b", "rejected": "b"}, "same"),
        ("reason", {"question": "a"}, "answer"),
    ],
)
def test_rows_that_teach_nothing_give_one_message(
    kind: str, row: dict[str, Any], said: str, base: Path, tmp_path: Path
):
    data = write_rows(tmp_path / "rows.jsonl", [row])
    result = groundup(*arguments(kind, base, data, tmp_path / "run"))
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr


def test_a_tuning_of_nothing_is_refused(base: Path, tmp_path: Path):
    result = groundup(*arguments("instruct", base, tmp_path / "no.jsonl", tmp_path / "run"))
    assert result.returncode == 2 and "no.jsonl" in result.stderr
    result = groundup("finetune", "instruct", "--model", tmp_path / "no", "--data", tmp_path)
    assert result.returncode == 2 and "there is no such model" in result.stderr
    result = groundup("finetune", "instrcut", "--model", base)
    assert result.returncode == 2 and "instruct" in result.stderr
    with pytest.raises(InputError, match="no rows"):
        run_recipe(
            parse_recipe({"finetune": {"objective": "instruct", "model": str(base)}}),
            tmp_path,
            Watcher(),
        )


def test_a_plan_foretells_a_tuning(rows: dict[str, Path], base: Path, tmp_path: Path):
    values = {
        "finetune": {"objective": "instruct", "model": str(base), "data": [str(rows["instruct"])]}
    }
    recipe = tmp_path / "tune.toml"
    lines = [
        "[finetune]",
        'objective = "instruct"',
        f'model = "{base}"',
        f'data = ["{rows["instruct"]}"]',
    ]
    recipe.write_text("\n".join(lines), encoding="utf-8")
    result = groundup("plan", recipe, "--out", tmp_path / "run", "--json")
    assert result.returncode == 0, result.stderr
    stages = {stage["name"]: stage for stage in json.loads(result.stdout)["stages"]}
    assert list(stages) == ["finetune", "evaluate"]
    assert stages["finetune"]["seconds"] > 0 and stages["finetune"]["disk_bytes"] > 0
    assert parse_recipe(values).finetune.kind == "instruct"


def test_the_doctor_says_that_it_examines_pretraining(
    rows: dict[str, Path], base: Path, tmp_path: Path
):
    tune("prefer", base, rows["prefer"], tmp_path / "run", "--train.steps", 1)
    result = groundup("doctor", "--run", tmp_path / "run")
    assert result.returncode == 2 and "examines pretraining" in result.stderr


def test_changed_rows_are_learned_anew(rows: dict[str, Path], base: Path, tmp_path: Path):
    """Wherever the recipe names them, and the template with them."""
    data, template = tmp_path / "rows.jsonl", tmp_path / "mine.jinja"
    data.write_bytes(rows["instruct"].read_bytes())
    template.write_text(DEFAULT_TEMPLATE, encoding="utf-8")
    recipe = parse_recipe({
        "data": {"paths": [str(data)]},
        "finetune": {"objective": "instruct", "model": str(base),
                     "instruct": {"template": str(template)},
                     "train": {"steps": 2, "micro_batch": 4}},
    })  # fmt: skip
    tuned = [run_recipe(recipe, tmp_path / "run", Watcher()).tuned]
    assert run_recipe(recipe, tmp_path / "run", Watcher()).tuned == tuned[0]
    data.write_bytes(b"".join(data.read_bytes().splitlines(keepends=True)[10:]))
    tuned.append(run_recipe(recipe, tmp_path / "run", Watcher()).tuned)
    template.write_text(DEFAULT_TEMPLATE.replace("'<|end|>'", "' <|end|>'"), encoding="utf-8")
    tuned.append(run_recipe(recipe, tmp_path / "run", Watcher()).tuned)
    assert len({each.model_checksum for each in tuned if each}) == 3


def test_a_model_without_turns_learns_them(rows: dict[str, Path], tmp_path: Path):
    values = merge(
        pretraining(rows["instruct"]), {"tokenizer": {"special_tokens": ["<|endoftext|>"]}}
    )
    run_recipe(parse_recipe(values), tmp_path / "plain", Watcher())
    plain = tmp_path / "plain/pretrain/model"
    assert not load(plain)[1].knows_turns
    tuned = tune("instruct", plain, rows["instruct"], tmp_path / "run", "--lora-rank", 2)
    assert load(tuned["model"])[1].knows_turns
    assert tuned["forgetting"]["before"] > 0
    # Its base does not have the tokens, so an adapter alone would be another model.
    assert not (tmp_path / "run/finetune/adapter").exists()


def test_an_adapter_is_loaded_from_anywhere(
    rows: dict[str, Path], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(base.parent)
    tune("instruct", Path("model"), rows["instruct"], tmp_path / "run", "--lora-rank", 2)
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path / "run/finetune/adapter")[0].config.d_model == 32


def test_a_first_try_that_was_refused_leaves_the_folder_free(
    rows: dict[str, Path], base: Path, tmp_path: Path
):
    bad = write_rows(tmp_path / "bad.jsonl", [{"label": "spam", "text": "only one"}])
    assert groundup(*arguments("classify", base, bad, tmp_path / "run")).returncode == 2
    assert tune("classify", base, rows["classify"], tmp_path / "run")["steps"] == 12
    again = groundup(*arguments("classify", base, rows["classify"], tmp_path / "run"))
    assert again.returncode == 2 and "--resume" in again.stderr
