"""Tries a learner's part against the reference, as a strict but kind teacher would. What happens here
happens in a process of its own, which a learner's endless loop or crash ends alone."""

import ast
import doctest
import importlib
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from groundup.lab.compare import Difference, difference, shown
from groundup.lab.cut import BLANK, mistaken, part_of, reference, source_of
from groundup.lab.exercise import Draw, Exercise, Mistake, call
from groundup.lab.finding import SECONDS, Finding
from groundup.language import N_, translate

TRIES = 5
"""So many random inputs each part is tried with."""
NOTHING = N_("Nothing comes back: a function gives what stands behind `return`.")


class Outcome(NamedTuple):
    """What a part gave: a result, or the exception that it raised."""

    result: Any = None
    error: BaseException | None = None
    inputs: tuple = ()
    """The arguments as they are afterwards."""


class Endless(BaseException):
    """The time is up. No `except Exception` of a learner catches it."""


def examine_in_time(exercise: Exercise, path: Path, language: str) -> Finding:
    """`examine`, for a process that does nothing else, and not for longer than the limit."""
    torch.set_num_threads(1)
    os.dup2(2, 1)  # what a learner's file prints is not our result
    if hasattr(signal, "setitimer"):  # elsewhere the other process stops us, and knows no line
        signal.signal(signal.SIGALRM, _time_is_up)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
    return examine(exercise, path, language)


def examine(exercise: Exercise, path: Path, language: str) -> Finding:
    """Load the learner's file, and try its part."""
    try:
        return _examine(exercise, path, language)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # whatever a learner's file may raise, SystemExit too
        return _of_error(error, path, language)


def _time_is_up(*_: object) -> None:
    raise Endless


def _examine(exercise: Exercise, path: Path, language: str) -> Finding:
    namespace = run_file(path)
    try:
        part = part_of(exercise.target, namespace)
    except KeyError as error:
        text = N_("{name} is not in the file any more")
        return Finding("wrong", translate(text, language, name=error.args[0]))
    ours = reference(exercise.target)
    for seed in range(TRIES):
        expected, found = tried(exercise, ours, seed), tried(exercise, part, seed)
        assert expected.error is None, f"the reference of {exercise.name} failed: {expected.error}"
        wrong = _judged(exercise, expected, found, path, language)
        if wrong is None:
            continue
        if wrong.status == "blank":
            return wrong
        named = diagnosis(exercise, part)
        cause = named.text if named else NOTHING if _nothing_came(found) else None
        told = translate(cause, language) if cause else None
        return wrong._replace(diagnosis=told, call=_called(exercise, seed))
    return _examples(exercise, namespace, language) or Finding("passed")


def _nothing_came(found: Outcome) -> bool:
    return found.error is None and found.result is None


def run_file(path: Path) -> dict[str, Any]:
    """What a learner's file defines."""
    module = ModuleType(f"lab_{path.stem}")
    sys.modules[module.__name__] = module  # where dataclasses, for one, look for it
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    return vars(module)


def tried(exercise: Exercise, part: Callable, seed: int) -> Outcome:
    """What a part makes of the inputs of this seed."""
    inputs = exercise.inputs(Draw(seed))
    if exercise.learns:
        for given in inputs:
            if torch.is_tensor(given) and given.is_floating_point():
                given.requires_grad_()
    torch.manual_seed(seed)
    try:
        result = exercise.use(part, *inputs)
    except Exception as error:
        return Outcome(error=error)
    return Outcome(result, None, inputs)


def _judged(
    exercise: Exercise, expected: Outcome, found: Outcome, path: Path, language: str
) -> Finding | None:
    if found.error is not None:
        return _of_error(found.error, path, language)
    edited = None if exercise.edits else _edited(expected.inputs, found.inputs)
    wrong = edited or compared(exercise, expected, found)
    if wrong is None:
        return None
    return Finding("wrong", translate(wrong.text, language, **wrong.fields))


def compared(exercise: Exercise, expected: Outcome, found: Outcome) -> Difference | None:
    """The first difference in what two parts gave, and in what they made of arguments that are to be
    changed."""
    wrong = difference(expected.result, found.result)
    if wrong is None and exercise.edits:
        wrong = difference(expected.inputs, found.inputs, "arguments")
    return wrong


def _edited(before: tuple, after: tuple) -> Difference | None:
    """An argument that the part changed, which belongs to whoever called it."""
    for number, (kept, given) in enumerate(zip(before, after, strict=True), start=1):
        if isinstance(kept, Tensor | np.ndarray | list | dict) and difference(kept, given):
            text = N_(
                "argument {number} was changed in place; it belongs to the caller: make a new one"
            )
            return Difference(text, {"number": number})
    return None


def diagnosis(exercise: Exercise, part: Callable) -> Mistake | None:
    """The typical mistake whose outcomes are the part's for all inputs."""
    found = [tried(exercise, part, seed) for seed in range(TRIES)]
    for mistake in exercise.mistakes:
        variant = mistaken(exercise, mistake)
        if all(same(exercise, tried(exercise, variant, n), one) for n, one in enumerate(found)):
            return mistake
    return None


def same(exercise: Exercise, one: Outcome, other: Outcome) -> bool:
    """Whether two parts gave the same, or failed in the same way."""
    if one.error is not None or other.error is not None:
        return type(one.error) is type(other.error) and str(one.error) == str(other.error)
    return compared(exercise, one, other) is None


def _called(exercise: Exercise, seed: int) -> str:
    """What went in when it went wrong, with the names of the reference's arguments where they are those."""
    inputs = exercise.inputs(Draw(seed))
    if exercise.use is not call:
        return ", ".join(map(shown, inputs))
    names = inspect.signature(reference(exercise.target)).parameters
    given = (f"{name}={shown(value)}" for name, value in zip(names, inputs, strict=False))
    return f"{source_of(exercise.target).name}({', '.join(given)})"


def _examples(exercise: Exercise, namespace: dict[str, Any], language: str) -> Finding | None:
    """Run the examples of the reference's docstring on the learner's part."""
    source = source_of(exercise.target)
    about = ast.get_docstring(source.node)
    if source.owner or not about:
        return None
    ours = dict(vars(importlib.import_module(source.module)))
    theirs = ours | namespace
    for example in doctest.DocTestParser().get_examples(about):
        try:
            code = compile(example.source, "<example>", "eval")
        except SyntaxError:  # not a value but a step on the way to one
            exec(example.source, ours)
            exec(example.source, theirs)
            continue
        wrong = difference(eval(code, ours), eval(code, theirs))
        if wrong is not None:
            told = translate(wrong.text, language, **wrong.fields)
            return Finding("wrong", told, call=example.source.strip())
    return None


def _of_error(error: BaseException, path: Path, language: str) -> Finding:
    """What a learner is told of an exception, with the last of their own lines before it."""
    if isinstance(error, SyntaxError):
        text = translate(N_("this is no Python: {error}"), language, error=error.msg)
        return Finding("wrong", text, error.lineno, (error.text or "").strip())
    frames = traceback.extract_tb(error.__traceback__)
    own = next((f for f in reversed(frames) if f.filename == str(path)), None)
    line, code = (own.lineno, own.line or "") if own else (None, "")
    if isinstance(error, NotImplementedError) and code.startswith(BLANK):
        return Finding("blank", translate(N_("not written yet"), language), line)
    if isinstance(error, Endless):
        text = N_("it comes to no end: stopped after {seconds} seconds")
        return Finding("wrong", translate(text, language, seconds=SECONDS), line, code)
    return Finding("wrong", ": ".join(filter(None, (type(error).__name__, str(error)))), line, code)
