"""How well a model predicts a text: loss, perplexity and bits per byte.

`score_documents` measures whole documents with a sliding window, and says how sure the figures are.
`score_language` is the quick one of training: windows of a token stream, side by side.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Float, Int

from groundup.errors import InputError
from groundup.evaluate.intervals import Interval, bootstrap
from groundup.evaluate.likelihood import BATCH, Likelihood, Window, score_windows
from groundup.evaluate.subject import Subject
from groundup.model.gpt import GPT

# Fewer documents than this say little about others: the parts of the texts are drawn anew instead.
FEWEST_DOCUMENTS = 5


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

    # lab: perplexity
    @property
    def perplexity(self) -> float:
        """e^loss: between how many tokens the model hesitates, on average."""
        return math.exp(self.loss)

    # lab: bits_per_byte
    @property
    def bits_per_byte(self) -> float:
        """Bits to write one byte of the text (a bit is ln 2 nats): the same yardstick for every
        tokenizer."""
        return self.nats / math.log(2) / self.text_bytes


@dataclass(frozen=True)
class TextScore(LanguageScore):
    """The score of several documents together, with the intervals in which that of other documents
    of their kind lies."""

    documents: int
    bits_per_byte_interval: Interval
    perplexity_interval: Interval


Parts = list[LanguageScore]
"""The scores of a document's windows, in order."""


def score_documents(
    subject: Subject, documents: Sequence[str], stride: int | None = None
) -> list[Parts]:
    """Score each document by itself, every byte of it once, in windows that go on by `stride` tokens:
    the smaller, the more each token has before it, and the longer it takes."""
    rolled = subject.rolling_log_likelihoods(documents, stride)
    return [_parts(text, likelihoods) for text, likelihoods in zip(documents, rolled, strict=True)]


def _parts(text: str, likelihoods: Sequence[Likelihood]) -> Parts:
    """Windows of one text are taken to have as many bytes for each token."""
    tokens = sum(likelihood.tokens for likelihood in likelihoods)
    bytes_per_token = len(text.encode()) / max(1, tokens)
    return [
        LanguageScore(each.nats, each.tokens, each.tokens * bytes_per_token) for each in likelihoods
    ]


def total(scores: Iterable[LanguageScore]) -> LanguageScore:
    """The score of several texts, or parts of one, together."""
    scores = list(scores)
    return LanguageScore(
        sum(score.nats for score in scores),
        sum(score.tokens for score in scores),
        sum(score.text_bytes for score in scores),
    )


def summarize(documents: Sequence[Parts]) -> TextScore:
    """All documents together, with intervals from drawing `drawn_figures` anew."""
    if not documents:
        raise InputError("there is no text to measure", None, "give a file that is not empty")
    figures = drawn_figures(documents)
    whole = total(part for parts in documents for part in parts)
    return TextScore(
        whole.nats, whole.tokens, whole.text_bytes, len(documents),
        bootstrap(figures, bits_per_byte_of),
        bootstrap(figures, lambda means: np.exp(means[..., 0] / means[..., 1])),
    )  # fmt: skip


def drawn_figures(documents: Sequence[Parts]) -> Float[np.ndarray, "items 3"]:
    """Nats, tokens and bytes, a row each, of what an interval is drawn over: the documents, or, where
    there are fewer than `FEWEST_DOCUMENTS`, their windows. Then it speaks of these texts only, and is
    somewhat too narrow, as neighbouring windows are alike."""
    many = len(documents) >= FEWEST_DOCUMENTS
    items = map(total, documents) if many else (part for parts in documents for part in parts)
    return np.array([[item.nats, item.tokens, item.text_bytes] for item in items])


def bits_per_byte_of(figures: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "..."]:
    """Bits per byte from rows of `drawn_figures`, or means of them."""
    return figures[..., 0] / math.log(2) / figures[..., 2]


def score_language(
    model: GPT,
    windows: Iterable[Int[np.ndarray, "_"]],
    bytes_per_token: float,
) -> LanguageScore:
    """Score the targets of `windows`: each one's ids after the first. The text is taken to have
    `bytes_per_token` bytes for each."""
    return total(score_each(model, windows, bytes_per_token))


def score_each(
    model: GPT, windows: Iterable[Int[np.ndarray, "_"]], bytes_per_token: float
) -> Iterator[LanguageScore]:
    """The same for each window alone."""
    for group in _groups(windows):
        asked = [Window(tuple(window.tolist()), len(window) - 1) for window in group]
        for each in score_windows(model, asked):
            yield LanguageScore(each.nats, each.tokens, each.tokens * bytes_per_token)


def _groups(windows: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """As many windows as go through a model at once."""
    stream = iter(windows)
    while group := list(islice(stream, BATCH)):
        yield group
