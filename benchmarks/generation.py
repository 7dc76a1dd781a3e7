"""Generation of 200 tokens, GPT-2-small shape, random weights: with and without cache, and against
transformers with its cache. Alternating, median of three.

python benchmarks/generation.py
"""

import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.model.gpt import GPT
from groundup.model.presets import preset

PROMPT, NEW = list(range(16)), 200


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    ours = GPT(preset("gpt-2-small")).eval()
    theirs = GPT2LMHeadModel(GPT2Config(bos_token_id=None, eos_token_id=None)).eval()
    sampling = SamplingConfig(temperature=0, max_new_tokens=NEW)
    prompt = torch.tensor([PROMPT])

    @torch.inference_mode()
    def without_cache() -> None:
        ids = prompt
        for _ in range(NEW):
            ids = torch.cat([ids, ours(ids)[:, -1:].argmax(-1)], dim=1)

    sides = {
        "ours": lambda: list(Engine(ours).stream(PROMPT, sampling)),
        "ours without cache": without_cache,
        "transformers": lambda: theirs.generate(
            prompt, max_new_tokens=NEW, do_sample=False, pad_token_id=0
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    sides["ours"](), sides["transformers"]()
    for _ in range(3):
        for name, work in sides.items():
            seconds[name].append(timed(work))
    middle = {name: sorted(values)[1] for name, values in seconds.items()}
    print(f"generation of {NEW} tokens, GPT-2-small shape")
    for name, value in middle.items():
        print(f"  {name:<20} {NEW / value:7.1f} tokens/s")
    print(f"  ratio to no cache {middle['ours without cache'] / middle['ours']:.2f}")
    print(f"  ratio to transformers {middle['transformers'] / middle['ours']:.2f}")


if __name__ == "__main__":
    main()
