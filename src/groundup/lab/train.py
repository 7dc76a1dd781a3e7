"""Trains the real model on a learner's parts, with ours in the place of those that are missing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundup.errors import InputError, unknown
from groundup.lab.cut import mistaken, part_of
from groundup.lab.examine import run_file
from groundup.lab.exercise import Exercise
from groundup.lab.exercises import NAMES, find
from groundup.lab.folder import Lab
from groundup.lab.plug import plugged

Whose = Literal["yours", "mistake"]


@dataclass(frozen=True)
class Part:
    """A part that takes the place of ours."""

    exercise: Exercise
    part: Any
    whose: Whose


def learners_parts(lab: Lab, names: Iterable[str]) -> dict[str, Part]:
    """The parts that the learner wrote for these exercises."""
    exercises = [find(name) for name in names]
    return {
        e.name: Part(e, part_of(e.target, run_file(lab.path(e.name))), "yours") for e in exercises
    }


def with_mistake(given: str) -> dict[str, Part]:
    """Our part with a typical mistake, given as NAME or NAME:NUMBER: to see what it does."""
    name, _, number = given.partition(":")
    if name not in NAMES:
        raise unknown("exercise", name, NAMES, "--mistake")
    exercise = find(name)
    known = {str(i): mistake for i, mistake in enumerate(exercise.mistakes, start=1)}
    if (number or "1") not in known:
        told = "; ".join(f"{i}: {mistake.text}" for i, mistake in known.items())
        raise InputError(f"{name} has no mistake {number!r}", "--mistake", f"known: {told}")
    return {name: Part(exercise, mistaken(exercise, known[number or "1"]), "mistake")}


@contextmanager
def at_work(parts: Mapping[str, Part]) -> Iterator[Counter[str]]:
    """With these parts in the place of ours: how often each was called so far."""
    with plugged({name: (part.exercise, part.part) for name, part in parts.items()}) as calls:
        yield calls


def next_run(lab: Lab) -> Path:
    """A new run directory: with other parts, nothing of an earlier run holds."""
    runs = lab.folder / "runs"
    numbers = [int(path.name) for path in runs.glob("*") if path.name.isdigit()]
    return runs / f"{max(numbers, default=0) + 1:03}"


def whose_parts(parts: Mapping[str, Part], calls: Counter[str]) -> dict[str, dict[str, Any]]:
    """For each exercise whose part the model ran on, and how often it was called."""
    return {
        name: {"whose": parts[name].whose if name in parts else "ours", "calls": calls.get(name)}
        for name in NAMES
    }
