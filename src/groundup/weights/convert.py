"""From one kind of model file to another, with a proof: the output is loaded again and must give the
logits of the source, up to what its format explains, before it gets its name.

What a format explains is known exactly: a file of q8_0 must give the logits of the source whose numbers
went through q8_0's rounding, and one of f32 those of the source itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from groundup.errors import GroundupError, InputError
from groundup.files import atomic_directory, atomic_path
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.lora import absorb
from groundup.model.quantized import dequantize
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import check_place, find, load, read_config, write
from groundup.weights.families import FAMILIES, family_for, not_covered
from groundup.weights.gguf import (
    architecture_for,
    check_quantization,
    round_as_stored,
    write_gguf,
)
from groundup.weights.gguf_head import is_gguf

Target = Literal["huggingface", "gguf"]
DEFAULT_QUANTIZATION = "f16"
# Two models with the same numbers still round differently where these lie otherwise in memory. Single
# precision rounds by 2⁻²⁴ of a number, and some hundred operations follow each other in a deep model.
ROUNDING = 1e-5
LENGTHS = (1, 7, 33, 128)
SENTENCES = (
    "The capital of France is Paris, and Berlin lies by the Spree.",
    "从前有一个小女孩，她住在森林边上的小屋里。",
    "def square(x):\n    return x * x  # 42\n",
)


@dataclass(frozen=True)
class Conversion:
    """What was written, and how near it is to its source."""

    out: Path
    kind: str
    """The model_type of its config.json, or llama.cpp's name of the architecture."""
    bytes: int
    largest_logit_difference: float
    """To the source."""
    unexplained: float
    """To the source as the format rounds it."""
    same_choice: float
    """The share of places where the likeliest token is the same."""


def convert(
    source: str | Path, to: Target, out: Path | None = None, quantization: str | None = None
) -> Conversion:
    """Write the model `source` as a Hugging Face directory or as a GGUF file.

    Raises `InputError` where no family or architecture covers the model, or `out` is something else's,
    and `GroundupError` where the output is not the model that was to be written: nothing is left then."""
    if quantization and to != "gguf":
        raise InputError(
            "only GGUF files are quantised", "--quantize", "leave it out, or --to gguf"
        )
    precision = (quantization or DEFAULT_QUANTIZATION) if to == "gguf" else "f32"
    path = find(source)
    out = out or _beside(path, str(source), to, precision)
    check_quantization(precision)
    _check_place(path, out, to)
    kind = _kind(read_config(path), to)
    model, tokenizer = load(path)
    absorb(model)
    dequantize(model)
    prompts = list(probes(tokenizer, model))
    wanted = logits(model, prompts)
    with _writing(out, to) as temporary:
        if to == "gguf":
            write_gguf(model, tokenizer, temporary, precision, path.stem)
        else:
            write(model, tokenizer, temporary)
        if precision != "f32":
            round_as_stored(model, precision)
        explained = logits(model, prompts)
        del model  # two at a time are enough
        again, its_tokenizer = load(temporary)
        check_tokens(tokenizer, its_tokenizer)
        given = logits(again, prompts)
        unexplained = largest_difference(given, explained)
        check_difference(unexplained, explained, out)
    return Conversion(
        out, kind, _size(out), largest_difference(given, wanted), unexplained,
        same_choices(given, wanted),
    )  # fmt: skip


def _kind(config: ModelConfig, to: Target) -> str:
    """What the output will be called there: a model that nothing there covers is refused."""
    if to == "gguf":
        return architecture_for(config).model_type
    family = family_for(config)
    if family is None:
        raise not_covered(config, FAMILIES.values(), N_("no family of Hugging Face's has"))
    return family.model_type


# The proof


def probes(tokenizer: Tokenizer, model: GPT) -> Iterator[list[int]]:
    """Inputs of several lengths: ids spread over the vocabulary, and sentences."""
    config = model.config
    for length in LENGTHS:
        spread = (
            (length + i) * 0.6180339887 % 1 for i in range(min(length, config.context_length))
        )
        yield [int(place * config.vocab_size) for place in spread]
    for sentence in SENTENCES:
        yield tokenizer.encode_prompt(sentence)[: config.context_length]


@torch.inference_mode()
def logits(model: GPT, prompts: list[list[int]]) -> list[Tensor]:
    """What a model gives for each of the prompts."""
    return [model(torch.tensor([prompt]))[0].float() for prompt in prompts if prompt]


def largest_difference(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest difference between logits; NaN where one is."""
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def check_difference(difference: float, explained: list[Tensor], out: Path) -> None:
    """Raises `GroundupError` where logits differ from those that the format explains by more than
    rounding."""
    bound = ROUNDING * max(10.0, *(float(part.abs().max()) for part in explained))
    if not difference <= bound:  # NaN is not
        raise GroundupError(
            f"the converted model is not the same: its logits differ by {difference:.3g} from those "
            f"that its format explains, where rounding explains {bound:.3g}",
            str(out), "nothing was written; this is a fault of the converter: please report it",
        )  # fmt: skip


def same_choices(one: list[Tensor], other: list[Tensor]) -> float:
    """The share of places with the same likeliest token."""
    pairs = [a.argmax(-1) == b.argmax(-1) for a, b in zip(one, other, strict=True)]
    return float(torch.cat(pairs).float().mean())


def check_tokens(tokenizer: Tokenizer, other: Tokenizer) -> None:
    """Raises `GroundupError` where two tokenizers give other ids for the sentences."""
    for sentence in SENTENCES:
        wanted, given = tokenizer.encode_prompt(sentence), other.encode_prompt(sentence)
        if given != wanted:
            raise GroundupError(
                f"the converted tokenizer is not the same: {sentence!r} becomes {given}, not {wanted}"
            )


# The place


def _beside(path: Path, source: str, to: Target, precision: str) -> Path:
    """The output's default place: beside the model, or here for one from a hub."""
    folder, name = path.parent, path.stem if path.is_file() else path.name
    if not Path(source).exists():
        folder, name = Path(), source.rsplit("/", 1)[-1]
    if to == "gguf":
        return folder / f"{name}-{precision}.gguf"
    return folder / (name if path.is_file() else f"{name}-huggingface")


def _check_place(source: Path, out: Path, to: Target) -> None:
    if to == "huggingface":
        check_place(source, out)
    elif out.resolve() == source.resolve():
        raise InputError("the output would replace its source", str(out), "choose another --out")
    elif out.is_dir():
        raise InputError("a GGUF model is one file", str(out), "name a file, such as model.gguf")
    elif out.is_file() and not is_gguf(out):
        raise InputError("another file stands here", str(out), "choose another --out")


@contextmanager
def _writing(out: Path, to: Target) -> Iterator[Path]:
    """A temporary file or folder that becomes `out` on success."""
    place: Callable = atomic_path if to == "gguf" else atomic_directory
    with place(out) as temporary:
        yield temporary


def _size(out: Path) -> int:
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    return sum(file.stat().st_size for file in files)
