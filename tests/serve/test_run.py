"""What the page asks for of the run: over HTTP the log's own points, and the library's own texts."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import torch
from tests.conftest import groundup
from tests.processes import Process
from tests.serve.conftest import KEY, Server, serving
from tests.serve.runs import FINETUNE_STEPS, PRETRAIN_STEPS, build_classifier, with_many_checkpoints

from groundup import generate
from groundup.generation.sampling import SamplingConfig
from groundup.model.gpt import GPT
from groundup.train.checkpoint import saved_weights
from groundup.train.clock import ALONE
from groundup.weights.directory import load

HEADERS = {"Authorization": f"Bearer {KEY}"}
PROMPT = "Mia is in the"


def told(server: Server, path: str = "run", status: int = 200) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/{path}", headers=HEADERS, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(
    server: Server, body: dict[str, Any], status: int = 400, name: str = "pretrain"
) -> dict:
    url = f"{server.url}/run/{name}/retell"
    answer = httpx.post(url, json={"prompt": "a"} | body, headers=HEADERS, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def events(server: Server, name: str, **body: Any) -> Iterator[dict[str, Any]]:
    """The events of a stream, which must come to its end."""
    url = f"{server.url}/run/{name}/retell"
    with httpx.stream("POST", url, json=body, headers=HEADERS, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        lines = [line for line in answer.iter_lines() if line]
    assert lines.pop() == "data: [DONE]"
    yield from (json.loads(line.removeprefix("data: ")) for line in lines)


def texts(server: Server, name: str, **body: Any) -> dict[int, str]:
    """What is said at each step, in the order in which it comes."""
    said: dict[int, str] = {}
    for event in events(server, name, **body):
        said[event["step"]] = said.get(event["step"], "") + event["text"]
    return said


def log(run: Path, name: str) -> list[dict[str, Any]]:
    lines = (run / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def logged(rows: list[dict[str, Any]], figure: str) -> list[list[float]]:
    """The last value of each step."""
    return [
        list(point) for point in {row["step"]: row[figure] for row in rows if figure in row}.items()
    ]


# The model of a checkpoint, put together here without the library's way of reading checkpoints.


def pretrained_at(run: Path, step: int) -> GPT:
    model, _ = load(run / "pretrain/model")
    saved = saved_weights(run / f"pretrain/checkpoints/step-{step:08d}")
    fresh = GPT(model.config)
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            parameter.copy_(saved.pop(name))
    assert not saved
    return fresh.eval()


def tuned_at(run: Path, step: int) -> GPT:
    """y = W x + s · B (A x), merged by hand; s is α / rank, and α twice the rank where nothing is set."""
    model, _ = load(run / "pretrain/model")
    saved = saved_weights(run / f"finetune/checkpoints/step-{step:08d}")
    weights = dict(model.named_parameters())
    settings = json.loads((run / "finetune/adapter/adapter_config.json").read_text())
    scale = settings["lora_alpha"] / settings["r"]
    with torch.no_grad():
        for name in [name for name in saved if name.endswith(".a")]:
            weight = weights[name.partition(".adapters.")[0] + ".weight"]
            weight += scale * saved[name.removesuffix("a") + "b"] @ saved[name]
    return model.eval()


def test_a_model_of_no_run_has_no_trainings(server):
    assert told(server) == {"object": "run", "model": "tiny", "trainings": []}
    for error in (told(server, "run/pretrain", 404)["error"], refused(server, {}, 404)):
        assert "belongs to no run" in error["message"]


def test_the_description_says_which_checkpoints_there_are(run_server, run_directory):
    described = told(run_server)
    assert described["model"] == "stories"
    pretrain, finetune = described["trainings"]
    losses = dict(logged(log(run_directory, "pretrain"), "val_loss"))
    assert pretrain == {
        "name": "pretrain", "has_begun": True, "is_finished": True, "writes_text": True,
        "checkpoints": [{"step": n, "val_loss": losses.get(n)} for n in PRETRAIN_STEPS],
        "keep_checkpoints": 8, "setting": "pretrain.train.keep_checkpoints", "prompt": "Mia is in",
    }  # fmt: skip
    assert losses.keys() == {20, 40}
    assert [each["step"] for each in finetune["checkpoints"]] == FINETUNE_STEPS
    assert finetune["keep_checkpoints"] == 2


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_curves_and_samples_are_those_of_the_log(run_server, run_directory, name: str):
    rows, answer = log(run_directory, name), told(run_server, f"run/{name}")
    figures = {"loss", "rate", "gradient_norm", "val_loss", *(f"{kind}_share" for kind in ALONE)}
    figures |= {"val_bits_per_byte"} if name == "pretrain" else set()
    curves = answer["curves"]
    assert curves.keys() == figures | {"tokens_per_second"}
    for figure in figures:
        assert curves[figure] == logged(rows, figure) != []
    steps = [{"tokens": 0, "seconds": 0.0}, *(row for row in rows if "loss" in row)]
    for (step, speed), before, row in zip(
        curves["tokens_per_second"], steps[:-1], steps[1:], strict=True
    ):
        taught, seconds = row["tokens"] - before["tokens"], row["seconds"] - before["seconds"]
        assert step == row["step"] and speed == pytest.approx(taught / seconds)
    samples = [{"step": row["step"], "text": row["sample"]} for row in rows if "sample" in row]
    assert answer["samples"] == samples and answer["n_samples"] == len(samples) == 2
    assert answer["step"] == rows[-1]["step"] == answer["steps"]
    assert answer["stopped"] is None and answer["silent_seconds"] > 0


SETTINGS = {"temperature": 1.1, "top_k": 40, "top_p": 0.9, "seed": 5}


def test_what_is_said_at_each_checkpoint_is_what_generate_says(run_server, run_directory):
    said = texts(run_server, "pretrain", prompt=PROMPT, max_tokens=20, **SETTINGS)
    _, tokenizer = load(run_directory / "pretrain/model")
    assert list(said) == PRETRAIN_STEPS and len(set(said.values())) > 1
    for step, text in said.items():
        model = pretrained_at(run_directory, step)
        assert text == generate(model, tokenizer, PROMPT, max_new_tokens=20, **SETTINGS)
    final, _ = load(run_directory / "pretrain/model")
    assert said[40] == generate(final, tokenizer, PROMPT, max_new_tokens=20, **SETTINGS)


def test_so_it_is_where_only_an_adapter_was_trained(run_server, run_directory):
    said = texts(run_server, "finetune", prompt=PROMPT, max_tokens=20, **SETTINGS)
    _, tokenizer = load(run_directory / "finetune/model")
    assert list(said) == FINETUNE_STEPS
    for step, text in said.items():
        model = tuned_at(run_directory, step)
        assert text == generate(model, tokenizer, PROMPT, max_new_tokens=20, **SETTINGS)


def test_without_settings_they_are_generate_s_own_and_the_seed_is_0(run_server, run_directory):
    said = texts(run_server, "pretrain", prompt=PROMPT, steps=[30], max_tokens=30)
    model, (_, tokenizer) = pretrained_at(run_directory, 30), load(run_directory / "pretrain/model")
    assert SamplingConfig().temperature == 0.8
    assert said == {30: generate(model, tokenizer, PROMPT, max_new_tokens=30, seed=0)}


def test_chosen_checkpoints_come_oldest_first_with_how_they_ended(run_server):
    told = list(events(run_server, "pretrain", prompt=PROMPT, steps=[40, 10], max_tokens=3))
    ends = [(event["step"], event["finish_reason"]) for event in told if event["finish_reason"]]
    assert ends == [(10, "length"), (40, "length")]
    assert [event["step"] for event in told] == sorted(event["step"] for event in told)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "@" * 65}, "65 tokens"),
        ({"steps": [10, 11]}, "step 11 is kept (kept are: 10, 20, 30, 40)"),
        ({"steps": []}, "steps"),
        ({"max_tokens": 1001}, "max_tokens"),
        ({"seed": -1}, "seed"),
        ({"stream": False}, "stream"),
        ({"propmt": "a"}, "did you mean 'prompt'"),
    ],
)
def test_what_cannot_be_asked_is_refused(run_server, body: dict, said: str):
    assert said in refused(run_server, body)["message"]


def test_names_and_keys_are_checked(run_server):
    assert refused(run_server, {"model": "other"}, 404)["code"] == "model_not_found"
    assert "pretrain, finetune" in refused(run_server, {}, 404, "tuning")["message"]
    assert "pretrain, finetune" in told(run_server, "run/tuning", 404)["error"]["message"]
    for method, path in (
        ("GET", "run"),
        ("GET", "run/pretrain"),
        ("POST", "run/pretrain/retell"),
    ):
        assert httpx.request(method, f"{run_server.url}/{path}", json={}).status_code == 401


def test_one_at_a_time_and_who_leaves_stops_it(run_directory: Path, tmp_path: Path):
    """Meanwhile the server answers everybody else."""
    run = with_many_checkpoints(run_directory, tmp_path / "many")
    with serving(run, tmp_path / "log.txt", "--api-key", KEY) as server:
        url, body = f"{server.url}/run/pretrain/retell", {"prompt": PROMPT, "max_tokens": 1000}
        with httpx.stream("POST", url, json=body, headers=HEADERS, timeout=60) as held:
            lines = held.iter_lines()  # without a name it would be closed at once
            assert json.loads(next(lines).removeprefix("data: "))["step"] == 10
            second = httpx.post(url, json=body, headers=HEADERS, timeout=60)
            assert second.status_code == 429 and second.headers["Retry-After"] == "1"
            assert second.json()["error"]["code"] == "queue_full"
            assert httpx.get(f"{server.root}/health").status_code == 200
            client = server.client()
            assert client.completions.create(model="many", prompt="Mia", max_tokens=2).choices
        deadline, body["steps"] = time.monotonic() + 30, [40]
        while httpx.post(url, json=body, headers=HEADERS, timeout=60).status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def copy(run_directory: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run_directory, tmp_path / "copy")


def test_a_damaged_checkpoint_is_told_of_and_the_others_speak(copy: Path, tmp_path: Path):
    (weights,) = (copy / "pretrain/checkpoints/step-00000020").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    with serving(copy, tmp_path / "log.txt", "--api-key", KEY) as server:
        told = list(events(server, "pretrain", prompt=PROMPT, max_tokens=3))
    problems = [event for event in told if "problem" in event]
    assert [event["step"] for event in problems] == [20]
    assert "cut or changed" in problems[0]["problem"]
    assert {event["step"] for event in told if event["text"]} == {10, 30, 40}


def under_way(run: Path) -> Path:
    """A run as it is while it makes its first model."""
    shutil.rmtree(run / "finetune")
    shutil.rmtree(run / "pretrain/model")
    (run / "pretrain/summary.json").unlink()
    return run


def test_a_run_under_way_is_served_from_its_newest_checkpoint_and_seen_live(copy, tmp_path):
    model, (_, tokenizer) = pretrained_at(copy, 40), load(copy / "pretrain/model")
    under_way(copy)
    with serving(copy, tmp_path / "log.txt", "--api-key", KEY) as server:
        assert "the checkpoint of step 40" in server.log.read_text()
        said = server.client().completions.create(
            model="copy", prompt=PROMPT, max_tokens=10, temperature=0.8, seed=1
        ).choices[0].text  # fmt: skip
        pretrain, finetune = told(server)["trainings"]
        assert pretrain["has_begun"] and not pretrain["is_finished"]
        assert not finetune["has_begun"] and finetune["checkpoints"] == []
        empty = told(server, "run/finetune")
        assert empty["curves"] == {} and empty["step"] == 0 and empty["silent_seconds"] is None
        before = told(server, "run/pretrain")["curves"]["loss"]
        row = {"step": 50, "loss": 1.5, "tokens": 99999, "seconds": 1e3, "time": time.time()}
        with (copy / "pretrain/metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n" + '{"step": 60, "lo')  # the next is being written
        after = told(server, "run/pretrain")
        assert after["curves"]["loss"] == [*before, [50, 1.5]] and after["step"] == 50
    wanted = generate(model, tokenizer, PROMPT, max_new_tokens=10, temperature=0.8, seed=1)
    assert said == wanted


def test_a_real_training_is_seen_while_it_trains(story: Path, tmp_path: Path):
    out = tmp_path / "live"
    command = [
        "pretrain", "--data", story, "--out", out,
        "--vocab-size", 300, "--preset", "nano", "--model.d_model", 32, "--model.n_layers", 2,
        "--model.context_length", 32, "--train.micro_batch", 4, "--train.steps", 1_000_000,
        "--train.checkpoint_every", 20, "--train.eval_every", 20, "--train.eval_tokens", 200,
    ]  # fmt: skip
    training = Process(*command)
    try:
        while len(list(out.glob("pretrain/checkpoints/step-*"))) < 2:
            assert training.poll() is None
            time.sleep(0.1)
        with serving(out, tmp_path / "log.txt", "--api-key", KEY) as server:
            first = told(server, "run/pretrain")
            said = list(events(server, "pretrain", prompt="Mia", max_tokens=5))
            assert any(event["text"] or "problem" in event for event in said)
            deadline = time.monotonic() + 60
            while (later := told(server, "run/pretrain"))["step"] <= first["step"]:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert (
                later["curves"]["loss"][: len(first["curves"]["loss"])] == first["curves"]["loss"]
            )
            assert later["silent_seconds"] < 60
            (described,) = told(server)["trainings"]
            assert not described["is_finished"] and len(described["checkpoints"]) in (2, 3)
    finally:
        training.kill()
        training.wait()


def test_a_run_without_any_model_is_refused_in_words(copy: Path):
    shutil.rmtree(under_way(copy) / "pretrain/checkpoints")
    result = groundup("serve", copy)
    assert result.returncode == 2
    assert "no model yet" in result.stderr and "checkpoint_every" in result.stderr


def test_a_model_directory_of_a_run_is_served_with_its_run(run_directory: Path, tmp_path: Path):
    with serving(
        run_directory / "pretrain/model", tmp_path / "log.txt", "--api-key", KEY
    ) as server:
        described = told(server)
    assert described["model"] == "stories" and len(described["trainings"]) == 2


def test_a_run_of_another_version_does_not_keep_its_model_from_being_served(copy, tmp_path):
    (copy / "recipe.toml").write_text("[pretrain.train]\nsteppes = 3\n", encoding="utf-8")
    with serving(copy / "finetune/model", tmp_path / "log.txt", "--api-key", KEY) as server:
        assert told(server)["trainings"] == []
        assert "warning" in server.log.read_text() and "steppes" in server.log.read_text()


def test_a_classifier_s_training_is_seen_but_says_nothing(tmp_path: Path):
    run = build_classifier(tmp_path)
    with serving(run, tmp_path / "log.txt", "--api-key", KEY) as server:
        pretrain, finetune = told(server)["trainings"]
        assert pretrain["writes_text"] and not finetune["writes_text"]
        assert told(server, "run/finetune")["curves"]["loss"]
        assert "classifier" in refused(server, {}, 400, "finetune")["message"]
        assert list(texts(server, "pretrain", prompt=PROMPT, max_tokens=2)) == PRETRAIN_STEPS
