"""`groundup evaluate` as a user types it: figures for scripts, sentences for people, and what is wrong."""

import json
from pathlib import Path

import pytest

from groundup.cli.main import main
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.weights.classifier import save_classifier
from groundup.weights.directory import save
from tests.conftest import STORY, groundup

TASK = """
task: where_is
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list: [{metric: acc}]
"""


@pytest.fixture
def directory(model: GPT, tokenizer, tmp_path: Path) -> Path:
    save(model, tokenizer, tmp_path / "model")
    return tmp_path / "model"


def figures(*arguments: object) -> dict:
    result = groundup("evaluate", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_text_is_measured_by_file_and_all_together(directory: Path, tmp_path: Path):
    (tmp_path / "a.txt").write_text(STORY, encoding="utf-8")
    (tmp_path / "b.txt").write_text("Tom is here. " * 50, encoding="utf-8")
    told = figures(directory, "--text", tmp_path / "a.txt", tmp_path / "b.txt", "--stride", 16)
    assert told["documents"] == 2 and told["perplexity"] > 1
    low, high = told["bits_per_byte_interval"]
    assert low < told["bits_per_byte"] < high
    a, b = (told["texts"][str(tmp_path / name)] for name in ("a.txt", "b.txt"))
    assert a["bytes"] + b["bytes"] == pytest.approx(told["bytes"]) == len(STORY.encode()) + 650
    said = groundup("evaluate", directory, "--text", tmp_path / "a.txt").stdout
    assert "bits per byte" in said and "perplexity" in said and str(tmp_path / "a.txt") in said


def test_a_random_model_guesses_in_a_real_exam(directory: Path, real_data: Path, tmp_path: Path):
    exam, advice = real_data / "zh/law-exam.json", real_data / "zh/song-ci.jsonl"
    told = figures(directory, "--exam", exam, "--limit", 20, "--base", directory)
    assert told["verdict"].startswith("no better than guessing: ")
    assert told["chance"] == 0.25 and told["questions"] == 20 and told["too_long"] == 20
    assert told["interval"][0] < told["accuracy"] < told["interval"][1]
    assert told["left_out"] == [
        {"where": f"{exam}, row 189", "what": "two choices are the same"}
    ]  # fmt: skip
    base = told["against"]["base model"]
    assert base["difference"] == 0 and base["accuracy"] == told["accuracy"]
    (tmp_path / "train.txt").write_text(advice.read_text("utf-8")[:20_000], encoding="utf-8")
    said = groundup("evaluate", directory, "--exam", exam, "--limit", 20, "--ask", "letter",
                    "--train-text", tmp_path / "train.txt").stdout  # fmt: skip
    assert f"{directory}: no better than guessing: " in said and "n-gram model: 0." in said
    assert "only the end was read of 20 of 20 questions" in said
    assert "row 189: two choices are the same" in said


def test_it_says_where_a_model_was_trained_on_what_it_is_measured_on(tmp_path: Path):
    (tmp_path / "story.txt").write_text(STORY, encoding="utf-8")
    (tmp_path / "other.txt").write_text("Tom is here. " * 50, encoding="utf-8")
    made = groundup(
        "pretrain", "--data", tmp_path / "story.txt", "--out", tmp_path / "run", "--preset", "nano",
        "--train.steps", 1, "--model.d_model", 32, "--model.n_layers", 1, "--train.micro_batch", 2,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    model = tmp_path / "run/pretrain/model"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/story.txt").write_text(STORY, encoding="utf-8")
    said = groundup("evaluate", model, "--text", tmp_path / "elsewhere/story.txt").stderr
    assert f"{model} was trained on rows of {tmp_path / 'elsewhere/story.txt'}" in said.replace(
        "\n", " "
    )
    assert (
        "was trained on" not in groundup("evaluate", model, "--text", tmp_path / "other.txt").stderr
    )


def test_an_exam_is_built_of_documents_that_were_not_trained_on(
    directory: Path, real_data: Path, tmp_path: Path
):
    lines = (real_data / "zh/legal-qa.jsonl").read_text("utf-8").splitlines()
    (tmp_path / "train.jsonl").write_text("\n".join(lines[:150]), encoding="utf-8")
    (tmp_path / "held-out.jsonl").write_text("\n".join(lines[140:300]), encoding="utf-8")
    told = figures(
        directory, "--build-exam", tmp_path / "held-out.jsonl", "--train-text",
        tmp_path / "train.jsonl", "--cloze.questions", 30,
    )  # fmt: skip
    assert told["questions"] == 30 and told["chance"] == 0.25
    leaked = {each["where"] for each in told["left_out"]}
    assert {f"{tmp_path}/held-out.jsonl:{line}" for line in range(1, 11)} <= leaked
    assert told["against"]["n-gram model"]["questions"] == 30


def test_a_run_directory_gives_its_validation_documents(directory: Path, real_data: Path, tmp_path):
    lines = (real_data / "zh/legal-qa.jsonl").read_text("utf-8").splitlines()[:300]
    (tmp_path / "advice.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = groundup(
        "pretrain", "--data", tmp_path / "advice.jsonl", "--out", tmp_path / "run", "--train.steps", 1,
        "--train.micro_batch", 1, "--model.d_model", 32, "--model.n_layers", 1, "--model.n_heads", 2,
        "--model.context_length", 32, "--vocab-size", 300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    told = figures(tmp_path / "run/pretrain/model", "--build-exam", tmp_path / "run")
    index = json.loads((tmp_path / "run/data/tokens/text/shards.json").read_text())
    assert 5 < told["questions"] <= 200 and index["splits"]["validation"]["documents"] > 10


def test_a_local_task_of_the_harness_is_run(directory: Path, tmp_path: Path):
    pytest.importorskip("lm_eval")
    rows = [{"question": f"{i}?", "choices": [" yes", " no"], "answer": i % 2} for i in range(8)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "task.yaml").write_text(TASK, encoding="utf-8")
    told = figures(directory, "--tasks", tmp_path / "task.yaml")
    assert told["tasks"]["where_is"]["questions"] == 8
    assert 0 <= told["tasks"]["where_is"]["acc"] <= 1


def test_several_models_stand_side_by_side_on_a_page(
    directory: Path, model: GPT, tokenizer, tmp_path: Path
):
    other = tmp_path / "other"
    model.head.weight.data.mul_(2)
    save(model, tokenizer, other)
    (tmp_path / "a.txt").write_text(STORY, encoding="utf-8")
    told = figures(
        directory, other, "--text", tmp_path / "a.txt", "--html", tmp_path / "report.html"
    )
    one, two = (told["models"][str(name)]["bits_per_byte"] for name in (directory, other))
    assert one != two
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{one:.4f}" in report and f"{two:.4f}" in report and str(other) in report


def test_labels_are_measured_beside_the_most_frequent(model: GPT, tokenizer, tmp_path: Path):
    save_classifier(Classifier.from_gpt(model, 2), tokenizer, ["ham", "spam"], tmp_path / "labels")
    rows = [{"label": "ham", "text": f"See you at {i}"} for i in range(6)]
    rows += [{"label": "spam", "text": f"Win {i} pounds"} for i in range(2)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    told = figures(tmp_path / "labels", "--classify", tmp_path / "rows.jsonl")
    assert told["chance"] == 0.75 and told["labels"] == ["ham", "spam"]
    assert told["interval"][0] <= told["accuracy"] <= told["interval"][1]
    assert sum(map(sum, told["confusion"])) == 8 and told["verdict"].startswith("no better than")
    rows.append({"label": "eggs", "text": "Eggs"})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    wrong = groundup("evaluate", tmp_path / "labels", "--classify", tmp_path / "rows.jsonl")
    assert wrong.returncode == 2 and "unknown label 'eggs'" in wrong.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "nothing to measure"),
        (["--exam", "nowhere.json"], "nowhere.json"),
        (["--exam", "EMPTY"], "there are no rows"),
        (["--exam", "BAD"], "none of 2 rows is of use"),
        (["--build-exam", "STORY"], "no exam can be built"),
        (["--build-exam", "STORY", "--train-text", "STORY"], "all documents to build an exam from"),
        (["--text", "STORY", "--stride", "65"], "use 64"),
        (["--text", "STORY", "--stride", "0"], "stride"),
        (["--exam", "BAD", "--limit", "-1"], "limit"),
        (["--exam", "BAD", "--build-exam", "STORY"], "not allowed with"),
        (["--tasks", "nowhere.yaml"], "no such task file"),
        (["--text", "BLANK"], "no text"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # the harness's own
def test_what_is_wrong_is_one_message(
    flags: list[str], said: str, directory: Path, tmp_path: Path, capsys
):
    files = {
        "EMPTY": ("empty.jsonl", "\n"),
        "BAD": ("bad.jsonl", '{"question": "Q?", "choices": ["x"], "answer": "A"}\n{"a": 1}\n'),
        "STORY": ("story.txt", "Mia is in the garden, and nobody else is there today.\n"),
        "BLANK": ("blank.txt", " \n"),
    }
    for name, text in files.values():
        (tmp_path / name).write_text(text, encoding="utf-8")
    given = [str(tmp_path / files[flag][0]) if flag in files else flag for flag in flags]
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", str(directory), *given])
    told = capsys.readouterr()
    assert said in told.err and told.out == ""
