"""The lessons run as apps, in both languages, and their questions have the answers that they give."""

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import marimo as mo
import pytest
import torch

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "lessons").glob("*.py"))
LESSONS = [path.stem for path in FILES]
HAN = re.compile("[\u4e00-\u9fff]")
# What takes long and does not depend on the controls that the tests change.
LEARNED = {
    "learning_rate": ["windows", "vocab_size", "sweep"],
    "lora_rank": [
        "base", "base_scores", "sizes", "stories", "tasks", "vocab_size", "whole", "whole_losses",
        "whole_scores",
    ],
    "quantization_bits": ["model", "windows", "plain"],
    "sampling": ["model", "tokenizer"],
    "tokenization": ["texts"],
}  # fmt: skip


@cache
def lesson(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "lessons" / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chosen(value: Any) -> mo.ui.dropdown:
    """A control that stands at this value."""
    return mo.ui.dropdown({"chosen": value}, value="chosen")


@cache
def as_opened(name: str) -> Mapping[str, Any]:
    """What a lesson has worked out when it is opened."""
    _, found = lesson(name).app.run()
    return found


def learned(name: str) -> dict[str, Any]:
    """The part of that which takes long."""
    return {key: as_opened(name)[key] for key in LEARNED.get(name, [])}


def after(name: str, **values: Any) -> Mapping[str, Any]:
    """What it has worked out when these controls have been moved."""
    opened = as_opened(name)
    is_control = (
        mo.ui.slider,
        mo.ui.dropdown,
        mo.ui.checkbox,
        mo.ui.radio,
        mo.ui.text,
        mo.ui.text_area,
    )
    same = {key: value for key, value in opened.items() if isinstance(value, is_control)}
    assert values.keys() <= same.keys()
    moved = {key: chosen(to) for key, to in values.items()}
    _, found = lesson(name).app.run(defs=same | learned(name) | moved)
    return found


# All lessons


@pytest.mark.parametrize("language", ["English", "中文"])
@pytest.mark.parametrize("name", LESSONS)
def test_each_lesson_runs_and_shows_itself_in_each_language(name: str, language: str) -> None:
    radio = mo.ui.radio(["English", "中文"], value=language)
    outputs, found = lesson(name).app.run(defs=learned(name) | {"language": radio})
    shown = [mo.as_html(output).text for output in outputs if output is not None]
    heading = next(text for text in shown if "<h1" in text)
    assert bool(HAN.search(heading)) == (language == "中文")
    assert any("data:image/png" in text for text in shown)
    assert found["say"]("yes", "是") == ("是" if language == "中文" else "yes")


@pytest.mark.parametrize("path", FILES, ids=LESSONS)
def test_each_text_stands_in_both_languages_with_the_same_controls(path: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"
    ]
    assert len(calls) > 5
    for call in calls:
        english, chinese = call.args
        assert HAN.search(ast.unparse(chinese)), ast.unparse(call)
        assert inserted(english) == inserted(chinese), ast.unparse(call)


def inserted(text: ast.expr) -> list[str]:
    """The names of what is put into a text."""
    return sorted({node.id for node in ast.walk(text) if isinstance(node, ast.Name)})


@pytest.mark.parametrize(
    ("locale", "expected"), [("zh_CN.UTF-8", "中文"), ("en_GB.UTF-8", "English")]
)
def test_a_lesson_begins_in_the_readers_language(
    locale: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGUAGE", "")
    monkeypatch.setenv("LC_ALL", locale)
    _, found = lesson("positions").app.run()
    assert found["language"].value == expected


def test_marimo_has_nothing_to_say_against_the_lessons() -> None:
    command = [sys.executable, "-m", "marimo", "check", "--strict", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_names_every_lesson(readme: str) -> None:
    text = (ROOT / "lessons" / readme).read_text(encoding="utf-8")
    assert sorted(re.findall(r"\[`(\w+)\.py`\]\(\1\.py\)", text)) == LESSONS


def test_the_chapters_that_the_lessons_name_are_there() -> None:
    texts = [
        path.read_text(encoding="utf-8") for path in (ROOT / "lessons").iterdir() if path.is_file()
    ]
    named = {
        chapter for text in texts for chapter in re.findall(r"docs/\w+/chapters/[\w-]+\.md", text)
    }
    assert len(named) == 2 * len(LESSONS)
    if not (ROOT / "docs/en/chapters").is_dir():
        pytest.skip("the chapters of the guide are not written yet")
    assert [chapter for chapter in named if not (ROOT / chapter).is_file()] == []


# The questions


def test_attention_without_its_scale_gives_nearly_all_weight_to_one_word() -> None:
    sharp = after("attention", exponent=0.0, head_dim=256)["tokens_seen"]
    assert sharp.mean() < 1.5 < 3 < as_opened("attention")["tokens_seen"].mean()


def test_attention_without_positions_cannot_tell_equal_words_apart() -> None:
    weights = after("attention", likeness=0.6)["weights"]
    torch.testing.assert_close(weights[-1, 0], weights[-1, -1])
    assert weights[-1, 0] > 0.4


def test_attention_sees_ahead_only_without_the_causal_mask() -> None:
    assert as_opened("attention")["weights"].triu(1).sum() == 0
    assert after("attention", causal=False)["weights"].triu(1).sum() > 1
    assert torch.equal(after("attention", window=1)["weights"], torch.eye(14))


@pytest.mark.parametrize("scheme", ["rotary", "none", "sinusoidal", "learned"])
def test_scores_depend_on_the_distance_alone_where_vectors_are_turned(scheme: str) -> None:
    gap = after("positions", scheme=scheme)["gap"]
    assert gap < 1e-4 if scheme in ("rotary", "none") else gap > 1


@pytest.mark.parametrize("stretch", ["linear", "llama3", "yarn"])
def test_stretching_slows_the_slow_pairs_and_linear_all(stretch: str) -> None:
    found = after("positions", stretch=stretch)
    slower = found["plain_rotary"].frequency / found["rotary"].frequency
    torch.testing.assert_close(slower[-1].item(), 8.0)
    torch.testing.assert_close(slower[0].item(), 8.0 if stretch == "linear" else 1.0)


def test_theta_slows_all_pairs_but_the_first() -> None:
    fast, slow = (after("positions", theta=theta)["rotary"].frequency for theta in (100, 1_000_000))
    assert fast[0] == slow[0] and (fast[1:] > slow[1:]).all()


def test_a_low_temperature_lets_unlikely_tokens_die_out() -> None:
    cold, hot = (after("sampling", temperature=t)["hesitates"] for t in (0.2, 2.0))
    assert cold < as_opened("sampling")["hesitates"] < hot
    assert after("sampling", temperature=0.0)["left"] == 1


def test_top_k_keeps_as_many_everywhere_and_top_p_more_where_the_model_is_unsure() -> None:
    sure, unsure = "Lily", "Mia is in the"
    for prompt in (sure, unsure):
        assert after("sampling", temperature=1.5, top_k=5, prompt=prompt)["left"] == 5
    left = [after("sampling", temperature=1.5, top_p=0.5, prompt=p)["left"] for p in (sure, unsure)]
    assert left[0] < left[1]


def test_min_p_cuts_off_the_tail_that_top_p_lets_in() -> None:
    cool, hot = (after("sampling", temperature=t, min_p=0.3)["left"] for t in (0.5, 2.0))
    assert cool < hot < after("sampling", temperature=2.0, top_p=0.9)["left"]


def test_without_merges_tokens_are_bytes_and_with_all_of_them_known_words() -> None:
    text = "Lily is in the library. 阿宝在图书馆。"
    assert len(after("tokenization", count=0, text=text)["ids"]) == len(text.encode())
    assert " library" in after("tokenization", count=1800, text=text)["pieces"]


def test_merges_run_out_where_the_borders_of_chinese_words_are_marked() -> None:
    assert len(as_opened("tokenization")["all_merges"]) == 1800
    assert len(after("tokenization", word_borders=True)["all_merges"]) < 1200


def test_a_rate_ten_times_too_low_costs_more_than_one_ten_times_too_high() -> None:
    sweep = as_opened("learning_rate")["sweep"]
    assert min(sweep, key=sweep.get) == 3e-2
    assert sweep[0.1] < sweep[3e-3] and sweep[0.3] < sweep[1e-3]


def test_a_cosine_is_laid_over_the_whole_training() -> None:
    short, long = (after("learning_rate", schedule="cosine", steps=n) for n in (20, 40))
    assert short["rates"][-1] < long["rates"][19]
    assert len(long["loss"]) == 40


def test_an_adapter_changes_a_matrix_in_as_many_directions_as_its_rank() -> None:
    one, four = after("lora_rank", rank=1), as_opened("lora_rank")
    assert [int((found["by_lora"] > 1e-3).sum()) for found in (one, four)] == [1, 4]
    assert 4 * one["counts"].trainable == four["counts"].trainable
    assert four["scores"][1] < one["scores"][1] < four["base_scores"][1]


def test_a_small_alpha_learns_less_and_forgets_less() -> None:
    timid, usual = after("lora_rank", alpha=1)["scores"], as_opened("lora_rank")["scores"]
    assert timid[0] < usual[0] and usual[1] < timid[1]


def test_an_outlier_costs_its_group_and_small_groups_keep_it_to_themselves() -> None:
    alone = as_opened("quantization_bits")["error"]
    costs = [after("quantization_bits", outlier=50, group=n)["error"] for n in (16, 64, 256)]
    assert alone < costs[0] < costs[1] < costs[2]


def test_eight_bits_cost_a_model_less_than_four_and_calibration_wins_some_back() -> None:
    opened = as_opened("quantization_bits")
    assert after("quantization_bits", bits=8)["error"] < opened["error"] / 10
    added = opened["added"]
    assert abs(added["8 bits"]) < added["4 bits, GPTQ"] < added["4 bits"]
