"""What jaxtyping's import hook puts round each function of groundup, at a tenth of the cost.

`--jaxtyping-packages` has every call bound to its signature, checked, called, and checked once more with its
result, which took half of the time of all tests. Here beartype checks arguments and result in one go,
and only where an annotation has shapes, in a scope of their names, as jaxtyping's guide does it by hand.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ForwardRef, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf
from jaxtyping import AbstractArray

_jaxtyped = jaxtyping.jaxtyped
_scope_of_names = _jaxtyped("context")
_LIKE_JAXTYPING = BeartypeConf(violation_type=jaxtyping.TypeCheckError)


def lighten() -> None:
    """To be called after the hook is installed and before anything of groundup is imported."""
    jaxtyping.jaxtyped = _checked


def _checked(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    return functools.partial(_check, typechecker)


def _check(typechecker: Callable[..., Any], what: Any) -> Any:
    if isinstance(what, classmethod | staticmethod):
        return type(what)(_check(typechecker, what.__func__))
    if isinstance(what, property):
        functions = (what.fget, what.fset, what.fdel)
        return property(*(each and _check(typechecker, each) for each in functions))
    if inspect.isclass(what):
        if dataclasses.is_dataclass(what) and not hasattr(what.__init__, "__wrapped__"):
            # Any class's, of which one would have to ask the instance for the right type.
            what.__init__ = _check(typechecker, what.__init__)  # type: ignore[misc]
        return what
    # A name in quotes may stand for anything, and what is in a generator runs later: jaxtyping knows.
    hints = [part for hint in inspect.get_annotations(what).values() for part in _parts(hint)]
    if any(isinstance(hint, str | ForwardRef) for hint in hints) or inspect.isgeneratorfunction(
        what
    ):
        return _jaxtyped(typechecker=typechecker)(what)
    function = typechecker(what, conf=_LIKE_JAXTYPING)
    if not any(map(_has_shapes, hints)):
        return function

    @functools.wraps(what)
    def in_scope(*arguments: Any, **named: Any) -> Any:
        with _scope_of_names:
            return function(*arguments, **named)

    return in_scope


def _parts(hint: Any) -> Iterator[Any]:
    """The hint and all that stands in its brackets, the words of a `Literal` left out."""
    yield hint
    if get_origin(hint) is not Literal:
        for each in get_args(hint):
            for part in each if isinstance(each, list) else [each]:
                yield from _parts(part)


def _has_shapes(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, AbstractArray)
