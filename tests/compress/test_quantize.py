"""Models in few bits, by the real command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import groundup
from groundup.cli.main import run
from groundup.compress.quantize import quantize_by
from groundup.compress.rounding import clipped_grid, error_correcting, hessian_of
from groundup.errors import InputError
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.model.experts import MixtureOfExperts
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.model.quantized import (
    QuantizedLinear,
    grouped,
    is_quantized,
    linear_layers_of_blocks,
    numbers_of,
    quantize,
)
from groundup.recipe.compress.quantize import MOST_WINDOWS, bits_per_byte, read_text
from groundup.recipe.compress.text import calibration, window_length
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import save
from tests.conftest import groundup as command


@pytest.fixture
def mine(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = preset(
        "llama-like", vocab_size=tokenizer.vocab_size, d_model=32, n_layers=2, n_heads=4,
        context_length=64,
    )  # fmt: skip
    save(GPT(config), tokenizer, tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line without a process of its own, which takes longer than the command."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status = run([*map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


@pytest.fixture
def compressed(called: Callable[..., tuple[int, str, str]]) -> Callable[..., dict]:
    def compress(*arguments: object) -> dict:
        status, out, err = called("compress", "quantize", *arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    return compress


# A trained model: llama2.c's, of 260,000 numbers


@pytest.fixture(scope="module")
def stories(real_data: Path) -> Path:
    return real_data / "models/stories260K/stories260K.bin"


@pytest.fixture(scope="module")
def written(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the model writes itself: text like that which it is for."""
    model, tokenizer = groundup.load(stories)
    begin, path = "Once upon a time", tmp_path_factory.mktemp("text") / "stories.txt"
    prompts, ends = [tokenizer.encode_prompt(begin)] * 11, frozenset(tokenizer.end_ids)
    sampling = SamplingConfig(temperature=0.8, max_new_tokens=250)
    said = Engine(model).batch(prompts, sampling, ends, range(11))
    texts = [begin + tokenizer.decode([id for id in ids if id not in ends]) for ids in said]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


@pytest.mark.parametrize("bits", [8, 4])
def test_a_real_model_hardly_loses_and_in_4_bits_gptq_less_than_absmax(
    stories: Path, written: Path, tmp_path: Path, compressed: Callable[..., dict], bits: int
):
    losses = {}
    for method in ("absmax", "gptq"):
        made = compressed(
            stories, "--bits", bits, "--method", method, "--calibration", written,
            "--out", tmp_path / method,
        )  # fmt: skip
        losses[method] = made["bits_per_byte_after"] / made["bits_per_byte_before"] - 1
        files = sum(f.stat().st_size for f in (tmp_path / method).glob("*.safetensors"))
        assert made["bytes_after"] == files and made["model"] == str(tmp_path / method)
        assert files < made["bytes_before"] * {8: 0.32, 4: 0.22}[bits]
    assert max(losses.values()) < {8: 0.005, 4: 0.2}[bits]
    # In 8 bits both lose so little that a few hundred tokens cannot tell which loses less.
    assert bits == 8 or losses["gptq"] < losses["absmax"]


# The pass


def test_every_layer_is_rounded_by_inputs_that_come_from_rounded_layers(model: GPT):
    torch.manual_seed(0)
    windows = torch.randint(0, model.config.vocab_size, (8, 32))
    plain = {name: layer.weight.clone() for name, layer in linear_layers_of_blocks(model).items()}
    quantize_by(model, 4, windows)
    assert not linear_layers_of_blocks(model)
    packed = {n: p for n, p in model.blocks.named_modules() if isinstance(p, QuantizedLinear)}
    assert packed.keys() == plain.keys()
    seen: dict[str, torch.Tensor] = {}
    for name, layer in packed.items():
        layer.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
    model.hidden(windows)  # with gradients on: decoded matrices, as in the pass
    for name, layer in packed.items():
        groups, hessian = grouped(plain[name], 4), hessian_of(seen[name].detach())
        padding = groups[0].numel() - layer.in_features
        hessian = F.pad(hessian, (0, padding, 0, padding))
        grid = clipped_grid(groups, 4, hessian.diagonal())
        codes = error_correcting(groups, grid, 4, hessian)
        made = numbers_of(codes, grid).flatten(1)[:, : layer.in_features]
        assert torch.equal(made, layer.weight), name


