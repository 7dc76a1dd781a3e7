"""`groundup inspect` as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from groundup.cli.main import run
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import save
from tests.conftest import groundup
from tests.weights.test_families import CASES, SMALL
from tests.weights.test_stored import sparse

# getrusage would count the process that begot this one as well.
MEASURED = """
import sys
from groundup.cli.main import run
status = run(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1], file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def directory(model: GPT, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    save(model, tokenizer, tmp_path / "mine")
    return tmp_path / "mine"


def test_a_preset_is_drawn_and_counted():
    result = groundup("inspect", "gpt-2-small")
    assert result.returncode == 0 and result.stderr == ""
    shown = result.stdout
    assert "124,439,808 parameters" in shown.splitlines()[0]
    places = [shown.index(words) for words in (
        "token ids", "12 × block", "attention: multi-head (MHA)", "logits of the next token",
        "Parameters", "Operations", "Memory", "Cache of one text",
    )]  # fmt: skip
    assert places == sorted(places)
    assert max(map(len, shown.split("Parameters")[0].splitlines())) <= 90


def test_the_promised_keys_are_there():
    figures = json.loads(groundup("inspect", "gpt-2-small", "--json").stdout)
    assert figures["architecture"]["d_model"] == 768 and figures["parameters"] == 124_439_808
    assert figures["flops_per_token"] * 3 == figures["training_flops_per_token"]
    assert figures["memory_bytes"]["weights"] == 4 * 124_439_808
    assert figures["cache_bytes_by_length"][-1]["this_model"] == 2 * 12 * 768 * 1024 * 4
    assert figures["weights"] is None


def test_a_directory_tells_its_files(directory: Path, model: GPT):
    size = (directory / "model.safetensors").stat().st_size
    figures = json.loads(groundup("inspect", directory, "--json").stdout)
    assert figures["parameters"] == sum(p.numel() for p in model.parameters())
    assert figures["weights"] == {"files": 1, "bytes": size, "dtype": "F32", "problem": None}
    shown = groundup("inspect", directory).stdout
    assert f"({size:,} bytes) on disk, F32" in shown and str(directory) in shown


@pytest.mark.parametrize(
    ("name", "kind"), [("gpt-2-small", "gpt2"), ("llama-like", "llama"), ("nano", "groundup")]
)
def test_the_kind_is_named_that_the_model_is_written_as(name: str, kind: str):
    assert json.loads(groundup("inspect", name, "--json").stdout)["model_type"] == kind
    assert f"its kind (model_type) is {kind}" in groundup("inspect", name).stdout


def test_weights_are_not_needed(directory: Path):
    (directory / "model.safetensors").unlink()
    result = groundup("inspect", directory)
    assert result.returncode == 0 and "no weights beside it" in result.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_weights_are_not_loaded(directory: Path):
    """Half a terabyte of them is on no disk and in no memory."""
    sparse(directory / "model.safetensors", 1 << 39)
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, "inspect", str(directory)],
        capture_output=True, text=True, encoding="utf-8", timeout=120,
        env=os.environ | {"PYTHONUTF8": "1"},
    )  # fmt: skip
    assert result.returncode == 0 and "550 GB" in result.stdout and "F16" in result.stdout
    assert int(result.stderr) < 1 << 20, "kilobytes"


def test_cut_weights_are_said_to_be_and_hide_nothing_else(directory: Path):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    result = groundup("inspect", directory)
    assert result.returncode == 0 and "which cannot be read" in result.stdout
    assert "2 × block" in result.stdout


def test_the_page_is_written_whole(directory: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    result = groundup("inspect", directory, "--html", page, "--json")
    assert result.returncode == 0 and json.loads(result.stdout) and str(page) in result.stderr
    text = page.read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>") and "<script" not in text and "http" not in text
    assert 'name="viewport"' in text and "attention: grouped-query (GQA)" in text
    assert not list(tmp_path.glob(".page*")), "nothing temporary is left"


def test_a_page_that_cannot_be_written_is_said_in_words(tmp_path: Path):
    (tmp_path / "file").touch()
    result = groundup("inspect", "nano", "--html", tmp_path / "file" / "page.html")
    assert result.returncode == 1 and "cannot write" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_a_terminal_without_box_characters_gets_others(
    encoding: str, directory: Path, tmp_path: Path
):
    named = directory.rename(tmp_path / "模型")
    settings = {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    result = subprocess.run(
        [sys.executable, "-m", "groundup.cli.main", "inspect", str(named)],
        capture_output=True, env=os.environ | settings, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0 and result.stderr == b""
    shown = result.stdout.decode(encoding)
    assert "| RMSNorm" in shown and "O<-----+" in shown
    assert ("模型" in shown) == (encoding == "gbk")


@pytest.mark.parametrize("family", CASES)
def test_any_family_is_counted_as_transformers_counts_it_by_its_config_alone(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """In this process, as there are many."""
    name, settings = CASES[family]
    base = {"vocab_size": 96} if name == "GPT2Config" else SMALL
    config = getattr(transformers, name)(**base | settings)
    config.save_pretrained(tmp_path)
    with torch.device("meta"):
        theirs = transformers.AutoModelForCausalLM.from_config(config)
    assert run(["inspect", str(tmp_path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["parameters"] == sum(p.numel() for p in theirs.parameters())
    assert run(["inspect", str(tmp_path)]) == 0
    assert "no weights beside it" in capsys.readouterr().out
