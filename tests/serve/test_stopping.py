"""How work ends before it is done: its client leaves, its time is over, or the server is told to stop."""

import asyncio
import json
import select
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator

import httpx2 as httpx
import pytest
from tests.serve.conftest import Server, serving
from tests.serve.test_server import open_requests

from groundup.serve.streaming import events

LONG_TEXT = "@" * 600  # a token each: read in half a second
TEXTS = {"input": [LONG_TEXT] * 100}
ENDLESS = {"prompt": "Mia", "max_tokens": 8000, "n": 8, "seed": 1}


def post(server: Server, path: str, body: dict) -> httpx.Response:
    return httpx.post(server.url + path, json=body, timeout=60)


class Leaving:
    """A client that asks, hears nothing yet, and leaves at the end of a `with` block."""

    def __init__(self, server: Server):
        self.url = httpx.URL(server.url)
        self.socket = socket.create_connection((self.url.host, self.url.port))

    def ask(self, path: str, body: dict) -> None:
        written = json.dumps(body).encode()
        head = (
            f"POST {self.url.path}{path} HTTP/1.1\r\nHost: {self.url.host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(written)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + written)

    def is_answered(self) -> bool:
        """Whether anything has come."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def __enter__(self) -> "Leaving":
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()


def last_object(text: str) -> dict:
    """The body, or the last event of a stream before [DONE]."""
    parts = [line.removeprefix("data: ") for line in text.splitlines() if line]
    return json.loads([part for part in parts if part != "[DONE]"][-1])


def until_open(server: Server, wanted: int) -> None:
    deadline = time.monotonic() + 20
    while open_requests(server) != wanted:
        assert time.monotonic() < deadline, open_requests(server)
        time.sleep(0.05)


def test_embeddings_stand_in_the_queue_let_others_through_and_end_with_their_client(slow, tmp_path):
    flags = ("--max-batch", 1, "--max-queue", 1)
    with serving(slow, tmp_path / "log.txt", *flags) as server:
        # They leave when the rest has been seen, not after a time that a busy machine makes too short.
        with Leaving(server) as left, Leaving(server) as other:
            left.ask("/embeddings", TEXTS)
            until_open(server, 1)
            short = post(server, "/completions", {"prompt": "Mia", "max_tokens": 2})
            assert short.status_code == 200 and not left.is_answered()
            other.ask("/embeddings", TEXTS)
            until_open(server, 2)
            for path, body in (
                ("/embeddings", {"input": "a"}), ("/inside/surprise", {"text": "ab"}),
            ):  # fmt: skip
                refused = post(server, path, body)
                assert refused.status_code == 429, refused.text
                assert refused.json()["error"]["code"] == "queue_full"
            assert not left.is_answered() and not other.is_answered()
        until_open(server, 0)
        began = time.monotonic()
        assert post(server, "/embeddings", {"input": "a"}).status_code == 200
        assert time.monotonic() - began < 10  # not after a hundred texts


def test_whatever_takes_too_long_is_broken_off(slow, tmp_path):
    with serving(slow, tmp_path / "log.txt", "--max-seconds", 1.5) as server:
        for path, body in (("/embeddings", TEXTS), ("/completions", ENDLESS)):
            answer = post(server, path, body)
            assert answer.status_code == 504, answer.text
            assert answer.json()["error"]["message"] == "broken off after 1.5 seconds"
        stream = post(server, "/completions", ENDLESS | {"stream": True})
        assert stream.status_code == 200 and stream.text.endswith("data: [DONE]\n\n")
        assert last_object(stream.text)["error"]["message"].startswith("broken off")
        until_open(server, 0)
        assert "Traceback" not in server.log.read_text()


def test_while_it_stops_probes_are_answered_and_new_work_is_not(slow, tmp_path):
    with serving(slow, tmp_path / "log.txt", "--drain-seconds", 20) as server:
        body = {"prompt": "Mia", "max_tokens": 300, "seed": 1, "stream": True}
        with httpx.stream("POST", f"{server.url}/completions", json=body, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            assert httpx.get(f"{server.root}/ready").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            ready = httpx.get(f"{server.root}/ready")
            assert ready.status_code == 503 and ready.json() == {"ready": False}
            assert httpx.get(f"{server.root}/health").status_code == 200
            assert open_requests(server) == 1
            refused = post(server, "/completions", {"prompt": "Tom"})
            assert refused.status_code == 503
            assert refused.json()["error"]["type"] == "server_error"
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert server.process.wait(5) == 0


@pytest.mark.parametrize("reading", [False, True])
def test_where_the_time_is_over_all_are_told_and_the_process_ends(slow, tmp_path, reading: bool):
    """Also where the model reads a long text that cannot be broken off in the middle."""
    with serving(slow, tmp_path / "log.txt", "--drain-seconds", 1) as server:
        answers: list[httpx.Response] = []
        bodies = [("/completions", ENDLESS), ("/completions", ENDLESS | {"stream": True})]
        longest = {"input": "@" * 8000}
        if reading:
            bodies = [("/embeddings", longest), ("/inside/surprise", {"text": "ab"})]

        def ask(path: str, body: dict) -> None:
            answers.append(post(server, path, body))

        threads = [threading.Thread(target=ask, args=body) for body in bodies]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert server.process.wait(20) == 0
        assert (
            time.monotonic() - began < 8
        )  # the text takes far longer, and the machine may be busy
        for thread in threads:
            thread.join()
        ends = [last_object(answer.text) for answer in answers]
        assert [end["error"]["message"] for end in ends] == ["broken off, as the server stops"] * 2
        assert sorted(answer.status_code for answer in answers) == [503 if reading else 200, 503]
        log = server.log.read_text()
        assert "Traceback" not in log and "Error" not in log, log


def test_a_bug_in_a_stream_is_logged_and_the_client_is_told_of_the_log(
    capsys: pytest.CaptureFixture[str],
):
    async def broken() -> AsyncIterator[dict]:
        yield {"text": "secret"}
        raise ZeroDivisionError("a bug")

    async def read() -> list[str]:
        return [event async for event in events(broken())]

    first, last = asyncio.run(read())
    assert json.loads(first.removeprefix("data: ")) == {"text": "secret"}
    assert "its log says how" in last and last.endswith("data: [DONE]\n\n")
    log = capsys.readouterr().err
    assert (
        "ZeroDivisionError: a bug" in log
        and "in broken" in log
        and "secret" not in log.replace('yield {"text": "secret"}', "")
    )
