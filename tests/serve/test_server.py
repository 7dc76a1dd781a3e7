"""The server among bad callers: nonsense, clients that leave, too many at once, and its end."""

import json
import signal
import threading
import time

import httpx2 as httpx
import pytest
from openai import RateLimitError
from tests.conftest import groundup
from tests.serve.conftest import KEY, save_tiny, serving

HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
# Some of four answers are long, whatever the others are.
LONG = {"model": "tiny", "prompt": "Mia", "max_tokens": 1000, "n": 4, "seed": 1, "stream": True}


def post(server, content: bytes, path: str = "/v1/completions", **headers: str) -> httpx.Response:
    return httpx.post(server.root + path, content=content, headers=HEADERS | headers, timeout=30)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"prompt": ', "not valid JSON"),
        (b'{"prompt": "\xff\xfe"}', "error parsing the body"),
        (b'"prompt"', "valid dictionary"),
        (b"", "the body is empty: prompt is required"),
        (b"[" * 100_000, "error parsing the body"),
        (b'{"prompt": "\\ud800"}', "prompt"),
        (b'{"prompt": [1, 2, 99999999]}', "99999999"),
        (b'{"prompt": [1, "a"]}', "prompt"),
        (b'{"prompt": [1], "max_tokens": 1e999}', "max_tokens"),
        (b'{"prompt": []}', "the prompt has 0 tokens"),
        (b'{"prompt": ["a", "b"], "n": 5}', "10 answers are asked for; this server takes on 8"),
    ],
)
def test_nonsense_gets_an_error_in_openai_s_form(server, content: bytes, said: str):
    answer = post(server, content)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert said in error["message"] and error["type"] == "invalid_request_error"


def test_other_paths_and_methods_are_errors_of_the_same_form(server):
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", "/v1/completions", 405)):
        answer = httpx.request(method, server.root + path, headers=HEADERS)
        assert answer.status_code == status and path in answer.json()["error"]["message"]


def test_a_body_that_is_too_long_is_refused_whatever_it_says_of_its_length(server):
    assert post(server, b'{"prompt": "' + b"a" * 1_100_000 + b'"}').status_code == 413

    def in_pieces():
        for _ in range(1200):
            yield b"a" * 1000

    answer = httpx.post(f"{server.root}/v1/completions", content=in_pieces(), headers=HEADERS)
    assert answer.status_code == 413 and "1,000,000 bytes" in answer.json()["error"]["message"]


def open_requests(server) -> float:
    lines = httpx.get(f"{server.root}/metrics").text.splitlines()
    return next(
        float(line.split()[1]) for line in lines if line.startswith("groundup_open_requests ")
    )


def test_who_leaves_is_forgotten(server):
    with httpx.stream(
        "POST", f"{server.root}/v1/completions", json=LONG, headers=HEADERS
    ) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert open_requests(server) > 0
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{server.root}/v1/completions", json=LONG | {"stream": False},
                   headers=HEADERS, timeout=0.05)  # fmt: skip
    deadline = time.monotonic() + 20
    while open_requests(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert open_requests(server) == 0


def test_too_many_at_once_are_sent_away_and_told_when_to_come_back(server):
    """Four run and four may wait: of two requests for eight answers each, one is too many."""
    statuses, lock = [], threading.Lock()

    def ask():
        try:
            server.client().completions.create(
                model="tiny", prompt="Mia", max_tokens=100, n=8, temperature=1
            )
            with lock:
                statuses.append(200)
        except RateLimitError as error:
            assert error.code == "queue_full" and error.response.headers["Retry-After"] == "1"
            with lock:
                statuses.append(429)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(statuses)) == [200, 429] and len(statuses) == 4
    assert open_requests(server) == 0


def test_it_counts_and_logs_but_not_what_is_said(server):
    secret = "Tom hides the red ball"
    server.client().completions.create(model="tiny", prompt=secret, max_tokens=4)
    text = httpx.get(f"{server.root}/metrics").text
    assert 'groundup_requests_total{path="/v1/completions",status="200"}' in text
    assert "groundup_time_to_first_token_seconds_bucket" in text
    log = server.log.read_text()
    assert secret not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    line = [line for line in lines if line["path"] == "/v1/completions"][-1]
    assert line["status"] == 200 and line["seconds"] > 0


def test_told_to_stop_it_finishes_what_is_on_its_way(directory, tmp_path):
    with serving(directory, tmp_path / "log.txt", "--api-key", KEY) as server:
        with httpx.stream("POST", f"{server.root}/v1/completions", json=LONG,
                          headers=HEADERS, timeout=30) as stream:  # fmt: skip
            lines = stream.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGTERM)
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"]
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log.read_text()


def test_a_port_that_is_taken_is_one_message(server, directory):
    port = server.root.rpartition(":")[2]
    refused = groundup("serve", directory, "--port", port)
    assert refused.returncode == 2 and "cannot listen there" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_draft_that_a_model_with_states_cannot_use_is_one_message(tokenizer, tmp_path):
    model = save_tiny(tokenizer, tmp_path, "states", short_conv=3)
    refused = groundup("serve", model, "--port", 0, "--draft", "prompt-lookup")
    assert refused.returncode == 2, refused.stderr
    assert "which cannot take back a guess" in refused.stderr
    assert "Traceback" not in refused.stderr and "serving" not in refused.stderr


def test_health_is_open_and_ready_says_so(server):
    assert httpx.get(f"{server.root}/health").json() == {"status": "ok"}
    assert httpx.get(f"{server.root}/ready").json() == {"ready": True}
