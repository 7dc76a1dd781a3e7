"""A run is made of stages: done once, done again when what they depend on changes, never lost."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import GroundupError, InputError
from groundup.recipe.finished import Finished
from groundup.recipe.run import run_recipe
from groundup.recipe.schema import merge, parse_recipe, read_recipe
from groundup.recipe.watch import Watcher
from tests.conftest import groundup
from tests.processes import Process

ORDER = ["data", "tokenizer", "encode", "pretrain", "evaluate"]


class Heard(Watcher):
    """Remembers which stages were done and which were not."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.skipped_stages: list[str] = []

    def stage(self, title: str, why: str) -> None:
        self.done.append(title)

    def skipped(self, title: str) -> None:
        self.skipped_stages.append(title)


def small(text: Path, **changes: Any) -> dict[str, Any]:
    values = {
        "data": {"paths": [str(text)]},
        "tokenizer": {"vocab_size": 300},
        "pretrain": {
            "preset": "nano",
            "model": {"d_model": 32, "n_layers": 2, "context_length": 32},
            "train": {"steps": 20, "micro_batch": 4, "checkpoint_every": 5, "eval_every": 10},
        },
    }
    return merge(values, changes)


def run(values: dict[str, Any], out: Path) -> tuple[Finished, Heard]:
    heard = Heard()
    return run_recipe(parse_recipe(values), out, heard), heard


def test_what_is_done_is_not_done_again(story: Path, tmp_path: Path):
    first, heard = run(small(story), tmp_path)
    assert heard.done == ORDER
    again, heard = run(small(story), tmp_path)
    assert heard.done == [] and heard.skipped_stages == ORDER
    assert again.pretrained == first.pretrained and again.records == first.records


def test_only_what_depends_on_a_change_is_done_again(story: Path, tmp_path: Path):
    run(small(story), tmp_path)
    for change, redone in (
        ({"report": {"watts": 300}}, []),
        ({"evaluate": {"text": [str(story)]}}, ["evaluate"]),
        ({"pretrain": {"prompt": "Mia"}}, []),
        ({"pretrain": {"train": {"learning_rate": 1e-3}}}, ["pretrain", "evaluate"]),
        ({"data": {"validation_fraction": 0.2}}, ["encode", "pretrain", "evaluate"]),
        ({"tokenizer": {"vocab_size": 310}}, ["tokenizer", "encode", "pretrain", "evaluate"]),
    ):
        _, heard = run(small(story), tmp_path)  # back to where it was
        _, heard = run(small(story, **change), tmp_path)
        assert heard.done == redone, change


def test_a_change_without_effect_goes_no_further(story: Path, tmp_path: Path):
    run(small(story), tmp_path)
    _, heard = run(small(story, data={"clean": ["unicode"]}), tmp_path)
    assert heard.done == ["data"], "the text was clean before"
    story.write_text(story.read_text(encoding="utf-8") + "The end.\n", encoding="utf-8")
    _, heard = run(small(story), tmp_path)
    assert heard.done == ORDER


def test_an_earlier_training_is_set_aside_not_lost(story: Path, tmp_path: Path):
    first, _ = run(small(story), tmp_path)
    for seed in (1, 2):
        run(small(story, pretrain={"train": {"seed": seed}}), tmp_path)
    assert (tmp_path / "pretrain.previous.2/summary.json").is_file()
    kept = json.loads((tmp_path / "pretrain.previous/summary.json").read_text())
    assert kept["model_checksum"] == first.pretrained.model_checksum


def test_more_minutes_go_on_from_what_was_trained(story: Path, tmp_path: Path):
    train = {"steps": 10**6, "minutes": 0.01}
    first, _ = run(small(story, pretrain={"train": train}), tmp_path)
    longer, heard = run(small(story, pretrain={"train": train | {"minutes": 0.02}}), tmp_path)
    assert heard.done == ["pretrain", "evaluate"]
    assert longer.pretrained.steps > first.pretrained.steps
    assert not (tmp_path / "pretrain.previous").exists()


def test_killed_five_times_it_ends_with_the_same_model(story: Path, tmp_path: Path):
    """kill -9 at moments drawn over the whole run: reading, tokenizer, training, evaluation."""
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'[data]\npaths = ["{story.as_posix()}"]\nclean = ["unicode", "exact_duplicates"]\n'
        '[tokenizer]\nvocab_size = 300\n[pretrain]\npreset = "nano"\n'
        "model = { d_model = 32, n_layers = 2, context_length = 32, dropout = 0.1 }\n"
        "[pretrain.train]\nsteps = 300\nmicro_batch = 4\ncheckpoint_every = 20\neval_every = 50\n"
        f'[evaluate]\ntext = ["{story.as_posix()}"]\n',
        encoding="utf-8",
    )
    began = time.monotonic()
    undisturbed = groundup("run", recipe, "--out", tmp_path / "a", "--json")
    took = time.monotonic() - began
    assert undisturbed.returncode == 0, undisturbed.stderr
    moments = random.Random(0)
    for _ in range(5):
        process = Process("run", recipe, "--out", tmp_path / "b")
        time.sleep(moments.uniform(0.3, 0.9) * took)
        process.kill()
        process.wait()
    finished = groundup("run", recipe, "--out", tmp_path / "b", "--json")
    assert finished.returncode == 0, finished.stderr
    one, other = json.loads(undisturbed.stdout), json.loads(finished.stdout)
    assert one["model_checksum"] == other["model_checksum"]
    assert one["bits_per_byte"] == other["bits_per_byte"]


