"""llama.cpp itself, asked how it goes on with token ids under a GGUF file."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.model.gpt import GPT
from tests.llama_cpp import running

# Where the likeliest token leads by less than this, rounding may choose the other.
TIE = 1e-3


@dataclass
class Said:
    """A greedy continuation: its ids, and the log-probabilities of the first of them."""

    ids: list[int]
    log_probabilities: dict[int, float]


Continue = Callable[[list[int], int], Said]


@contextlib.contextmanager
def serving(path: Path, n_ctx: int = 64, n_probs: int = 0) -> Iterator[Continue]:
    """What goes on with a prompt for so many tokens."""
    with running(path, n_ctx) as ask:

        def go_on(prompt: list[int], count: int) -> Said:
            asked = {
                "prompt": prompt, "n_predict": count, "temperature": 0, "n_probs": n_probs,
                "return_tokens": True, "cache_prompt": False,
            }  # fmt: skip
            said = ask("completion", asked)
            ids, steps = said["tokens"], said.get("completion_probabilities", [])
            # The server leaves out the steps that give half a character.
            first = steps[0]["top_logprobs"] if ids and steps and steps[0]["id"] == ids[0] else []
            return Said(ids, {row["id"]: row["logprob"] for row in first})

        yield go_on


def greedy(model: GPT, prompt: list[int], count: int, ends: list[int]) -> list[int]:
    """Our greedy continuation, with the token that ends it."""
    sampling = SamplingConfig(temperature=0.0, max_new_tokens=count)
    return list(Engine(model).stream(prompt, sampling, frozenset(ends)))


def differs_at_a_tie(model: GPT, prompt: list[int], ours: list[int], theirs: list[int]) -> bool:
    """Whether two continuations differ; they may only where the two likeliest tokens are as good as
    equally likely."""
    if ours == theirs:
        return False
    same = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if len({*pair}) > 1),
                min(len(ours), len(theirs)))  # fmt: skip
    with torch.no_grad():
        first, second = model(torch.tensor([prompt + ours[:same]]))[0, -1].topk(2).values.tolist()
    assert first - second < TIE, f"at {same}, by {first - second}: {ours} is not {theirs}"
    return True
