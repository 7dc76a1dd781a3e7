"""Processes of the command line whose imports are behind them.

A command that trains spends three to six seconds on importing torch and what hangs on it. Here one process
imports all of that, computes nothing, and forks for each command: a real process, with its own arguments,
files, folder, environment, signals and status, which enters `groundup.cli.main` as
`python -m groundup.cli.main` does. Only the seed of Python's hashes is the same for all of them.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from contextlib import ExitStack
from functools import cache
from pathlib import Path

MAIN = "groundup.cli.main"
# What is imported with the first step of a training, the first interval, the first figure.
LATE = (
    "torch._dynamo", "scipy.stats", "sklearn.linear_model", "sklearn.pipeline", "matplotlib.pyplot",
)  # fmt: skip


class Process:
    """A command under way, with as much of `subprocess.Popen` as the tests need.

    What it says goes to files: both kinds to `log`, where one is given; otherwise `communicate` reads them.
    """

    def __init__(
        self,
        *arguments: object,
        stdin: str | None = None,
        log: Path | None = None,
        new_session: bool = False,
    ):
        self.arguments = [*map(str, arguments)]
        self.returncode: int | None = None
        opened = ExitStack()
        weakref.finalize(self, opened.close)
        asked, *told = [opened.enter_context(tempfile.TemporaryFile()) for _ in range(3)]  # noqa: SIM115  closed by `opened`
        asked.write((stdin or "").encode())
        asked.seek(0)
        if log is not None:
            told = [opened.enter_context(log.open("wb"))] * 2
        self._told = told
        connection = opened.enter_context(socket.socket(socket.AF_UNIX))
        connection.connect(_server())
        socket.send_fds(connection, [b"!"], [file.fileno() for file in (asked, *told)])
        request = {
            "arguments": self.arguments, "folder": str(Path.cwd()), "new_session": new_session,
            "environment": dict(os.environ),
        }  # fmt: skip
        connection.sendall(json.dumps(request).encode() + b"\n")
        self._answers = opened.enter_context(connection.makefile("rb", buffering=0))
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        """Its status, None as long as it runs; −n where signal n ended it."""
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self.returncode = int(self._answers.readline())
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        select.select([self._answers], [], [], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self.arguments, timeout)
        return status

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Its output and its errors, once it has ended."""
        self.wait(timeout)
        output, errors = (os.pread(file.fileno(), 2**30, 0).decode() for file in self._told)
        return output, errors

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _server() -> str:
    """The address of this process's server, which ends with it: then the pipe is closed."""
    address = str(Path(tempfile.mkdtemp()) / "server")
    started = subprocess.Popen(
        [sys.executable, "-P", __file__, address], env=os.environ | {"PYTHONUTF8": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    _kept.append(started)
    return address


_kept: list[subprocess.Popen[bytes]] = []


def _import_all() -> None:
    import groundup

    for module in pkgutil.walk_packages(groundup.__path__, "groundup."):
        # The harness brings a second library of models along; exercises are loaded by the lab.
        if not module.name.startswith(("groundup.evaluate.harness", "groundup.lab.exercises")):
            importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    del sys.modules[MAIN]  # is run, as a module that nothing has imported


def _serve(address: str) -> None:
    """Answer each connection from a process of its own; come back from here only as a command."""
    before = dict(os.environ)
    _import_all()
    added = {name: value for name, value in os.environ.items() if before.get(name) != value}
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _answer(connection, added)
        connection.close()


def _answer(connection: socket.socket, added: dict[str, str]) -> None:
    """Start the command that is asked for, tell its number and, when it has ended, its status."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile("rb").readline())
    if pid := os.fork():
        for each in files:
            os.close(each)
        connection.sendall(b"%d\n" % pid)
        _, ended = os.waitpid(pid, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(ended))
        os._exit(0)
    connection.close()
    if request["new_session"]:
        os.setsid()
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(added | request["environment"] | {"PYTHONUTF8": "1"})
    sys.argv[1:] = request["arguments"]
    sys.path.insert(0, request["folder"])


def _run() -> int:
    """The command, as `python -m` runs it, and its status."""
    try:
        runpy.run_module(MAIN, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if not isinstance(ended.code, str):
            return int(ended.code or 0)
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1])
    status = _run()
    # The end of a process, but for taking all modules apart, which takes half a second.
    threading._shutdown()  # type: ignore[attr-defined]  # what Python itself calls at an end; it has no types
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)
