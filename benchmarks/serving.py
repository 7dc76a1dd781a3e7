"""A server with 64 clients for a minute, of whom some leave in the middle and some send nonsense: answers that
are lost or another's, memory, time to first token, and requests per second with batching against without.

python benchmarks/serving.py [--seconds 60] [--clients 64] [--model DIR]     # SmolLM2-135M-Instruct by default
"""

import argparse
import asyncio
import contextlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx
import psutil

from command import smollm2
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.weights.directory import load

QUESTIONS, TOKENS = 48, 32
LEAVES, NONSENSE = 0.1, 0.1


@dataclass
class Heard:
    """What the clients saw."""

    counts: Counter[str] = field(default_factory=Counter)
    first_tokens: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.first_tokens)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def question(number: int) -> dict:
    beginning = "You are a helpful assistant. Answer briefly. " * (number % 3)  # some begin alike
    return {"prompt": f"{beginning}Tell me about the number {number}:", "max_tokens": TOKENS,
            "seed": number, "temperature": 0.7, "stream": True}  # fmt: skip


def answers(model: Path) -> dict[int, str]:
    """What the library says to each question alone."""
    gpt, tokenizer = load(model)
    engine, said = Engine(gpt, max_batch=1), {}
    for number in range(QUESTIONS):
        completion = Completion(tokenizer.encode_prompt(question(number)["prompt"]))
        sampling = SamplingConfig(max_new_tokens=TOKENS, temperature=0.7, seed=number)
        said[number] = "".join(complete(engine, tokenizer, completion, sampling))
    return said


@contextlib.contextmanager
def serving(model: Path, folder: Path, max_batch: int, clients: int) -> Iterator[tuple[str, int]]:
    """The server's address and process."""
    log = folder / f"log-{max_batch}.txt"
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "groundup.cli.main", "serve", str(model), "--port", "0",
             "--max-batch", str(max_batch), "--max-queue", str(clients)],
            stdout=written, stderr=written,
        )  # fmt: skip
    try:
        while not (found := re.search(r"at (http://\S+)/v1\n", log.read_text())):
            if process.poll() is not None:
                sys.exit(log.read_text()[-2000:])
            time.sleep(0.1)
        yield found[1], process.pid
    finally:
        process.terminate()
        process.wait()


async def client(
    http: httpx.AsyncClient, seed: int, end: float, wanted: dict, heard: Heard
) -> None:
    rng = random.Random(seed)
    while time.monotonic() < end:
        number, chance = rng.randrange(QUESTIONS), rng.random()
        if chance < NONSENSE:
            answer = await http.post(
                "/v1/completions", content=b'{"prompt": "\xff", "max_tokens": -1'
            )
            heard.counts["nonsense refused" if answer.status_code == 400 else "BAD STATUS"] += 1
        else:
            leaves = chance < NONSENSE + LEAVES
            await ask(http, number, rng.randrange(1, 5) if leaves else None, wanted, heard)


async def ask(
    http: httpx.AsyncClient, number: int, leave_after: int | None, wanted: dict, heard: Heard
) -> None:
    """One question; a client that leaves does so after some pieces of the answer."""
    began, said, pieces = time.monotonic(), "", 0
    async with http.stream("POST", "/v1/completions", json=question(number)) as answer:
        async for line in answer.aiter_lines():
            if not line.startswith('data: {"id"'):
                continue
            if not pieces:
                heard.first_tokens.append(time.monotonic() - began)
            pieces += 1
            said += httpx.Response(200, text=line[6:]).json()["choices"][0]["text"]
            if pieces == leave_after:
                heard.counts["left"] += 1
                return
    if said == wanted[number]:
        heard.counts["right"] += 1
    elif said in wanted.values():
        heard.counts["ANOTHER'S"] += 1
    else:
        heard.counts["other than alone"] += 1


async def visit(
    root: str, pid: int, clients: int, seconds: float, wanted: dict
) -> tuple[Heard, list]:
    heard, memory = Heard(), []
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=root, timeout=600, limits=limits) as http:
        tasks = [
            asyncio.create_task(client(http, seed, end, wanted, heard)) for seed in range(clients)
        ]
        while time.monotonic() < end:
            memory.append(psutil.Process(pid).memory_info().rss / 1e6)
            await asyncio.sleep(seconds / 12)
        await asyncio.gather(*tasks)
    return heard, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--model", type=Path, default=None)
    options = parser.parse_args()
    model = options.model or smollm2()
    wanted, rates = answers(model), {}
    for max_batch in (16, 1):
        with tempfile.TemporaryDirectory() as folder, \
             serving(model, Path(folder), max_batch, options.clients) as (root, pid):  # fmt: skip
            began = time.monotonic()
            heard, memory = asyncio.run(visit(root, pid, options.clients, options.seconds, wanted))
            seconds = time.monotonic() - began
        rates[max_batch] = (sum(heard.counts.values()) - heard.counts["nonsense refused"]) / seconds
        print(f"at most {max_batch} at once, {options.clients} clients, {seconds:.0f} s: "
              f"{rates[max_batch]:.2f} requests/s; {dict(heard.counts)}")  # fmt: skip
        print(f"  first token: median {heard.percentile(0.5):.2f} s, p99 {heard.percentile(0.99):.2f} s; "
              f"memory {memory[0]:.0f} MB at first, {max(memory[:6]):.0f} and {max(memory[6:]):.0f} MB "
              "at most in the two halves")  # fmt: skip
    print(f"batching: {rates[16] / rates[1]:.2f} x the requests per second")


if __name__ == "__main__":
    main()
