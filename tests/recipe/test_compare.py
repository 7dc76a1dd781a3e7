"""A folder of recipes is a comparison: trained seed by seed, resumed, and told with its intervals."""

import json
import math
import time
from pathlib import Path

import pytest

from groundup.errors import InputError
from groundup.model.cost import parameter_count
from groundup.recipe import compare as compare_module
from groundup.recipe.compare import compare, read_comparison, read_recipes
from groundup.recipe.comparison import (
    T_95,
    Interval,
    difference,
    interval,
    markdown,
    report_page,
    verdict,
)
from groundup.recipe.schema import SHIPPED, folder_of_recipes
from groundup.recipe.watch import Watcher
from tests.conftest import groundup
from tests.processes import Process

# The extra hours of sleep that two drugs gave to ten patients, with which "Student" introduced his
# distribution (Biometrika 6, 1908); R's t.test gives the interval of the difference.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
SLEEP = (0.7001142, 2.4598858)


class Heard(Watcher):
    """Remembers what was begun, and how many steps were trained."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.steps = 0

    def stage(self, title: str, why: str) -> None:
        self.begun.append(title)

    def stepped(self, run) -> None:
        self.steps += 1


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here nobody asks how fast these models are; the command line, in its own process, measures."""
    monkeypatch.setattr(compare_module, "SECONDS_OF_A_ROUND", 0.01)


