"""Trains the real model on a learner's parts, with ours in the place of those that are missing."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from groundup.errors import InputError, unknown
from groundup.lab.cut import mistaken, part_of
from groundup.lab.examine import run_file
from groundup.lab.exercise import Exercise
from groundup.lab.exercises import NAMES, find
from groundup.lab.folder import Lab

Parts = dict[str, tuple[Exercise, Any]]
"""Parts that take the place of ours, by the names of their exercises."""


def learners_parts(lab: Lab, names: Iterable[str]) -> Parts:
    """The parts that the learner wrote for these exercises."""
    exercises = [find(name) for name in names]
    return {e.name: (e, part_of(e.target, run_file(lab.path(e.name)))) for e in exercises}


def with_mistake(given: str) -> Parts:
    """Our part with a typical mistake, given as NAME or NAME:NUMBER: to see what it does."""
    name, _, number = given.partition(":")
    if name not in NAMES:
        raise unknown("exercise", name, NAMES, "--mistake")
    exercise = find(name)
    known = {str(i): mistake for i, mistake in enumerate(exercise.mistakes, start=1)}
    if (number or "1") not in known:
        told = "; ".join(f"{i}: {mistake.text}" for i, mistake in known.items())
        raise InputError(f"{name} has no mistake {number!r}", "--mistake", f"known: {told}")
    return {name: (exercise, mistaken(exercise, known[number or "1"]))}


def next_run(lab: Lab) -> Path:
    """A new run directory: with other parts, nothing of an earlier run holds."""
    runs = lab.folder / "runs"
    numbers = [int(path.name) for path in runs.glob("*") if path.name.isdigit()]
    return runs / f"{max(numbers, default=0) + 1:03}"


def whose_parts(parts: Parts, planted: Parts, calls: Counter[str]) -> dict[str, dict[str, Any]]:
    """For each exercise whose part the model ran on, and how often it was called; `planted` are those of
    `parts` with a mistake of ours."""

    def whose(name: str) -> str:
        return "mistake" if name in planted else "yours" if name in parts else "ours"

    return {name: {"whose": whose(name), "calls": calls.get(name)} for name in NAMES}
