"""From the reference's source to the learner's file, and to the typical mistakes: all are cut from the
code that runs, so that they cannot part from it."""

import ast
import importlib
import inspect
import linecache
import textwrap
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from groundup.lab.exercise import Exercise, Mistake
from groundup.language import translate

BLANK = "raise NotImplementedError"
MARK = "# lab: "
"""Stands above each function of the source that is an exercise, with the exercise's name."""

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Source:
    """A function, method or class as it stands in its file."""

    module: str
    owner: str | None
    """The class, of a method."""
    name: str
    text: str
    """Without the indentation of its place."""

    @property
    def node(self) -> Definition:
        return _only_definition(self.text)


@cache
def source_of(target: str) -> Source:
    """Where "module:function", "module:Class.method" or "module:Class" is written."""
    module, _, path = target.partition(":")
    owner, _, name = path.rpartition(".")
    content = module_text(module)
    node: Any = ast.parse(content)
    for part in path.split("."):
        node = next(n for n in node.body if isinstance(n, Definition) and n.name == part)
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    lines = content.splitlines()[first - 1 : node.end_lineno]
    return Source(module, owner or None, name, textwrap.dedent("\n".join(lines)))


@cache
def module_text(module: str) -> str:
    path = inspect.getsourcefile(importlib.import_module(module))
    assert path is not None
    return Path(path).read_text(encoding="utf-8")


def _only_definition(text: str) -> Definition:
    (node,) = ast.parse(text).body
    assert isinstance(node, Definition)
    return node


# The learner's file


def blank_file(exercise: Exercise, number: int, total: int, language: str) -> str:
    """The file that a learner begins with: the text, the imports, the signature, and a blank."""
    source = source_of(exercise.target)
    body = blanked(source)
    if source.owner:
        body = _in_class(source, body)
    about = "\n".join([
        f"{number:02} / {total}  {translate(exercise.title, language)}", "",
        translate(exercise.text, language).strip(), "",
        f"groundup lab check {exercise.name}", f"groundup lab hint {exercise.name}",
    ])  # fmt: skip
    quote = 'r"""' if "\\" in about else '"""'
    parts = (f'{quote}{about}\n"""', "\n".join(imports(source)), "\n" + body)
    return "\n\n".join(part for part in parts if part) + "\n"


def blanked(source: Source) -> str:
    """The definition with its signatures and docstrings, and blanks for bodies."""
    lines = source.text.splitlines()
    functions = [n for n in ast.walk(source.node) if isinstance(n, ast.FunctionDef)]
    outer = [f for f in functions if not any(_holds(other, f) for other in functions)]
    for function in sorted(outer, key=lambda f: -f.lineno):
        first = function.body[0]
        kept = first.end_lineno if ast.get_docstring(function) else first.lineno - 1
        assert kept is not None and function.end_lineno is not None
        indent = " " * (function.col_offset + 4)
        lines[kept : function.end_lineno] = [f"{indent}{BLANK}"]
    return "\n".join(lines)


def _holds(outer: ast.FunctionDef, inner: ast.FunctionDef) -> bool:
    return outer is not inner and any(node is inner for node in ast.walk(outer))


def _in_class(source: Source, body: str) -> str:
    """A method under its class, below the constructor, which is given."""
    constructor = f"{source.owner}.__init__"
    content = ast.parse(module_text(source.module))
    owner = next(n for n in content.body if isinstance(n, ast.ClassDef) and n.name == source.owner)
    lines = [f"class {source.owner}:"]
    if about := ast.get_docstring(owner, clean=False):
        lines.append(f'    """{about}"""')
    if any(isinstance(n, ast.FunctionDef) and n.name == "__init__" for n in owner.body):
        given = source_of(f"{source.module}:{constructor}").text
        commented = textwrap.indent(given, "# ", lambda line: True)
        lines += ["", textwrap.indent(commented, "    ")]
    return "\n".join([*lines, "", textwrap.indent(body, "    ")])


def imports(source: Source) -> Iterator[str]:
    """What the reference uses of other modules, and of its own."""
    used = {n.id for n in ast.walk(source.node) if isinstance(n, ast.Name)} - {source.name}
    used.add("torch")  # which the reference may go without
    own: list[str] = []
    for node in _top_level(source.module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a for a in node.names if (a.asname or a.name).split(".")[0] in used]
            if names:
                kept = copy(node)
                kept.names = names
                yield ast.unparse(kept)
        else:
            own += sorted(used & set(_defined(node)))
    if own:
        yield f"from {source.module} import {', '.join(sorted(set(own)))}"


def _top_level(module: str) -> Iterator[ast.stmt]:
    for node in ast.parse(module_text(module)).body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from node.body
        else:
            yield node


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, Definition):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


# Parts that can be tried


def reference(target: str) -> Any:
    """The part itself; of a method, its class."""
    source = source_of(target)
    module = importlib.import_module(source.module)
    return getattr(module, source.owner or source.name)


def part_of(target: str, namespace: dict[str, Any]) -> Any:
    """The part that executed source left in `namespace`, in the form in which it can be tried: a function,
    a class, or, for a method, the reference's class with this method instead of its own.

    Raises `KeyError` where it is not there."""
    source = source_of(target)
    if source.owner is None:
        return namespace[source.name]
    written = vars(namespace[source.owner])
    helpers = {name: part for name, part in written.items() if inspect.isfunction(part)}
    helpers.pop("__init__", None)  # which is given
    original = reference(target)
    return type(original.__name__, (original,), helpers | {source.name: written[source.name]})


def mistaken(exercise: Exercise, mistake: Mistake) -> Any:
    """The reference with a typical mistake."""
    source = source_of(exercise.target)
    assert source.text.count(mistake.old) == 1, (
        f"{exercise.name}: {mistake.old!r} stands once in the source"
    )
    text = source.text.replace(mistake.old, mistake.new)
    if source.owner:
        text = f"class {source.owner}:\n{textwrap.indent(text, '    ')}"
    name = f"<{exercise.name}: {mistake.text}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace = dict(vars(importlib.import_module(source.module)))
    exec(compile(text, name, "exec"), namespace)
    return part_of(exercise.target, namespace)
