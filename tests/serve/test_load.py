"""Many clients at once, some of whom leave in the middle or send nonsense: nobody's answer is lost or mixed
with another's, and the server's memory does not grow."""

import asyncio

import httpx2 as httpx
import psutil
from tests.serve.conftest import serving

from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.weights.directory import load

CLIENTS, ROUNDS, TOKENS = 24, 2, 24


def body(number: int, **more) -> dict:
    beginning = "Mia is in the garden. " * (number % 3)  # some begin alike
    return {
        "prompt": f"{beginning}Tom {number}", "max_tokens": TOKENS, "seed": number, "temperature": 0.9
    } | more  # fmt: skip


def expected(directory) -> dict[int, str]:
    """What the library says to each, alone."""
    model, tokenizer = load(directory)
    engine, texts = Engine(model), {}
    for number in range(CLIENTS * ROUNDS):
        asked = body(number)
        sampling = SamplingConfig(max_new_tokens=TOKENS, temperature=0.9, seed=number)
        completion = Completion(tokenizer.encode_prompt(asked["prompt"]))
        texts[number] = "".join(complete(engine, tokenizer, completion, sampling))
    return texts


async def visit(http: httpx.AsyncClient, client: int) -> dict[int, str]:
    """One client's requests, one after another: every fourth client leaves early or sends nonsense."""
    said = {}
    for number in range(client * ROUNDS, (client + 1) * ROUNDS):
        if client % 4 == 3:
            async with http.stream(
                "POST", "/v1/completions", json=body(number, stream=True)
            ) as answer:
                await anext(answer.aiter_lines())
            refused = await http.post("/v1/completions", json=body(number, max_tokens=-1))
            assert refused.status_code == 400
            continue
        answer = await http.post("/v1/completions", json=body(number))
        assert answer.status_code == 200, answer.text
        said[number] = answer.json()["choices"][0]["text"]
    return said


async def visit_together(root: str) -> dict[int, str]:
    async with httpx.AsyncClient(base_url=root, timeout=60) as http:
        answers = await asyncio.gather(*(visit(http, client) for client in range(CLIENTS)))
    return {number: text for of_client in answers for number, text in of_client.items()}


def test_no_answer_is_lost_or_mixed_and_memory_does_not_grow(directory, tmp_path):
    wanted = expected(directory)
    with serving(directory, tmp_path / "log.txt", "--max-batch", 8) as server:
        process = psutil.Process(server.process.pid)
        first = asyncio.run(visit_together(server.root))
        assert first == {number: wanted[number] for number in first}
        assert len(first) == ROUNDS * CLIENTS * 3 // 4
        before = process.memory_info().rss
        assert asyncio.run(visit_together(server.root)) == first
        assert process.memory_info().rss < before + 30e6
        assert httpx.get(f"{server.root}/metrics").text.count("groundup_open_requests 0.0") == 1