def test_two_processes_do_not_work_in_one_folder(story: Path, tmp_path: Path):
    class Intruder(Heard):
        def stage(self, title: str, why: str) -> None:
            with pytest.raises(GroundupError, match="another groundup process"):
                run_recipe(parse_recipe(small(story)), tmp_path, Watcher())
            super().stage(title, why)

    heard = Intruder()
    run_recipe(parse_recipe(small(story)), tmp_path, heard)
    assert heard.done == ORDER


def test_sources_are_drawn_in_their_shares_and_it_is_reported(tmp_path: Path):
    for name, text in (("small", "小明在花园。"), ("large", "Tom has a red ball. ")):
        (tmp_path / f"{name}.txt").write_text(text * 400, encoding="utf-8")
    sources = [
        {"name": name, "paths": [str(tmp_path / f"{name}.txt")], "weight": weight}
        for name, weight in (("small", 3), ("large", 1))
    ]
    values = small(tmp_path / "large.txt", data={"paths": [], "sources": sources})
    finished, _ = run(values, tmp_path / "run")
    drawn = finished.pretrained.drawn
    assert drawn["small"]["windows"] == 60 and drawn["large"]["windows"] == 20
    assert "times its text" in finished.run.report.read_text(encoding="utf-8")


def test_text_comes_through_a_pipe_and_a_run_goes_on_without_it(story: Path, tmp_path: Path):
    recipe = ["run", "shakespeare-modern", "--data", "-", "--out", tmp_path, "--tokenizer.vocab_size",
              300, "--pretrain.train.steps", 2, "--pretrain.model.context_length", 16]  # fmt: skip
    first = groundup(*recipe, stdin=story.read_text(encoding="utf-8"))
    assert first.returncode == 0, first.stderr
    again = groundup(*recipe, stdin="")
    assert again.returncode == 0 and "done already" in again.stderr


def test_the_report_says_which_text_and_code_made_the_model(story: Path, tmp_path: Path):
    changes = {"data": {"clean": [{"step": "length", "fewest": 5}, "personal"]}}
    story.write_text(story.read_text(encoding="utf-8") + "Call 13812345678.\n", encoding="utf-8")
    finished, _ = run(small(story, **changes), tmp_path)
    report = finished.run.report.read_text(encoding="utf-8")
    for said in (
        finished.pretrained.model_checksum,
        "text: text",
        "kWh",
        "[PHONE]",
        "torch",
        "Settings",
    ):
        assert said in report


def test_recipes_extend_each_other_but_not_in_a_circle(tmp_path: Path):
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n[tokenizer]\nvocab_size = 400\n')
    (tmp_path / "b.toml").write_text(
        'extends = "shakespeare-modern"\n[pretrain.train]\nsteps = 7\n'
    )
    recipe = read_recipe(str(tmp_path / "a.toml"), {})
    assert (recipe.tokenizer.vocab_size, recipe.pretrain.train.steps) == (400, 7)
    assert recipe.pretrain.train.optimizer == "muon", "from shakespeare-modern"
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(InputError, match="circle: a → b → a"):
        read_recipe(str(tmp_path / "a.toml"), {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[data]\npathz = []", "did you mean 'paths'"),
        ('[data]\nclean = ["unicod"]', "did you mean 'unicode'"),
        ('[data]\nclean = [{ step = "length", fewst = 5 }]', "fewest"),
        ('[pretrain.train]\nsteps = "many"', "pretrain.train.steps"),
        ("[pretrain.train]\nsteps = 0", "must be a whole number above 0, not 0"),
        ('[tokenizer]\nkind = "bp"', "did you mean 'bpe'"),
        ("[pretrain.model]\nvocab_size = 100", "the tokenizer gives it"),
        ('extends = "shakespear-modern"', "shakespeare-modern"),
        ('extends = "nope.toml"', "no such recipe file"),
        ("[data", "TOML"),
        ('[data]\npaths = ["no/such.txt"]', "no such file"),
        ('[[data.sources]]\nname = "a"\npaths = ["x"]\n[[data.sources]]\nname = "a"\npaths = ["y"]',
         "different names"),
        ('[data]\npaths = ["x"]\n[[data.sources]]\nname = "a"\npaths = ["x"]', "not from both"),
        ('[[data.sources]]\nname = "a"\npaths = ["x"]\nweight = 1\n'
         '[[data.sources]]\nname = "b"\npaths = ["y"]', "has no `weight`"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_gives_one_message_and_status_2(text: str, said: str, tmp_path: Path):
    path = tmp_path / "r.toml"
    path.write_text(text, encoding="utf-8")
    result = groundup("run", path, "--out", tmp_path / "out")
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr
