"""The base of every settings class: typed, immutable, and strict about unknown names.

A settings class stands beside the part it sets (`ModelConfig` in `model/config.py`, …) and has a
docstring under each field. The same class reads a TOML section, the `--section.field value` flags
and writes the reference page, so that a default is written once.
"""

from typing import Annotated, Any, TypeVar, get_args, get_origin

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
    found: Any = cls
    for name in path:
        found = _below(found, name)
    return list(found.model_fields) if _is_settings(found) else []


def _below(annotation: Any, name: str) -> Any:
    """What `name` leads to: the type of a class's field, of a list's items, or, in a union told apart
    by a tag, the class that carries this tag."""
    if _is_settings(annotation):
        field = annotation.model_fields.get(name)
        return field.annotation if field else None
    if get_origin(annotation) is Annotated:
        return _below(get_args(annotation)[0], name)
    if get_origin(annotation) is list:
        return get_args(annotation)[0]
    return next((choice for choice in get_args(annotation) if _has_tag(choice, name)), None)


def _is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _has_tag(annotation: Any, tag: str) -> bool:
    """Whether a class has a field whose only value is `tag`."""
    return _is_settings(annotation) and any(
        get_args(field.annotation) == (tag,) for field in annotation.model_fields.values()
    )
