"""Tasks of lm-evaluation-harness give with our model class what they give with the harness's own over
transformers; tasks are local files, so nothing is downloaded."""

import json
from pathlib import Path

import pytest
import torch

import groundup
from groundup.errors import GroundupError, InputError
from groundup.evaluate.subject import LocalModel
from groundup.tokenizer.tokenizer import Tokenizer

pytest.importorskip("lm_eval")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's and its libraries' own

CHOICE = """
task: where_is
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list:
  - metric: acc
  - metric: acc_norm
"""
SAID = """
task: said
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{said}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 6, do_sample: false}
metric_list:
  - metric: exact_match
"""
STORY = """
task: story
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question * 8}}"
metric_list:
  - metric: word_perplexity
  - metric: bits_per_byte
"""
GROUP = """
group: world
task: [where_is, said]
aggregate_metric_list:
  - metric: acc
    weight_by_size: true
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """One random Llama twice: here, and in the harness's own class."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    text = "Where is Tom? In the garden. Mia is in the kitchen. Answer: red ball\n小明在花园。" * 9
    tokenizer = Tokenizer.train_from_iterator([text], 300)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        initializer_range=0.3, eos_token_id=tokenizer.end_of_text_id, bos_token_id=None,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    tokenizer.save(folder)
    fast = transformers.AutoTokenizer.from_pretrained(folder)
    reference = huggingface.HFLM(theirs, tokenizer=fast, batch_size=1, max_length=64)
    return LocalModel(*groundup.load(folder)), reference


@pytest.fixture
def tasks(tmp_path: Path, pair, monkeypatch) -> Path:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    subject, _ = pair
    names = [("Tom", "garden"), ("Mia", "kitchen"), ("小明", "花园"), ("Ann", "ball")] * 3
    rows = [
        {"question": f"{i}. Where is {name}?", "choices": [place, "red", "Mia is here"], "answer": i % 3}
        for i, (name, place) in enumerate(names)
    ]  # fmt: skip
    from groundup.generation.sampling import SamplingConfig

    greedy = SamplingConfig(temperature=0, max_new_tokens=6)
    said = subject.generate([row["question"] for row in rows], greedy, ["\n"])
    folder = tmp_path / "tasks"
    folder.mkdir()
    lines = [
        json.dumps(row | {"said": s if i % 2 else "x"})
        for i, (row, s) in enumerate(zip(rows, said, strict=True))
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name, text in {"choice": CHOICE, "said": SAID, "story": STORY}.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_folder_of_tasks_gives_what_the_harness_s_own_class_gives(pair, tasks: Path, monkeypatch):
    from groundup.evaluate import harness

    subject, reference = pair
    ours = harness.run_tasks(harness.HarnessModel(subject), [str(tasks)])
    assert set(ours) == {"where_is", "said", "story"}
    assert ours["where_is"]["questions"] == 12
    monkeypatch.chdir(tasks)
    manager = harness.TaskManager(include_path=tasks, include_defaults=False)
    theirs = harness.simple_evaluate(
        reference, tasks=["where_is", "said", "story"], task_manager=manager, bootstrap_iters=1000
    )["results"]
    assert ours["where_is"]["acc"] == theirs["where_is"]["acc,none"]
    assert ours["where_is"]["acc_norm"] == theirs["where_is"]["acc_norm,none"]
    assert ours["where_is"]["acc_stderr"] == theirs["where_is"]["acc_stderr,none"]
    assert ours["said"]["exact_match"] == theirs["said"]["exact_match,none"] >= 0.5
    for metric in ("word_perplexity", "bits_per_byte"):
        assert ours["story"][metric] == pytest.approx(theirs["story"][f"{metric},none"], rel=1e-5)


def test_one_file_and_a_group_of_files_are_tasks_too(pair, tasks: Path):
    from groundup.evaluate.harness import HarnessModel, run_tasks

    subject, _ = pair
    (one,) = run_tasks(HarnessModel(subject), [str(tasks / "choice.yaml")], limit=5).values()
    assert one["questions"] == 5 and 0 <= one["acc"] <= 1
    (tasks / "world.yaml").write_text(GROUP, encoding="utf-8")
    grouped = run_tasks(HarnessModel(subject), [str(tasks / "world.yaml")])
    assert {"world", "where_is", "said"} <= set(grouped)


def test_the_harness_is_told_which_contexts_were_cut(pair):
    from lm_eval.api.instance import Instance

    from groundup.evaluate.harness import HarnessModel

    model = HarnessModel(pair[0])
    pairs = [("Where is Tom? " * 40, "In"), ("Where is Tom?", " In")]
    model.loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)])
    assert model.cut == 1


def test_tasks_that_do_not_exist_or_do_not_load_are_said(pair, tasks: Path):
    from groundup.evaluate.harness import HarnessModel, run_tasks

    subject, _ = pair
    with pytest.raises(InputError, match="no task 'arc_eazy'\n[\\s\\S]*did you mean 'arc_easy'"):
        run_tasks(HarnessModel(subject), ["arc_eazy"])
    with pytest.raises(InputError, match="no such task file"):
        run_tasks(HarnessModel(subject), [str(tasks / "nothing.yaml")])
    (tasks / "empty").mkdir()
    with pytest.raises(InputError, match="no task is defined here"):
        run_tasks(HarnessModel(subject), [str(tasks / "empty")])
    (tasks / "rows.jsonl").unlink()
    with pytest.raises(GroundupError, match="does not load"):
        run_tasks(HarnessModel(subject), [str(tasks / "choice.yaml")])
