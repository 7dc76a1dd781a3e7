"""How well a model predicts a text: loss, perplexity and bits per byte."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from numpy import ndarray

from groundup.model.gpt import GPT
from groundup.model.loss import token_losses


@dataclass(frozen=True)
class LanguageScore:
    """Sum of −log p over `tokens` tokens, in nats, and the size of the text that they stand for."""

    nats: float
    tokens: int
    text_bytes: float

    @property
    def loss(self) -> float:
        """Mean nats per token: depends on the tokenizer."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """e^loss: between how many tokens the model hesitates, on average."""
        return math.exp(self.loss)

    @property
    def bits_per_byte(self) -> float:
        """Bits to write one byte of the text: the same yardstick for every tokenizer."""
        return self.nats / math.log(2) / self.text_bytes


@torch.inference_mode()
def score_language(
    model: GPT,
    windows: Iterable[Int[ndarray, " window"]],
    bytes_per_token: float,
    given: int = 1,
) -> LanguageScore:
    """Score the targets of `windows` (each one's ids after the first, or after those `given`). The
    text is taken to have `bytes_per_token` bytes for each."""
    was_training = model.training
    model.eval()
    device = model.embedding.weight.device
    nats, tokens = 0.0, 0
    for group in _same_length(windows, 16):
        ids = torch.stack([torch.from_numpy(window) for window in group]).to(device)
        hidden = model.hidden(ids[:, :-1])[:, given - 1 :].flatten(0, 1)
        head = model.head
        losses = token_losses(hidden, head.weight, ids[:, given:].flatten(), head.softcap)
        nats += losses.double().sum().item()
        tokens += losses.numel()
    model.train(was_training)
    return LanguageScore(nats, tokens, tokens * bytes_per_token)


def _same_length(windows: Iterable[ndarray], most: int) -> Iterable[list[ndarray]]:
    """Neighbouring windows of one length in groups of at most `most`: they need no padding."""
    group: list[ndarray] = []
    for window in windows:
        if group and (len(group) == most or len(window) != len(group[0])):
            yield group
            group = []
        group.append(window)
    if group:
        yield group
