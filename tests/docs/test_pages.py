"""Every page of the guide exists in both languages, says the same, and its code runs as it stands."""

import ast
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from docs import path as path_figure
from docs import reference
from groundup.cli.main import VERBS, Parser
from groundup.lab.exercises import CHAPTERS
from groundup.recipe.schema import read_recipe
from tests.docs.pages import DOCS, LANGUAGES, NAMES, code, page, prose

MINUTES = 15
# Their examples go with runs of other commands or with a table of the code, and have tests of their own.
TESTED_BY = {"families": "tests/weights/test_families.py", "tuning": "tests/test_guide.py"}
RUNNING = [name for name in NAMES if code(page("en", name), "python") and name not in TESTED_BY]
RECIPES = [n for n in NAMES if code(page("en", n), "toml") and n not in ("evaluation", "tuning")]
LOOKED_UP = {"reference"}  # nobody reads it from its beginning to its end


def outline(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(text), re.M)]


def exercises(text: str) -> list[str]:
    section = re.search(r"^## (?:Exercises|练习)\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return re.findall(r"^(?:[-*] )?`(\w+)`", section[1], re.M) if section else []


class WithoutText(ast.NodeTransformer):
    """What a reader of the other language reads otherwise is left out of the tree."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:  # noqa: N802
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Constant:  # noqa: N802
        """The values in it, whose places and widths go with the language."""
        values = (v.value for v in node.values if isinstance(v, ast.FormattedValue))
        return ast.Constant(sorted(ast.unparse(self.visit(value)) for value in values))


def test_both_languages_have_the_same_pages():
    chinese = {p.relative_to(DOCS / "zh").as_posix() for p in (DOCS / "zh").rglob("*.md")}
    assert chinese == {f"{name}.md" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_outline_and_exercises(name: str):
    english, chinese = (page(language, name) for language in LANGUAGES)
    assert outline(english) == outline(chinese)
    assert exercises(english) == exercises(chinese)
    if name.startswith("chapters/"):
        assert exercises(english)


def test_the_chapters_and_their_exercises_are_those_of_the_lab():
    chapters = [f"chapters/{i:02}-{chapter}" for i, chapter in enumerate(CHAPTERS, start=1)]
    assert chapters == [name for name in NAMES if name.startswith("chapters/")]
    for name, wanted in zip(chapters, CHAPTERS.values(), strict=True):
        assert exercises(page("en", name)) == list(wanted)


@pytest.mark.parametrize("language, write", [("en", "Write"), ("zh", "写")])
def test_the_plan_has_every_exercise_of_the_chapters_once(language: str, write: str):
    asked = re.findall(rf"^\*\*{write}\*\*(.*?)\n\n", page(language, "plan"), re.M | re.S)
    planned = [name for day in asked for name in re.findall(r"`(\w+)`", day)]
    chapters = [name for name in NAMES if name.startswith("chapters/")]
    listed = {exercise for name in chapters for exercise in exercises(page(language, name))}
    assert sorted(planned) == sorted(listed)


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_show_the_same_code(name: str):
    english, chinese = (
        [ast.unparse(WithoutText().visit(ast.parse(block))) for block in code(page(language, name), "python")]
        for language in LANGUAGES
    )  # fmt: skip
    assert english == chinese


@pytest.mark.parametrize("name", sorted(set(NAMES) - LOOKED_UP))
def test_a_page_is_read_in_a_quarter_of_an_hour(name: str):
    assert len(page("en", name).split()) / 200 < MINUTES
    assert len(re.findall(r"[\u4e00-\u9fff]", page("zh", name))) / 350 < MINUTES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", RUNNING)
def test_the_code_of_a_page_runs_and_prints_what_it_says(
    language: str, name: str, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    printed: dict[int, str] = {}

    def record(*values: object, sep: str = " ", **more: Any) -> None:
        printed[sys._getframe(1).f_lineno] = sep.join(map(str, values))
        print(*values, sep=sep, **more)

    names: dict = {"__name__": "page", "print": record}
    for number, block in enumerate(code(page(language, name), "python")):
        printed.clear()
        exec(compile(block, f"{language}/{name}.md, block {number}", "exec"), names)
        for line, text in enumerate(block.splitlines(), start=1):
            if said := re.search(r"print\(.*\)  # → (.+)", text):
                assert printed[line] == said[1], text


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_flag_exists(name: str):
    for line in "".join(code(page("en", name), "console")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["groundup"]:
            continue
        verb, action = words[1], words[2] if len(words) > 2 else ""
        assert verb in VERBS, line
        actions = reference.ACTIONS.get(verb, ("",))
        assert actions == ("",) or action in actions, line
        parser = reference.parser_of(verb, action if action in actions else "")
        assert isinstance(parser, Parser), line
        flags = {word.split("=")[0] for word in words if word.startswith("--")}
        assert flags <= set(parser._option_string_actions), line


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_recipe(language: str, name: str, tmp_path: Path):
    for number, block in enumerate(code(page(language, name), "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, encoding="utf-8")
        read_recipe(str(path), {})


@pytest.mark.parametrize("number, language", list(enumerate(LANGUAGES)))
def test_what_scripts_write_is_current(number: int, language: str):
    again = "run `make docs` and commit what it writes"
    assert page(language, "reference") == reference.page(language), again
    figure = (DOCS / language / "path.svg").read_text(encoding="utf-8")
    assert figure == path_figure.figure(number), again