@torch.no_grad()
def test_the_outputs_of_a_model_change_less_than_by_plain_rounding():
    def build() -> GPT:
        torch.manual_seed(0)
        return GPT(preset("llama-like", vocab_size=400, d_model=64, n_layers=2, n_heads=4,
                          context_length=64, d_ff=128)).eval()  # fmt: skip

    torch.manual_seed(1)
    windows, held_out = torch.randint(0, 400, (64, 64)), torch.randint(0, 400, (8, 64))
    exact = build().hidden(held_out)
    errors = [
        float((made.hidden(held_out) - exact).square().mean())
        for made in (quantize_by(build(), 4, windows), quantize(build(), 4))
    ]
    assert errors[0] < errors[1]


def test_experts_that_nobody_goes_to_are_rounded_all_the_same():
    torch.manual_seed(0)
    model = GPT(preset("llama-like", vocab_size=60, d_model=32, n_layers=1, n_heads=4, context_length=16,
                       experts={"count": 8, "active": 1, "d_ff": 32})).eval()  # fmt: skip
    mixture = model.blocks[0].feed_forward
    assert isinstance(mixture, MixtureOfExperts)
    quantize_by(model, 4, torch.tensor([[1, 2]]))
    assert not linear_layers_of_blocks(model)


# The text


def test_what_is_measured_on_is_not_calibrated_by(
    model: GPT, tokenizer: Tokenizer, real_data: Path, tmp_path: Path
):
    book = real_data / "en/the-verdict.txt"
    text = read_text([book], book, tokenizer, model.config, tmp_path)
    whole = book.read_text(encoding="utf-8")
    length = window_length(model.config, text)
    assert length == model.config.context_length  # no window is longer than the model can see
    windows = calibration(text, length, MOST_WINDOWS)
    assert windows.shape == (MOST_WINDOWS, length)
    seen = [whole.index(tokenizer.decode(window)) for window in windows.tolist()]
    assert seen == sorted(seen) and seen[0] == 0  # side by side, over all of the text
    assert 0.8 * len(whole) < seen[-1] + len(tokenizer.decode(windows[-1].tolist()))
    kept = tokenizer.decode(text.validation.read(0, 200).tolist())
    assert whole.index(kept) >= 0.9 * len(whole) - 1
    assert all(start + length < 0.9 * len(whole) for start in seen)


def test_every_kind_of_compression_calibrates_by_the_same_windows(
    model: GPT, tokenizer: Tokenizer, story: Path, tmp_path: Path
):
    text = read_text([story], story, tokenizer, model.config, tmp_path)
    few, many = (calibration(text, 16, most) for most in (4, 10**6))
    rows = {tuple(row) for row in many.tolist()}
    assert len(few) == 4 and {tuple(row) for row in few.tolist()} <= rows
    whole = text.train.read(0, len(many) * 16)
    assert many.flatten().tolist() == whole.tolist()
    with pytest.raises(InputError, match="too short"):
        calibration(text, 1, 4)


def test_the_bits_per_byte_are_those_of_the_two_models(
    mine: Path, tmp_path: Path, story: Path, compressed: Callable[..., dict]
):
    made = compressed(mine, "--calibration", story, "--out", tmp_path / "small")
    for place, name in ((tmp_path / "small", "after"), (mine, "before")):
        model, tokenizer = groundup.load(place)
        text = read_text([story], place, tokenizer, model.config, tmp_path / name)
        expected = pytest.approx(made[f"bits_per_byte_{name}"], rel=1e-6)
        assert bits_per_byte(model, text) == expected


# The command


