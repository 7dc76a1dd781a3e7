"""Our one model against transformers' own class of a family, on the same weights: a forward pass over
512 tokens, and greedy decoding of 100 tokens with cache. Alternating, median of five.

    python benchmarks/families.py

Shapes: GPT-2 small (124 M) and SmolLM2-135M (a Llama, 30 layers, 9 heads, 3 key-value heads).
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.weights.directory import load_model

LENGTH, NEW, ROUNDS = 512, 100, 5
NO_TOKENS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
CONFIGS = {
    "gpt-2-small": transformers.GPT2Config(**NO_TOKENS),
    "smollm2-135m": transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
        rope_theta=100000.0, tie_word_embeddings=True, **NO_TOKENS,
    ),
}  # fmt: skip


def alternate(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of each side, taken in turns."""
    seconds: dict[Callable, list[float]] = {ours: [], theirs: []}
    for _ in range(ROUNDS + 1):
        for work, measured in seconds.items():
            began = time.perf_counter()
            work()
            measured.append(time.perf_counter() - began)
    middle = [sorted(measured[1:])[ROUNDS // 2] for measured in seconds.values()]
    return middle[0], middle[1]


@torch.inference_mode()
def compare(name: str) -> None:
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = load_model(Path(folder))
        ids = torch.randint(0, 49152, (1, LENGTH))
        difference = (ours(ids) - theirs(ids).logits).abs().max().item()
        sampling = SamplingConfig(temperature=0, max_new_tokens=NEW)
        prompt = ids[:, :16]
        passes = alternate(lambda: ours(ids), lambda: theirs(ids))
        decoding = alternate(
            lambda: list(Engine(ours).stream(prompt[0].tolist(), sampling)),
            lambda: theirs.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW,
                do_sample=False, pad_token_id=0,
            ),
        )  # fmt: skip
    print(f"{name}: largest difference of logits {difference:.1e}")
    for what, tokens, (mine, other) in (("forward", LENGTH, passes), ("decode", NEW, decoding)):
        print(
            f"  {what:<8} ours {tokens / mine:7.1f} tokens/s   transformers "
            f"{tokens / other:7.1f} tokens/s   ratio {other / mine:.2f}"
        )


def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in CONFIGS:
        compare(name)


if __name__ == "__main__":
    main()
