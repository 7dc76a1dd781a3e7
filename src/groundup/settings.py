"""The base of every settings class: typed, immutable, and strict about unknown names.

A settings class stands beside the part it sets (`ModelConfig` in `model/config.py`, …) and has a
docstring under each field. The same class reads a TOML section and the `--section.field value`
flags, and is what their `--help` says, so that a default is written once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from groundup.errors import InputError, nearest
from groundup.language import N_

S = TypeVar("S", bound="Settings")

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""What random generators take: numpy's and torch's hold it in 64 bits."""


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


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as tables: {"train.steps": 8} as {"train": {"steps": 8}}."""
    tables: dict[str, Any] = {}
    for name, value in fields.items():
        *outer, last = name.split(".")
        table = tables
        for part in outer:
            table = table.setdefault(part, {})
        table[last] = value
    return tables


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Tables as dotted names: the other way round."""
    fields: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, dict):
            fields |= flat(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = value
    return fields


class Typed(str):
    """A value as it was typed behind a flag: an error about it names the flag."""

    flag: str

    def __new__(cls, text: str, flag: str) -> "Typed":
        typed = super().__new__(cls, text)
        typed.flag = flag
        return typed


@dataclass(frozen=True)
class FieldsOf:
    """Metadata of a field that is a table: it holds fields of these settings, which are checked when
    the rest of them is known."""

    settings: type[BaseModel]


def called(given: Any, setting: str, where: str | None) -> tuple[str, str | None]:
    """What a message calls a setting, and where it stands: a flag by itself, else its name there."""
    return (given.flag, None) if isinstance(given, Typed) else (N_(f"setting {setting!r}"), where)


def _input_error(cls: type[BaseModel], error: ValidationError, where: str | None) -> InputError:
    """The first problem pydantic found, in a user's words."""
    problem = error.errors()[0]
    path, given = [str(part) for part in problem["loc"]], problem["input"]
    field = ".".join(path)
    if problem["type"] == "extra_forbidden":
        known = _fields_at(cls, path[:-1])
        suggestion = nearest(path[-1], known)
        hint = f"did you mean {suggestion!r}? " if suggestion else ""
        return InputError(f"unknown setting {field!r}", where, f"{hint}known: {', '.join(known)}")
    own_words = problem["msg"].removeprefix("Value error, ")
    if not field:
        return InputError(own_words, where)
    name, where = called(given, field, where)
    if problem["type"] == "missing":
        return InputError(f"{name} is missing", where)
    if problem["type"] == "value_error":
        wrong = _shown(given)
        what = N_(f"{name}: {own_words}, not {wrong}") if wrong else f"{name}: {own_words}"
        return InputError(what, where)
    allowed = TypeAdapter(_type_at(cls, path)).json_schema()
    close = nearest(str(given), map(str, allowed.get("enum", ())))
    hint = f"did you mean {close!r}?" if close else None
    wanted, wrong = _in_words(allowed), _shown(given)
    what = N_(f"{name} must be {wanted}, not {wrong}") if wrong else N_(f"{name} must be {wanted}")
    return InputError(what, where, hint)


def _shown(given: Any) -> str:
    """The value that is wrong; a table or a list would be too long, and the message names its part."""
    if isinstance(given, dict | list):
        return ""
    text = repr(str(given) if isinstance(given, str) else given)
    return text if len(text) <= 80 else f"{text[:60]}…"


_KINDS = {"integer": N_("a whole number"), "number": N_("a number"), "boolean": N_("true or false"),
          "string": N_("text"), "array": N_("a list"), "object": N_("a table")}  # fmt: skip
# What they come to together.
_TOGETHER = (
    N_("a whole number {0}"), N_("a number {0}"), N_("no less than {0}"), N_("above {0}"),
    N_("no more than {0}"), N_("below {0}"), N_("no less than {0} and no more than {1}"),
    N_("no less than {0} and below {1}"), N_("above {0} and no more than {1}"),
    N_("above {0} and below {1}"),
)  # fmt: skip
_BOUNDS = {"minimum": "no less than", "exclusiveMinimum": "above", "maximum": "no more than",
           "exclusiveMaximum": "below"}  # fmt: skip


def _in_words(schema: dict[str, Any]) -> str:
    """What a JSON schema allows: "a whole number above 0"."""
    if "anyOf" in schema:
        return " or ".join(_in_words(s) for s in schema["anyOf"] if s != {"type": "null"})
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    if "pattern" in schema:
        return f"text of the form {schema['pattern']}"
    kind = _KINDS.get(schema.get("type", ""), "another value")
    bounds = [f"{words} {_plain(schema[key])}" for key, words in _BOUNDS.items() if key in schema]
    return " ".join([kind, " and ".join(bounds)]).strip()


def _plain(number: int | float) -> int | float:
    """The number without a needless ".0"."""
    return int(number) if number == int(number) else number


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    """The field names of the settings class found by walking `path` down from `cls`."""
    found = _type_at(cls, path)
    return list(found.model_fields) if _is_settings(found) else []


def _type_at(cls: type[BaseModel], path: list[str]) -> Any:
    """The type found by walking `path` down from `cls`."""
    found: Any = cls
    for name in path:
        found = _below(found, name)
    return found


def _below(annotation: Any, name: str) -> Any:
    """What `name` leads to: the type of a class's field, of a list's items, or, in a union told apart
    by a tag, the class that carries this tag."""
    if _is_settings(annotation):
        field = annotation.model_fields.get(name)
        if field is None:
            return None
        bounds = tuple(field.metadata)
        return Annotated[(field.annotation, *bounds)] if bounds else field.annotation
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
