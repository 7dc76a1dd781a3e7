"""`groundup evaluate`"""

import argparse
from collections.abc import Iterator
from functools import cached_property

from groundup.cli.flags import typed
from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
    from groundup.cli import judging

    parser = _parser()
    parsed = parser.parse(arguments)
    of_model = [name for name in KINDS if getattr(parsed, name)]
    if not (of_model or judging.is_asked_for(parsed)):
        parser.error(
            "nothing to measure\n  fix: give --text, --exam, --build-exam, --classify, --tasks, --judge, "
            "--vote-page, --votes or --memorisation"
        )
    if of_model and not parsed.model:
        parser.error(f"there is no model to measure\n  fix: name one before --{of_model[0]}")
    run(parsed)


def _parser() -> Parser:
    from groundup.cli import judging
    from groundup.cli.flags import add_settings
    from groundup.evaluate.config import ClozeConfig

    parser = Parser(
        "evaluate",
        "groundup evaluate runs/law/finetune/model --exam law-exam.json --base runs/base/pretrain/model",
        description="Measure models: on text, in exams, by labels, by tasks of lm-evaluation-harness, by "
        "a judge, by what they recite. Several models stand side by side.",
    )  # fmt: skip
    parser.add_argument(
        "model", metavar="MODEL", nargs="*", help="runs, model directories, .gguf files or hub ids"
    )
    parser.add_argument("--text", nargs="+", metavar="FILE", help="text to predict")
    parser.add_argument(
        "--stride", type=typed("--stride"), help="tokens from window to window (half)"
    )
    exam = parser.add_mutually_exclusive_group()
    exam.add_argument(
        "--exam", nargs="+", metavar="FILE", help="questions with choices and answers"
    )
    exam.add_argument(
        "--build-exam", nargs="+", metavar="DOCS",
        help="documents held out of training, or a run directory, to make a cloze exam of",
    )  # fmt: skip
    parser.add_argument(
        "--ask", choices=["text", "letter"], default="text",
        help="answer with a choice's words, or with its letter (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--base", metavar="MODEL", help="the model to compare with in the exam")
    parser.add_argument(
        "--train-text", nargs="+", metavar="FILE",
        help="the text of training: for the n-gram baseline, and for leaks into a built exam",
    )  # fmt: skip
    parser.add_argument(
        "--classify", nargs="+", metavar="FILE", help="texts whose labels are known"
    )
    parser.add_argument(
        "--tasks", nargs="+", metavar="TASK",
        help="tasks of lm-evaluation-harness: names, .yaml files, folders",
    )  # fmt: skip
    parser.add_argument("--limit", type=typed("--limit"), help="only so many questions of each")
    parser.add_argument("--html", metavar="FILE", help="write a report as a page")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    judging.add_arguments(parser)
    add_settings(parser, "cloze", ClozeConfig)
    return parser


def run(parsed: argparse.Namespace) -> None:
    """Measure everything that was asked for, one model in memory at a time."""
    from groundup.cli import judging
    from groundup.cli.streams import print_json
    from groundup.evaluate.report import report_page
    from groundup.evaluate.results import markdown
    from groundup.files import atomic_file

    asked = Asked(parsed)
    figures = {name: {} for name in parsed.model}
    results = []
    for name in parsed.model:
        for measured in _measured(asked, name):
            figures[name] |= measured.figures
            results += measured.results
    results += judging.run(parsed, parsed.model)
    if parsed.html:
        with atomic_file(parsed.html) as file:
            file.write(report_page("Evaluation", results))
    if parsed.json:
        # The figures of one model stand by themselves, as scripts expect them.
        told = figures[parsed.model[0]] if len(parsed.model) == 1 else {"models": figures}
        print_json(told | {"results": [result.to_json() for result in results]})
    else:
        print(markdown(results), end="")


class Asked:
    """What was asked for, and what is made for all models together when it is first needed."""

    def __init__(self, parsed: argparse.Namespace):
        from groundup.recipe.measure import Counts

        self.parsed = parsed
        given = {name: getattr(parsed, name) for name in Counts.model_fields}
        given = {name: number for name, number in given.items() if number is not None}
        self.counts = Counts.parse(given, "command line")

    @cached_property
    def exam(self):
        """The questions, from files or built of documents."""
        from groundup.cli.flags import given_settings
        from groundup.evaluate.config import ClozeConfig
        from groundup.recipe.measure import exam_from_documents, exam_from_files

        if self.parsed.exam:
            exam = exam_from_files(self.parsed.exam)
        else:
            config = ClozeConfig.parse(given_settings(self.parsed).get("cloze", {}), "command line")
            train = self.parsed.train_text or []
            exam = exam_from_documents(self.parsed.build_exam, train, config)
        return exam.first(self.counts.limit)

    @cached_property
    def baselines(self) -> dict:
        """Who else takes the exam."""
        from groundup.evaluate.subject import LocalModel
        from groundup.recipe.measure import n_gram_of
        from groundup.weights.directory import load

        train, base = self.parsed.train_text, self.parsed.base
        return {
            **({"n-gram model": n_gram_of(train)} if train else {}),
            **({"base model": LocalModel(*load(base))} if base else {}),
        }

    @property
    def files(self) -> list[str]:
        """Texts, questions and rows to measure on."""
        given = (self.parsed.text, self.parsed.exam, self.parsed.classify)
        return [path for paths in given if paths for path in paths]


def _measured(asked: Asked, name: str) -> Iterator:
    """All that was asked for of one model."""
    from groundup.cli.console import ConsoleWatcher
    from groundup.evaluate.subject import LocalModel
    from groundup.recipe.measure import measure_labels, trained_on
    from groundup.weights.directory import load

    with ConsoleWatcher() as watcher:
        for warning in trained_on(name, asked.files):
            watcher.warned(warning)
        if asked.parsed.classify:
            watcher.stage("labels", f"Which labels {name} gives to texts that have one.")
            yield measure_labels(name, name, asked.parsed.classify)
        kinds = [KINDS[kind] for kind in KINDS if getattr(asked.parsed, kind) and KINDS[kind]]
        if kinds:
            watcher.stage("loading", name)
            subject = LocalModel(*load(name), progress=watcher.advanced)
            for measure in dict.fromkeys(kinds):
                yield measure(asked, subject, name, watcher)


def _text(asked: Asked, subject, name: str, watcher):
    from groundup.recipe.measure import measure_text

    watcher.stage("text", "How many bits the model needs for each byte.")
    return measure_text(subject, name, asked.parsed.text, asked.counts.stride)


def _exam(asked: Asked, subject, name: str, watcher):
    from groundup.recipe.measure import measure_exam

    watcher.stage("exam", "Which choice the model finds likeliest.")
    return measure_exam(subject, name, asked.exam, asked.baselines, asked.parsed.ask)


def _tasks(asked: Asked, subject, name: str, watcher):
    from groundup.recipe.measure import measure_tasks

    watcher.stage("tasks", "Tasks of lm-evaluation-harness.")
    return measure_tasks(subject, name, asked.parsed.tasks, asked.counts.limit)


# What is measured of a model, by the flag that asks for it; labels need another kind of model.
KINDS = {"text": _text, "exam": _exam, "build_exam": _exam, "tasks": _tasks, "classify": None}
