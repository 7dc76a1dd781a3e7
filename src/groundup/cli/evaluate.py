"""`groundup evaluate`"""

import argparse
from collections.abc import Iterator

from groundup.cli.flags import typed
from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
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
        "model", metavar="MODEL", nargs="*", help="model directories, .gguf files or hub ids"
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


def run(parsed: argparse.Namespace) -> None:
    """Measure everything that was asked for, one model in memory at a time."""
    from groundup.cli import judging
    from groundup.cli.console import print_json
    from groundup.evaluate.report import report_page
    from groundup.evaluate.results import markdown
    from groundup.files import atomic_file

    figures = {name: {} for name in parsed.model}
    results = []
    for name in parsed.model:
        for measured in _measured(parsed, name):
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


def _measured(parsed: argparse.Namespace, name: str) -> Iterator:
    """All that was asked for of one model."""
    from groundup.cli.console import ConsoleWatcher
    from groundup.evaluate.subject import LocalModel
    from groundup.recipe.measure import measure_labels
    from groundup.weights.directory import load

    counts = _counts(parsed)
    with ConsoleWatcher() as watcher:
        if parsed.classify:
            watcher.stage("labels", f"Which labels {name} gives to texts that have one.")
            yield measure_labels(name, name, parsed.classify)
        of_language = [KINDS[kind] for kind in KINDS if getattr(parsed, kind) and KINDS[kind]]
        if of_language:
            watcher.stage("loading", name)
            subject = LocalModel(*load(name), progress=watcher.advanced)
            for measure in dict.fromkeys(of_language):
                yield measure(parsed, counts, subject, name, watcher)


def _text(parsed: argparse.Namespace, counts, subject, name: str, watcher):
    from groundup.recipe.measure import measure_text

    watcher.stage("text", "How many bits the model needs for each byte.")
    return measure_text(subject, name, parsed.text, counts.stride)


def _exam(parsed: argparse.Namespace, counts, subject, name: str, watcher):
    from groundup.cli.flags import given_settings
    from groundup.evaluate.config import ClozeConfig
    from groundup.evaluate.subject import LocalModel, Scorer
    from groundup.recipe import measure
    from groundup.weights.directory import load

    watcher.stage("exam", "Which choice the model finds likeliest.")
    train = parsed.train_text or []
    if parsed.exam:
        exam = measure.exam_from_files(parsed.exam)
    else:
        config = ClozeConfig.parse(given_settings(parsed).get("cloze", {}), "command line")
        exam = measure.exam_from_documents(parsed.build_exam, train, config)
    baselines: dict[str, Scorer] = {}
    if train:
        baselines["n-gram model"] = measure.n_gram_of(train)
    if parsed.base:
        baselines["base model"] = LocalModel(*load(parsed.base), progress=watcher.advanced)
    return measure.measure_exam(subject, name, exam.first(counts.limit), baselines, parsed.ask)


def _tasks(parsed: argparse.Namespace, counts, subject, name: str, watcher):
    from groundup.recipe.measure import measure_tasks

    watcher.stage("tasks", "Tasks of lm-evaluation-harness.")
    return measure_tasks(subject, name, parsed.tasks, counts.limit)


# What is measured of a model, by the flag that asks for it; labels need another kind of model.
KINDS = {"text": _text, "exam": _exam, "build_exam": _exam, "tasks": _tasks, "classify": None}


def _counts(parsed: argparse.Namespace):
    """The numbers among the flags, checked."""
    from groundup.recipe.measure import Counts

    given = {"stride": parsed.stride, "limit": parsed.limit}
    return Counts.parse({name: n for name, n in given.items() if n is not None}, "command line")
