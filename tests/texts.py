"""All texts that groundup shows, found in its source: each must have its twin in every language.

They are what `N_` marks and `shown` shows, the messages of errors, the help of all commands, and the
docstrings of settings. An f-string is a text with numbered fields.

    python -m tests.texts zh        the texts without a twin, as entries for a catalogue
"""

import argparse
import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.reference import ACTIONS, parser_of

import groundup
from groundup.cli.main import VERBS
from groundup.language import catalogue
from groundup.settings import Settings

SOURCE = Path(groundup.__file__).parent
# Calls, and which of their arguments are texts: by place, or by name.
TEXTS: dict[str, tuple[int | str, ...]] = {
    "N_": (0,), "shown": (0,), "unknown": (0, "kind"), "no_such": (0, 3, "fix"), "error": (0,),
    "stage": (0, 1), "warned": (0,), "ValueError": (0,), "ArgumentTypeError": (0,),
    "Stage": (0, 1), "Finding": (1, 2, 3), "Figure": (0,), "Table": (0, 1),
    "Result": (0, "verdict", "notes"),
    **dict.fromkeys(
        (
            "GroundupError", "InputError", "CorruptFileError", "TrainingError", "StoppedError",
            "LostProcessError",
        ),
        (0, 1, 2, "what", "where", "fix"),
    ),
}  # fmt: skip
# What a text may be that says nothing: names of flags and files, figures, marks.
WORDLESS = re.compile(r"(?![A-Z]?[a-z]+$)\S*|[^A-Za-z]*")


class Text(str):
    """A text as the catalogues have it. A field that only inflects a word may be left out of a twin."""

    inflecting: frozenset[str] = frozenset()


def all_texts() -> dict[Text, str]:
    """Every text that is shown, with the place where it stands first."""
    found: dict[Text, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        place = str(path.relative_to(SOURCE))
        for text in _in_source(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(text, place)
    for text, place in (*_of_settings(), *_of_commands()):
        if not WORDLESS.fullmatch(text):
            found.setdefault(text, place)
    return found


def _in_source(tree: ast.Module) -> Iterator[Text]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        )
        for place in TEXTS.get(name, ()):
            if isinstance(place, int):
                argument = call.args[place] if place < len(call.args) else None
            else:
                argument = next((k.value for k in call.keywords if k.arg == place), None)
            if name == "N_":
                yield from _raw(argument)
            else:
                yield from (t for t in _texts_of(argument) if not WORDLESS.fullmatch(t))


def _raw(node: ast.expr | None) -> Iterator[Text]:
    """A text that is kept as it is written, spaces at its ends included."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield Text(node.value)
    else:
        yield from _texts_of(node)


def _texts_of(node: ast.expr | None) -> Iterator[Text]:
    """The texts that an expression can be."""
    if isinstance(node, ast.IfExp):
        yield from _texts_of(node.body)
        yield from _texts_of(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _texts_of(value)
    elif isinstance(node, ast.List | ast.Tuple):
        for value in node.elts:
            yield from _texts_of(value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield Text(node.value.strip())
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format":
        yield from _texts_of(node.func.value)  # type: ignore[attr-defined]
    elif isinstance(node, ast.JoinedStr | ast.BinOp):
        yield _template(list(_pieces(node)))


def _pieces(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.JoinedStr):
        yield from node.values
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _pieces(node.left)
        yield from _pieces(node.right)
    else:
        yield node


def _template(pieces: list[ast.expr]) -> Text:
    written, inflecting, number = "", set(), 0
    for piece in pieces:
        if isinstance(piece, ast.Constant):
            written += str(piece.value).replace("{", "{{").replace("}", "}}")
            continue
        written += f"{{{number}}}"
        if _inflects(piece):
            inflecting.add(str(number))
        number += 1
    text = Text((written if number else written.replace("{{", "{").replace("}}", "}")).strip())
    text.inflecting = frozenset(inflecting)
    return text


def _inflects(piece: ast.expr) -> bool:
    """Whether a field is one ending or word or another: `{'s' if n > 1 else ''}`."""
    value = piece.value if isinstance(piece, ast.FormattedValue) else piece
    return isinstance(value, ast.IfExp) and all(
        isinstance(branch, ast.Constant) for branch in (value.body, value.orelse)
    )


def _of_settings() -> Iterator[tuple[Text, str]]:
    for module in pkgutil.walk_packages(groundup.__path__, "groundup."):
        if not module.name.startswith("groundup.recipe.cluster"):  # needs datatrove
            importlib.import_module(module.name)
    classes = [Settings]
    for settings in classes:
        classes += [c for c in settings.__subclasses__() if c.__module__.startswith("groundup.")]
        place = settings.__module__
        yield Text(" ".join((settings.__doc__ or "").split())), place
        for field in settings.model_fields.values():
            yield Text(" ".join((field.description or "").split())), place


def _of_commands() -> Iterator[tuple[Text, str]]:
    for verb in VERBS:
        for action in ACTIONS.get(verb, ("",)):
            parser = parser_of(verb, action)
            if isinstance(parser, argparse.ArgumentParser):
                told = [parser.description, *(a.help for a in parser._actions if "." not in a.dest)]
                yield from ((Text(text.strip()), f"cli/{verb}.py") for text in told if text)


def main() -> None:
    known = catalogue(sys.argv[1])
    for text, place in sorted(all_texts().items(), key=lambda item: item[1]):
        if text not in known:
            written = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            print(f'#: {place}\nmsgid "{written}"\nmsgstr ""\n')


if __name__ == "__main__":
    main()
