"""`groundup tokenizer extend` and `shrink`, as a user runs them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import groundup as library
from groundup.cli.main import main
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.tokenizer.tokenizer import Tokenizer
from tests.conftest import STORY, groundup

LAW = "劳动合同法规定，劳动合同应当书面订立。the plaintiff 申请仲裁，仲裁委不受理。\n" * 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 32}
    made = GPT(preset("llama-like", vocab_size=tokenizer.vocab_size, **sizes)).eval()
    folder = tmp_path_factory.mktemp("model")
    library.save(made, tokenizer, folder)
    return folder


@pytest.fixture
def law(tmp_path: Path) -> Path:
    path = tmp_path / "law.txt"
    path.write_text(LAW, encoding="utf-8")
    return path


def figures(*arguments: object, stdin: str | None = None) -> dict:
    """In a process of its own."""
    result = groundup("tokenizer", *arguments, "--json", stdin=stdin)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints, in this process, as there are many."""

    def printed(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["tokenizer", *map(str, arguments)])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return printed


def test_words_chosen_from_texts_are_tokens_of_a_model_that_trains_on(model, law, tmp_path: Path):
    found = figures("extend", model, "--data", law, "--count", 5, "--out", tmp_path / "longer")
    assert found["vocab_size_after"] == found["vocab_size_before"] + 5
    assert any("劳动合同" in row["word"] for row in found["words"])
    assert found["tokens_after"] < 0.6 * found["tokens_before"]
    assert found["bytes_per_token_after"] > found["bytes_per_token_before"] / 0.6
    assert sum(row["saved"] for row in found["words"]) > 0
    assert found["largest_logit_difference"] < 1e-5
    assert json.loads((tmp_path / "longer/config.json").read_text())["model_type"] == "llama"

    old, longer = Tokenizer.load(model), Tokenizer.load(tmp_path / "longer")
    assert longer.encode(STORY) == old.encode(STORY)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "longer")
    ids = theirs(LAW[:60], return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == longer.encode(LAW[:60])
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(tmp_path / "longer")(ids).logits
        ours = library.load(tmp_path / "longer")[0](ids)
    torch.testing.assert_close(logits, ours, atol=1e-4, rtol=0)

    trained = groundup("pretrain", "--data", law, "--from", tmp_path / "longer", "--out",
                       tmp_path / "run", "--train.steps", 3, "--train.micro_batch", 2,
                       "--json")  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert Tokenizer.load(json.loads(trained.stdout)["model"]).fingerprint == longer.fingerprint


def test_words_of_a_file_are_added_and_counted(model, law, tmp_path: Path, run):
    (tmp_path / "words.txt").write_text("劳动合同\n plaintiff\n\n", encoding="utf-8")
    command = ["extend", model, "--words", tmp_path / "words.txt", "--out", tmp_path / "m"]
    plain = json.loads(run(*command, "--json"))
    assert [row["word"] for row in plain["words"]] == ["劳动合同", " plaintiff"]
    assert "tokens_before" not in plain
    counted = figures(*command, "--data", "-", stdin=LAW)
    assert [row["times"] for row in counted["words"]] == [80, 40]
    shown = run(*command, "--data", law)
    assert "劳动合同" in shown and "→" in shown and "80" in shown


def test_a_shrunk_model_gives_a_domain_the_same_tokens(model, law, tmp_path: Path, run):
    command = ["shrink", model, "--data", law, "--out", tmp_path / "small"]
    found = figures(*command)
    assert found["vocab_size_after"] < found["vocab_size_before"]
    assert found["parameters_before"] - found["parameters_after"] == 2 * 32 * (
        found["vocab_size_before"] - found["vocab_size_after"]
    )
    assert found["bytes_after"] < found["bytes_before"]
    assert found["tokens_after"] == found["tokens_before"]
    assert found["bytes_per_token_after"] == found["bytes_per_token_before"]
    assert found["largest_logit_difference"] < 1e-5
    fewer = json.loads(run(*command, "--min-count", 60, "--json"))
    assert fewer["vocab_size_after"] < found["vocab_size_after"]
    assert fewer["tokens_after"] > fewer["tokens_before"]
    small_model, small = library.load(tmp_path / "small")
    assert library.generate(small_model, small, "劳动", max_new_tokens=3, seed=0) != ""


def test_a_model_is_not_replaced_by_what_is_made_of_it(law, tmp_path: Path, model, run):
    run("extend", model, "--data", law, "--count", 2, "--out", tmp_path / "m")
    before = (tmp_path / "m/model.safetensors").read_bytes()
    for action in (["extend", "--count", 2], ["shrink"]):
        result = groundup("tokenizer", action[0], tmp_path / "m", "--data", law, *action[1:],
                          "--out", tmp_path / "m")  # fmt: skip
        assert result.returncode == 2 and "replace its source" in result.stderr
    assert (tmp_path / "m/model.safetensors").read_bytes() == before


def test_it_is_said_that_fewer_words_are_worth_a_token(law, tmp_path: Path, model):
    result = groundup("tokenizer", "extend", model, "--data", law, "--out", tmp_path / "m")
    assert result.returncode == 0 and "5 words save tokens, not 100" in result.stderr


@pytest.mark.parametrize("action", ["extend", "shrink"])
def test_both_have_help_with_an_example(action: str):
    result = groundup("tokenizer", action, "--help")
    assert result.returncode == 0 and f"example: groundup tokenizer {action}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["extend", "MODEL", "--out", "o"], "give --words FILE, or --data"),
        (["extend", "MODEL", "--words", "WORDS", "--count", "3", "--out", "o"], "leave --count or"),
        (["extend", "MODEL", "--data", "LAW", "--count", "0", "--out", "o"], "--count must be"),
        (["extend", "MODEL", "--data", "LAW", "--count", "x", "--out", "o"], "--count must be"),
        (["extend", "MODEL", "--data", "EMPTY", "--out", "o"], "no text"),
        (["extend", "MODEL", "--words", "EMPTY", "--out", "o"], "no text"),
        (["extend", "MODEL", "--words", "BLANK", "--out", "o"], "no "),
        (["extend", "MODEL", "--words", "no.txt", "--out", "o"], "no such file"),
        (["extend", "MODEL", "--words", "TWICE", "--out", "o"], "more than once: '法院'"),
        (["extend", "MODEL", "--words", "SPECIAL", "--out", "o"], "special token inside"),
        (["extend", "MODEL", "--words", "KNOWN", "--out", "o"], "one token already"),
        (["extend", "MODEL", "--words", "WORDS"], "--out"),
        (["extend", "MODEL", "--words", "WORDS", "--out", "HERE"], "this folder holds other files"),
        (["extend", "no-model", "--words", "WORDS", "--out", "o"], "no such model"),
        (["shrink", "MODEL", "--data", "EMPTY", "--out", "o"], "no text"),
        (["shrink", "MODEL", "--data", "LAW", "--min-count", "0", "--out", "o"], "--min-count must"),
        (["shrink", "MODEL", "--out", "o"], "--data"),
        (["shrink", "MODEL", "--data", "LAW", "--dat", "x", "--out", "o"], "did you mean --data?"),
        (["shrink", "LETTERS", "--data", "LAW", "--out", "o"], "only a vocabulary of merges"),
        (["grow", "MODEL"], "unknown action 'grow'"),
    ],
)  # fmt: skip
def test_a_mistake_gives_one_message_and_status_2(
    arguments: list[str], said: str, model: Path, law: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    files = {
        "EMPTY": "", "BLANK": " \n \n", "WORDS": "法院\n", "TWICE": "法院\n法院\n",
        "SPECIAL": "<|end|>\n", "KNOWN": "Mia\n",
    }  # fmt: skip
    places = {"MODEL": str(model), "LAW": str(law), "HERE": str(tmp_path), "LETTERS": "letters"}
    for name, content in files.items():
        (tmp_path / f"{name}.txt").write_text(content, encoding="utf-8")
        places[name] = f"{name}.txt"
    monkeypatch.chdir(tmp_path)
    if "LETTERS" in arguments:
        letters = Tokenizer.train_from_iterator([STORY], 60, kind="character")
        sizes = {"d_model": 8, "n_layers": 1, "n_heads": 1, "n_kv_heads": 1}
        library.save(GPT(preset("llama-like", vocab_size=60, **sizes)), letters, "letters")
    with pytest.raises(SystemExit) as ended:
        main(["tokenizer", *(places.get(argument, argument) for argument in arguments)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not Path("o").exists()