@pytest.fixture
def folder(tmp_path: Path, story: Path) -> Path:
    """Three recipes, each the one before with a change."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "1-first.toml").write_text(
        f'[data]\npaths = ["{story.as_posix()}"]\n[tokenizer]\nvocab_size = 300\n'
        '[pretrain]\npreset = "nano"\n'
        'model = { d_model = 32, n_layers = 2, context_length = 32, feed_forward = "gelu" }\n'
        "[pretrain.train]\nsteps = 30\nmicro_batch = 4\ncheckpoint_every = 10\neval_every = 0\n",
        encoding="utf-8",
    )
    (folder / "2-gated.toml").write_text(
        'extends = "1-first.toml"\n[pretrain.model]\nfeed_forward = "swiglu"\n'
    )
    (folder / "3-faster.toml").write_text(
        'extends = "2-gated.toml"\n[pretrain.train]\nlearning_rate = 1e-2\n'
    )
    return folder


def test_an_interval_of_differences_is_that_of_student():
    found = difference(FIRST, SECOND)
    assert found.mean == pytest.approx(1.58) and found.half is not None
    low, high = found.mean - found.half, found.mean + found.half
    assert (low, high) == pytest.approx(SLEEP, abs=2e-4)


@pytest.mark.parametrize("freedom", range(1, len(T_95) + 1))
def test_the_table_of_t_holds_95_in_100(freedom: int):
    """Simpson's rule over Student's density between −t and t."""
    scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(freedom * math.pi)

    def density(x: float) -> float:
        return scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2)

    parts, t = 2000, T_95[freedom - 1]
    inner = sum((4 if i % 2 else 2) * density(t * i / parts) for i in range(1, parts))
    assert 2 * (density(0) + density(t) + inner) * t / parts / 3 == pytest.approx(0.95, abs=5e-5)


def test_a_verdict_says_whether_zero_is_in_the_interval():
    assert verdict(Interval(-0.2, 0.1)) == "better" and verdict(Interval(0.2, 0.1)) == "worse"
    assert verdict(Interval(-0.2, 0.2)) == verdict(Interval(0.1, 0.3)) == "no difference shown"
    assert verdict(interval([0.5])) == "one seed cannot tell"


def test_what_pairs_have_in_common_does_not_widen_the_interval():
    luck = [0.0, 3.0, -2.0]
    bought = difference([2 + each for each in luck], [1.9 + each for each in luck])
    assert bought.mean == pytest.approx(-0.1) and bought.half == pytest.approx(0, abs=1e-9)
    assert (interval([2 + each for each in luck]).half or 0) > 1


def test_a_folder_is_compared_by_the_command_line(folder: Path, tmp_path: Path):
    (folder / "3-faster.toml").unlink()
    out = tmp_path / "out"
    result = groundup("run", folder, "--seeds", 2, "--out", out, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    first, gated = found["recipes"]
    assert [each["name"] for each in found["recipes"]] == ["1-first", "2-gated"]
    assert found["seeds"] == 2 and len(set(first["by_seed"])) == 2, "seeds differ"
    assert first["changed"] == {} and first["bought"] is None
    assert gated["changed"] == {"pretrain.model.feed_forward": ["gelu", "swiglu"]}
    assert gated["bought"]["mean"] == pytest.approx(
        gated["bits_per_byte"]["mean"] - first["bits_per_byte"]["mean"]
    )
    for each in found["recipes"]:
        assert each["tokens"] == 30 * 4 * 32 and each["tokens_per_second"] > 0
        assert each["memory_bytes"] > 12 * each["parameters"]
    report = Path(found["report"]).read_text(encoding="utf-8")
    assert report.count("<svg") == 1 and "feed_forward gelu → swiglu" in report
    said = groundup("run", folder, "--seeds", 2, "--out", out)
    assert said.stdout == Path(found["table"]).read_text(encoding="utf-8")
    assert "| 2-gated | feed_forward gelu → swiglu |" in said.stdout


def test_what_is_done_is_not_done_again_and_speed_alone_can_be(folder: Path, tmp_path: Path):
    recipes, out = read_recipes(folder, {}), tmp_path / "out"
    found = compare(recipes, 1, out, heard := Heard())
    trained = [f"{name}, seed 0" for name in recipes]
    assert heard.begun == [*trained, "speed"] and heard.steps == 90
    assert found.variants[2].changed == {"pretrain.train.learning_rate": [3e-3, 1e-2]}
    assert compare(recipes, 1, out, heard := Heard()) == found == read_comparison(out)
    assert heard.begun == trained and heard.steps == 0
    (out / "speed.json").unlink()
    again = compare(recipes, 1, out, heard := Heard())
    assert heard.begun == [*trained, "speed"] and heard.steps == 0
    assert [v.by_seed for v in again.variants] == [v.by_seed for v in found.variants]
    more = compare(recipes, 2, out, heard := Heard())
    assert heard.steps == 90 and more.variants[0].by_seed[0] == found.variants[0].by_seed[0]


def test_a_killed_comparison_goes_on_to_the_same_figures(folder: Path, tmp_path: Path):
    undisturbed = compare(read_recipes(folder, {}), 1, tmp_path / "a", Watcher())
    command = ["run", folder, "--seeds", 1, "--out", tmp_path / "b"]
    for until in ("1-first/seed-0/pretrain/checkpoints/step-*", "2-gated/seed-0/tokenizer/*"):
        process = Process(*command)
        deadline = time.monotonic() + 120
        while not list((tmp_path / "b/runs").glob(until)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.wait()
    resumed = compare(read_recipes(folder, {}), 1, tmp_path / "b", Watcher())
    assert [v.by_seed for v in resumed.variants] == [v.by_seed for v in undisturbed.variants]


def test_runs_share_what_they_make_of_the_text_unless_it_differs(folder: Path, tmp_path: Path):
    (folder / "3-faster.toml").write_text(
        'extends = "2-gated.toml"\n[tokenizer]\nvocab_size = 310\n'
    )
    compare(read_recipes(folder, {}), 1, tmp_path / "out", Watcher())
    first, gated, other = (
        tmp_path / "out/runs" / name / "seed-0" for name in ("1-first", "2-gated", "3-faster")
    )
    for name in ("data/corpus/text.parquet", "tokenizer/tokenizer.json"):
        assert (gated / name).samefile(first / name)
    assert (other / "data/corpus/text.parquet").samefile(first / "data/corpus/text.parquet")
    assert not (other / "tokenizer/tokenizer.json").samefile(first / "tokenizer/tokenizer.json")


def test_a_wrong_recipe_is_named_before_anything_is_trained(folder: Path, tmp_path: Path):
    (folder / "3-faster.toml").write_text(
        'extends = "2-gated.toml"\n[pretrain.model]\nfeed_forward = "swigl"\n'
    )
    result = groundup("run", folder, "--out", tmp_path / "out")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "3-faster.toml" in result.stderr and "did you mean 'swiglu'?" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_without_recipes_gives_one_message(tmp_path: Path):
    (tmp_path / "texts").mkdir()
    result = groundup("run", tmp_path / "texts", "--out", tmp_path / "out")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert result.stderr.startswith("error: this is no recipe: a recipe is a .toml file, a folder")


def test_where_one_recipe_is_needed_a_folder_names_its_own(folder: Path, tmp_path: Path):
    result = groundup("plan", folder, "--out", tmp_path / "out")
    assert result.returncode == 2 and "a folder of recipes, where one is needed" in result.stderr
    assert str(folder / "2-gated.toml") in result.stderr


@pytest.mark.parametrize(
    ("recipe", "seeds", "said"),
    [("recipes", 0, "at least 1, not 0"), ("recipes/1-first.toml", 2, "for a folder of recipes")],
)
def test_seeds_that_make_no_sense_are_refused(
    recipe: str, seeds: int, said: str, folder: Path, tmp_path: Path
):
    result = groundup("run", tmp_path / recipe, "--seeds", seeds, "--out", tmp_path / "out")
    assert result.returncode == 2 and said in result.stderr and not (tmp_path / "out").exists()


def test_a_text_without_validation_cannot_be_compared(folder: Path, tmp_path: Path):
    rows = [json.dumps({"text": f"It was night number {n}, and it was dark."}) for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    data = {"paths": [str(tmp_path / "rows.jsonl")], "validation_fraction": 1e-9}
    overrides = {"data": data, "pretrain": {"train": {"steps": 2}}}
    with pytest.raises(InputError, match="too short to keep a part for validation"):
        compare(read_recipes(folder, overrides), 1, tmp_path / "out", Watcher())


def test_a_table_is_written_in_another_language_and_keeps_its_columns(folder: Path, tmp_path: Path):
    changes = {"tokenizer": {"special_tokens": ["<|endoftext|>", "<|x|>"]}}
    recipes = read_recipes(folder, {"pretrain": {"train": {"steps": 2}}})
    recipes["3-faster"] = read_recipes(folder, changes)["3-faster"]
    found = compare(recipes, 1, tmp_path / "out", Watcher())
    table = markdown(
        found.variants, {"verdict": "结论", "one seed cannot tell": "一个种子说明不了"}
    )
    assert "| 结论 |" in table and table.count("一个种子说明不了") == 2
    assert r"<\|x\|>" in table and "&lt;|x|&gt;" in report_page("A page", found.variants)
    assert len({line.replace(r"\|", "").count("|") for line in table.splitlines()}) == 1


def test_the_evolution_ships_and_all_its_models_are_of_one_size_and_budget():
    folder = folder_of_recipes("evolution")
    assert folder == SHIPPED / "evolution"
    recipes = read_recipes(folder, {})
    assert len(recipes) >= 10 and next(iter(recipes)) == "01-transformer-2017"
    vocab_size = recipes["01-transformer-2017"].tokenizer.vocab_size
    sizes = [parameter_count(r.pretrain.model_for(vocab_size)) for r in recipes.values()]
    assert max(sizes) / min(sizes) < 1.05
    budgets = {(r.pretrain.train.steps, r.pretrain.train.micro_batch) for r in recipes.values()}
    assert len(budgets) == 1 and len({r.tokenizer.vocab_size for r in recipes.values()}) == 1
