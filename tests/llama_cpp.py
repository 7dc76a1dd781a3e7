"""llama.cpp itself, as the package xllamacpp has it: its server on a GGUF file."""

import contextlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


@contextlib.contextmanager
def listening(path: Path, n_ctx: int = 64) -> Iterator[str]:
    """The address of the server; it computes in single precision."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_parallel = str(path), n_ctx, 1
    settings.warmup, settings.verbosity, settings.cpuparams.n_threads = False, -1, 1
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(settings)
    yield server.listening_address
    del server


@contextlib.contextmanager
def running(path: Path, n_ctx: int = 64) -> Iterator[Ask]:
    """What asks an endpoint of the server something, as JSON."""

    def ask(endpoint: str, asked: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{address}/{endpoint}", json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    with listening(path, n_ctx) as address:
        yield ask
