"""Models by their hub id, through the real client, from a server on this machine."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import groundup

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(model, tokenizer, tmp_path: Path) -> Iterator[str]:
    """The address of a hub that has one model, "somebody/tiny"."""
    groundup.save(model, tokenizer, tmp_path / "tiny")
    files = {path.name: path.read_bytes() for path in (tmp_path / "tiny").iterdir()}
    described = {
        "id": "somebody/tiny",
        "modelId": "somebody/tiny",
        "sha": COMMIT,
        "siblings": [{"rfilename": name} for name in files],
    }

    tree = [
        {"type": "file", "path": name, "size": len(body), "oid": sha256(body).hexdigest()[:40]}
        for name, body in files.items()
    ]

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            prefix = f"/somebody/tiny/resolve/{COMMIT}/"
            if self.path.startswith("/api/models/somebody/tiny/revision/main"):
                self.answer(json.dumps(described).encode())
            elif self.path.startswith(f"/api/models/somebody/tiny/tree/{COMMIT}"):
                self.answer(json.dumps(tree).encode())
            elif self.path.startswith(prefix) and self.path.removeprefix(prefix) in files:
                self.answer(files[self.path.removeprefix(prefix)])
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_HEAD = do_GET  # noqa: N815 (the name that http.server looks for)

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def inspect(hub_id: str, endpoint: str, home: Path) -> subprocess.CompletedProcess[str]:
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-m", "groundup.cli.main", "inspect", hub_id, "--json"],
        capture_output=True, text=True, cwd=home.parent, env=os.environ | settings, timeout=120,
    )  # fmt: skip


def test_a_hub_id_is_downloaded_once_and_then_kept(hub: str, model, tmp_path: Path):
    parameters = sum(p.numel() for p in model.parameters())
    for _ in range(2):
        result = inspect("somebody/tiny", hub, tmp_path / "cache")
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["parameters"] == parameters


@pytest.mark.parametrize("hub_id", ["somebody/absent", "nobody/tiny"])
def test_what_the_hub_does_not_have_is_said_in_words(hub: str, hub_id: str, tmp_path: Path):
    result = inspect(hub_id, hub, tmp_path / "cache")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert hub_id in result.stderr and "check the name and the network" in result.stderr


def test_no_network_is_said_in_words(tmp_path: Path):
    result = inspect("somebody/tiny", "http://127.0.0.1:9", tmp_path / "cache")
    assert result.returncode == 2 and "Traceback" not in result.stderr