def test_without_a_text_nothing_is_measured(
    mine: Path, tmp_path: Path, compressed: Callable[..., dict]
):
    made = compressed(mine, "--out", tmp_path / "small")
    assert made["bits_per_byte_before"] is made["bits_per_byte_after"] is None
    assert is_quantized(groundup.load(tmp_path / "small")[0])


@pytest.mark.parametrize("bits", [8, 4])
def test_what_it_makes_is_a_model_for_every_verb(
    mine: Path,
    tmp_path: Path,
    story: Path,
    called: Callable[..., tuple[int, str, str]],
    bits: int,
):
    small = tmp_path / "small"
    result = command(
        "compress", "quantize", mine, "--bits", bits, "--calibration", story, "--out", small
    )
    assert result.returncode == 0, result.stderr
    assert "single precision" in result.stdout and "bits per byte" in result.stdout
    for words in (
        ("generate", small, "--prompt", "Mia", "--max-new-tokens", 4),
        ("evaluate", small, "--text", story, "--json"),
        ("inspect", small, "--json"),
        ("inspect", small),
        ("convert", small, "--to", "gguf", "--out", tmp_path / "small.gguf"),
    ):
        status, _, said = called(*words)
        assert status == 0, (words, said)
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"instruction": f"Say {i}", "output": str(i)} for i in range(40)]))
    tuning = ("finetune", "instruct", "--model", small, "--data", rows, "--train.steps", 2)
    status, _, said = called(*tuning, "--lora-rank", 2, "--out", tmp_path / "tuned", "--json")
    assert status == 0, said
    status, _, said = called(*tuning, "--out", tmp_path / "whole")
    assert status == 2 and "a quantised model does not train" in said and "--lora-rank" in said
    status, _, said = called(
        "pretrain", "--from", small, "--data", story, "--out", tmp_path / "more"
    )
    assert status == 2 and "a quantised model does not train" in said


def test_a_chat_with_it_answers(mine: Path, tmp_path: Path, compressed: Callable[..., dict]):
    compressed(mine, "--bits", 4, "--out", tmp_path / "small")
    result = command("chat", tmp_path / "small", stdin="Hello\n")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--bits", "3"), "3 bits"),
        (("--bits", "many"), "many"),
        (("--method", "gtpq"), "did you mean 'gptq'"),
        (("--method", "gptq"), "--calibration"),
        (("--method", "gptq", "--calibration", "{short}"), "too short"),
        (("--calibration", "{missing}"), "missing.txt"),
    ],
)
def test_wrong_input_is_one_clear_message_and_nothing_is_written(
    mine: Path,
    tmp_path: Path,
    called: Callable[..., tuple[int, str, str]],
    arguments: tuple[str, ...],
    said: str,
):
    (tmp_path / "short.txt").write_text("Once upon a time.\n" * 3, encoding="utf-8")
    places = {"short": tmp_path / "short.txt", "missing": tmp_path / "missing.txt"}
    words = [word.format(**places) for word in arguments]
    status, out, err = called("compress", "quantize", mine, *words, "--out", tmp_path / "small")
    assert status == 2 and said in err and "fix:" in err, err
    assert out == ""
    assert not (tmp_path / "small").exists()


def test_a_quantised_model_and_a_place_that_is_taken_are_refused(
    mine: Path,
    tmp_path: Path,
    compressed: Callable[..., dict],
    called: Callable[..., tuple[int, str, str]],
):
    compressed(mine, "--out", tmp_path / "small")
    again = ("compress", "quantize", tmp_path / "small", "--out", tmp_path / "smaller")
    status, _, err = called(*again)
    assert status == 2 and "quantised already" in err
    before = (mine / "model.safetensors").read_bytes()
    status, _, err = called("compress", "quantize", mine, "--out", mine)
    assert status == 2 and "replace its source" in err
    assert (mine / "model.safetensors").read_bytes() == before


def test_an_unknown_kind_names_the_ones_there_are(called: Callable[..., tuple[int, str, str]]):
    status, _, err = called("compress", "quantise", "model")
    assert status == 2 and "did you mean 'quantize'" in err
    assert "quantize" in called("compress", "--help")[1]
