"""A server on this machine that speaks OpenAI's chat protocol, with a judge behind it that is no model,
and with faults."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["500", "busy", "slow", "disconnect", "no json", "no message"]


def length_judge(prompt: str) -> str:
    """Gives a point for each character, and prefers the longer answer."""
    return _reply(prompt, lambda first, second: "A" if len(first) > len(second) else "B")


def first_judge(prompt: str) -> str:
    """Prefers whatever is shown first: position bias, and nothing else."""
    return _reply(prompt, lambda first, second: "A")


def _reply(prompt: str, better: Callable[[str, str], str]) -> str:
    pair = re.search(
        r"\[Answer A\]\n(.*)\n\[End of answer A\]\n\n\[Answer B\]\n(.*)\n\[End of answer B\]",
        prompt,
        re.S,
    )
    if pair:
        return f"I looked at both.\n[[{better(pair[1], pair[2])}]]"
    [answer] = re.findall(r"\[Answer\]\n(.*)\n\[End of the answer\]", prompt, re.S)
    return f"It has {len(answer)} characters.\nScore: {min(len(answer), 100)}"


@dataclass
class ChatServer:
    """What the server says and how it behaves, and what it was asked."""

    judge: Callable[[str], str] = length_judge
    models: tuple[str, ...] = ("judge-8b",)
    lists_models: bool = True
    key: str | None = None
    faults: list[Fault] = field(default_factory=list)
    """Of the next requests for a reply, one each."""
    seconds: float = 0.0
    """How long each reply takes."""
    prompts: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""


@contextmanager
def serving(server: ChatServer) -> Iterator[ChatServer]:
    """Serve on loopback; the address is filled in."""
    lock, at_once = threading.Lock(), 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.is_allowed():
                return
            if self.path == "/v1/models" and server.lists_models:
                self.answer(200, {"data": [{"id": name} for name in server.models]})
            else:
                self.answer(404, {"error": "no such page"})

        def do_POST(self) -> None:
            nonlocal at_once
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                at_once += 1
                server.most_at_once = max(server.most_at_once, at_once)
                fault = server.faults.pop(0) if server.faults else None
                server.requests.append(asked)
            time.sleep(server.seconds)
            with lock:
                at_once -= 1
            if not self.is_allowed():
                return
            if self.path != "/v1/chat/completions":
                self.answer(404, {"error": "no such page"})
            elif asked["model"] not in server.models:
                self.answer(404, {"error": f"model {asked['model']!r} not found"})
            elif fault:
                self.fail(fault)
            else:
                self.say(asked["messages"][-1]["content"])

        def say(self, prompt: str) -> None:
            server.prompts.append(prompt)
            message = {"role": "assistant", "content": server.judge(prompt)}
            self.answer(200, {"choices": [{"index": 0, "message": message}]})

        def fail(self, fault: Fault) -> None:
            if fault == "500":
                self.answer(500, {"error": "the model crashed"})
            elif fault == "busy":
                self.answer(429, {"error": "slow down"}, {"Retry-After": "0"})
            elif fault == "slow":
                time.sleep(1)
            elif fault == "no json":
                self.answer(200, "<html>a proxy's page</html>")
            elif fault == "no message":
                self.answer(200, {"choices": []})
            self.close_connection = True

        def is_allowed(self) -> bool:
            allowed = server.key is None or self.headers["Authorization"] == f"Bearer {server.key}"
            if not allowed:
                self.answer(401, {"error": "invalid api key"})
            return allowed

        def answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
            body = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output quiet."""

        def handle(self) -> None:
            with suppress(ConnectionError):  # who waits no longer has left
                super().handle()

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listening.server_port}"
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
