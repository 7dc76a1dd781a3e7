"""Exercises on the loop that makes a text, and on what it remembers."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.generation.engine import Engine, Step
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Part, Request, Text
from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.model.presets import preset

VOCAB = 13
CONTEXT = 7


@cache
def tiny_model() -> GPT:
    """Drawn once, without a trace in torch's random numbers."""
    with torch.random.fork_rng(devices=[]):
        config = preset(
            "nano", vocab_size=VOCAB, d_model=8, n_layers=1, n_heads=2, context_length=CONTEXT
        )
        return GPT(config).eval()


def prompt_and_ends(draw: Draw) -> tuple:
    prompt = draw.integers(VOCAB, draw.in_turn([4, 3, 5, 2, 1])).tolist()
    stop_ids = draw.integers(VOCAB, 4).tolist()
    return prompt, stop_ids, {"temperature": 1.0, "seed": draw.integer(0, 100)}


def texts(part: Callable, prompt: list[int], stop_ids: list[int], sampling: dict) -> dict[str, Any]:
    """With an end, with a number of tokens, and with a context that is too short for that number."""
    model = tiny_model()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=1.0)
    greedy = SamplingConfig(max_new_tokens=2, temperature=0.0)
    many = SamplingConfig(max_new_tokens=50, **sampling)
    return {
        "greedy, max_new_tokens=2": list(part(model, prompt, greedy)),
        "max_new_tokens=50": list(part(model, prompt, many)),
        f"stop_ids={stop_ids}": list(part(model, prompt, many, frozenset(stop_ids))),
    }


def instead_of_the_engine(part: Callable) -> Callable:
    """One text from beginning to end; what a plain loop cannot do is left to the engine."""
    original = Engine.answer

    def answer(self: Engine, request: Request) -> Iterator[Step]:
        if request.constraint or request.top_log_probs is not None:
            yield from original(self, request)
            return
        self.cancel(self.submit(request))  # refuses what the engine refuses
        with torch.inference_mode():
            said = part(self.model, list(request.prompt), request.sampling, request.stop_ids)
            token = None
            for following in said:
                if token is not None:
                    yield Step(0, token, None, [], None)
                token = following
        if token is not None:
            ended = token in request.stop_ids
            yield Step(0, token, None, [], "stop" if ended else "length")

    return answer


def pieces(draw: Draw) -> tuple:
    rows, heads, key, value = 2, draw.integer(3, 4), draw.integer(5, 6), draw.integer(7, 8)
    times = [draw.integer(2, 4), 1, draw.in_turn([1, 3])]
    passes = [
        [(draw.normal(rows, heads, time, key), draw.normal(rows, heads, time, value))
         for _ in range(2)]
        for time in times
    ]  # fmt: skip
    return (passes,)


def read_in_pieces(part: type, passes: list) -> dict[str, Any]:
    """Every pass goes through two layers."""
    past, found = part(), {}
    for n, layers in enumerate(passes):
        for layer, (k, v) in enumerate(layers):
            keys, values = past.update(layer, k, v, None)
            place = f"pass {n}, layer {layer}"
            found[place] = {"keys": keys, "values": values}
        found[f"tokens after pass {n}"] = past.length
    return found


def instead_of_the_paged(part: type) -> Callable:
    """Each text has a plain cache of its own, and is read by itself."""
    caches: WeakKeyDictionary[Text, Any] = WeakKeyDictionary()

    def _hidden(self: Engine, parts: list[Part]) -> Tensor:
        return ending_together([hidden_of(self.model, one) for one in parts])

    def hidden_of(model: GPT, one: Part) -> Tensor:
        text, end = one.text, one.text.known + len(one.ids)
        past = caches.get(text)
        if past is None or past.length != text.known:  # new, or begun again
            past = caches[text] = part()
        ids = [*text.ids[: text.known], *one.ids][past.length : end]
        hidden = model.hidden(torch.tensor([ids], device=model.device), past)
        return hidden[:, -len(one.ids) :]

    return _hidden


def ending_together(rows: list[Tensor]) -> Tensor:
    longest = max(row.shape[1] for row in rows)
    return torch.cat([F.pad(row, (0, 0, longest - row.shape[1], 0)) for row in rows])


GROWN = """\
if layer in self.layers:
        old_k, old_v = self.layers[layer]
        k, v = torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)
    self.layers[layer] = k, v
    return k, v"""

