"""Flags from settings classes: `--train.steps 100` sets `steps` of `TrainConfig`.

The same classes read TOML, and the same check says what is wrong with a value: flags are collected
as text in nested tables, which pydantic then converts as it does the values of a file.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from groundup.settings import FieldsOf, Typed, nested


def typed(flag: str) -> Callable[[str], Typed]:
    """The `type` of a plain flag whose value becomes a setting."""
    return partial(Typed, flag=flag)


# Those of `groundup.generation.config.EngineConfig`, for the commands that set up an engine.
ENGINE = {
    "--dtype": "float16: half the memory and nearly twice the speed, with rounded numbers (float32)",
    "--draft": "a smaller model that guesses ahead, or prompt-lookup: faster, the same text",
    "--draft-tokens": "so many guesses at a time (4)",
    "--kv-cache-dtype": "int8: the cache takes a quarter of the memory (auto: as the model is)",
}


def given_flags(parsed: argparse.Namespace, flags: Iterable[str]) -> dict[str, Any]:
    """Those of some plain flags that were given, by the names of the settings."""
    names = [flag[2:].replace("-", "_") for flag in flags]
    return {name: value for name in names if (value := getattr(parsed, name)) is not None}


def add_settings(parser: argparse.ArgumentParser, prefix: str, settings: type[BaseModel]) -> None:
    """A flag `--prefix.field VALUE` for each field of `settings` and of the tables in it."""
    group = parser.add_argument_group(f"--{prefix}.…", (settings.__doc__ or "").split("\n")[0])
    for path, field in _fields(prefix, settings):
        group.add_argument(
            f"--{path}", dest=path, default=argparse.SUPPRESS, metavar=_kind(field.annotation),
            type=partial(_value, flag=f"--{path}", annotation=field.annotation), help=_about(field),
        )  # fmt: skip


def given_settings(parsed: argparse.Namespace) -> dict[str, Any]:
    """The settings given as flags, as nested tables: {"train": {"steps": "100"}}."""
    return nested({path: value for path, value in vars(parsed).items() if "." in path})


def _value(text: str, flag: str, annotation: Any) -> Any:
    """A list is written with commas, or as in JSON; `none` unsets what may be unset; everything else
    is left to the settings class."""
    if text == "none" and NoneType in get_args(annotation):
        return None
    if get_origin(annotation) not in (list, tuple):
        return Typed(text, flag)
    items = _json(text) if text.startswith(("[", "{")) else text.split(",")
    return [Typed(item, flag) if isinstance(item, str) else item for item in items]


def _json(text: str) -> list[Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'not a valid JSON list ({error})\n  fix: write a,b or ["a", "b"]'
        ) from None
    return content if isinstance(content, list) else [content]


def _fields(prefix: str, settings: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in settings.model_fields.items():
        path, annotation = f"{prefix}.{name}", field.annotation
        table = next((m.settings for m in field.metadata if isinstance(m, FieldsOf)), annotation)
        if isinstance(table, type) and issubclass(table, BaseModel):
            yield from _fields(path, table)
        else:
            yield path, field


def _about(field: FieldInfo) -> str:
    """The help of a flag: the field's docstring and default."""
    default = field.get_default(call_default_factory=False)
    shown = "" if default is None or field.default_factory else f" (default: {default})"
    return (" ".join((field.description or "").split()) + shown).replace("%", "%%")


def _kind(annotation: Any) -> str:
    """What stands for the value in the help: int → INT, a choice → its values, a list → LIST."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (list, tuple):
        return "LIST"
    choices = [choice for choice in get_args(annotation) if choice is not NoneType]
    if choices and all(isinstance(choice, str | int) for choice in choices):
        return "|".join(map(str, choices))
    return "|".join(map(_kind, choices)) if choices else annotation.__name__.upper()
