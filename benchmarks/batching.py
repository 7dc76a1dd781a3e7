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
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.generation.serving import BatchEngine
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


def tokens_per_second(model: GPT, batch: int, given: list[Request]) -> float:
    engine = BatchEngine(model, max_batch=batch)
    for request in given:
        engine.submit(request)
    said, began = 0, time.perf_counter()
    while engine.has_work:
        said += len(engine.step())
    return said / (time.perf_counter() - began)


def main() -> None:
    name = "SmolLM2-135M" if "smollm2" in sys.argv[1:] else "GPT-2-small shape"
    model = load_model(smollm2()) if name.startswith("Smol") else GPT(preset("gpt-2-small"))
    given = requests(BATCH, model.config.vocab_size)
    tokens_per_second(model, BATCH, given[:ALONE])  # to get warm
    measured = [
        (tokens_per_second(model, BATCH, given), tokens_per_second(model, 1, given[:ALONE]))
        for _ in range(3)
    ]
    batched, alone = (sorted(values)[1] for values in zip(*measured, strict=True))
    print(
        f"{name}, prompts of {PROMPT} tokens, {NEW} new tokens, {torch.get_num_threads()} threads"
    )
    print(f"  {BATCH} at once       {batched:7.1f} tokens/s")
    print(f"  one after another {alone:7.1f} tokens/s")
    print(f"  ratio {batched / alone:.2f}")


if __name__ == "__main__":
    main()
