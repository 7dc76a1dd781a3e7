"""The server as a process: it takes a port, says where it is, and stops when it is told to."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence

import uvicorn

from groundup.errors import InputError
from groundup.language import shown
from groundup.serve.access import Admission
from groundup.serve.app import create_app
from groundup.serve.config import ServeConfig
from groundup.serve.run import Training
from groundup.serve.served import Served

SECONDS_TO_CLOSE = 1


def listen(served: Served, config: ServeConfig, trainings: Sequence[Training] = ()) -> None:
    """Serve a model, and what can be seen of the trainings of its run, until SIGTERM or Ctrl-C. Then
    nothing new is taken on, and what is on its way has `drain_seconds` to end."""
    with _bound(config) as listening:
        app = create_app(served, config, trainings)
        host, port = listening.getsockname()[:2]
        where = f"[{host}]" if ":" in host else host
        print(
            shown(f"serving {served.name} at http://{where}:{port}/v1"), file=sys.stderr, flush=True
        )
        print(shown(f"its page: http://{where}:{port}/"), file=sys.stderr, flush=True)
        if host not in ("127.0.0.1", "::1") and not config.api_key:
            print(
                shown("warning: everybody who reaches this machine may ask: set --api-key"),
                file=sys.stderr,
            )
        # uvicorn ends by raising again what it was stopped with; a server that has drained is simply done.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        settings = uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=SECONDS_TO_CLOSE
        )  # fmt: skip
        _Server(settings, app.state.admission, config.drain_seconds).run([listening])
    if app.state.worker.is_at_work:
        # Nobody waits any more for the text that the model reads, and a thread within torch cannot be
        # ended in any other way.
        os._exit(0)


class _Server(uvicorn.Server):
    """At the signal nothing new is taken on; the port is closed when what is on its way has ended, or its
    time has, so that probes are answered meanwhile."""

    def __init__(self, settings: uvicorn.Config, admission: Admission, drain_seconds: float):
        super().__init__(settings)
        self.admission, self.drain_seconds = admission, drain_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.admission.is_closing = True
        deadline = time.monotonic() + self.drain_seconds
        while self.admission.open and not self.force_exit and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        self.admission.end()
        await super().shutdown(sockets)


def _bound(config: ServeConfig) -> socket.socket:
    try:
        return socket.create_server(
            (config.host, config.port), family=_family(config.host), backlog=2048
        )
    except OSError as error:
        raise InputError(
            f"cannot listen there: {error.strerror or error}", f"{config.host}:{config.port}",
            "choose another --port, or 0 for any that is free",
        ) from None  # fmt: skip


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
