"""Beam search: the likeliest text instead of the likeliest next token, as far as a few candidates tell.

After each token the `beams` likeliest beginnings are kept. Each is a request for one more token; what
they have in common the engine reads once, as it does for any requests that begin alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from groundup.generation.config import KvCacheDtype
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.model.gpt import GPT

NEXT = SamplingConfig(temperature=0, max_new_tokens=1)


@dataclass(frozen=True)
class Beam:
    """A possible answer."""

    ids: list[int]
    log_prob: float
    """Of all its tokens together."""

    def score(self, length_penalty: float) -> float:
        """By which beams are compared when they end: longer ones are less likely, whatever they say, so
        the log-probability is divided by length ** penalty (Wu et al. 2016, simplified)."""
        return self.log_prob / max(1, len(self.ids)) ** length_penalty


def beam_search(
    model: GPT,
    prompt: Sequence[int],
    beams: int,
    max_new_tokens: int,
    stop_ids: frozenset[int] = frozenset(),
    length_penalty: float = 1.0,
    kv_cache_dtype: KvCacheDtype = "auto",
) -> list[Beam]:
    """The `beams` best answers found, best first; those that ended do so with a stop id.

    Raises `InputError` for a prompt that the engine would refuse."""
    # In blocks of one token, so that beams share all that they have in common.
    room = beams * (len(prompt) + max_new_tokens)
    engine = Engine(
        model, beams, min(room, beams * model.config.context_length), block_size=1,
        kv_cache_dtype=kv_cache_dtype,
    )  # fmt: skip
    going, ended = [Beam([], 0.0)], list[Beam]()
    longest = min(max_new_tokens, engine.context_length + 1 - len(prompt))
    for _ in range(max(1, longest)):
        candidates = _longer_by_one(engine, prompt, going, 2 * beams)
        ended += [beam for beam in candidates[:beams] if beam.ids[-1] in stop_ids]
        ended = sorted(ended, key=lambda beam: -beam.score(length_penalty))[:beams]
        going = [beam for beam in candidates if beam.ids[-1] not in stop_ids][:beams]
        # What goes on is no longer expected to overtake what has ended.
        best = max((beam.score(length_penalty) for beam in going), default=-math.inf)
        if not going or (len(ended) == beams and ended[-1].score(length_penalty) >= best):
            return ended
    return sorted(ended + going, key=lambda beam: -beam.score(length_penalty))[:beams]


def _longer_by_one(
    engine: Engine, prompt: Sequence[int], going: list[Beam], count: int
) -> list[Beam]:
    """The `count` likeliest beginnings that are a token longer, likeliest first."""
    asked = {
        engine.submit(Request([*prompt, *beam.ids], NEXT, top_log_probs=count)): beam
        for beam in going
    }
    longer = []
    while engine.has_work:
        for step in engine.step():
            beam = asked[step.request]
            longer += [Beam([*beam.ids, token], beam.log_prob + more) for token, more in step.top]
    return sorted(longer, key=lambda beam: -beam.log_prob)[:count]
