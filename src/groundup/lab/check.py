"""Checks a learner's files: each in a process of its own, with a limit of time."""

import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from groundup.lab.exercises import NAMES, chapter_of, find
from groundup.lab.finding import SECONDS, Finding
from groundup.language import N_, translate

PATIENCE = 2
"""Seconds beyond the limit, at which an examination normally ends itself and then knows the line."""
LOADING = 60
"""Seconds after which even the slowest machine has loaded PyTorch."""


class Checker:
    """Keeps what all examinations need loaded, so that the next one begins at once."""

    def __init__(self, language: str, names: Iterable[str] = NAMES):
        """For exercises with these `names`."""
        self.language = language
        # A server that has loaded everything, and makes a copy of itself for each file; Windows has none.
        methods = multiprocessing.get_all_start_methods()
        kind = "forkserver" if "forkserver" in methods else "spawn"
        context: Any = multiprocessing.get_context(kind)  # the declared type lacks `Process`
        if "forkserver" in methods:
            chapters = dict.fromkeys(f"groundup.lab.exercises.{chapter_of(name)}" for name in names)
            context.set_forkserver_preload(["groundup.lab.examine", *chapters])
        self.context = context

    def check(self, name: str, path: Path) -> Finding:
        """What is found in the file of an exercise."""
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=_examine, args=(theirs, name, path, self.language), daemon=True
        )
        with _deaf_to_interrupts():  # or the server tells of Ctrl-C at length, while it loads
            process.start()
        theirs.close()
        hint = None
        try:
            hint = ours.recv() if ours.poll(LOADING) else None
            in_time = hint is not None and ours.poll(SECONDS + PATIENCE)
            endless = N_("it comes to no end: stopped after {seconds} seconds")
            found = ours.recv() if in_time else self._wrong(endless, seconds=SECONDS)
        except EOFError:
            process.join()
            text = N_("it ended the whole process (exit status {status})")
            found = self._wrong(text, status=process.exitcode)
        finally:
            process.kill()
            process.join()
        return found._replace(hint=hint)

    def _wrong(self, text: str, **fields: object) -> Finding:
        return Finding("wrong", translate(text, self.language, **fields))


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started here does not hear Ctrl-C: we do, and end it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _examine(to: Connection, name: str, path: Path, language: str) -> None:
    """In the other process: when all is loaded, the first hint; then what was found."""
    from groundup.lab.examine import examine_in_time

    exercise = find(name)
    to.send(translate(exercise.hints[0], language))
    to.send(examine_in_time(exercise, path, language))
