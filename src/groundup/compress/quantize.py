"""A whole model in few bits: rounded, written as a model directory, and measured before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from groundup.compress.calibration import Calibration, read_calibration
from groundup.compress.masks import hooked
from groundup.compress.rounding import clipped_grid, error_correcting, hessian_of
from groundup.errors import InputError, unknown
from groundup.evaluate.language import score_language
from groundup.model.cost import parameter_count
from groundup.model.gpt import GPT
from groundup.model.lora import absorb
from groundup.model.quantized import (
    QuantizedLinear,
    check_bits,
    grouped,
    is_quantized,
    linear_layers_of_blocks,
    quantize,
    quantize_tables,
    quantized_linear,
    rounded,
)
from groundup.weights.directory import find, load, save
from groundup.weights.stored import on_disk

Method = Literal["absmax", "gptq"]
METHODS: tuple[Method, ...] = ("absmax", "gptq")
BYTES = 4
"""Of a number in single precision, in which models are held that are not quantised."""


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


def quantize_directory(
    source: str | Path, bits: int, method: str | None, texts: Sequence[str | Path], out: str | Path
) -> Quantized:
    """Write the model `source` in 8 or 4 bits as the model directory `out`. The method is by default
    GPTQ where there is a text, which it needs, and absmax where there is none.

    Raises `InputError` for other bits and methods, for a model that is quantised already, and for GPTQ
    without a text or with one that is too short. Nothing is written then."""
    check_bits(bits)
    method = method or ("gptq" if texts else "absmax")
    if method not in METHODS:
        raise unknown("method", method, METHODS, "--method")
    if method == "gptq" and not texts:
        raise InputError(
            "gptq rounds by what goes through the model", "--calibration",
            "name a text like those that the model is for, or use --method absmax",
        )  # fmt: skip
    place = find(source)
    _check_out(place, Path(out))
    model, tokenizer = load(place)
    if is_quantized(model):
        raise InputError(
            "this model is quantised already", str(place), "name the model that it was made from"
        )
    absorb(model)
    text = read_calibration(texts, tokenizer, model.config) if texts else None
    before = bits_per_byte(model, text) if text else None
    if text and method == "gptq":
        quantize_by(model, bits, text.windows)
    else:
        quantize(model, bits)
    quantize_tables(model)
    save(model, tokenizer, out)
    after = bits_per_byte(model, text) if text else None
    size = BYTES * parameter_count(model.config)
    return Quantized(Path(out), size, on_disk(Path(out)).bytes, before, after)


def _check_out(source: Path, out: Path) -> None:
    if out.resolve() == source.resolve():
        raise InputError("the output would replace its source", str(out), "choose another --out")


def bits_per_byte(model: GPT, text: Calibration) -> float:
    """How well a model predicts the part of the text to measure on."""
    return score_language(model, text.held_out, text.bytes_per_token).bits_per_byte


@torch.inference_mode(False)
@torch.no_grad()
def quantize_by(model: GPT, bits: int, windows: Int[Tensor, "windows time"]) -> GPT:
    """Put the linear layers of the blocks into `bits` bits by GPTQ, in place: in one pass of all windows,
    each layer at the moment when they reach it. So its inputs are those that the layers before it, which
    are rounded already, give. An expert that no token goes to is rounded by itself."""
    layers = linear_layers_of_blocks(model)
    rounding = Rounding(bits)
    with hooked({layer: partial(rounding.round, name) for name, layer in layers.items()}):
        model.hidden(windows.to(model.device))
    for name, layer in layers.items():
        model.blocks.set_submodule(name, rounding.made.get(name) or rounded(layer, bits))
    return model


class Rounding:
    """The layers that are done, and the Hessian of the last inputs, which several layers may share."""

    def __init__(self, bits: int):
        self.bits = bits
        self.made: dict[str, QuantizedLinear] = {}
        self.inputs: Tensor | None = None
        self.hessian: Tensor | None = None

    def round(self, name: str, layer: nn.Module, given: tuple[Any, ...]) -> None:
        """Round a layer by the inputs that it is about to multiply, and let it go on with what it is."""
        assert isinstance(layer, nn.Linear)
        (inputs,) = given
        if inputs is not self.inputs:
            self.inputs, self.hessian = inputs, hessian_of(inputs)
        assert self.hessian is not None
        groups = grouped(layer.weight.float(), self.bits)
        padding = groups[0].numel() - layer.in_features
        hessian = F.pad(self.hessian, (0, padding, 0, padding))
        grid = clipped_grid(groups, self.bits, hessian.diagonal())
        made = quantized_linear(layer, self.bits)
        made.put(error_correcting(groups, grid, self.bits, hessian), grid)
        self.made[name] = made
        layer.weight = nn.Parameter(made.weight)
