"""Puts a learner's parts in the place of ours: in the real model, loop and engine, wherever they are used."""

import importlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any

from groundup.lab.cut import source_of
from groundup.lab.exercise import Exercise, Plug, as_it_is

REPLACED = "__replaced__"


@contextmanager
def plugged(parts: Mapping[str, tuple[Exercise, Any]]) -> Iterator[Counter[str]]:
    """With these parts at work, by the names of their exercises. Counts how often each was called."""
    calls: Counter[str] = Counter()
    with ExitStack() as before:
        for name, (exercise, part) in parts.items():
            for plug in exercise.plugs or (Plug(exercise.target),):
                before.callback(_put(plug.target, plug.adapt(part), name, calls))
        yield calls


def _put(target: str, part: Any, name: str, calls: Counter[str]) -> Callable[[], None]:
    """Let `part` do what `target` did; returns what takes it back."""
    source = source_of(target)
    module = importlib.import_module(source.module)
    original = getattr(module, source.owner or source.name)
    if source.owner is not None:
        methods = {source.name: part} if inspect.isfunction(part) else dict(vars(part))
        return _put_methods(original, source.name, methods, name, calls)
    if inspect.isclass(original):
        return _put_class(original, part, name, calls)
    ours = inspect.unwrap(original)
    return _put_function(ours, counted(part, as_it_is(ours), name, calls))


def counted(part: Callable, ours: Callable, name: str, calls: Counter[str]) -> Callable:
    """`part`, counting its calls. A part that calls what it replaces gets ours, and not itself again."""
    at_work = False

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal at_work
        if at_work:
            return ours(*arguments, **named)
        calls[name] += 1
        at_work = True
        try:
            return part(*arguments, **named)
        finally:
            at_work = False

    return call


def _put_function(original: FunctionType, part: Callable) -> Callable[[], None]:
    """Whoever holds the function, under whatever name, holds the same object: so its code is exchanged, for
    code that calls the part."""
    kept = original.__code__, original.__defaults__, original.__kwdefaults__
    replaced = original.__globals__.setdefault(REPLACED, {})
    replaced[original.__name__] = part
    namespace: dict[str, Any] = {}
    call = f"{REPLACED}[{original.__name__!r}](*arguments, **named)"
    exec(f"def call(*arguments, **named):\n    return {call}", namespace)
    original.__code__, original.__defaults__ = namespace["call"].__code__, None
    original.__kwdefaults__ = None

    def restore() -> None:
        original.__code__, original.__defaults__, original.__kwdefaults__ = kept

    return restore


def _put_method(owner: type, name: str, method: Callable | property) -> Callable[[], None]:
    kept = vars(owner)[name]
    setattr(owner, name, method)
    return lambda: setattr(owner, name, kept)


def _put_methods(
    original: type, target: str, methods: Mapping[str, Any], name: str, calls: Counter[str]
) -> Callable[[], None]:
    """The method that is replaced, and those that the learner wrote to help it."""
    restore = ExitStack()
    for helper, function in methods.items():
        if inspect.isfunction(function) and not hasattr(original, helper):
            setattr(original, helper, function)
            restore.callback(delattr, original, helper)
    part, ours = methods[target], vars(original)[target]
    if isinstance(part, property):
        assert part.fget and ours.fget
        replaced: Any = property(counted(part.fget, ours.fget, name, calls))
    else:
        replaced = counted(part, ours, name, calls)
    restore.callback(_put_method(original, target, replaced))
    return restore.close


def _put_class(original: type, part: type, name: str, calls: Counter[str]) -> Callable[[], None]:
    """All methods of a class, whose `super()` from now on begins at the original."""
    restore = ExitStack()
    for method, function in vars(part).items():
        if not inspect.isfunction(function):
            continue
        for variable, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if variable == "__class__":
                cell.cell_contents = original
        ours = vars(original).get(method, function)
        restore.callback(_put_method(original, method, counted(function, ours, name, calls)))
    return restore.close
