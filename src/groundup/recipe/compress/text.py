"""The text of a compression: which of it is chosen by, and how much of it is looked at together."""

import torch
from jaxtyping import Int
from torch import Tensor

from groundup.data.windows import WindowConfig, Windows
from groundup.model.gpt import GPT
from groundup.recipe.finetune.general import GeneralText

# What goes is chosen by so many batches of windows: Wanda's paper has 128 windows in all (section 4.5).
CALIBRATION_BATCHES = 32
CALIBRATION_WINDOWS = 4
# Published models look at thousands of tokens, which a short training need not pay for.
MOST_WINDOW = 512


def window_length(model: GPT, text: GeneralText, most: int = MOST_WINDOW) -> int:
    """How many tokens are looked at together: no more than the model can see or the text has."""
    return max(1, min(model.config.context_length, most, len(text.train) - 1))


def calibration(text: GeneralText, length: int) -> list[Int[Tensor, "batch window"]]:
    """Windows to choose by, from all over the text."""
    windows = Windows(text.train, length, WindowConfig())
    count = min(CALIBRATION_BATCHES, -(-len(windows.starts) // CALIBRATION_WINDOWS))
    return [torch.from_numpy(windows.batch(n, CALIBRATION_WINDOWS)) for n in range(count)]
