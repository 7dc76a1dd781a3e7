"""A server as a user starts it: `groundup serve` in a process of its own."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from openai import OpenAI
from tests.processes import Process
from tests.serve.runs import build

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import save

KEY = "sk-test"


class Server:
    """Its process, its address, and what it logs."""

    def __init__(self, process: Process, url: str, log: Path):
        self.process, self.url, self.log = process, url, log

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def client(self, **settings) -> OpenAI:
        return OpenAI(base_url=self.url, api_key=KEY, max_retries=0, **settings)


@contextmanager
def serving(model: Path, log: Path, *flags: object) -> Iterator[Server]:
    """Serve a model directory at a free port; at the end the process is killed, if it is still there."""
    process = Process("serve", model, "--port", 0, *flags, log=log)
    try:
        yield Server(process, _address(process, log), log)
    finally:
        process.kill()
        process.wait()


def _address(process: Process, log: Path) -> str:
    while process.poll() is None:
        time.sleep(0.02)
        if found := re.search(r"at (http://\S+/v1)\n", log.read_text()):
            return found[1]
    raise RuntimeError(f"the server did not start: {log.read_text()}")


def save_tiny(tokenizer: Tokenizer, folder: Path, name: str = "tiny", **changes: Any) -> Path:
    """The model directory, in `folder`, of a small random model that knows turns."""
    torch.manual_seed(0)
    shape = {
        "vocab_size": tokenizer.vocab_size, "d_model": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2,
        "context_length": 1024, "initialization": "gpt-2",
    }  # fmt: skip
    model = GPT(preset("nano", **(shape | changes)))
    save(model, tokenizer.with_template("groundup"), folder / name)
    return folder / name


@pytest.fixture(scope="session")
def directory(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tokenizer, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def slow(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that needs seconds to read a long text, and far more to fill its context."""
    larger = {"d_model": 256, "n_layers": 16, "context_length": 8192}
    return save_tiny(tokenizer, tmp_path_factory.mktemp("served"), "slow", **larger)


@pytest.fixture(scope="session")
def server(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log.txt"
    with serving(directory, log, "--api-key", KEY, "--max-batch", 4, "--max-queue", 4) as running:
        yield running


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that has kept its checkpoints."""
    return build(tmp_path_factory.mktemp("runs") / "stories")


@pytest.fixture(scope="session")
def run_server(run_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(run_directory, tmp_path_factory.mktemp("log") / "log.txt", "--api-key", KEY) as it:
        yield it
