"""Writes the page `reference.md` of both languages from the configuration's classes and the commands' parsers.

python docs/reference.py
"""

import argparse
import importlib
import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin
from unittest.mock import patch

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from groundup.cleaning.clean import STEPS
from groundup.cli.main import VERBS, Parser
from groundup.recipe.schema import Recipe
from groundup.settings import FieldsOf, Settings

DOCS = Path(__file__).parent
ACTIONS = {
    "lab": ("start", "list", "check", "hint", "train"),
    "data": ("report",),
    "tokenizer": ("train", "encode", "decode", "extend", "shrink"),
    "finetune": ("classify", "instruct", "prefer", "reason"),
    "compress": ("quantize", "prune", "distill", "report"),
}
WORDS = {
    "en": {
        "title": "Reference",
        "intro": """\
中文：[../zh/reference.md](../zh/reference.md)

To look things up in. This page is written by `docs/reference.py` from the classes that read your recipe and the
parsers that read your command, so what stands here is what runs.""",
        "configuration": "Configuration",
        "about configuration": """\
A recipe is a TOML file, and each heading below is one of its tables. A field is set in its table, or by a flag
of the same name: `steps` under `[pretrain.train]` is `--pretrain.train.steps` of `groundup run`. What you leave
out has the default. An unknown name is refused, with the nearest known one. The whole configuration of a run,
defaults included, is written into its folder as `recipe.toml`.""",
        "item": "Each entry of the list has these fields:",
        "inherited": "The fields of `{}`, and what differs:",
        "steps": "Cleaning steps",
        "about steps": "The entries of `data.clean`: a name, or a table with the name under `step`.",
        "no fields": "No fields.",
        "default": "default",
        "required": "required",
        "commands": "Command line",
        "about commands": """\
Every command has `--help`. The exit status is 0 when it is done, 1 when it failed, 2 when the input is wrong,
and 130 when it was interrupted with its state saved. With `--json` the figures come as one JSON object on
standard output.""",
        "example": "Example: ",
        "settings": "and every field of these tables as a flag:",
        "or": "or",
        "list": "list",
        "table": "table",
        "types": {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"},
    },
    "zh": {
        "title": "参考手册",
        "intro": """\
English: [../en/reference.md](../en/reference.md)

供随时查阅。本页由 `docs/reference.py` 根据读取配方的类和解析命令的代码生成，因此这里写的就是实际运行的。
字段和参数的说明直接取自代码，目前是英文。""",
        "configuration": "配置",
        "about configuration": """\
配方是一个 TOML 文件，下面每个小标题对应其中的一张表。字段可以写在表里，也可以写成同名的命令行参数：
`[pretrain.train]` 里的 `steps`，就是 `groundup run` 的 `--pretrain.train.steps`。没有写的字段取默认值。
名字写错会被拒绝，并提示最接近的正确名字。一次运行的完整配置（包括默认值）会写进运行目录的 `recipe.toml`。""",
        "item": "列表中每一项的字段：",
        "inherited": "字段与 `{}` 相同，以下是不同之处：",
        "steps": "清洗步骤",
        "about steps": "`data.clean` 里的每一项：一个名字，或者一张表，名字写在 `step` 里。",
        "no fields": "没有字段。",
        "default": "默认值",
        "required": "必填",
        "commands": "命令行",
        "about commands": """\
每条命令都有 `--help`。退出状态：0 表示完成，1 表示失败，2 表示输入有误，130 表示被中断而进度已保存。
带 `--json` 时，数字以一个 JSON 对象写到标准输出。""",
        "example": "例子：",
        "settings": "以下各表的每个字段也都是参数：",
        "or": "或",
        "list": "列表",
        "table": "表",
        "types": {"integer": "整数", "number": "数", "boolean": "真或假", "string": "文本"},
    },
}  # fmt: skip
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def page(language: str) -> str:
    """The text of the page in `en` or `zh`."""
    words = WORDS[language]
    parts = [
        f"# {words['title']}",
        words["intro"],
        f"## {words['configuration']}",
        words["about configuration"],
    ]
    shown: dict[type, str] = {}
    for name, field in Recipe.model_fields.items():
        parts += _table(name, _settings_of(field), words, shown)
    parts += [f"### {words['steps']}", words["about steps"]]
    for name, step in STEPS.items():
        fields = {key: field for key, field in step.model_fields.items() if key != "step"}
        listed = _entries(fields, words) or [words["no fields"]]
        parts += [f"#### {name}", _escaped(step.__doc__ or ""), *listed]
    parts += [f"## {words['commands']}", words["about commands"]]
    for verb in VERBS:
        for action in ACTIONS.get(verb, ("",)):
            parts += _command(verb, action, words)
    return "\n\n".join(parts) + "\n"


def _table(name: str, settings: type[Settings], words: dict, shown: dict[type, str]) -> list[str]:
    """A table of the recipe with its fields, and those in it. `shown` names where a class has stood."""
    level = "#" * min(3 + name.count("."), 4)
    parts = [f"{level} {name}", _escaped(settings.__doc__ or "")]
    fields, base = settings.model_fields, settings.__mro__[1]
    if base in shown:
        parts.append(words["inherited"].format(shown[base]))
        fields = {key: f for key, f in fields.items() if not _as_in(base, key, f)}
    shown[settings] = name
    plain = {key: field for key, field in fields.items() if not _settings_of(field)}
    parts += _entries(plain, words)
    for key, field in fields.items():
        if inner := _settings_of(field):
            parts += _table(f"{name}.{key}", inner, words, shown)
        elif item := _settings_in_list(field):
            parts += [f"#### {name}.{key}", _escaped(item.__doc__ or ""), words["item"]]
            parts += _entries(item.model_fields, words)
    return parts


def _as_in(base: type[Settings], name: str, field: FieldInfo) -> bool:
    """Whether the class that this one extends has the same field."""
    other = base.model_fields.get(name)
    return (
        other is not None
        and other.default == field.default
        and other.description == field.description
    )


def _settings_of(field: FieldInfo) -> Any:
    """The class of a field that is a table, else None."""
    table = next((m.settings for m in field.metadata if isinstance(m, FieldsOf)), field.annotation)
    return table if isinstance(table, type) and issubclass(table, Settings) else None


def _settings_in_list(field: FieldInfo) -> Any:
    inner = get_args(field.annotation) if get_origin(field.annotation) is list else ()
    return next((i for i in inner if isinstance(i, type) and issubclass(i, Settings)), None)


def _entries(fields: dict[str, FieldInfo], words: dict) -> list[str]:
    return [
        f"`{name}`\n: *{_type(field, words)}* · {_default(field, words)}\n\n  "
        f"{_escaped(field.description or '')}"
        for name, field in fields.items()
    ]


def _default(field: FieldInfo, words: dict) -> str:
    if field.default is PydanticUndefined:
        return words["required"]
    default = field.default
    shown = "none" if default is None else default if default and isinstance(default, str) else None
    return f"{words['default']} `{shown or json.dumps(default, ensure_ascii=False)}`"


def _type(field: FieldInfo, words: dict) -> str:
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    return _in_words(TypeAdapter(annotation).json_schema(), words)


def _in_words(schema: dict[str, Any], words: dict) -> str:
    """What a JSON schema allows: "whole number > 0"."""
    if "anyOf" in schema:
        choices = [_in_words(s, words) for s in schema["anyOf"] if s != {"type": "null"}]
        return f" {words['or']} ".join(dict.fromkeys(choices))
    if "enum" in schema:
        return f" {words['or']} ".join(f"`{choice}`" for choice in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        inner = schema.get("items", {})
        simple = "type" in inner or "enum" in inner
        return f"{words['list']} ({_in_words(inner, words)})" if simple else words["list"]
    kind = words["types"].get(schema.get("type"), words["table"])
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in BOUNDS.items()
        if key in schema and abs(schema[key]) < 1e9
    ]
    return " ".join([kind, ", ".join(bounds)]).strip()


def _escaped(text: str) -> str:
    """A docstring as Markdown: on one line, and what is no code without marks of Markdown."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(p if p.startswith("`") else re.sub(r"([*_$<\[\]])", r"\\\1", p) for p in pieces)


class _StoppedError(Exception):
    """A command has built its parser, and goes no further."""


def _stop(parser: Parser, arguments: list[str]) -> argparse.Namespace:
    raise _StoppedError(parser)


def parser_of(verb: str, action: str = "") -> Parser | str:
    """The parser of a command; the text of its help where it has none of its own."""
    module = importlib.import_module(f"groundup.cli.{verb}")
    told = StringIO()
    try:
        with patch.object(Parser, "parse", _stop), redirect_stdout(told):
            module.main([action] if action else ["--help"])
    except _StoppedError as built:
        return built.args[0]
    return told.getvalue()


def _command(verb: str, action: str, words: dict) -> list[str]:
    heading = f"### groundup {verb} {action}".rstrip()
    parser = parser_of(verb, action)
    if isinstance(parser, str):
        return [heading, f"```text\n{parser.strip()}\n```"]
    parts = [heading, _escaped(parser.description or "")]
    parts.append(f"{words['example']}`{(parser.epilog or '').removeprefix('example: ')}`")
    plain = [
        a for a in parser._actions if a.dest != "help" and "." not in "".join(a.option_strings)
    ]
    plain.sort(key=lambda argument: bool(argument.option_strings))  # those without a flag first
    parts += [_argument(parser, argument) for argument in plain]
    groups = [g for g in parser._action_groups if (g.title or "").startswith("--")]
    if groups:
        tables = [f"- `{g.title}`: {_escaped(g.description or '')}" for g in groups]
        parts += [words["settings"], "\n".join(tables)]
    return [part for part in parts if part]


def _argument(parser: Parser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    shown = formatter._format_action_invocation(action).replace("\n", " ")
    told = formatter._expand_help(action) if action.help else ""
    return f"`{shown}`\n: {_escaped(told) or '—'}"


def main() -> None:
    for language in WORDS:
        (DOCS / language / "reference.md").write_text(page(language), encoding="utf-8")


if __name__ == "__main__":
    main()
