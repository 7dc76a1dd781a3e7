"""Generation as text: a prompt in, the continuation out, whole or piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer


@dataclass
class Completion:
    """What a model said: its tokens, their text, and whether it ended by itself ("stop") or ran
    out of tokens ("length")."""

    prompt_token_ids: list[int]
    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: Literal["stop", "length"] = "length"


def generate(model: GPT, tokenizer: Tokenizer, prompt: str, **settings: Any) -> str:
    """The continuation of `prompt`. `settings` are the fields of `SamplingConfig`, and `stop`, a
    list of strings at which to end.

    >>> generate(model, tokenizer, "Once upon a time", temperature=0.0)  # doctest: +SKIP
    ' there was a little girl'
    """
    return "".join(stream(model, tokenizer, prompt, **settings))


def stream(
    model: GPT, tokenizer: Tokenizer, prompt: str, stop: Sequence[str] = (), **settings: Any
) -> Iterator[str]:
    """`generate`, piece by piece as it is made."""
    sampling = SamplingConfig.parse(settings, "generation settings")
    completion = Completion(tokenizer.encode_prompt(prompt))
    return complete(Engine(model), tokenizer, completion, sampling, stop)


def complete(
    engine: Engine,
    tokenizer: Tokenizer,
    completion: Completion,
    sampling: SamplingConfig,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """Yield the text that follows `completion.prompt_token_ids`, filling in `completion`.

    Ends at a special token such as the end of the text, or before a `stop` string; pieces never
    hold half a character, nor a beginning that may yet become a stop string.
    """
    decoder = tokenizer.decode_stream(after=completion.prompt_token_ids)
    ends = frozenset(tokenizer.end_ids)
    held = ""
    for token in engine.stream(completion.prompt_token_ids, sampling, ends):
        if token in ends:
            completion.finish_reason = "stop"
            break
        completion.token_ids.append(token)
        held += decoder.feed(token)
        cut = min((at for at in map(held.find, stop) if at >= 0), default=None)
        if cut is not None:
            completion.finish_reason = "stop"
            held = held[:cut]
            break
        free = len(held) - _possible_stop(held, stop)
        if free:
            completion.text += held[:free]
            yield held[:free]
            held = held[free:]
    else:
        held += decoder.flush()
    if held:
        completion.text += held
        yield held


def _possible_stop(text: str, stop: Sequence[str]) -> int:
    """Length of the longest end of `text` that a stop string begins with."""
    return max(
        (n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])),
        default=0,
    )
