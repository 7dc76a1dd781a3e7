"""The README's way from a folder to a model works as it is written, and both languages show the same."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
)
QUICK = [
    "--pretrain.train.steps",
    "3",
    "--tokenizer.vocab_size",
    "300",
    "--pretrain.model.context_length",
    "32",
]


def blocks(readme: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", readme, re.S)


def commands(readme: str) -> list[list[str]]:
    """Every `groundup` command of the console blocks, without comments."""
    lines = "".join(blocks(readme, "console")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("groundup ")]


def test_from_a_folder_to_a_model_in_five_commands(story: Path, tmp_path: Path):
    (recipe,) = blocks(ENGLISH, "toml")
    (tmp_path / "my.toml").write_text(recipe, encoding="utf-8")
    (tmp_path / "my_folder").mkdir()
    story.rename(tmp_path / "my_folder" / "story.txt")
    way = commands(ENGLISH)
    assert [command[1] for command in way] == ["data", "plan", "run", "doctor", "generate"]
    for _, verb, *arguments in way:
        more = QUICK if verb in ("plan", "run") else []
        result = subprocess.run(
            [sys.executable, "-m", "groundup.cli.main", verb, *arguments, *more], cwd=tmp_path,
            capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert result.returncode == 0, (verb, result.stderr)
    assert (tmp_path / "data.html").is_file() and (tmp_path / "runs/my/report.html").is_file()


def test_both_languages_show_the_same_commands_and_recipe():
    assert [c[:-1] for c in commands(ENGLISH)] == [c[:-1] for c in commands(CHINESE)]
    ours, theirs = (tomllib.loads(blocks(text, "toml")[0]) for text in (ENGLISH, CHINESE))
    assert ours["pretrain"]["train"] == theirs["pretrain"]["train"]
    assert ours["tokenizer"] == theirs["tokenizer"]


def test_every_recipe_that_is_named_ships():
    shipped = {path.stem for path in (ROOT / "recipes").glob("*.toml")}
    for readme in (ENGLISH, CHINESE):
        named = set(re.findall(r"^\| `groundup run ([\w-]+)", readme, re.M))
        assert named <= shipped and shipped - named <= {"quickstart", "medicine-zh"}
