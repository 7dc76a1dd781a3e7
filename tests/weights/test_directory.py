"""Model directories: what is saved is what is loaded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import groundup
from groundup.errors import CorruptFileError, InputError
from groundup.model.gpt import GPT
from groundup.model.presets import PRESETS, preset
from groundup.weights.directory import check_place, find


@pytest.mark.parametrize("name", ["nano", "llama-like", "gpt-2-small", "transformer-2017"])
def test_a_saved_model_loads_to_the_same_bits(name: str, tokenizer, tmp_path: Path):
    assert name in PRESETS
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 16}
    model = GPT(preset(name, vocab_size=tokenizer.vocab_size, **sizes)).eval()
    groundup.save(model, tokenizer, tmp_path / "model")
    loaded, its_tokenizer = groundup.load(tmp_path / "model")
    ids = torch.randint(0, tokenizer.vocab_size, (2, 16))
    assert torch.equal(loaded(ids), model(ids))
    assert its_tokenizer.fingerprint == tokenizer.fingerprint
    assert loaded.config == model.config


def test_missing_extra_and_misshapen_tensors_are_named(model, tokenizer, tmp_path: Path):
    groundup.save(model, tokenizer, tmp_path / "m")
    path = tmp_path / "m/model.safetensors"
    whole = load_file(path)
    head = whole.pop("head.weight")
    for weights, said in (
        (whole | {"heads.weight": head}, "'heads.weight' for 'head.weight'"),
        (whole | {"head.weight": head[:5].clone()}, "shape"),
        (whole | {"head.weight": head, "extra": head.clone()}, "extra"),
    ):
        save_file(weights, path)
        with pytest.raises(CorruptFileError) as error:
            groundup.load(tmp_path / "m")
        assert said in str(error.value)


def test_another_kind_of_model_is_refused_by_name(model, tokenizer, tmp_path: Path):
    groundup.save(model, tokenizer, tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text())
    (tmp_path / "m/config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    with pytest.raises(InputError, match="mamba"):
        groundup.load(tmp_path / "m")


@pytest.mark.parametrize("content", ["[1]", "3", "{", '"x"'])
def test_a_config_that_is_no_table_is_refused(content: str, model, tokenizer, tmp_path: Path):
    groundup.save(model, tokenizer, tmp_path / "m")
    (tmp_path / "m/config.json").write_text(content)
    with pytest.raises(CorruptFileError, match="not valid JSON"):
        groundup.load(tmp_path / "m")


def test_the_folder_above_a_model_points_to_it(model, tokenizer, tmp_path: Path):
    groundup.save(model, tokenizer, tmp_path / "mine/first/model")
    with pytest.raises(InputError) as error:
        groundup.load(tmp_path / "mine")
    assert "mine/first/model" in str(error.value)


def test_a_run_stands_for_the_model_that_it_made_last(model, tokenizer, tmp_path: Path):
    groundup.save(model, tokenizer, tmp_path / "run/pretrain/model")
    assert find(tmp_path / "run") == tmp_path / "run/pretrain/model"
    groundup.save(model, tokenizer, tmp_path / "run/finetune/model")
    assert find(tmp_path / "run") == tmp_path / "run/finetune/model"
    groundup.load(tmp_path / "run")


def test_only_another_model_is_replaced(model, tokenizer, tmp_path: Path):
    groundup.save(model, tokenizer, tmp_path / "run/pretrain/model")
    source = tmp_path / "run/pretrain/model"
    for place in (source, tmp_path / "run", tmp_path):
        with pytest.raises(InputError, match="replace its source"):
            check_place(source, place)
    (tmp_path / "notes").mkdir()
    check_place(source, tmp_path / "notes")
    (tmp_path / "notes/precious.txt").write_text("x")
    with pytest.raises(InputError, match=r"other files \(precious.txt\)"):
        check_place(source, tmp_path / "notes")
    with pytest.raises(InputError, match="a file stands here"):
        check_place(source, tmp_path / "notes/precious.txt")
    groundup.save(model, tokenizer, tmp_path / "old")
    check_place(source, tmp_path / "old")


def test_all_files_of_a_model_are_as_readable_as_any_other(model, tokenizer, tmp_path: Path):
    groundup.save(model, tokenizer, tmp_path / "m")
    (tmp_path / "other").write_text("")
    modes = {path.stat().st_mode for path in [*(tmp_path / "m").iterdir(), tmp_path / "other"]}
    assert len(modes) == 1
