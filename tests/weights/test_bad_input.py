"""Damaged, foreign and hostile model directories: one clear message each."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import groundup
from groundup.errors import CorruptFileError, GroundupError, InputError
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.weights import huggingface
from groundup.weights.families import FAMILIES, family_for

SIZES = {"d_model": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "context_length": 16}


@pytest.fixture
def folder(tokenizer, tmp_path: Path) -> Path:
    """A Llama of ours, in the layout of its family."""
    model = GPT(preset("llama-like", vocab_size=tokenizer.vocab_size, **SIZES))
    assert groundup.save(model, tokenizer, tmp_path / "llama") == "llama"
    return tmp_path / "llama"


@pytest.fixture
def sharded(folder: Path, monkeypatch) -> Path:
    model, tokenizer = groundup.load(folder)
    monkeypatch.setattr(huggingface, "SHARD_SIZE", 40_000)
    groundup.save(model, tokenizer, folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


def change(path: Path, edit: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def refusal(folder: Path) -> GroundupError:
    with pytest.raises(GroundupError) as error:
        groundup.load(folder)
    return error.value


def test_a_sharded_model_loads_to_the_same_bits(sharded: Path):
    model, _ = groundup.load(sharded)
    total = sum(len(load_file(path)) for path in sharded.glob("*.safetensors"))
    assert total == len(list(model.parameters()))


def test_a_missing_tensor_is_named_in_the_familys_words_with_the_nearest_name(folder: Path):
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.0.self_attn.q_prj.weight"] = weights.pop(
        "model.layers.0.self_attn.q_proj.weight"
    )
    save_file(weights, path)
    said = str(refusal(folder))
    assert "'model.layers.0.self_attn.q_proj.weight' is missing" in said
    assert "'model.layers.0.self_attn.q_prj.weight' for" in said


def test_extra_tensors_are_named(folder: Path):
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"model.layers.9.mlp.up_proj.weight": torch.ones(2)}, path)
    assert "'model.layers.9.mlp.up_proj.weight'" in str(refusal(folder))


def test_a_wrong_shape_is_said_with_the_one_that_the_config_asks_for(folder: Path):
    change(folder / "config.json", lambda config: config.update(intermediate_size=100))
    said = str(refusal(folder))
    assert "(100, 32)" in said and "mlp." in said


def test_a_truncated_shard_is_named(sharded: Path):
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    os.truncate(shard, shard.stat().st_size // 2)
    error = refusal(sharded)
    assert isinstance(error, CorruptFileError) and shard.name in str(error)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "elsewhere/a.safetensors"])
def test_an_index_that_points_outside_the_folder_is_refused(sharded: Path, name: str):
    change(
        sharded / huggingface.INDEX,
        lambda index: index["weight_map"].update({"lm_head.weight": name}),
    )
    error = refusal(sharded)
    assert "outside" in error.what and name in str(error)


def test_an_index_that_names_a_file_which_is_not_there_is_refused(sharded: Path):
    shard = sorted(sharded.glob("model-*.safetensors"))[0]
    shard.unlink()
    assert shard.name in str(refusal(sharded))


@pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": {"a": 3}}])
def test_an_index_that_is_none_is_refused(sharded: Path, content: dict):
    (sharded / huggingface.INDEX).write_text(json.dumps(content))
    assert isinstance(refusal(sharded), GroundupError)


@pytest.mark.parametrize(
    ("key", "value", "supported"),
    [
        ("hidden_act", "relu", "'silu'"),
        ("attention_bias", True, "False"),
        ("model_type", "llamma", "did you mean 'llama'"),
        ("rope_scaling", {"rope_type": "dynamic", "factor": 2.0}, "yarn"),
        ("num_attention_heads", 5, "n_heads 5"),
        ("hidden_size", "wide", "d_model"),
    ],
)
def test_a_config_of_an_unsupported_kind_names_the_field_and_what_is_supported(
    folder: Path, key: str, value: object, supported: str
):
    change(folder / "config.json", lambda config: config.update({key: value}))
    error = refusal(folder)
    assert isinstance(error, InputError) and supported in str(error) and "config.json" in str(error)


def test_a_key_that_a_config_must_have_is_named(folder: Path):
    change(folder / "config.json", lambda config: config.pop("hidden_size"))
    assert "'hidden_size' is missing" in str(refusal(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_a_pickle_file_is_refused_with_the_reason(folder: Path, name: str):
    (folder / "model.safetensors").rename(folder / name)
    said = str(refusal(folder))
    assert "pickle" in said and "safetensors" in said


def test_gpt2s_tensorflow_checkpoint_is_recognised(tmp_path: Path):
    for name in ("hparams.json", "model.ckpt.index", "model.ckpt.data-00000-of-00001"):
        (tmp_path / name).write_bytes(b"{}")
    said = str(refusal(tmp_path))
    assert "TensorFlow" in said and "openai-community/gpt2" in said


def test_a_tokenizer_larger_than_the_embedding_is_refused(folder: Path, tokenizer):
    weights = load_file(folder / "model.safetensors")
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        weights[name] = weights[name][:50].clone()
    save_file(weights, folder / "model.safetensors")
    change(folder / "config.json", lambda config: config.update(vocab_size=50))
    said = str(refusal(folder))
    assert "50" in said and str(tokenizer.vocab_size) in said


def test_weights_of_a_quantised_kind_are_refused_by_name(folder: Path):
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file({name: tensor.to(torch.int8) for name, tensor in weights.items()}, path)
    said = str(refusal(folder))
    assert "I8" in said and "BF16" in said


def test_half_precision_weights_load_in_single_precision(folder: Path):
    path = folder / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    model, _ = groundup.load(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    half, _ = groundup.load(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


def test_the_bare_names_of_the_first_gpt2_files_are_understood(tokenizer, tmp_path: Path):
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 16}
    model = GPT(preset("gpt-2-small", vocab_size=tokenizer.vocab_size, **sizes)).eval()
    groundup.save(model, tokenizer, tmp_path / "m")
    path = tmp_path / "m/model.safetensors"
    weights = {n.removeprefix("transformer."): t for n, t in load_file(path).items()}
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 16, 16) for layer in range(2)}
    save_file(weights | masks, path)
    ids = torch.randint(0, tokenizer.vocab_size, (1, 9))
    assert torch.equal(groundup.load(tmp_path / "m")[0](ids), model(ids))


def test_the_text_model_inside_one_that_sees_is_loaded(tokenizer, tmp_path: Path):
    fields = {
        "vocab_size": tokenizer.vocab_size, "norm_place": "sandwich", "feed_forward": "geglu",
        "norm": "zero-centered-rmsnorm", "qk_norm": True, "scale_embeddings": True,
        "tie_embeddings": True, "rope_theta": 1e6, "rope_theta_window": 1e4, "window": 8,
        "layer_pattern": ["window", "full"], "norm_epsilon": 1e-6,
    }  # fmt: skip
    model = GPT(preset("llama-like", **SIZES | fields)).eval()
    folder = tmp_path / "m"
    assert groundup.save(model, tokenizer, folder) == "gemma3_text"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": config}))
    weights = load_file(folder / "model.safetensors")
    seeing = {f"language_model.{name}": tensor for name, tensor in weights.items()}
    save_file(seeing | {"vision_tower.patch.weight": torch.ones(3)}, folder / "model.safetensors")
    ids = torch.randint(0, tokenizer.vocab_size, (1, 9))
    assert torch.equal(groundup.load(folder)[0](ids), model(ids))


@pytest.mark.parametrize("name", ["nano", "transformer-2017", "gpt-1"])
def test_what_no_family_covers_is_written_as_groundups_own(name: str, tokenizer, tmp_path: Path):
    config = preset(name, vocab_size=tokenizer.vocab_size, d_model=32, n_layers=2, n_heads=4)
    assert family_for(config) is None
    assert groundup.save(GPT(config), tokenizer, tmp_path / "m") == "groundup"
    assert json.loads((tmp_path / "m/config.json").read_text())["model_type"] == "groundup"


def test_no_family_covers_what_another_one_means():
    config = preset("llama-like", rope_share=0.5)
    assert family_for(config) is FAMILIES["phi3"]
    assert family_for(preset("llama-like", qk_norm=True)) is FAMILIES["qwen3"]
    assert family_for(preset("llama-like", qk_norm=True, qk_norm_scope="all")) is None