EXERCISES = (
    Exercise(
        name="generate",
        target="groundup.generation.plain:generate_step_by_step",
        title=N_("The generation loop"),
        text=N_("""\
A language model does one thing: it says what may come next. A text comes of it by a loop. The model reads
what there is, one token is chosen by the logits of the last position, it is put at the end, and the whole
begins again:

    ids (time) → logits (1, time, vocab) → those of the last position (1, vocab) → token → ids (time + 1)

The loop ends after `sampling.max_new_tokens` tokens; or after a token of `stop_ids`, such as the end of the
text, which is given out too; or when the text no longer fits into the model, that is, when it has become
longer than `model.config.context_length`. (The very last token is read by nobody, so it needs no place.)

`model(ids)` takes a tensor (batch, time), here with batch 1. `choose(logits, past, sampling, generators)`
gives a tensor with one token: past is the tensor of ids, and generators a list with one generator, made
once with `generator(sampling.seed, model.device)`. Give out each token by `yield`, so that it can be shown
at once; a list at the end is right as well. With context_length 9 and a prompt of 4 tokens, at most 6 come.
"""),
        hints=(
            N_("The model gives logits for every position of the text. Which of them speak of a token that "
               "is not there yet?"),
            N_("Before the loop: a copy of the prompt, and the generator. In the loop: leave if the text "
               "is too long; model; logits of the last position; choose; append; yield; leave if it was a "
               "stop id."),
            N_("text = torch.tensor([ids], device=model.device); logits = model(text)[:, -1]; token = "
               "int(choose(logits, text, sampling, [draws])); ids.append(token); yield token."),
        ),
        inputs=prompt_and_ends,
        use=texts,
        mistakes=(
            Mistake("model(text)[:, -1]", "model(text)[:, 0]",
                    N_("These are the logits after the first token; the next one stands after the last.")),
            Mistake("        ids.append(token)\n", "",
                    N_("The new token is not added to the text: the model reads the same each time.")),
            Mistake("torch.tensor([ids], device=model.device)", "torch.tensor([ids[-1:]], device=model.device)",
                    N_("The model reads only the newest token, and has forgotten all before it.")),
            Mistake("        if token in stop_ids:\n            return", "",
                    N_("The text goes on after a stop id: it must end there.")),
            Mistake("        yield token\n        if token in stop_ids:\n            return",
                    "        if token in stop_ids:\n            return\n        yield token",
                    N_("The stop id is not given out; the caller wants to see why the text ended.")),
            Mistake("len(ids) > model.config", "len(ids) >= model.config",
                    N_("It ends one token too early: a text as long as the context can still be read.")),
            Mistake("[draws])", "[generator(sampling.seed, model.device)])",
                    N_("Each token is drawn with a generator begun anew, and so with the same random "
                       "numbers: make it once.")),
        ),
        plugs=(Plug("groundup.generation.engine:Engine.answer", instead_of_the_engine),),
    ),
    Exercise(
        name="kv_cache",
        target="groundup.generation.plain:PlainCache.update",
        title=N_("The key-value cache"),
        text=N_("""\
For each new token the plain loop reads the whole text again. Yet nothing changes about the tokens that were
there: by the causal mask they see only what is before them, so their keys and values stay what they were.
So they are kept, and the model reads only the new token, whose query looks at all kept keys. For a text of
1000 tokens each pass is then one over a single token, instead of up to 1000.

Each layer calls `update` with the keys and values of the tokens that it is reading just now, and gets back
all of them from the beginning of the text:

    kept: (batch, kv_heads, before, key_dim)   new: (batch, kv_heads, time, key_dim)
    returned, and kept for the next time: (batch, kv_heads, before + time, key_dim)

and the same for the values, whose width may be another. `self.layers` is a dictionary from the number of a
layer to its pair (keys, values), empty at first. A window may be ignored. If the prompt has 5 tokens, layer
0 calls with time = 5 and gets 5 keys; with the next token it calls with time = 1 and gets 6.
"""),
        hints=(
            N_("Which axis grows when a token is added? And what does a layer find in the very first pass?"),
            N_("If the layer has keys and values already, put the new ones behind them along the axis of "
               "time. Keep the pair under the number of the layer, and return it."),
            N_("k = torch.cat([old_k, k], dim=2), the same for v; self.layers[layer] = k, v."),
        ),
        inputs=pieces,
        use=read_in_pieces,
        mistakes=(
            Mistake("torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)",
                    "torch.cat([k, old_k], dim=2), torch.cat([v, old_v], dim=2)",
                    N_("The new ones stand before the old ones: they come later in the text, so behind.")),
            Mistake("torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)",
                    "torch.cat([old_k, k], dim=1), torch.cat([old_v, v], dim=1)",
                    N_("They are put together along the heads: time is axis 2 of (batch, kv_heads, time, "
                       "width).")),
            Mistake("self.layers[layer] = k, v", "self.layers.setdefault(layer, (k, v))",
                    N_("Only the first piece is kept: keep the longer keys and values each time.")),
            Mistake(GROWN,
                    f"new_k, new_v = k, v\n    {GROWN}".replace("return k, v", "return new_k, new_v"),
                    N_("Only the newest are returned: attention needs all from the beginning.")),
            Mistake("torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)",
                    "torch.cat([old_k, k], dim=2), v",
                    N_("Only the keys are kept; the values of the old tokens are needed as well.")),
            Mistake("old_k, old_v = self.layers[layer]", "old_k, old_v = self.layers[0]",
                    N_("All layers go on from the keys of layer 0: each has its own.")),
        ),
        plugs=(Plug("groundup.generation.engine:Engine._hidden", instead_of_the_paged),),
    ),
)  # fmt: skip
