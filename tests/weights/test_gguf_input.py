"""Damaged, foreign and hostile GGUF files, and every type of numbers."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError, InputError
from groundup.weights.directory import find, load
from groundup.weights.gguf import QUANTIZATIONS, read_gguf_config, write_gguf
from groundup.weights.gguf_head import read_head, readable_types
from tests.weights.test_gguf import CASES, LLAMA, random_model


@pytest.fixture(scope="module")
def whole(tokenizer, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(random_model(LLAMA, tokenizer.vocab_size), tokenizer, path, "q8_0")
    return path


def changed(whole: Path, tmp_path: Path, old: bytes, new: bytes) -> Path:
    content = whole.read_bytes()
    assert content.count(old) >= 1 and len(old) == len(new)
    path = tmp_path / "changed.gguf"
    path.write_bytes(content.replace(old, new, 1))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(GroundupError) as error:
        load(path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.3, 0.9, 0.999])
def test_a_cut_file_is_refused(whole: Path, tmp_path: Path, share: float):
    content = whole.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[: int(share * len(content))])
    assert "cut" in refusal(tmp_path / "cut.gguf")


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "not a GGUF file" in refusal(tmp_path / "model.gguf")


def test_an_empty_file_is_refused(tmp_path: Path):
    (tmp_path / "model.gguf").write_bytes(b"")
    assert "not a GGUF file" in refusal(tmp_path / "model.gguf")


def test_an_unknown_architecture_is_named_with_the_nearest(whole: Path, tmp_path: Path):
    said = refusal(changed(whole, tmp_path, b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lamma"))
    assert "'lamma'" in said and "did you mean 'llama'" in said


def test_an_unknown_type_of_numbers_is_named(whole: Path, tmp_path: Path):
    kind = gguf.GGMLQuantizationType.Q8_0.to_bytes(4, "little")
    shape = (32).to_bytes(8, "little") + (361).to_bytes(8, "little")
    said = refusal(changed(whole, tmp_path, shape + kind, shape + (77).to_bytes(4, "little")))
    assert "token_embd.weight" in said and "type 77" in said and "Q4_K" in said


def test_whole_numbers_are_no_weights(whole: Path, tmp_path: Path):
    kind = gguf.GGMLQuantizationType.F32.to_bytes(4, "little")
    head = b"output_norm.weight" + (1).to_bytes(4, "little") + (32).to_bytes(8, "little")
    whole_numbers = gguf.GGMLQuantizationType.I32.to_bytes(4, "little")
    said = refusal(changed(whole, tmp_path, head + kind, head + whole_numbers))
    assert "stored as I32" in said and "F32" in said


@pytest.mark.parametrize(
    ("version", "said"), [(1, "version 1"), (9, "version 9"), (3 << 24, "byte order")]
)
def test_other_versions_are_refused_by_number(whole, tmp_path: Path, version: int, said: str):
    old, new = (b"GGUF" + number.to_bytes(4, "little") for number in (3, version))
    assert said in refusal(changed(whole, tmp_path, old, new))


def test_a_missing_field_is_named(whole: Path, tmp_path: Path):
    said = refusal(changed(whole, tmp_path, b"llama.embedding_length", b"llama.embeddinglength_"))
    assert "'embedding_length' is missing" in said and "embeddinglength_" in said


def test_a_missing_tensor_is_named_with_the_nearest(whole: Path, tmp_path: Path):
    said = refusal(changed(whole, tmp_path, b"blk.1.attn_k.weight", b"blk.1.attn_c.weight"))
    assert "'blk.1.attn_k.weight' is missing" in said and "'blk.1.attn_c.weight' for" in said


def test_a_file_without_a_tokenizer_is_refused(whole: Path, tmp_path: Path):
    said = refusal(changed(whole, tmp_path, b"tokenizer.ggml.model", b"tokenizer.ggml.mode_"))
    assert "tokenizer.ggml.model" in said


def test_a_folder_with_a_gguf_file_points_to_it(whole: Path):
    with pytest.raises(InputError, match=r"no config\.json") as error:
        find(whole.parent)
    assert str(whole) in str(error.value)


def test_a_misspelt_file_is_answered_with_the_nearest(whole: Path):
    with pytest.raises(InputError) as error:
        find(whole.with_name("modell.gguf"))
    assert f"did you mean {whole}" in str(error.value)


@pytest.fixture(scope="module")
def wholes(tokenizer, tmp_path_factory) -> list[bytes]:
    """Whole files of several architectures."""
    path = tmp_path_factory.mktemp("wholes") / "model.gguf"
    files = []
    for case in ("llama-3", "phi-3", "gemma-2", "gemma-3", "qwen3-moe", "deepseek-v2", "gpt2"):
        write_gguf(random_model(CASES[case][1], tokenizer.vocab_size), tokenizer, path, "q8_0")
        files.append(path.read_bytes())
    return files


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_change_of_the_head_gives_anything_but_a_sentence(
    wholes: list[bytes], tmp_path: Path, data
):
    content = bytearray(data.draw(st.sampled_from(wholes)))
    head = content.index(b"tokenizer.ggml.tokens")
    info = content.index(b"token_embd.weight")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(8, head + 40) | st.integers(info, info + 3000))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "changed.gguf"
    path.write_bytes(content)
    try:
        load(path)
    except GroundupError as error:
        assert str(error).strip()


# Types of numbers


def quantised(kind: gguf.GGMLQuantizationType, rows: int, blocks: int) -> np.ndarray:
    """Random bytes of a type, with scales that are no NaN."""
    _, size = gguf.GGML_QUANT_SIZES[kind]
    return np.random.default_rng(0).integers(0, 60, (rows, blocks * size), dtype=np.uint8)


@pytest.mark.parametrize("name", readable_types())
def test_every_type_is_read_as_the_library_reads_it(name: str, tmp_path: Path):
    kind = gguf.GGMLQuantizationType[name]
    data = quantised(kind, 6, 5)
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("one", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensor = read_head(tmp_path / "one.gguf").tensors["one"]
    wanted = data.view(np.float64) if name == "F64" else gguf.dequantize(data, kind)
    assert tensor.dtype == name and tensor.shape == wanted.shape
    assert np.array_equal(tensor.read().double().numpy(), wanted.astype(np.float64))


def test_all_that_llama_cpps_users_share_is_read():
    legacy = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4"}
    k_quants = {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"}
    i_quants = {
        "IQ1_S",
        "IQ1_M",
        "IQ2_XXS",
        "IQ2_XS",
        "IQ2_S",
        "IQ3_XXS",
        "IQ3_S",
        "IQ4_NL",
        "IQ4_XS",
    }
    assert {*readable_types()} >= legacy | k_quants | i_quants
    assert not {*readable_types()} & {"I8", "I32", "Q8_K"}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@torch.no_grad()
def test_a_type_that_is_written_gives_the_numbers_that_the_library_rounds_to(
    quantization: str, tokenizer, tmp_path: Path
):
    model = random_model(LLAMA, tokenizer.vocab_size)
    write_gguf(model, tokenizer, tmp_path / "m.gguf", quantization)
    kind = gguf.GGMLQuantizationType[quantization.upper()]
    wanted = {name: p.detach().numpy() for name, p in model.named_parameters()}
    for name, parameter in load(tmp_path / "m.gguf")[0].named_parameters():
        rounded = wanted[name]
        if parameter.ndim > 1:
            rounded = gguf.dequantize(gguf.quantize(rounded, kind), kind)
        assert np.array_equal(parameter.numpy(), rounded), name


def test_the_configuration_is_read_from_the_head_alone(whole: Path, tmp_path: Path):
    content = whole.read_bytes()
    end = content.index(b"blk.3.ffn_down.weight") + 4000
    (tmp_path / "head.gguf").write_bytes(content[:end] + bytes(len(content) - end))
    assert read_gguf_config(tmp_path / "head.gguf") == read_gguf_config(whole)
