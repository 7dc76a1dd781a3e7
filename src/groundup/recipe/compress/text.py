"""The text of a compression: what is rounded or chosen by, what is measured on, and how much of it is
looked at together.

All kinds of compression read it in one way: documents as token ids (`GeneralText`), of which a part that
nothing is fitted to is kept to measure on.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from groundup.errors import InputError
from groundup.model.config import ModelConfig
from groundup.recipe.finetune.general import GeneralText

# Published models look at thousands of tokens, which a short training need not pay for; and so many in
# a row are enough for attention to find its way: many different rows cost no more.
MOST_WINDOW = 512


def window_length(config: ModelConfig, text: GeneralText, most: int = MOST_WINDOW) -> int:
    """How many tokens are looked at together: no more than the model can see or the text has."""
    return max(1, min(config.context_length, most, len(text.train) - 1))


def calibration(text: GeneralText, length: int, most: int) -> Int[Tensor, "windows time"]:
    """Up to `most` windows of `length` tokens to round or to choose by, spread evenly over the part to
    learn from. Raises `InputError` where that is too short to predict anything in."""
    tokens = text.train
    if length < 2:
        raise InputError(
            f"the text to calibrate by is too short: {len(tokens):,} tokens", "--calibration",
            "give text like that which the model is for",
        )  # fmt: skip
    whole = len(tokens) // length
    count = min(whole, most)
    starts = (index * whole // count * length for index in range(count))
    return torch.stack([torch.from_numpy(tokens.read(at, at + length)) for at in starts])
