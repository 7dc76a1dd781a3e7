"""`groundup convert`: what is written is the model, or nothing is written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import torch
import transformers

import groundup
from groundup.cli.main import run
from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.weights import gguf as gguf_files
from groundup.weights.directory import load, load_model
from groundup.weights.gguf import architecture_for
from groundup.weights.gguf_head import read_head
from groundup.weights.layouts import Layout
from tests.conftest import groundup as command
from tests.weights.test_gguf import CASES, LLAMA, random_model


@pytest.fixture
def model_directory(tokenizer, tmp_path: Path) -> Path:
    groundup.save(random_model(LLAMA, tokenizer.vocab_size), tokenizer, tmp_path / "model")
    return tmp_path / "model"


def beside(model_directory: Path) -> list[str]:
    """What lies where the model does."""
    return sorted(path.name for path in model_directory.parent.iterdir())


def test_a_model_becomes_a_file_beside_it(model_directory: Path):
    made = command("convert", model_directory, "--to", "gguf", "--json")
    figures = json.loads(made.stdout)
    out = Path(figures["out"])
    assert out == model_directory.with_name("model-f16.gguf") and figures["kind"] == "llama"
    assert figures["bytes"] == out.stat().st_size
    assert 0 < figures["largest_logit_difference"] < 0.1
    assert figures["unexplained_logit_difference"] < 1e-4 and figures["same_choice"] > 0.9
    assert load(out)[0].config == load(model_directory)[0].config


def test_without_json_the_difference_is_said(model_directory: Path, tmp_path: Path):
    made = command("convert", model_directory, "--to", "gguf", "--quantize", "f32",
                   "--out", tmp_path / "a/b.gguf")  # fmt: skip
    assert "largest logit difference to the source: 0 " in made.stdout
    assert str(tmp_path / "a/b.gguf") in made.stdout


@pytest.mark.parametrize("quantization", gguf_files.QUANTIZATIONS)
def test_each_quantisation_differs_by_what_it_explains(
    quantization: str, model_directory: Path, capsys
):
    command = [
        "convert",
        str(model_directory),
        "--to",
        "gguf",
        "--quantize",
        quantization,
        "--json",
    ]
    assert run(command) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["unexplained_logit_difference"] < 1e-4
    assert (figures["largest_logit_difference"] == 0) == (quantization == "f32")


def test_a_gguf_file_becomes_a_directory_that_transformers_loads(model_directory: Path, capsys):
    assert run(["convert", str(model_directory), "--to", "gguf", "--quantize", "f32"]) == 0
    source = model_directory.with_name("model-f32.gguf")
    capsys.readouterr()
    assert run(["convert", str(source), "--to", "huggingface", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    folder = model_directory.with_name("model-f32")
    assert Path(figures["out"]) == folder and figures["largest_logit_difference"] == 0
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        wanted = load_model(model_directory)(ids)
        torch.testing.assert_close(theirs(ids).logits, wanted, atol=1e-4, rtol=0.0)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokens.encode("Mia 小明") == load(source)[1].encode("Mia 小明")


@pytest.mark.parametrize("case", ["gemma-3", "deepseek-v2", "mixtral", "phi-3", "gpt2"])
@pytest.mark.parametrize("quantization", ["f32", "q8_0"])
def test_architectures_with_other_layouts_are_proved_too(
    case: str, quantization: str, tokenizer, tmp_path: Path, capsys
):
    groundup.save(random_model(CASES[case][1], tokenizer.vocab_size), tokenizer, tmp_path / "m")
    command = ["convert", str(tmp_path / "m"), "--to", "gguf", "--quantize", quantization, "--json"]
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["unexplained_logit_difference"] < 1e-4


# A writer that is wrong


@pytest.mark.parametrize("quantization", ["f32", "q8_0"])
def test_a_writer_that_mixes_up_rows_is_refused(
    quantization: str, model_directory: Path, capsys, monkeypatch
):
    right = Layout.to_theirs

    def wrong(self, ours, config):
        theirs = right(self, ours, config)
        return theirs.flip(0) if "attn_q" in self.theirs and theirs.device.type == "cpu" else theirs

    monkeypatch.setattr(Layout, "to_theirs", wrong)
    assert run(["convert", str(model_directory), "--to", "gguf", "--quantize", quantization]) == 1
    said = capsys.readouterr()
    assert said.out == "" and ("not the same" in said.err or "come back" in said.err)
    assert beside(model_directory) == ["model"]


@pytest.mark.parametrize("quantization", ["f16", "q4_0"])
def test_a_file_that_is_changed_after_it_is_written_is_refused(
    quantization: str, model_directory: Path, capsys, monkeypatch
):
    written = gguf.GGUFWriter.close

    def change_a_tensor(self):
        path = self.path
        written(self)
        tensor = read_head(path).tensors["blk.2.ffn_down.weight"]
        with path.open("r+b") as file:
            file.seek(tensor.offset)
            file.write(bytes(tensor.n_bytes // 2))

    monkeypatch.setattr(gguf.GGUFWriter, "close", change_a_tensor)
    assert run(["convert", str(model_directory), "--to", "gguf", "--quantize", quantization]) == 1
    said = capsys.readouterr().err
    assert "not the same: its logits differ by" in said and "nothing was written" in said
    assert beside(model_directory) == ["model"]


def test_a_file_that_is_cut_after_it_is_written_is_refused(
    model_directory: Path, capsys, monkeypatch
):
    written = gguf.GGUFWriter.close

    def cut(self):
        path = self.path
        written(self)
        os.truncate(path, path.stat().st_size - 1000)

    monkeypatch.setattr(gguf.GGUFWriter, "close", cut)
    assert run(["convert", str(model_directory), "--to", "gguf"]) == 1
    assert "cut" in capsys.readouterr().err
    assert beside(model_directory) == ["model"]


@pytest.mark.parametrize("kilobytes", [10, 40])
def test_a_full_disk_is_said_in_words_and_leaves_nothing(model_directory: Path, kilobytes: int):
    """The system refuses to write further, in the head of the file and among its tensors."""
    limited = ["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "bash", sys.executable]
    words = ["-m", "groundup.cli.main", "convert", model_directory, "--to", "gguf"]
    done = subprocess.run([*limited, *words], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: cannot write:"), done.stderr
    assert beside(model_directory) == ["model"]


# A user that asks for what cannot be


@pytest.fixture
def refusal(capsys) -> Callable[..., str]:
    """What is said to a command line that asks for what cannot be."""

    def ask(*arguments: object) -> str:
        assert run(["convert", *map(str, arguments)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        return said.err

    return ask


def test_a_model_that_no_family_covers_is_refused_with_its_fields(
    tokenizer, tmp_path: Path, refusal
):
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 16}
    config = preset("nano", vocab_size=tokenizer.vocab_size, **sizes)
    groundup.save(GPT(config), tokenizer, tmp_path / "m")
    for to in ("huggingface", "gguf"):
        said = refusal(tmp_path / "m", "--to", to)
        assert "feed_forward 'relu2'" in said and "the nearest is qwen3" in said


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("gpt-1", {}, "norm_place 'post'"),
        ("llama-like", {"window": 8, "layer_pattern": ["window"]}, "layer_pattern ['window']"),
        ("llama-like", {"short_conv": 2}, "short_conv 2"),
        ("llama-like", {"qk_norm": True, "qk_norm_scope": "all"}, "qk_norm_scope 'all'"),
        ("llama-like", {"attention_scale": 0.3}, "attention_scale 0.3"),
    ],
)
def test_what_llama_cpp_has_no_architecture_for_is_named(name: str, changes: dict, field: str):
    with pytest.raises(InputError) as error:
        architecture_for(preset(name, **changes))
    assert field in str(error.value)


def test_k_quants_are_left_to_llama_cpp(model_directory: Path, refusal):
    said = refusal(model_directory, "--to", "gguf", "--quantize", "q4_k_m")
    assert "cannot write" in said and "llama-quantize" in said and "q4_0" in said


def test_an_unknown_quantisation_is_answered_with_the_nearest(model_directory: Path, refusal):
    assert "did you mean 'q8_0'" in refusal(model_directory, "--to", "gguf", "--quantize", "q8")


def test_only_gguf_is_quantised(model_directory: Path, refusal):
    assert "--to gguf" in refusal(model_directory, "--to", "huggingface", "--quantize", "q8_0")


def test_a_source_is_not_replaced_by_its_copy(model_directory: Path, refusal):
    said = refusal(model_directory, "--to", "huggingface", "--out", model_directory)
    assert "source" in said


def test_other_peoples_files_are_not_replaced(model_directory: Path, tmp_path: Path, refusal):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/diary.txt").write_text("dear diary")
    said = refusal(model_directory, "--to", "huggingface", "--out", tmp_path / "notes")
    assert "diary.txt" in said
    assert "one file" in refusal(model_directory, "--to", "gguf", "--out", tmp_path / "notes")
    said = refusal(model_directory, "--to", "gguf", "--out", tmp_path / "notes/diary.txt")
    assert "another file stands here" in said
    assert (tmp_path / "notes/diary.txt").read_text() == "dear diary"


def test_an_earlier_output_is_replaced(model_directory: Path, capsys):
    for _ in range(2):
        assert run(["convert", str(model_directory), "--to", "gguf"]) == 0
        assert run(["convert", str(model_directory), "--to", "huggingface"]) == 0
    assert beside(model_directory) == [
        "model", "model-f16.gguf", "model-huggingface",
    ]  # fmt: skip
