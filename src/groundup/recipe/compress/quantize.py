"""A model directory in few bits: rounded, written, and measured before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from groundup.compress.quantize import quantize_by
from groundup.errors import InputError, unknown
from groundup.model.config import ModelConfig
from groundup.model.cost import parameter_count
from groundup.model.gpt import GPT
from groundup.model.lora import absorb
from groundup.model.quantized import check_bits, is_quantized, quantize, quantize_tables
from groundup.recipe.compress.text import MOST_WINDOW, calibration, window_length
from groundup.recipe.finetune.general import GeneralText, general_text
from groundup.recipe.pretrain import score_validation
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import check_place, find, load, save
from groundup.weights.stored import on_disk

Method = Literal["absmax", "gptq"]
METHODS: tuple[Method, ...] = ("absmax", "gptq")
BYTES = 4
"""Of a number in single precision, in which models are held that are not quantised."""
MOST_WINDOWS = 32
"""Calibration by 16,384 tokens: ten for each number of the widest input of a small model. GPTQ's authors
take 262,144, of much larger models, and hours."""
LEAST_WINDOWS = 4
MOST_MEASURED = 24
"""Windows to measure on: the same ones before and after, so that their difference is sure long before
their mean is."""


@dataclass(frozen=True)
class Quantized:
    """What came of it."""

    model: Path
    bytes_before: int
    """Of the weights in single precision."""
    bytes_after: int
    """Of the files of weights."""
    bits_per_byte_before: float | None
    """On the part of the text that nothing was calibrated by; None without a text."""
    bits_per_byte_after: float | None


def quantize_model(
    source: str | Path, bits: int, method: str | None, texts: Sequence[str | Path], out: str | Path
) -> Quantized:
    """Write the model `source` in 8 or 4 bits as the model directory `out`. The method is by default
    GPTQ where there is a text, which it needs, and absmax where there is none.

    Raises `InputError` for other bits and methods, for a model that is quantised already, and for GPTQ
    without a text or with one that is too short. Nothing is written then."""
    method = _method(bits, method, texts)
    place = find(source)
    check_place(place, out)
    model, tokenizer = load(place)
    if is_quantized(model):
        raise InputError(
            "this model is quantised already", str(place), "name the model that it was made from"
        )
    absorb(model)
    with TemporaryDirectory() as scratch:
        text = read_text(texts, place, tokenizer, model.config, Path(scratch)) if texts else None
        before = bits_per_byte(model, text)
        if text and method == "gptq":
            length = window_length(model.config, text)
            quantize_by(model, bits, calibration(text, length, MOST_WINDOWS))
        else:
            quantize(model, bits)
        quantize_tables(model)
        save(model, tokenizer, out)
        after = bits_per_byte(model, text)
    size = BYTES * parameter_count(model.config)
    return Quantized(Path(out), size, on_disk(Path(out)).bytes, before, after)


def _method(bits: int, method: str | None, texts: Sequence[str | Path]) -> str:
    """The way to round, if these bits, this method and these texts go together."""
    check_bits(bits)
    method = method or ("gptq" if texts else "absmax")
    if method not in METHODS:
        raise unknown("method", method, METHODS, "--method")
    if method == "gptq" and not texts:
        raise InputError(
            "gptq rounds by what goes through the model", "--calibration",
            "name a text like those that the model is for, or use --method absmax",
        )  # fmt: skip
    return method


def read_text(
    paths: Sequence[str | Path],
    model: Path,
    tokenizer: Tokenizer,
    config: ModelConfig,
    folder: Path,
) -> GeneralText:
    """The text of some files, encoded into `folder`. Raises `InputError` where it is too short to round
    by, or to measure on."""
    text = general_text([str(path) for path in paths], model, tokenizer, folder / "text")
    assert text is not None  # as there are paths
    least = LEAST_WINDOWS * min(MOST_WINDOW, config.context_length)
    if len(text.train) < least or len(text.validation) < 2:
        raise InputError(
            f"the text for calibration is too short: {len(text.train):,} tokens to calibrate by, "
            f"{len(text.validation):,} to measure on",
            str(paths[0]),
            f"give at least {least:,} tokens, and a tenth more, of text like that which the model is for",
        )  # fmt: skip
    return text


def bits_per_byte(model: GPT, text: GeneralText | None) -> float | None:
    """How well a model predicts the part of the text to measure on, if there is a text."""
    if text is None:
        return None
    length = window_length(model.config, text)
    found = score_validation(model, text.validation, length, MOST_MEASURED * length)
    return found and found.bits_per_byte
