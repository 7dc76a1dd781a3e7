"""Generation beside llama.cpp and transformers, with the same weights: tokens per second of one text after a
prompt of 16 tokens, of the reading of 512 tokens, and of 16 texts at once.

Whole (float32), in 16 bits (`--dtype float16`; llama.cpp: f16), 8 bits (q8_0) and 4 bits (q4_0). The sides
take turns, each in a process of its own, as a server of llama.cpp takes time even where nobody asks it
anything; the median of three rounds counts.

python benchmarks/decode.py [smollm2 | gpt2] [--rounds 3]
"""

import argparse
import contextlib
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from command import groundup, smollm2
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.model.gpt import GPT, halve
from groundup.model.presets import preset
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import load_model, save

PROMPT, NEW, LONG, BATCH = 16, 128, 512, 16
GGUF = {"float16": "f16", "int8": "q8_0", "int4": "q4_0"}
Measure = Callable[[], dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", choices=["smollm2", "gpt2"], default="smollm2")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sides = measures(whole_model(options.model, Path(folder)), Path(folder))
        rounds = [
            {name: in_its_own_process(side) for name, side in sides.items()}
            for _ in range(options.rounds)
        ]
    show(options.model, {
        name: {what: median(each[name][what] for each in rounds) for what in rounds[0][name]}
        for name in sides
    })  # fmt: skip


def whole_model(name: str, folder: Path) -> Path:
    """SmolLM2's own weights, or GPT-2 small's shape with random ones."""
    if name == "smollm2":
        return smollm2()
    tokens = Tokenizer.train_from_iterator(["a small text"], 257, ["<|endoftext|>"])
    save(GPT(preset("gpt-2-small")), tokens, folder / "gpt2")
    return folder / "gpt2"


def measures(whole: Path, folder: Path) -> dict[str, Measure]:
    """Each side by name, ready to be measured."""
    for bits in (8, 4):
        groundup("compress", "quantize", whole, "--bits", bits, "--out", folder / f"int{bits}")
    sides: dict[str, Measure] = {"groundup float32": partial(measure_ours, whole)}
    ours = {"float16": whole, "int8": folder / "int8", "int4": folder / "int4"}
    for name, path in ours.items():
        sides[f"groundup {name}"] = partial(measure_ours, path, half=name == "float16")
        gguf = folder / f"{name}.gguf"
        groundup("convert", whole, "--to", "gguf", "--quantize", GGUF[name], "--out", gguf)
        sides[f"llama.cpp {GGUF[name]}"] = partial(measure_llama, gguf)
    groundup("convert", whole, "--to", "huggingface", "--out", folder / "theirs")
    sides["transformers"] = partial(measure_transformers, folder / "theirs")
    return sides


def in_its_own_process(side: Measure) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(side).result()


def prompt(length: int, seed: int = 0) -> list[int]:
    return torch.randint(
        1000, 40000, (length,), generator=torch.Generator().manual_seed(seed)
    ).tolist()


def measure_ours(path: Path, half: bool = False) -> dict[str, float]:
    model = halve(load_model(path)) if half else load_model(path)
    greedy = SamplingConfig(temperature=0, max_new_tokens=NEW)
    tokens = Engine(model, max_batch=1).stream(prompt(PROMPT), greedy)
    next(tokens)
    began = time.perf_counter()
    said = sum(1 for _ in tokens)
    alone = said / (time.perf_counter() - began)
    one = SamplingConfig(temperature=0, max_new_tokens=1)
    began = time.perf_counter()
    list(Engine(model, max_batch=1, chunk_tokens=LONG).stream(prompt(LONG), one))
    reading = LONG / (time.perf_counter() - began)
    prompts = [prompt(PROMPT, seed) for seed in range(BATCH)]
    began = time.perf_counter()
    said = sum(map(len, Engine(model, max_batch=BATCH).batch(prompts, greedy)))
    return {"alone": alone, "reading": reading, "batch": said / (time.perf_counter() - began)}


@contextlib.contextmanager
def llama_server(path: Path, slots: int) -> Iterator[str]:
    """llama.cpp's server with its own defaults, on as many threads as torch has."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_parallel, settings.n_ctx = str(path), slots, slots * 1024
    settings.verbosity, settings.cpuparams.n_threads = -1, torch.get_num_threads()
    server = xllamacpp.Server(settings)
    yield server.listening_address
    del server


def ask(address: str, ids: list[int], new: int) -> dict:
    asked = {
        "prompt": ids,
        "n_predict": new,
        "temperature": 0,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    request = urllib.request.Request(
        f"{address}/completion", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["timings"]


def measure_llama(path: Path) -> dict[str, float]:
    with llama_server(path, slots=1) as alone:
        one = ask(alone, prompt(PROMPT), NEW)["predicted_per_second"]
        reading = ask(alone, prompt(LONG), 1)["prompt_per_second"]
    with llama_server(path, slots=BATCH) as many, ThreadPoolExecutor(BATCH) as pool:
        began = time.perf_counter()
        answers = pool.map(lambda seed: ask(many, prompt(PROMPT, seed), NEW), range(BATCH))
        said = sum(answer["predicted_n"] for answer in answers)
    return {"alone": one, "reading": reading, "batch": said / (time.perf_counter() - began)}


def measure_transformers(path: Path) -> dict[str, float]:
    import transformers

    model: Any = transformers.AutoModelForCausalLM.from_pretrained(path).eval()
    ids, long = torch.tensor([prompt(PROMPT)]), torch.tensor([prompt(LONG)])
    settings = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    seconds = []
    for new in (1, NEW + 1):
        began = time.perf_counter()
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, **settings)
        seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    model.generate(long, attention_mask=torch.ones_like(long), max_new_tokens=1, **settings)
    reading = LONG / (time.perf_counter() - began)
    many = torch.tensor([prompt(PROMPT, seed) for seed in range(BATCH)])
    began = time.perf_counter()
    model.generate(many, attention_mask=torch.ones_like(many), max_new_tokens=NEW, **settings)
    batch = BATCH * NEW / (time.perf_counter() - began)
    return {"alone": NEW / (seconds[1] - seconds[0]), "reading": reading, "batch": batch}


def show(model: str, figures: dict[str, dict[str, float]]) -> None:
    print(f"{model}, {torch.get_num_threads()} threads, tokens/s")
    print(f"{'':<18} one text   reading {LONG}   {BATCH} texts")
    for name, row in figures.items():
        print(f"{name:<18} {row['alone']:8.1f}   {row['reading']:11.0f}   {row['batch']:8.1f}")
    peers = {
        "float32": ("transformers",),
        "float16": ("llama.cpp f16", "transformers"),
        "int8": ("llama.cpp q8_0",),
        "int4": ("llama.cpp q4_0",),
    }
    for name, others in peers.items():
        ours = figures[f"groundup {name}"]
        best = {what: max(figures[other][what] for other in others) for what in ours}
        f16 = figures["llama.cpp f16"]["reading"]
        print(
            f"{name:<8} one text {ours['alone'] / best['alone']:.2f} x the better of {', '.join(others)}; "
            f"reading {ours['reading'] / f16:.2f} x llama.cpp f16; {BATCH} texts "
            f"{ours['batch'] / ours['alone']:.2f} x one, {ours['batch'] / best['batch']:.2f} x theirs"
        )


if __name__ == "__main__":
    main()
