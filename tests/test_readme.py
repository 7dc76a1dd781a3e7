"""The README's way from a folder to a model works as it is written, and both languages show the same."""

import contextlib
import re
import shlex
import tomllib
from pathlib import Path

from tests.conftest import groundup, groundup_anew

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
)
QUICK = shlex.split(
    "--pretrain.train.steps 3 --tokenizer.vocab_size 300 --pretrain.model.context_length 32"
)
QUICK_LLAMA = shlex.split(
    "--train.steps 3 --vocab-size 300 --model.context_length 32 --model.d_model 96 --model.n_layers 2"
)


def blocks(readme: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", readme, re.S)


def commands(readme: str) -> list[list[str]]:
    """Every `groundup` command of the console blocks, without comments."""
    lines = "".join(blocks(readme, "console")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("groundup ")]


def run(command: list[str], folder: Path, typed: str = "", start=groundup) -> str:
    with contextlib.chdir(folder):
        result = start(*command, stdin=typed)
    assert result.returncode == 0, (command, result.stderr)
    return result.stdout


def a_folder(story: Path, tmp_path: Path) -> None:
    (tmp_path / "my_folder").mkdir()
    story.rename(tmp_path / "my_folder" / "story.txt")


def test_from_a_folder_to_a_model_in_five_commands(story: Path, tmp_path: Path):
    (recipe,) = blocks(ENGLISH, "toml")
    (tmp_path / "my.toml").write_text(recipe, encoding="utf-8")
    a_folder(story, tmp_path)
    way = commands(ENGLISH)[:5]
    assert [command[1] for command in way] == ["data", "plan", "run", "doctor", "generate"]
    for _, verb, *arguments in way:
        quick = QUICK if verb in ("plan", "run") else []
        run([verb, *arguments, *quick], tmp_path, start=groundup_anew)
    assert (tmp_path / "data.html").is_file() and (tmp_path / "runs/my/report.html").is_file()


def test_a_model_is_given_a_job_in_six_commands(story: Path, tmp_path: Path):
    rows = {
        "labels.tsv": "label\ttext\n" + "".join(f"{'ab'[i % 2]}\ttext {i}\n" for i in range(40)),
        "rows.jsonl": "".join(
            f'{{"instruction": "Where is {i}?", "output": "In the garden."}}\n' for i in range(40)
        ),
        "pairs.jsonl": "".join(
            f'{{"prompt": "Where is {i}?", "chosen": "In the garden.", "rejected": "No."}}\n'
            for i in range(40)
        ),
        "other.txt": story.read_text(encoding="utf-8"),
    }
    for name, text in rows.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    a_folder(story, tmp_path)
    (tmp_path / "my.toml").write_text(blocks(ENGLISH, "toml")[0], encoding="utf-8")
    run(["run", "my.toml", *QUICK], tmp_path)
    classify, label, instruct, chat, prefer, evaluate = (c[1:] for c in commands(ENGLISH)[5:11])
    for tuning in (classify, instruct, prefer):
        run([*tuning, "--train.steps", "2", "--train.micro_batch", "2"], tmp_path)
    assert run(label, tmp_path).startswith(("a\t", "b\t"))
    assert (tmp_path / "runs/answers/finetune/adapter/adapter_config.json").is_file()
    # A model that knew no turns would go on with what was said.
    assert not run([*chat, "--max-new-tokens", "5"], tmp_path, "Where is Mia?").startswith(
        "Where is"
    )
    assert "bits per byte" in run(evaluate, tmp_path)
    assert "runs/preferred" in (tmp_path / "compared.html").read_text(encoding="utf-8")


def test_from_other_peoples_models_to_ones_own_and_out(smollm2: Path, story: Path, tmp_path: Path):
    a_folder(story, tmp_path)
    (tmp_path / smollm2.name).symlink_to(smollm2)
    chat, inspect, pretrain, convert, extend, go_on = (c[1:] for c in commands(ENGLISH)[11:17])
    assert "Paris" in run(chat, tmp_path, "What is the capital of France?")
    assert "124,439,808" in run(inspect, tmp_path)
    run([*pretrain, *QUICK_LLAMA], tmp_path)
    assert "my.gguf" in run(convert, tmp_path)
    run(extend, tmp_path)
    run([*go_on, "--train.steps", "3"], tmp_path)
    assert (tmp_path / "runs/mine/pretrain/model/config.json").is_file()


def test_both_languages_show_the_same_commands_and_recipe():
    assert [c[:-1] for c in commands(ENGLISH)] == [c[:-1] for c in commands(CHINESE)]
    ours, theirs = (tomllib.loads(blocks(text, "toml")[0]) for text in (ENGLISH, CHINESE))
    assert ours["pretrain"]["train"] == theirs["pretrain"]["train"]
    assert ours["tokenizer"] == theirs["tokenizer"]


def test_every_recipe_that_is_named_ships():
    shipped = {path.stem for path in (ROOT / "recipes").glob("*.toml")}
    for readme in (ENGLISH, CHINESE):
        rows = "".join(re.findall(r"^\| `groundup run .*?\|", readme, re.M))
        named = set(re.findall(r"`(?:groundup run )?([\w-]+)", rows))
        assert named <= shipped and shipped - named <= {"quickstart"}
