"""Checks a learner's files: each in a process of its own, with a limit of time."""

import multiprocessing
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from groundup.lab.examine import SECONDS, Finding, examine_in_time
from groundup.lab.exercise import Exercise
from groundup.lab.exercises import EXERCISES
from groundup.language import N_, translate

PATIENCE = 2
"""Seconds beyond the limit of the examination, which normally ends itself and then knows the line."""


def check(paths: Iterable[tuple[str, Path]], language: str) -> Iterator[tuple[str, Finding]]:
    """What is found in each file, by the exercises' names, in their order."""
    # A server that has loaded what all need, and makes a copy of itself for each; none on Windows.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([__name__])
    for name, path in paths:
        yield name, _apart(context, EXERCISES[name], path, language)


def _apart(context, exercise: Exercise, path: Path, language: str) -> Finding:
    if not path.is_file():
        text = translate(N_("there is no such file; `groundup lab start` writes it anew"), language)
        return Finding("wrong", text)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_send, args=(theirs, exercise.name, path, language), daemon=True
    )
    process.start()
    theirs.close()
    try:
        if ours.poll(SECONDS + PATIENCE + _loading(context)):
            return ours.recv()
        text = translate(N_("it comes to no end: stopped after {seconds} seconds"), language)
        return Finding("wrong", text.format(seconds=SECONDS))
    except EOFError:
        process.join()
        text = translate(N_("it ended the whole process (exit status {status})"), language)
        return Finding("wrong", text.format(status=process.exitcode))
    finally:
        process.kill()
        process.join()


def _loading(context) -> int:
    """Seconds that a process may need before it begins."""
    return 60


def _send(to: Connection, name: str, path: Path, language: str) -> None:
    to.send(examine_in_time(EXERCISES[name], path, language))
