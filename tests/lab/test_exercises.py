"""Every exercise can be failed, passed and explained: the blank, the reference, each typical mistake, and
right solutions in other styles."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

from groundup.lab.cut import BLANK, MARK, blank_file, mistaken, reference, source_of
from groundup.lab.examine import TRIES, compared, diagnosis, examine, tried
from groundup.lab.exercise import Exercise, Mistake
from groundup.lab.exercises import CHAPTERS, NAMES, of_chapter

EXERCISES = {exercise.name: exercise for chapter in CHAPTERS for exercise in of_chapter(chapter)}
SOURCE = Path(__file__).parents[2] / "src" / "groundup"
SOLUTIONS = Path(__file__).parent / "solutions"

every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
every_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"),
    [
        pytest.param(exercise, mistake, id=f"{exercise.name}-{number}")
        for exercise in EXERCISES.values()
        for number, mistake in enumerate(exercise.mistakes)
    ],
)


def test_the_list_names_every_exercise_in_order():
    assert tuple(EXERCISES) == NAMES


def test_every_exercise_is_marked_in_the_source_and_every_mark_is_an_exercise():
    marked = {
        name: path
        for path in SOURCE.rglob("*.py")
        for name in re.findall(rf"^ *{MARK}(\w+)$", path.read_text(encoding="utf-8"), re.M)
    }
    assert marked.keys() == EXERCISES.keys()
    for name, path in marked.items():
        definition = re.escape(source_of(EXERCISES[name].target).text.splitlines()[0])
        assert re.search(rf"{MARK}{name}\n *{definition}", path.read_text(encoding="utf-8")), name


@every_exercise
def test_the_blank_is_not_written_yet(exercise: Exercise, tmp_path: Path):
    path = tmp_path / "part.py"
    path.write_text(blank_file(exercise, 1, 1, "en"), encoding="utf-8")
    assert examine(exercise, path, "en").status == "blank"


@every_exercise
def test_the_reference_passes(exercise: Exercise, tmp_path: Path):
    path = tmp_path / "part.py"
    path.write_text(solved(exercise), encoding="utf-8")
    found = examine(exercise, path, "en")
    assert found.status == "passed", found


def solved(exercise: Exercise) -> str:
    """The learner's file with the reference in it."""
    source = source_of(exercise.target)
    blank = blank_file(exercise, 1, 1, "en")
    head = blank[: blank.index(f"class {source.owner or source.name}")] if source.owner else blank
    if source.owner:
        body = "\n".join(f"    {line}" if line else "" for line in source.text.splitlines())
        return f"{head}class {source.owner}:\n{body}\n"
    return blank[: blank.index(source.text.splitlines()[0])] + source.text + "\n"


@every_mistake
def test_a_typical_mistake_is_caught_and_named(exercise: Exercise, mistake: Mistake):
    wrong, right = mistaken(exercise, mistake), reference(exercise.target)
    outcomes = [
        (tried(exercise, right, seed), tried(exercise, wrong, seed)) for seed in range(TRIES)
    ]
    assert any(bad.error or compared(exercise, good, bad) for good, bad in outcomes)
    assert diagnosis(exercise, wrong) == mistake


@pytest.mark.parametrize(
    "path", sorted(SOLUTIONS.glob("*/*.py")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_right_solution_in_another_style_passes(path: Path):
    assert BLANK not in path.read_text(encoding="utf-8")
    found = examine(EXERCISES[path.parent.name], path, "en")
    assert found.status == "passed", found


WITH_EXAMPLES = [e for e in EXERCISES.values() if ">>>" in source_of(e.target).text]


@pytest.mark.parametrize("exercise", WITH_EXAMPLES, ids=lambda exercise: exercise.name)
def test_the_reference_does_what_its_example_says(exercise: Exercise):
    source = source_of(exercise.target)
    about = ast.get_docstring(source.node)
    assert about is not None
    names = dict(vars(importlib.import_module(source.module)))
    test = doctest.DocTestParser().get_doctest(about, names, source.name, None, 0)
    said: list[str] = []
    assert not doctest.DocTestRunner(verbose=False).run(test, out=said.append).failed, said


LEARNING = [exercise for exercise in EXERCISES.values() if exercise.learns]


@pytest.mark.parametrize("exercise", LEARNING, ids=lambda exercise: exercise.name)
def test_a_part_that_cuts_the_gradient_off_is_told(exercise: Exercise, tmp_path: Path):
    path = tmp_path / "part.py"
    name = source_of(exercise.target).name
    cut = f"def {name}(*arguments, **named):\n    return right(*arguments, **named).detach()\n"
    path.write_text(solved(exercise) + f"\n\nright = {name}\n\n\n" + cut, encoding="utf-8")
    assert "no gradient comes back" in examine(exercise, path, "en").message
