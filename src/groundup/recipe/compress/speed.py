"""How fast models are, side by side: they take turns, so that a machine that slows down slows all."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundup.evaluate.prediction import predict
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer

ROUNDS = 3
Round = Callable[[], int]
"""Some work; how many tokens it was."""


@dataclass(frozen=True)
class Speed:
    """Tokens per second, of each round."""

    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return f"{self.median:,.0f} [{min(self.rounds):,.0f}, {max(self.rounds):,.0f}]"


def taking_turns(works: Sequence[Round], rounds: int = ROUNDS) -> list[Speed]:
    """The speed of each work: once each to warm up, then `rounds` times one after the other."""
    for work in works:
        work()
    taken = [[_tokens_per_second(work) for work in works] for _ in range(rounds)]
    return [Speed(list(of_one)) for of_one in zip(*taken, strict=True)]


def _tokens_per_second(work: Round) -> float:
    began = time.perf_counter()
    tokens = work()
    return tokens / (time.perf_counter() - began)


def writing(model: GPT, prompt: Sequence[int], new_tokens: int) -> Round:
    """Continue a prompt by exactly so many tokens, the likeliest each."""
    sampling = SamplingConfig(max_new_tokens=new_tokens, temperature=0.0)
    return lambda: sum(1 for _ in Engine(model).stream(prompt, sampling))


def labelling(classifier: Classifier, tokenizer: Tokenizer, texts: Sequence[str]) -> Round:
    """Read texts to label them."""
    tokens = sum(len(tokenizer.encode(text)) for text in texts)

    def work() -> int:
        predict(classifier, tokenizer, texts)
        return tokens

    return work
