"""Flags from settings classes: `--train.steps 100` sets `steps` of `TrainConfig`.

The same classes read TOML, and the same check says what is wrong with a value: flags are collected
as text in nested tables, which pydantic then converts as it does the values of a file.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from groundup.model.config import ModelConfig


def add_settings(parser: argparse.ArgumentParser, prefix: str, settings: type[BaseModel]) -> None:
    """A flag `--prefix.field VALUE` for each field of `settings` and of the tables in it."""
    group = parser.add_argument_group(f"--{prefix}.…", (settings.__doc__ or "").split("\n")[0])
    for path, kind, about in _fields(prefix, settings):
        group.add_argument(
            f"--{path}", metavar=kind, dest=path, default=argparse.SUPPRESS, help=about
        )


def given_settings(parsed: argparse.Namespace) -> dict[str, Any]:
    """The settings given as flags, as nested tables: {"train": {"steps": "100"}}."""
    tables: dict[str, Any] = {}
    for path, value in vars(parsed).items():
        if "." in path:
            *outer, name = path.split(".")
            table = tables
            for part in outer:
                table = table.setdefault(part, {})
            table[name] = _value(value)
    return tables


def _value(text: str) -> Any:
    """Lists are written as in JSON or with commas; everything else is left to the settings class."""
    if text.startswith("["):
        return json.loads(text)
    return None if text == "none" else text


def _fields(prefix: str, settings: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in settings.model_fields.items():
        path, annotation = f"{prefix}.{name}", field.annotation
        if path.endswith("pretrain.model"):
            annotation = ModelConfig
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _fields(path, annotation)
            continue
        default = field.get_default(call_default_factory=False)
        shown = "" if default is None or field.default_factory else f" (default: {default})"
        about = " ".join((field.description or "").split()) + shown
        yield path, _kind(annotation), about.replace("%", "%%")


def _kind(annotation: Any) -> str:
    """What stands for the value in the help: int → INT, a choice → its values."""
    arguments = get_args(annotation)
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return "|".join(arguments)
    named = annotation if isinstance(annotation, type) else next(iter(arguments), str)
    return getattr(named, "__name__", "value").upper()
