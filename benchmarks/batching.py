"""Continuous batching: tokens per second of 16 requests at once against one after another, by the same
engine. Prompts of 64 tokens, 64 new ones, arriving together; GPT-2-small shape with random weights, or
SmolLM2-135M with its own. Alternating, median of three.

python benchmarks/batching.py            # GPT-2-small
python benchmarks/batching.py smollm2
"""

import sys
import time

import torch

from command import smollm2
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.weights.directory import load_model

PROMPT, NEW, BATCH = 64, 64, 16
ALONE = 2  # requests are enough to measure one after another


def requests(count: int, vocab_size: int) -> list[Request]:
    """Prompts that have nothing in common, and settings as a server sees them."""
    prompts = torch.randint(vocab_size, (count, PROMPT)).tolist()
    return [
        Request(prompt, SamplingConfig(temperature=0.8, top_p=0.95, max_new_tokens=NEW, seed=seed))
        for seed, prompt in enumerate(prompts)
    ]


def tokens_per_second(model: GPT, batch: int, given: list[Request]) -> tuple[float, float]:
    """In all, and in the steps that read no prompt: prompts keep a processor busy by themselves, so that
    reading several at once gains little."""
    engine = Engine(model, max_batch=batch)
    for request in given:
        engine.submit(request)
    said, seconds = [0, 0], [0.0, 0.0]
    while engine.has_work:
        running = engine.scheduler.running
        only_talking = all(text.is_talking for text in running) and (
            len(running) == batch or not engine.waiting
        )
        began = time.perf_counter()
        said[only_talking] += len(engine.step())
        seconds[only_talking] += time.perf_counter() - began
    return sum(said) / sum(seconds), said[True] / seconds[True]


def main() -> None:
    name = "SmolLM2-135M" if "smollm2" in sys.argv[1:] else "GPT-2-small shape"
    model = load_model(smollm2()) if name.startswith("Smol") else GPT(preset("gpt-2-small"))
    given = requests(BATCH, model.config.vocab_size)
    tokens_per_second(model, BATCH, given[:ALONE])  # to get warm
    measured = [
        (tokens_per_second(model, BATCH, given), tokens_per_second(model, 1, given[:ALONE]))
        for _ in range(3)
    ]
    print(
        f"{name}, prompts of {PROMPT} tokens, {NEW} new tokens, {torch.get_num_threads()} threads"
    )
    for part, what in enumerate(("with prompts", "without prompts")):
        batched, alone = (sorted(run[side][part] for run in measured)[1] for side in (0, 1))
        print(f"  {what:<16} {BATCH} at once {batched:6.1f} tokens/s, "
              f"one after another {alone:6.1f} tokens/s, ratio {batched / alone:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
