"""`groundup lab start|list|check|hint|train`: write a language model's parts, and train it on them"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.cli.main import Parser
from groundup.errors import GroundupError, unknown
from groundup.language import N_, asked_language, shown, use_language

if TYPE_CHECKING:
    from groundup.lab.check import Checker
    from groundup.lab.finding import Finding
    from groundup.lab.folder import Lab

ABOUT = N_("""\
usage: groundup lab start DIR        a folder with an exercise for each part of a language model
       groundup lab list             the way, and how far it is
       groundup lab check [NAME...]  what is wrong with the parts, and perhaps why
       groundup lab hint NAME        a hint, each time a stronger one
       groundup lab train            train the real model on the parts that are right, and talk to it

example: groundup lab start my-llm && cd my-llm && groundup lab check causal_mask""")

MARKS = {"passed": "✓", "wrong": "✗", "blank": "·", "": "·", "missing": "?"}
RIGHT = N_("{passed} of {all} are right.")
MISSING = N_("(no file; groundup lab start . writes it anew)")


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(shown(ABOUT))
        return
    action, *rest = arguments
    actions = {"start": start, "list": list_, "check": check, "hint": hint, "train": train}
    if action not in actions:
        raise unknown("action", action, actions, "groundup lab")
    actions[action](rest)


def parser_for(action: str, example: str, about: str) -> Parser:
    parser = Parser(f"lab {action}", f"groundup lab {example}", description=about)
    parser.add_argument("--json", action="store_true", help="print what is found as JSON")
    return parser


def the_lab() -> "Lab":
    """The lab in which the command was given."""
    from groundup.lab.folder import Lab

    lab = Lab.find(Path())
    lab.language = asked_language() or lab.language
    use_language(lab.language)
    return lab


def start(arguments: list[str]) -> None:
    parser = parser_for("start", "start my-llm --lang en", "Make a folder with all exercises. In a "
                        "folder that is there already, only what is missing is written.")  # fmt: skip
    parser.add_argument("folder", metavar="DIR")
    parsed = parser.parse(arguments)

    from groundup.cli.streams import print_json
    from groundup.lab.exercises import NAMES
    from groundup.lab.folder import start as make

    lab, written = make(Path(parsed.folder), asked_language())
    if parsed.json:
        print_json({"folder": str(lab.folder), "exercises": len(NAMES), "written": written})
        return
    text = N_("{written} of {all} exercises written to {folder}.\nGo there, and see the way: "
              "cd {folder}, groundup lab list")  # fmt: skip
    print(lab.told(text, written=written, all=len(NAMES), folder=parsed.folder))


def list_(arguments: list[str]) -> None:
    parsed = parser_for("list", "list", "The way, and how far it is.").parse(arguments)

    from groundup.cli.streams import print_json
    from groundup.lab.exercises import CHAPTERS, NAMES

    lab = the_lab()
    status = {name: lab.status(name) for name in NAMES}
    if parsed.json:
        print_json({name: {"status": known or None} for name, known in status.items()})
        return
    for number, (chapter, names) in enumerate(CHAPTERS.items(), start=1):
        print(f"\n{number:>2}  {chapter}")
        for name in names:
            path = lab.find_file(name)
            place = path.relative_to(lab.folder) if path else lab.told(MISSING)
            print(f"    {MARKS[status[name]]} {name:<22} {place}")
    passed = sum(known == "passed" for known in status.values())
    print("\n" + lab.told(RIGHT, passed=passed, all=len(NAMES)))


def check(arguments: list[str]) -> None:
    parser = parser_for("check", "check causal_mask", "Try the parts, and say what is wrong. Without a "
                        "name, all of them. Ends with status 1 where a part is wrong, or a named one "
                        "not written.")  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--watch", action="store_true", help="again, each time a file is saved")
    parsed = parser.parse(arguments)

    from groundup.cli.streams import print_json
    from groundup.lab.check import Checker
    from groundup.lab.exercises import NAMES

    lab = the_lab()
    named = list(dict.fromkeys(map(name_of, parsed.names)))
    for name in named:
        lab.path(name)  # a wrong name is told before anything is tried
    names = named or [name for name in NAMES if lab.find_file(name)]
    checker = Checker(lab.language, NAMES if parsed.watch else names)
    found: dict[str, Finding] = {}
    for name in names:
        found[name] = check_one(lab, checker, name)
        if not parsed.json and (named or found[name].status != "blank"):
            report(lab, name, found[name])
    if parsed.json:
        print_json({name: as_json(finding) for name, finding in found.items()})
    elif len(names) > 1:
        count = sum(finding.status == "passed" for finding in found.values())
        print(lab.told(RIGHT, passed=count, all=len(names)))
    if parsed.watch:
        watch(lab, checker)
    bad = {"wrong", "blank"} if named else {"wrong"}
    if any(finding.status in bad for finding in found.values()):
        sys.exit(1)


def watch(lab: "Lab", checker: "Checker") -> None:
    """Check each file that is saved, until Ctrl-C."""
    from watchfiles import watch as changes

    from groundup.lab.exercises import NAMES

    say(lab.told(N_("Watching {folder} (Ctrl-C to end)."), folder=lab.folder))
    for changed in changes(lab.folder, raise_interrupt=False):
        saved = {Path(path).resolve() for _, path in changed}
        for name in NAMES:
            path = lab.find_file(name)
            if path and path.resolve() in saved:
                report(lab, name, check_one(lab, checker, name))


def name_of(given: str) -> str:
    """The exercise that is meant by its name or its file."""
    return re.sub(r"^\d+_", "", Path(given).stem)


def check_one(lab: "Lab", checker: "Checker", name: str) -> "Finding":
    """Check a part and remember what was found, where the folder can be written to."""
    from groundup.lab.folder import fingerprint

    path = lab.path(name)
    content = fingerprint(path)
    finding = checker.check(name, path)
    try:
        lab.record(name, content, finding.status)
    except GroundupError as error:
        say(f"warning: {error.what}")
    return finding


def report(lab: "Lab", name: str, finding: "Finding") -> None:
    """What was found in a part, and where."""
    path = lab.path(name).relative_to(lab.folder)
    place = f"{path}:{finding.line}" if finding.line and finding.status == "wrong" else f"{path}"
    print(f"{MARKS[finding.status]} {name}  {place}", flush=True)
    if finding.status == "passed":
        return
    lines = [finding.code and f"> {finding.code}", *finding.message.splitlines()]
    if finding.call:
        lines.append(lab.told(N_("with {call}"), call=finding.call))
    if finding.diagnosis:
        lines.append(lab.told(N_("Perhaps this: {diagnosis}"), diagnosis=finding.diagnosis))
    lines.append(f"groundup lab hint {name}")
    print("\n".join(f"    {line}" for line in lines if line), flush=True)


def as_json(finding: "Finding") -> dict[str, Any]:
    passed = finding.status == "passed"
    return {
        "passed": passed,
        "status": finding.status,
        "message": finding.message,
        "line": finding.line,
        "code": finding.code,
        "call": finding.call,
        "diagnosis": finding.diagnosis,
        "hint": None if passed else finding.hint,
    }


def hint(arguments: list[str]) -> None:
    parser = parser_for("hint", "hint causal_mask", "Help with a part: a hint, each time a stronger one, "
                        "and at last how we wrote it.")  # fmt: skip
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--solution", action="store_true", help="show how we wrote it")
    parsed = parser.parse(arguments)
    parsed.name = name_of(parsed.name)
    lab = the_lab()
    lab.path(parsed.name)

    from groundup.cli.streams import print_json
    from groundup.lab.cut import source_of
    from groundup.lab.exercises import find

    exercise = find(parsed.name)
    if parsed.solution:
        shown, number = source_of(exercise.target).text, None
    else:
        number = lab.next_hint(parsed.name, len(exercise.hints))
        shown = lab.told(exercise.hints[number - 1])
    if parsed.json:
        print_json({"name": parsed.name, "hint": shown, "number": number})
        return
    print(shown)
    if number == len(exercise.hints):
        text = N_("That was the last hint. How we wrote it: groundup lab hint {name} --solution")
        say("\n" + lab.told(text, name=parsed.name))
    elif number:
        text = N_("({number} of {all}; again for the next)")
        say(lab.told(text, number=number, all=len(exercise.hints)))


def say(text: str) -> None:
    print(text, file=sys.stderr)


def train(arguments: list[str]) -> None:
    from groundup.cli.flags import given_settings, typed
    from groundup.cli.quickstart import add_questions, print_exam
    from groundup.cli.run import add_recipe_settings

    parser = parser_for("train", "train --minutes 3", "Train the quickstart's model on the parts that are "
                        "right, with ours in the place of the others, and talk to it.")  # fmt: skip
    parser.add_argument("--minutes", type=typed("--minutes"), default=4.7,
                        help="time to use (%(default)s)")  # fmt: skip
    add_questions(parser)
    parser.add_argument("--also", nargs="+", default=[], metavar="NAME",
                        help="parts of yours that are used although their check fails")  # fmt: skip
    parser.add_argument("--mistake", metavar="NAME[:NUMBER]",
                        help="our part with a typical mistake: see what it does")  # fmt: skip
    parser.add_argument("--out", help="run directory (runs/NUMBER in the lab)")
    parser.add_argument("--no-chat", action="store_true", help="do not chat at the end")
    add_recipe_settings(parser)
    parsed = parser.parse(arguments)
    lab = the_lab()
    for name in parsed.also:
        lab.path(name)

    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.streams import print_json
    from groundup.cli.talk import chat_loop
    from groundup.lab.plug import plugged
    from groundup.lab.train import learners_parts, next_run, whose_parts, with_mistake
    from groundup.recipe.quickstart import ExamConfig, build
    from groundup.train.config import TrainConfig

    minutes = TrainConfig.parse({"minutes": parsed.minutes}).minutes
    assert minutes is not None
    questions = ExamConfig.parse({"questions": parsed.questions}).questions
    planted = with_mistake(parsed.mistake) if parsed.mistake else {}
    parts = learners_parts(lab, [*passing(lab), *parsed.also]) | planted
    out = Path(parsed.out) if parsed.out else next_run(lab)
    with plugged(parts) as calls:
        with ConsoleWatcher() as watcher:
            finished, exam, examples = build(
                out, minutes, given_settings(parsed), watcher, questions
            )
        print_exam(watcher.console, exam, examples)
        watcher.made(finished)
        whose = whose_parts(parts, planted, calls)
        if parsed.json:
            assert finished.pretrained
            print_json({
                "model": str(finished.model), "exact_answers": exam.level_1,
                "val_bits_per_byte": finished.pretrained.val_bits_per_byte, "parts": whose,
            })  # fmt: skip
            return
        print_parts(watcher.console, lab, whose)
        if not parsed.no_chat:
            chat_loop(*finished.load())


def passing(lab: "Lab") -> Iterable[str]:
    """The exercises whose parts are right, after checking those of which it is not known."""
    from groundup.lab.check import Checker
    from groundup.lab.exercises import NAMES

    checker = Checker(lab.language)
    for name in NAMES:
        status = lab.status(name) or check_one(lab, checker, name).status
        if status == "wrong":
            say(lab.told(N_("{name} is not right yet: ours takes its place"), name=name))
        elif status == "passed":
            yield name


def print_parts(console: Any, lab: "Lab", whose: dict[str, dict[str, Any]]) -> None:
    """Whose parts the model ran on."""
    owners = {"yours": N_("yours"), "mistake": N_("ours with a mistake")}
    console.print()
    for name, part in whose.items():
        if part["whose"] in owners:
            called = N_("{whose}, called {calls:,} times")
            text = called if part["calls"] else N_("{whose}, not used by this model")
            about = lab.told(text, whose=lab.told(owners[part["whose"]]), calls=part["calls"])
            console.print(f"  {name:<22} {about}", markup=False)
    ours = ", ".join(name for name, part in whose.items() if part["whose"] == "ours")
    text = lab.told(N_("ours: {names}"), names=ours)
    console.print(f"  {text}", markup=False, soft_wrap=True)
