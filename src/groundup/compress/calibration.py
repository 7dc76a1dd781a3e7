"""The text that a model is compressed with: one part to calibrate by, the other, which nothing was fitted
to, to measure on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from groundup.errors import InputError
from groundup.model.config import ModelConfig
from groundup.sources.read import read_pieces, split_point
from groundup.tokenizer.tokenizer import Tokenizer

WINDOW = 512
"""Tokens in a row: enough for attention to find its way, and many different rows cost no more."""
MOST_WINDOWS = 32
"""Calibration by 16,384 tokens: ten for each number of the widest input of a small model. GPTQ's authors
take 262,144, of much larger models, and hours."""
LEAST_WINDOWS = 4
HELD_OUT = 0.1
"""The share at the end of the text that is only measured on."""
MOST_MEASURED = 24
"""Windows to measure on: the same ones before and after, so that their difference is sure long before
their mean is."""


@dataclass(frozen=True)
class Calibration:
    """Windows of one text."""

    windows: Int[Tensor, "windows time"]
    """To calibrate by."""
    held_out: list[Int[np.ndarray, "_"]]
    """To measure on: every token of a window after the first is predicted."""
    bytes_per_token: float
    """Of the part that is measured on."""


def read_calibration(
    paths: Sequence[str | Path], tokenizer: Tokenizer, config: ModelConfig
) -> Calibration:
    """The text of some files, cut in two.

    Raises `InputError` where it is too short for either part."""
    text = "\n".join(piece.text for piece in read_pieces(paths))
    cut = split_point(text[: int(len(text) * (1 - HELD_OUT))])
    parts = text[:cut], text[cut:]
    ids = [tokenizer.encode(part, allow_special=False) for part in parts]
    length = min(WINDOW, config.context_length)
    if len(ids[0]) < LEAST_WINDOWS * length or len(ids[1]) < 2:
        raise InputError(
            f"the text for calibration is too short: {len(ids[0]) + len(ids[1]):,} tokens",
            str(paths[0]),
            f"give at least {int(LEAST_WINDOWS * length / (1 - HELD_OUT)) + 1:,} tokens of text like "
            "that which the model is for",
        )  # fmt: skip
    return Calibration(
        torch.tensor(spread(ids[0], length, MOST_WINDOWS)),
        _measured(ids[1], length)[:MOST_MEASURED],
        len(parts[1].encode()) / len(ids[1]),
    )


def spread(ids: list[int], length: int, most: int) -> list[list[int]]:
    """Up to `most` windows side by side, spread evenly over a text."""
    whole = len(ids) // length
    count = min(whole, most)
    starts = (index * whole // count * length for index in range(count))
    return [ids[start : start + length] for start in starts]


def _measured(ids: list[int], length: int) -> list[Int[np.ndarray, "_"]]:
    """Windows side by side, the last token of each being the first of the next."""
    starts = range(0, len(ids) - 1, length)
    return [np.array(ids[start : start + length + 1]) for start in starts]
