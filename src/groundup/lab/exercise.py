"""What an exercise is: a part of groundup to be written anew, and how it is asked, tried and explained."""

import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

T = TypeVar("T")


class Draw:
    """Random inputs: the same ones for the same seed."""

    def __init__(self, seed: int):
        self.seed, self.python = seed, random.Random(seed)
        self.torch = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Float[Tensor, "*shape"]:
        return torch.randn(shape, generator=self.torch)

    def integers(self, below: int, *shape: int) -> Int[Tensor, "*shape"]:
        return torch.randint(below, shape, generator=self.torch)

    def integer(self, least: int, most: int) -> int:
        return self.python.randint(least, most)

    def choice(self, options: Sequence[T]) -> T:
        return self.python.choice(options)

    def in_turn(self, options: Sequence[T]) -> T:
        """One option for each seed, so that as many tries as there are options meet them all."""
        return options[self.seed % len(options)]


def call(part: Callable, *arguments: Any) -> Any:
    """How most parts are tried: they are functions."""
    return part(*arguments)


def with_gradient(part: Callable, x: Tensor, *others: Any) -> dict[str, Any]:
    """How a loss is tried: training needs its gradient in the first argument too."""
    x = x.clone().requires_grad_()
    loss = part(x, *others)
    follows = torch.is_tensor(loss) and loss.requires_grad
    gradient = torch.autograd.grad(loss.sum(), x)[0] if follows else None
    return {"loss": loss, "gradient": gradient}


def as_it_is(function: Callable) -> Callable:
    """A copy of a function of ours, which stays when a learner's part takes the function's place."""
    plain = inspect.unwrap(function)
    copy = FunctionType(plain.__code__, plain.__globals__, plain.__name__, plain.__defaults__)
    copy.__kwdefaults__ = plain.__kwdefaults__
    return copy


class Mistake(NamedTuple):
    """A typical mistake, as a change to the reference's source."""

    old: str
    new: str
    text: str
    """What is wrong, in a sentence (marked for translation)."""


class Plug(NamedTuple):
    """Where a learner's part takes the place of ours in the running model."""

    target: str
    adapt: Callable[[Any], Any] = lambda part: part
    """What is put there, made of the learner's part."""


@dataclass(frozen=True)
class Exercise:
    """One part to write. Texts are marked for translation."""

    name: str
    target: str
    """The reference: "module:function", "module:Class.method", or "module:Class" for all of it."""
    title: str
    text: str
    """Why the part exists, the formula, the shapes."""
    hints: tuple[str, str, str]
    """Each says more than the one before; after them comes the reference itself."""
    inputs: Callable[[Draw], tuple]
    """The arguments of one try."""
    mistakes: tuple[Mistake, ...]
    use: Callable[..., Any] = call
    """(part, *arguments) → what is compared. The part is the function; for a method, and for a class,
    the class."""
    plugs: tuple[Plug, ...] = field(default=())
    """Where it goes in the running model; where nothing is named, in the place of the reference."""
    learns: bool = False
    """Gradients go back through the part to its arguments, and must not be cut off."""
    edits: bool = False
    """The part is to change its arguments, which are compared as well."""
