"""Model directories in few bits: they load wherever ours do, and damage is told in one clear message."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import groundup
from groundup.errors import CorruptFileError, GroundupError, InputError
from groundup.model.gpt import GPT
from groundup.model.lora import LoraConfig, add_lora
from groundup.model.presets import preset
from groundup.model.quantized import QuantizedEmbedding, is_quantized, quantize, quantize_tables
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.convert import convert
from groundup.weights.quantized import tensors_of
from tests.weights.test_bad_input import change

SIZES = {"d_model": 64, "n_layers": 2, "n_heads": 4, "context_length": 32}
IDS = torch.arange(20)[None]
KINDS = {
    "llama": ("llama-like", {"n_kv_heads": 2}),
    "tied": ("llama-like", {"n_kv_heads": 2, "tie_embeddings": True}),
    "gpt-2": ("gpt-2-small", {}),
    "experts": ("llama-like", {"experts": {"count": 4, "active": 2, "d_ff": 48}}),
    "bent": ("llama-like", {"logit_softcap": 5.0}),
    "odd": ("llama-like", {"d_ff": 100}),
}


def small(tokenizer: Tokenizer, kind: str = "llama", bits: int = 4) -> GPT:
    torch.manual_seed(0)
    name, more = KINDS[kind]
    model = GPT(preset(name, vocab_size=tokenizer.vocab_size, **{**SIZES, **more})).eval()
    quantize(model, bits)
    quantize_tables(model)
    return model


@pytest.fixture(params=[8, 4])
def folder(tokenizer: Tokenizer, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    groundup.save(small(tokenizer, bits=request.param), tokenizer, tmp_path / "small")
    return tmp_path / "small"


def refusal(folder: Path) -> GroundupError:
    with pytest.raises(GroundupError) as error:
        groundup.load(folder)
    return error.value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [8, 4])
def test_what_is_saved_loads_to_the_same_bits(
    tokenizer: Tokenizer, tmp_path: Path, kind: str, bits: int
):
    saved = small(tokenizer, kind, bits)
    groundup.save(saved, tokenizer, tmp_path / "small")
    loaded, _ = groundup.load(tmp_path / "small")
    wanted, found = tensors_of(saved), tensors_of(loaded)
    assert wanted.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert (loaded.head.codes is loaded.embedding.codes) == saved.config.tie_embeddings
    with torch.inference_mode():
        assert torch.equal(loaded(IDS), saved(IDS))


def test_it_is_as_small_as_its_bits(tokenizer: Tokenizer, tmp_path: Path):
    sizes = {}
    for bits in (8, 4):
        groundup.save(small(tokenizer, bits=bits), tokenizer, tmp_path / str(bits))
        stored = load_file(tmp_path / str(bits) / "model.safetensors")
        matrices = {n: t for n, t in stored.items() if "norm" not in n}
        sizes[bits] = sum(t.nbytes for t in matrices.values())
        assert {t.dtype for n, t in matrices.items() if n.endswith("codes")} <= {
            torch.int8, torch.uint8,
        }  # fmt: skip
    model = small(tokenizer)
    blocks = sum(p.numel() for p in GPT(model.config).blocks.parameters() if p.ndim == 2)
    tables = 2 * tokenizer.vocab_size * 64
    assert sizes[8] <= (blocks + tables) * (1 + 4 / 64)
    assert sizes[4] <= blocks * (0.5 + 3 / 64) + tables * (1 + 4 / 64)


def test_it_generates_and_is_converted(folder: Path, tmp_path: Path):
    model, tokenizer = groundup.load(folder)
    greedy = {"max_new_tokens": 8, "temperature": 0.0}
    text = groundup.generate(model, tokenizer, "Mia is", **greedy)
    again, _ = groundup.load(folder)
    assert groundup.generate(again, tokenizer, "Mia is", **greedy) == text
    plain, _ = groundup.load(convert(folder, "huggingface", tmp_path / "plain").out)
    assert not is_quantized(plain)
    ids = IDS.clone()
    torch.testing.assert_close(plain(ids), model(ids))  # gradients on: decoded matrices


def test_an_adapter_learns_on_it_and_merges(folder: Path, tmp_path: Path):
    model, tokenizer = groundup.load(folder)
    add_lora(model, LoraConfig(rank=2, targets=["query", "down", "head"]))
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    model(IDS).square().mean().backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained and all(p.grad is not None and p.grad.abs().max() > 0 for p in trained)
    wanted = model(IDS)
    groundup.save(model, tokenizer, tmp_path / "merged")
    merged, _ = groundup.load(tmp_path / "merged")
    assert not is_quantized(merged)
    torch.testing.assert_close(merged(IDS), wanted, atol=1e-5, rtol=1e-4)


def test_the_types_that_are_asked_for(folder: Path):
    model, _ = groundup.load(folder, torch.bfloat16)
    exact, _ = groundup.load(folder)
    assert isinstance(model.embedding, QuantizedEmbedding)
    with torch.inference_mode():
        logits = model(IDS)
        assert logits.dtype == torch.bfloat16
        torch.testing.assert_close(logits.float(), exact(IDS), atol=0.05, rtol=0.05)


# Damage


def test_a_cut_file(folder: Path):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert isinstance(refusal(folder), CorruptFileError)


@pytest.mark.parametrize("ending", ["codes", "scales"])
def test_a_missing_tensor_is_named(folder: Path, ending: str):
    name = f"blocks.1.attention.key.{ending}"
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors")
    error = refusal(folder)
    assert isinstance(error, CorruptFileError) and f"{name!r} is missing" in str(error)


def test_a_tensor_too_many_is_named(folder: Path):
    tensors = load_file(folder / "model.safetensors") | {"blocks.9.codes": torch.ones(2)}
    save_file(tensors, folder / "model.safetensors")
    error = refusal(folder)
    assert isinstance(error, CorruptFileError) and "'blocks.9.codes'" in str(error)


def test_another_shape_is_told_with_the_right_one(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    tensors["embedding.codes"] = tensors["embedding.codes"][:-1].contiguous()
    save_file(tensors, folder / "model.safetensors")
    error = refusal(folder)
    assert isinstance(error, CorruptFileError)
    rows = len(tensors["embedding.codes"])
    assert f"({rows}, 64)" in str(error) and f"({rows + 1}, 64)" in str(error)


def test_another_type_is_told_with_the_right_one(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    tensors["embedding.codes"] = tensors["embedding.codes"].view(torch.uint8)
    save_file(tensors, folder / "model.safetensors")
    error = refusal(folder)
    assert isinstance(error, CorruptFileError) and "U8" in str(error) and "I8" in str(error)


def test_the_config_of_another_number_of_bits(folder: Path):
    def swap(config: dict) -> None:
        settings = config["quantization_config"]
        bits = {8: 4, 4: 8}[settings["bits"]]
        settings |= {"bits": bits, "group_size": {8: None, 4: 64}[bits]}

    change(folder / "config.json", swap)
    assert isinstance(refusal(folder), CorruptFileError)


@pytest.mark.parametrize(
    "settings",
    [{"bits": 3}, {"bits": [8]}, {"bits": "4"}, {"group_size": 32}, {"table_bits": 4}, {"more": 1}],
)
def test_settings_from_another_version_are_refused(folder: Path, settings: dict):
    change(folder / "config.json", lambda config: config["quantization_config"].update(settings))
    error = refusal(folder)
    assert isinstance(error, InputError) and "not known" in str(error)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
