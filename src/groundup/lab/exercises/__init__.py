"""All exercises, in the order of the guide's chapters.

Each file has those of some chapters: what the part is for, hints, inputs to try it with, and the mistakes
that are usually made. The parts themselves are cut from the code that runs: above each stands a comment
`# lab: NAME`.
"""

from dataclasses import replace
from importlib import import_module

from groundup.lab.exercise import Exercise

CHAPTERS = (
    "text", "tokenizer", "embedding", "attention", "block", "gpt", "pretraining", "generation", "tuning",
    "compression", "serving",
)  # fmt: skip


def _all() -> dict[str, Exercise]:
    return {
        exercise.name: replace(exercise, chapter=chapter)
        for chapter in CHAPTERS
        for exercise in import_module(f"{__name__}.{chapter}").EXERCISES
    }


EXERCISES = _all()
"""By name, in order."""
