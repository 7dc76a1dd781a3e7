"""All cleaning steps, as a recipe writes them, and their run over a stream of documents."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from groundup.cleaning.characters import Repair, Simplify, Unicode, Width
from groundup.cleaning.duplicates import ExactDuplicates
from groundup.cleaning.filters import Length, Repetition
from groundup.cleaning.language import Language
from groundup.cleaning.lines import Boilerplate
from groundup.cleaning.near_duplicates import NearDuplicates
from groundup.cleaning.personal import Personal
from groundup.cleaning.step import Record, Step
from groundup.errors import nearest
from groundup.sources.read import Piece

AnyStep = (
    Repair | Unicode | Width | Simplify | Boilerplate | Length | Repetition | Language
    | ExactDuplicates | NearDuplicates | Personal
)  # fmt: skip
STEPS: dict[str, type[Step]] = {kind.name(): kind for kind in get_args(AnyStep)}


def _named(value: Any) -> Any:
    """A step's name alone stands for the step with its defaults."""
    values = {"step": value} if isinstance(value, str) else value
    name = values.get("step") if isinstance(values, dict) else None
    if not isinstance(value, Step) and name not in STEPS:
        close = nearest(str(name), STEPS)
        hint = f" (did you mean {close!r}?)" if close else ""
        raise ValueError(f"must be a cleaning step, one of {', '.join(STEPS)}{hint}")
    return values


CleaningStep = Annotated[AnyStep, Field(discriminator="step"), BeforeValidator(_named)]
"""The type of a recipe's step: a name, or a table with the name under `step` and its settings."""


def clean(pieces: Iterable[Piece], steps: Sequence[Step]) -> tuple[Iterator[Piece], list[Record]]:
    """The documents after all `steps`, one step after another, and a record for each step, which
    fills as the documents are drawn."""
    stream = iter(pieces)
    records = []
    for step in steps:
        record = Record(step.name())
        stream = step.apply(stream, record)
        records.append(record)
    return stream, records
