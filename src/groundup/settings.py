"""The base of every settings class: typed, immutable, and strict about unknown names.

A settings class stands beside the part it sets (`ModelConfig` in `model/config.py`, …) and has a
docstring under each field. The same class reads a TOML section, the `--section.field value` flags
and writes the reference page, so that a default is written once.
"""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from groundup.errors import InputError, nearest

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """A frozen pydantic model that refuses unknown fields and names the nearest known one."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
    )

    @classmethod
    def parse(cls: type[S], values: dict[str, Any], where: str | None = None) -> S:
        """Build from plain values (TOML, JSON or flags: strings are converted). `where` names
        their origin in the `InputError` that the first wrong value raises."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _input_error(cls, error, where) from None


def _input_error(cls: type[BaseModel], error: ValidationError, where: str | None) -> InputError:
    """The first problem pydantic found, in a user's words."""
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    field = ".".join(path)
    if problem["type"] == "extra_forbidden":
        known = _fields_at(cls, path[:-1])
        suggestion = nearest(path[-1], known)
        hint = f"did you mean {suggestion!r}? " if suggestion else ""
        return InputError(f"unknown setting {field!r}", where, f"{hint}known: {', '.join(known)}")
    message = problem["msg"].removeprefix("Value error, ")
    if not field:
        return InputError(message, where)
    given = f", not {problem['input']!r}" if problem["type"] != "missing" else ""
    return InputError(f"setting {field!r}: {message}{given}", where)


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    """The field names of the settings class found by walking `path` down from `cls`."""
    for name in path:
        annotation = cls.model_fields[name].annotation if name in cls.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        cls = annotation
    return list(cls.model_fields)
