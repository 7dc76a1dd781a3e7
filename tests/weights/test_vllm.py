"""Directories as vLLM reads them: their layout, and the files that start it with them. vLLM itself wants a
GPU; tests/serve/test_any_server.py asks one that runs."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml

import groundup
from groundup.cli.main import run
from groundup.model.quantized import quantize, quantize_tables
from groundup.weights import huggingface
from groundup.weights.families import FAMILIES
from groundup.weights.huggingface import stored_tensors
from tests.weights.test_families import CASES, SMALL

REPOSITORY = Path(__file__).parents[2]
# The keys of the tables in vllm/model_executor/models/registry.py of vllm-project/vllm that our families
# need, at the commit 0002bff0b6cb36a3c8a17364de3303664463c412.
ARCHITECTURES = {
    "DeepseekV2ForCausalLM", "GPT2LMHeadModel", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
    "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "Olmo2ForCausalLM",
    "Olmo3ForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM", "Qwen3NextForCausalLM", "SmolLM3ForCausalLM",
}  # fmt: skip
UNKNOWN = {"Qwen3_5ForCausalLM"}
"""Not in that registry."""
# Flags of `vllm serve` (docs.vllm.ai: "Engine Arguments", "OpenAI-Compatible Server").
FLAGS = {
    "--api-key", "--chat-template", "--dtype", "--enable-auto-tool-choice", "--enable-lora",
    "--gpu-memory-utilization", "--host", "--lora-modules", "--max-lora-rank", "--max-model-len",
    "--port", "--quantization", "--served-model-name", "--tool-call-parser",
}  # fmt: skip
DTYPES = {"auto", "half", "float16", "bfloat16", "float", "float32"}
ASKED = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where is Tom? 你好"},
]


def saved(case: str, tokenizer, folder: Path) -> Path:
    """A directory as we write it, of a model as its publisher describes it."""
    kind, settings = CASES[case]
    sizes: dict[str, Any] = {"vocab_size": tokenizer.vocab_size}
    sizes |= {} if kind == "GPT2Config" else {k: v for k, v in SMALL.items() if k != "vocab_size"}
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**sizes | settings)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder / "theirs")
    model = huggingface.read_model(folder / "theirs")
    groundup.save(model, tokenizer.with_template("groundup"), folder / "ours")
    return folder / "ours"


@pytest.fixture(scope="module", params=CASES)
def directory(request, tokenizer, tmp_path_factory) -> Path:
    return saved(request.param, tokenizer, tmp_path_factory.mktemp(request.param))


def test_the_config_says_all_that_vllm_asks(directory: Path, tokenizer):
    written = json.loads((directory / "config.json").read_text())
    (architecture,) = written["architectures"]
    assert (architecture in ARCHITECTURES) != (architecture in UNKNOWN)
    assert written["dtype"] == "float32" and "quantization_config" not in written
    assert written["eos_token_id"] == tokenizer.end_of_text_id
    config = transformers.AutoConfig.from_pretrained(directory)  # which is how vLLM reads it
    assert config.model_type == written["model_type"] == FAMILIES[config.model_type].model_type
    assert config.architectures == [FAMILIES[config.model_type].architecture]
    assert config.max_position_embeddings == groundup.load(directory)[0].config.context_length
    assert config.vocab_size == tokenizer.vocab_size and config.dtype == torch.float32


def test_generation_ends_where_ours_does(directory: Path):
    tokenizer = groundup.load(directory)[1]
    config = transformers.GenerationConfig.from_pretrained(directory)
    assert config.eos_token_id == sorted(tokenizer.end_ids) and len(config.eos_token_id) == 2


def test_the_tokenizer_and_its_template_are_ours(directory: Path):
    ours = groundup.load(directory)[1]
    theirs = transformers.AutoTokenizer.from_pretrained(directory)
    assert json.loads((directory / "tokenizer_config.json").read_text())["chat_template"]
    ids = theirs.apply_chat_template(ASKED, add_generation_prompt=True, return_dict=False)
    assert ids == ours.encode_chat(ASKED, add_generation_prompt=True)


def test_the_tensors_are_called_as_transformers_own_class_saves_them(
    directory: Path, tmp_path: Path
):
    theirs = transformers.AutoModelForCausalLM.from_pretrained(directory)
    assert type(theirs).__name__ == json.loads((directory / "config.json").read_text())[
        "architectures"
    ][0]  # fmt: skip
    theirs.save_pretrained(tmp_path)
    ours, wanted = stored_tensors(directory), stored_tensors(tmp_path)
    assert {(name, t.shape) for name, t in ours.items()} == {
        (name, t.shape) for name, t in wanted.items()
    }


def test_every_family_is_tried_and_known_or_known_not_to_be():
    assert {family.architecture for family in FAMILIES.values()} == ARCHITECTURES | UNKNOWN


@pytest.mark.parametrize("bits", [8, 4])
def test_a_directory_in_few_bits_names_a_method_of_ours_and_is_converted_to_one_without(
    bits: int, tokenizer, tmp_path: Path
):
    """vLLM refuses a `quant_method` that it does not know."""
    model, tokenizer = groundup.load(saved("qwen3", tokenizer, tmp_path))
    quantize(model, bits)
    quantize_tables(model)
    groundup.save(model, tokenizer, tmp_path / "few")
    settings = json.loads((tmp_path / "few/config.json").read_text())["quantization_config"]
    assert settings["quant_method"] == "groundup"
    command = ["convert", str(tmp_path / "few"), "--to", "huggingface", "--out"]
    assert run([*command, str(tmp_path / "whole")]) == 0
    written = json.loads((tmp_path / "whole/config.json").read_text())
    assert "quantization_config" not in written
    assert {t.dtype for t in stored_tensors(tmp_path / "whole").values()} == {"F32"}


def test_the_compose_file_starts_vllm_with_flags_that_it_has():
    with (REPOSITORY / "deploy/vllm.compose.yaml").open(encoding="utf-8") as file:
        service = yaml.safe_load(file)["services"]["vllm"]
    assert service["entrypoint"] == ["vllm", "serve"]
    model, *flags = service["command"]
    assert [volume.rsplit(":", 2)[1] for volume in service["volumes"]] == [model]
    given = dict(flag.partition("=")[::2] for flag in flags)
    assert set(given) <= FLAGS and given["--port"] in service["ports"][0].split(":")
    (default,) = re.findall(r":-(\w+)}", given["--dtype"])
    assert default in DTYPES and service["ports"][0].startswith("127.0.0.1:")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_guide_names_flags_of_vllm_and_every_architecture(language: str):
    text = (REPOSITORY / f"docs/{language}/serving.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^vllm serve .*$", text, re.M)]
    flags = {word for command in commands for word in command if word.startswith("--")}
    assert len(commands) >= 2 and flags and flags <= FLAGS
    assert [name for name in ARCHITECTURES | UNKNOWN if f"`{name}`" not in text] == []
