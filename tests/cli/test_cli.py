"""The real command line in processes of its own: what a user types and sees."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groundup.cli.main import main
from groundup.generation.beams import beam_search
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.model.gpt import halve
from groundup.weights.directory import load
from tests.conftest import groundup, groundup_anew

SMALL = [
    "--vocab-size", 320, "--preset", "nano", "--model.d_model", 32, "--model.n_layers", 2,
    "--model.context_length", 32, "--train.steps", 40, "--train.micro_batch", 4,
]  # fmt: skip


def test_help_answers_at_once():
    began = time.perf_counter()
    result = groundup_anew("--help")
    assert result.returncode == 0 and "quickstart" in result.stdout
    assert time.perf_counter() - began < 0.5


VERBS = ("quickstart", "run", "pretrain", "evaluate", "generate", "chat", "convert", "inspect",
         "doctor")  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str):
    result = groundup_anew(verb, "--help")
    assert result.returncode == 0 and f"example: groundup {verb}" in result.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, trained by the command line."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "book.txt").write_text("It was a dark night. 他来了。\n" * 300, encoding="utf-8")
    result = groundup("pretrain", "--data", folder / "book.txt", "--out", folder, *SMALL, "--json")
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["steps"] == 40 and figures["tokens"] == 40 * 4 * 32
    assert 0 < figures["val_bits_per_byte"] < 8 and figures["tokens_per_second"] > 0
    assert (folder / "report.html").read_text().count("<svg") == 1
    return Path(figures["model"])


def test_a_trained_model_generates(trained: Path):
    command = ["generate", trained, "--prompt", "It was", "--max-new-tokens", 8, "--seed", 1]
    result = groundup(*command, "--json")
    figures = json.loads(result.stdout)
    assert len(figures["token_ids"]) <= 8 and figures["finish_reason"] in ("stop", "length")
    assert groundup(*command).stdout == figures["text"] + "\n"


def test_a_text_is_the_same_whoever_guesses_ahead(trained: Path):
    command = ["generate", trained, "--prompt", "It was", "--seed", 1, "--max-new-tokens", 20]
    alone = groundup(*command).stdout
    for draft in ("prompt-lookup", trained):
        result = groundup(*command, "--draft", draft, "--draft-tokens", 3)
        assert result.returncode == 0 and result.stdout == alone


def test_a_cache_in_8_bits_says_what_the_library_says_with_one(trained: Path):
    command = [
        "generate",
        trained,
        "--prompt",
        "It was",
        "--temperature",
        0,
        "--max-new-tokens",
        20,
    ]
    model, tokenizer = load(trained)
    greedy = SamplingConfig(temperature=0, max_new_tokens=20)
    engine = Engine(model, max_batch=1, kv_cache_dtype="int8")
    said = Completion(tokenizer.encode_prompt("It was"))
    text = "".join(complete(engine, tokenizer, said, greedy))
    for more in ((), ("--draft", trained), ("--draft", "prompt-lookup")):
        assert groundup(*command, "--kv-cache-dtype", "int8", *more).stdout == text + "\n"
    result = groundup(*command, "--beams", 1, "--kv-cache-dtype", "int8")
    assert result.stdout == text + "\n"


def test_a_text_follows_a_schema_and_beams_find_a_likelier_one(trained: Path, tmp_path: Path):
    (tmp_path / "schema.json").write_text(
        '{"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3}'
    )
    command = ["generate", trained, "--prompt", "It was", "--max-new-tokens", 20]
    result = groundup(*command, "--json-schema", tmp_path / "schema.json")
    assert set(json.loads(result.stdout)) <= {1, 2}
    figures = json.loads(groundup(*command, "--beams", 3, "--json").stdout)
    assert figures["text"] and figures["finish_reason"] in ("stop", "length")
    assert groundup(*command, "--beams", 3).stdout == figures["text"] + "\n"
    halved = groundup(*command, "--beams", 3, "--dtype", "float16", "--json")
    model, tokenizer = load(trained)
    (found, *_) = beam_search(
        halve(model), figures["prompt_token_ids"], 3, 20, frozenset(tokenizer.end_ids)
    )
    said = json.loads(halved.stdout)["token_ids"]
    assert said == [id for id in found.ids if id not in tokenizer.end_ids]


def test_a_trained_model_is_measured_and_described(trained: Path, story: Path):
    result = groundup("evaluate", trained, "--text", story, "--json")
    figures = json.loads(result.stdout)
    assert figures["bits_per_byte"] > 0 and figures["perplexity"] > 1
    described = json.loads(groundup("inspect", trained, "--json").stdout)
    assert described["parameters"] > 0 and described["architecture"]["d_model"] == 32


def test_training_goes_on_from_a_model(trained: Path, story: Path, tmp_path: Path):
    result = groundup("pretrain", "--data", story, "--from", trained, "--out", tmp_path,
                      "--train.steps", 3, "--train.micro_batch", 2, "--json")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["steps"] == 3


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--from", "nowhere"], "there is no such model"),
        (["--from", "gpt-2-small"], "a preset has no weights"),
        (["--from", "MODEL", "--tokenizer", "MODEL"], "its own tokenizer"),
    ],
)
def test_what_to_go_on_from_is_checked_before_anything_is_written(
    flags: list[str], said: str, trained: Path, story: Path, tmp_path: Path
):
    given = [str(trained) if flag == "MODEL" else flag for flag in flags]
    result = groundup("pretrain", "--data", story, *given, "--out", tmp_path / "on")
    assert result.returncode == 2 and said in result.stderr
    assert not (tmp_path / "on").exists()


def test_the_tokenizer_is_learned_and_used(story: Path, tmp_path: Path):
    result = groundup("tokenizer", "train", story, "--vocab-size", 300, "--out", tmp_path / "t",
                      "--special", "<|endoftext|>", "<|end|>", "--json")  # fmt: skip
    assert json.loads(result.stdout)["vocab_size"] == 300
    encoded = groundup("tokenizer", "encode", tmp_path / "t", "--json", stdin="Mia 小明<|end|>")
    figures = json.loads(encoded.stdout)
    assert "".join(figures["tokens"]) == "Mia 小明<|end|>"
    ids = " ".join(map(str, figures["ids"]))
    assert groundup("tokenizer", "decode", tmp_path / "t", stdin=ids).stdout == "Mia 小明<|end|>"


def test_a_recipe_runs_with_overrides(story: Path, tmp_path: Path):
    result = groundup(
        "run", "shakespeare-modern", "--data", story, "--out", tmp_path, "--json",
        "--tokenizer.vocab_size", 300, "--pretrain.train.steps", 3,
        "--pretrain.model.context_length", 16, "--evaluate.text", story,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert [stage["name"] for stage in figures["stages"]] == [
        "data", "tokenizer", "encode", "pretrain", "evaluate",
    ]  # fmt: skip
    assert figures["bits_per_byte"][str(story)] > 0


def test_quickstart_builds_examines_and_can_be_asked_again(tmp_path: Path):
    for _ in range(2):  # the second time everything is there
        result = groundup(
            "quickstart", "--out", tmp_path, "--minutes", 0.05, "--questions", 20, "--json"
        )
        assert result.returncode == 0, result.stderr
        figures = json.loads(result.stdout)
        assert 0 <= figures["exact_answers"] <= 1
        assert figures["exact_answers_by_level"]["zh"].keys() == {"1", "2", "3"}
        assert 0 < figures["chance"]["en"]["find"] < 1
        assert result.stderr.count("it says:") >= 6
    talked = groundup("chat", figures["model"], stdin="Hello\n")
    assert talked.returncode == 0 and "Traceback" not in talked.stderr


def test_quickstart_on_ones_own_text_goes_on_with_what_one_says(story: Path, tmp_path: Path):
    result = groundup(
        "quickstart", "--text", story, "--out", tmp_path, "--minutes", 0.02, stdin="Mia is\n"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Mia is")
    (offered,) = re.findall(r"on a page: (.+)   then open http://127.0.0.1:8000/\n", result.stderr)
    assert shlex.split(offered) == ["groundup", "serve", str(tmp_path)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pretran"], "pretrain"),
        (["pretrain", "--data", "x.txt", "--train.stepz", "3"], "--train.steps"),
        (["pretrain", "--data", "no/such/file.txt"], "no such file"),
        (["pretrain", "--data", "STORY", "--preset", "nanno"], "'nano'"),
        (["pretrain", "--data", "STORY", "--vocab-size", "100"], "257"),
        (["pretrain", "--data", "STORY", "--model.n_heads", "5"], "does not divide"),
        (["pretrain", "--data", "STORY", "--train.steps", "many"], "train.steps"),
        (["pretrain", "--data", "STORY", "--model.context_length", "100000"], "context_length"),
        (["run", "shakespear-modern"], "shakespeare-modern"),
        (["generate", "no/such/model", "--prompt", "x"], "no such model"),
        (["generate", "MODEL", "--prompt", "word " * 200], "looks at no more than 32"),
        (["generate", "MODEL", "--prompt", "x", "--temperature", "-1"], "temperature"),
        (
            ["generate", "MODEL", "--prompt", "x", "--beams", "2", "--top-k", "3"],
            "--top-k has no effect",
        ),
        (["generate", "MODEL", "--prompt", "x", "--beams", "0"], "--beams must be"),
        (["generate", "MODEL", "--prompt", "x", "--draft", "no/such/model"], "no such model"),
        (
            ["generate", "MODEL", "--prompt", "x", "--kv-cache-dtype", "int4"],
            "--kv-cache-dtype must be 'auto' or 'int8'",
        ),
        (["serve", "MODEL", "--kv-cache-dtype", "in8"], "did you mean 'int8'"),
        (["generate", "MODEL", "--prompt", "x", "--json-schema", "STORY"], "not valid JSON"),
        (["generate", "MODEL", "--prompt", "x", "--json-schema", "no.json"], "No such file"),
        (["tokenizer", "encode", "no/such"], "no such tokenizer"),
        (["evaluate", "MODEL", "--text", "no.txt"], "no such file"),
        (["quickstart", "--minutes", "0"], "--minutes must be a number above 0"),
        (["quickstart", "--minutes", "inf"], "--minutes must be a number"),
        (["quickstart", "--minutes", "soon"], "--minutes must be a number"),
        (["tokenizer", "train", "STORY", "--out", ""], "--out is empty"),
        (["tokenizer", "train", "STORY", "--vocab-size", "many"], "--vocab-size must be a whole"),
        (["tokenizer", "decode", "STORY"], "this is a file"),
        (["pretrain", "--data", "STORY", "--train.steps", "1.5"], "--train.steps must be a whole"),
        (["pretrain", "--data", "STORY", "--train.seed", "9" * 23], "--train.seed must be"),
        (["pretrain", "--data", "STORY", "--windows.seed", "9" * 5000], "--windows.seed must be"),
        (["pretrain", "--data", "STORY", "--train.optimizer", "adam"], "did you mean 'adamw'"),
        (["pretrain", "--data", "STORY", "--model.vocab_size", "100"], "use --vocab-size"),
        (["pretrain", "--data", "STORY", "--from", "MODEL", "--preset", "nano"], "--preset cannot"),
        (["pretrain", "--data", "STORY", "--from", "MODEL", "--vocab-size", "300"], "--vocab-size"),
        (
            ["pretrain", "--data", "STORY", "--from", "MODEL", "--model.d_model", "8"],
            "--model.d_model",
        ),
        (["generate", "MODEL", "--prompt", "x", "--seed", "9" * 23], "--seed must be"),
        (
            ["generate", "MODEL", "--prompt", "x", "--top-p", "2"],
            "--top-p must be a number above 0",
        ),
        (["chat", "MODEL", "--system", "Be kind."], "--system"),
        (["run", "nope.toml"], "no such recipe file"),
        (["run", "STORY"], "a recipe is a .toml file"),
        (
            ["run", "shakespeare-modern", "--evaluate.text", "[v.txt"],
            "--evaluate.text: not a valid",
        ),
        (
            ["run", "shakespeare-modern", "--pretrain.train.steps", "x"],
            "error: --pretrain.train.steps",
        ),
        (["inspect", "gpt-2-smal"], "'gpt-2-small'"),
    ],
)
def test_a_mistake_gives_one_message_and_status_2(
    arguments: list[str], said: str, trained: Path, story: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    """In this process, as there are many; the status of a process is looked at elsewhere."""
    places = {"STORY": str(story), "MODEL": str(trained)}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([places.get(argument, argument) for argument in arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_mistake_is_the_status_of_the_process(story: Path):
    result = groundup_anew("pretrain", "--data", story, "--train.steps", "many")
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr == "error: --train.steps must be a whole number above 0, not 'many'\n"


@pytest.mark.parametrize("out", ["STORY", "/dev/full", "/proc/new"])
def test_a_vocabulary_is_not_learned_for_a_place_that_cannot_be_written(out: str, story: Path):
    place = str(story) if out == "STORY" else out
    result = groundup("tokenizer", "train", story, "--vocab-size", 300, "--out", place)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "cannot write" in result.stderr and place in result.stderr


@pytest.mark.parametrize("typed", ["72 ²", "--5", "9" * 5000, "1_0", "ten", "9999"])
def test_what_is_no_token_id_is_refused(typed: str, trained: Path):
    result = groundup("tokenizer", "decode", trained, stdin=typed)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "token id" in result.stderr and len(result.stderr) < 300


def test_what_is_no_text_is_refused_where_a_prompt_is_read(trained: Path):
    result = subprocess.run(
        [sys.executable, "-m", "groundup.cli.main", "generate", str(trained)],
        input=b"caf\xe9", capture_output=True,
    )  # fmt: skip
    assert result.returncode == 2 and b"not valid UTF-8" in result.stderr


def test_a_chat_with_a_model_that_knows_no_turns_goes_on_with_what_one_says(trained: Path):
    result = groundup("chat", trained, stdin="It was\n")
    assert result.returncode == 0 and result.stdout.startswith("It was")
    assert result.stderr == "This model knows no turns: it goes on with what you begin.\n"


@pytest.mark.skipif(os.name != "posix", reason="signals are sent differently on Windows")
def test_ctrl_c_stops_an_answer_and_then_ends_the_chat(trained: Path):
    command = ["groundup.cli.main", "chat", str(trained), "--max-new-tokens", "1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    assert process.stdin and process.stdout
    process.stdin.write("It was\n")
    process.stdin.flush()
    assert process.stdout.read(7).startswith("It was")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and "error" not in said


def test_damaged_weights_are_said_to_be_damaged(trained: Path, tmp_path: Path):
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    result = groundup("generate", tmp_path, "--prompt", "x")
    assert result.returncode == 1
    assert "model.safetensors" in result.stderr and "Traceback" not in result.stderr
